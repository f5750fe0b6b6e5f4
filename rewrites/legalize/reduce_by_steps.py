"""A reduction over many axes as reductions over two at a time, or over all axes at once.

Op<a, b, c>(X) = Then<a>(Op<b, c>(X))         Then: what reduces partial results, see `THEN`
Op<all axes>(X) = Op(X)                        no axes are said
Op<a>(X) = Of(X)                               where X has one element on the axes; `OF_ONE`
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import AXES_ARE_AN_INPUT, Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

AT_ONCE = 2

THEN = {
    "ReduceL1": ("ReduceL1", "ReduceL1"),
    "ReduceL2": ("ReduceL2", "ReduceL2"),
    "ReduceLogSum": ("ReduceSum", "ReduceLogSum"),
    "ReduceLogSumExp": ("ReduceLogSumExp", "ReduceLogSumExp"),
    "ReduceMax": ("ReduceMax", "ReduceMax"),
    "ReduceMean": ("ReduceMean", "ReduceMean"),
    "ReduceMin": ("ReduceMin", "ReduceMin"),
    "ReduceSum": ("ReduceSum", "ReduceSum"),
    "ReduceSumSquare": ("ReduceSumSquare", "ReduceSum"),
}
"""Per op, what reduces the first axes and what reduces the partial results over the last ones."""

OF_ONE = {
    "ReduceL1": ("Abs",),
    "ReduceL2": ("Mul", "Sqrt"),
    "ReduceLogSum": ("Log",),
    "ReduceSumSquare": ("Mul",),
}
"""What is left of an op over one element; of the other ops, the element. Mul: by itself."""

OPS = (*THEN, "ReduceProd")
NO_IDENTITY_OF_ONE = tuple(OF_ONE)


def axes_of(node: gs.Node) -> list[int] | None:
    """The axes that a reduction names, from the front, in order; None: none, or not known."""
    shape = node.inputs[0].shape
    if "axes" in node.attrs:
        axes = node.attrs["axes"]
    elif len(node.inputs) > 1 and node.inputs[1].name:
        axes = known_value(node.inputs[1], 13)
    else:
        axes = None
    if axes is None or shape is None:
        return None
    return sorted({int(axis) % max(len(shape), 1) for axis in axes})


def reduces_many(node: gs.Node) -> bool:
    """Whether a reduction names more axes than two, or all there are, several."""
    axes = axes_of(node)
    return axes is not None and (len(axes) > AT_ONCE or 1 < len(axes) == len(node.inputs[0].shape))


def reduces_one_element(node: gs.Node) -> bool:
    axes = axes_of(node)
    return bool(axes) and all(node.inputs[0].shape[axis] == 1 for axis in axes or ())


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, axes = node.inputs[0], axes_of(node)
    if axes is None or len(axes) < AT_ONCE:
        raise Unsupported("its axes are not known")
    keepdims = node.attrs.get("keepdims", 1)
    if len(axes) == len(x.shape):
        return [b.node(node.op, [x], node.outputs[0].shape, keepdims=keepdims)]
    if node.op not in THEN:
        raise Unsupported("its partial products may overflow where the whole does not")
    op, then = THEN[node.op]
    while axes:
        # From the last, so that axes which are gone do not move those that follow.
        some, axes = axes[-AT_ONCE:], axes[:-AT_ONCE]
        x, op = _reduce(b, op, x, some, keepdims), then
    return [x]


def _reduce(b: Builder, op: str, x: gs.Tensor, axes: list[int], keepdims: int) -> gs.Variable:
    pairs = enumerate(x.shape)
    shape = [1 if i in axes else dim for i, dim in pairs if keepdims or i not in axes]
    if b.opset >= AXES_ARE_AN_INPUT[op]:
        return b.node(op, [x, b.integers(axes)], tuple(shape), keepdims=keepdims)
    return b.node(op, [x], tuple(shape), axes=axes, keepdims=keepdims)


def emit_of_one(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if not reduces_one_element(node):
        raise Unsupported("it reduces more than one element")
    one = x
    for op in OF_ONE[node.op]:
        one = b.elementwise(op, *[one] * (2 if op == "Mul" else 1))
    if node.attrs.get("keepdims", 1):
        return [one]
    if y.shape is None or sum(not isinstance(dim, int) for dim in y.shape) > 1:
        raise Unsupported("its sizes are known to the runtime alone")
    sizes = [size if isinstance(size, int) else -1 for size in y.shape]
    return [b.node("Reshape", [one, b.integers(sizes)], y.shape)]


REDUCE_BY_STEPS = Replacement("reductions of two axes at a time", emit)
ELEMENT_BY_ELEMENT = Replacement("an operation on each element", emit_of_one)
