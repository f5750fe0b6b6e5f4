"""GeMPool: Y = mean(max(X, epsilon)^p)^(1/p) over each window.

torch dynamo:       Clip(X, min), Pow(p), any form of average pooling, Pow(1/p)
torch TorchScript:  the same with Reciprocal(p) and Mul(·, 1)
onnxpool's export:  Clip, Pow, AdaptiveAveragePool, Pow
by hand:            Max for Clip, Softplus(p) + 1, Exp(p·Log(X)), products, Sqrt, no clamp,
                    Reshape(N, C, -1) and ReduceMean(-1), pooled axes dropped
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops import GeMPool
from onnxpool.ops.op import Array, Shape
from onnxpool.rewrites.graph.run import RunError, evaluate
from onnxpool.rewrites.graph.tensors import numpy_type, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.proof import concrete_shapes, prove, run_type
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import output_size, size_of_dropped_axes

_Exponent = tuple[gs.Tensor, Array]

_TOLERANCE = 3e-5
"""Of the greatest output. float32 powers up to 1e30 are right to some 1e-5."""


def judge(region: Region, opset: int) -> Construct | Declined | None:
    if Role.POWER not in region.roles or Role.SUM not in region.roles:
        return None
    shape = shape_of(region.x)
    size = _output_size(region)
    if shape is None or size is None:
        return None
    try:
        epsilon = _epsilon(region, opset)
        exponents = list(_exponents(region, opset))
    except RunError as error:
        return Declined(region, f"its exponent cannot be computed: {error}")
    reason: str | None = ""
    for parameter, p in exponents:
        if p.size not in (1, shape[-len(size) - 1]) or not np.all(p > 0):
            continue
        op = GeMPool(size, epsilon)
        reference = _reference(op, p, exponents, region)
        inputs = _inputs(region, shape, float(p.max()), epsilon)
        reason = prove(region, reference, inputs, opset, tolerance=_TOLERANCE)
        if reason is None:
            return Construct(op, (region,), (parameter,))
    return Declined(region, f"it is not a generalised mean: {reason}") if reason else None


def _reference(
    op: GeMPool, p: Array, exponents: Sequence[_Exponent], region: Region
) -> Callable[[Array], Array]:
    """The op, with 1/p rounded as the graph rounded it: in float16 that shows."""
    unit = float(np.finfo(numpy_type(region.x.dtype)).eps)
    products = (e * p for _, e in exponents if e.size in (1, p.size))
    rounded = [product for product in products if np.all(np.abs(product - 1) <= unit)]
    root = rounded[0].reshape(-1, *(1,) * len(op.output_size)) if rounded else 1.0
    return lambda x: np.asarray(op.reference(x, p)[0] ** root)


def _output_size(region: Region) -> tuple[int, ...] | None:
    """The output size; also where Y is what is left of X without its pooled axes."""
    x, y = shape_of(region.x), shape_of(region.y)
    if region.pool is not None:
        size = region.pool.op.output_size
        return size if x is not None and len(x) - len(size) in (1, 2) else None
    if region.y.inputs[0].op in ("Reshape", "Squeeze", "Flatten"):
        return output_size(x, y)
    return output_size(x, y) or size_of_dropped_axes(x, y)


def _epsilon(region: Region, opset: int) -> float | None:
    """The lower bound to which X is clamped before it is raised to p."""
    bounds: list[float] = []
    for node in region.nodes:
        if node.op == "Relu":
            bounds.append(0.0)
        elif node.op == "Clip":
            minimum = node.attrs.get("min", node.inputs[1] if len(node.inputs) > 1 else None)
            if isinstance(minimum, gs.Tensor):
                minimum = evaluate(minimum, opset).item() if minimum.name else None
            bounds += [] if minimum is None else [float(minimum)]
        elif node.op == "Max":
            bounds += [float(np.max(v)) for _, v in _constant_operands(node, region, opset)]
    return max(bounds, default=None)


def _exponents(region: Region, opset: int) -> Iterator[_Exponent]:
    """What p may be: the exponents in the graph, then their reciprocals."""
    found: list[_Exponent] = []
    logarithms = any(node.op == "Log" for node in region.nodes)
    for node in region.nodes:
        if node.op == "Pow" or (node.op in ("Mul", "Div") and logarithms):
            found += _constant_operands(node, region, opset)
        elif node.op == "Sqrt":
            found.append((gs.Constant("", np.array(0.5)), np.array(0.5)))
    dtype = numpy_type(region.x.dtype)
    name = f"{region.y.name}/onnxpool/p"
    tried: set[bytes] = set()
    for inverse in (False, True):
        for tensor, values in found:
            p = np.asarray(1 / values if inverse else values)
            if values.size and p.tobytes() not in tried:
                tried.add(p.tobytes())
                stored = isinstance(tensor, gs.Constant) and numpy_type(tensor.dtype) == dtype
                same = stored and tensor.name and not inverse
                yield (tensor if same else gs.Constant(name, p.astype(dtype))), p


def _constant_operands(node: gs.Node, region: Region, opset: int) -> list[_Exponent]:
    inside = {t.name for n in region.nodes for t in n.outputs} | {region.x.name}
    operands = [t for t in node.inputs if t.name and t.name not in inside]
    return [(t, evaluate(t, opset).astype(np.float64)) for t in operands]


def _inputs(region: Region, shape: Shape, p: float, epsilon: float | None) -> Iterator[Array]:
    """Values whose powers float32 holds, at three scales and of both signs.

    Without a clamp, a power of a negative value is NaN or negative; an Abs in front makes it
    neither. Positive values alone come first there, because a NaN hides what else is different.
    """
    rng = np.random.default_rng(0)
    least = max(10 ** (-30 / p), (epsilon or 0.0) / 4)
    for concrete in concrete_shapes(shape):
        for scale in (least, 1.0, min(10 ** (25 / p), 100.0)):
            x = rng.uniform(0.2, 1.0, concrete) * scale
            if epsilon is None:
                yield x.astype(run_type(region))
            yield (x * rng.choice((-1, 1), concrete)).astype(run_type(region))
