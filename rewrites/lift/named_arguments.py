"""The arguments of a pool that an exporter left as an op of its own: inputs, or attributes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops import COMPUTED, KEEP, AdaptivePool, InvalidOp
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, shape_of
from onnxpool.rewrites.region.shape_arithmetic import Element, elements, is_size_of

Meaning = tuple[AdaptivePool, tuple[gs.Tensor, ...]]
"""An op of the dialect on the first input of a node, and the op's parameters."""


def check_input(node: gs.Node, op: str, k: int) -> None:
    """Raises:
    InvalidOp: the first input is not known to be what pooling of `k` axes takes.
    """
    x = node.inputs[0]
    shape = shape_of(x)
    if shape is None:
        raise InvalidOp(f"the rank of its input {x.name!r} is not known")
    if len(shape) not in (k + 1, k + 2):
        raise InvalidOp(f"{op} takes rank {k + 1} or {k + 2}, found rank {len(shape)}")
    if x.dtype is not None and not is_float(x.dtype):
        raise InvalidOp(f"its input {x.name!r} is {numpy_type(x.dtype)}, wanted floating point")


def output_size(node: gs.Node, k: int, opset: int) -> tuple[tuple[int, ...], tuple[gs.Tensor, ...]]:
    """The output size that an argument says, and the op's parameters.

    Raises:
        InvalidOp: it has another number of sizes, or one that is none.
    """
    x = node.inputs[0]
    found = elements_of(node, 1, "output_size", opset)
    if found is None:
        found = [None] * k
    if len(found) != k or any(isinstance(size, int) and size < 1 for size in found):
        raise InvalidOp(f"its output_size is {in_words(found)}, wanted {k} sizes of at least 1")
    size = tuple(
        KEEP if is_size_of(element, x, axis) else element if isinstance(element, int) else COMPUTED
        for axis, element in enumerate(found, start=len(x.shape) - k)
    )
    return size, (node.inputs[1],) if COMPUTED in size else ()


def elements_of(node: gs.Node, position: int, name: str, opset: int) -> list[Element] | None:
    """The elements of an argument, none where it is not given; None where they are not known."""
    if name in node.attrs:
        value = node.attrs[name]
        return list(value) if isinstance(value, list) else [value]
    if len(node.inputs) <= position or not node.inputs[position].name:
        return []
    return elements(node.inputs[position], opset)


def in_words(found: Sequence[Element] | None) -> str:
    if found is None:
        return "not known"
    words = (str(e) if isinstance(e, int) else "computed" for e in found)
    return f"[{', '.join(words)}]"
