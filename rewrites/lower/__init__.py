"""Lower the dialect to standard ONNX ops: one dialect op per file, one spelling per strategy.

A node of the dialect comes in; standard nodes that are valid in the opset of its graph stand in its
place, or `Unsupported` says why not. function_body writes the same as the body of an ONNX function,
for models that keep the node. The pipeline calls it, after `plan` has asked what it would do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import onnx
import onnx_graphsurgeon as gs

from onnxpool import plugins
from onnxpool.ops import COMPUTED, DIALECT, AdaptivePool, InvalidOp, Op
from onnxpool.ops.op import Dim
from onnxpool.ops.windows import MOST_WINDOWS
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import onnx_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.lower.adaptive_average_pool import lower_average_pool
from onnxpool.rewrites.lower.adaptive_max_pool import lower_max_pool
from onnxpool.rewrites.lower.gem_pool import lower_gem_pool
from onnxpool.rewrites.lower.pyramid_pool import lower_pyramid_pool
from onnxpool.rewrites.lower.pyramid_upsample import lower_pyramid_upsample

__all__ = ["MIN_OPSET", "STRATEGIES", "Unsupported", "lower", "strategies"]

STRATEGIES = ("auto", "matmul", "slice", "pool")
MIN_OPSET = 7
MIN_OPSET_BFLOAT16 = 13
_LARGEST_MATRIX = 1 << 24
"""Elements of the averaging matrix of an axis."""

Lowering = Callable[[Builder, Any, Sequence[gs.Tensor], int, str], tuple[Sequence[gs.Tensor], str]]
"""(builder, op, inputs, number of outputs, strategy) -> the outputs, and what was used."""

LOWERINGS: dict[str, Lowering] = {
    "AdaptiveAveragePool": lower_average_pool,
    "AdaptiveMaxPool": lower_max_pool,
    "GeMPool": lower_gem_pool,
    "PyramidPool": lower_pyramid_pool,
    "PyramidUpsample": lower_pyramid_upsample,
}


def strategies() -> tuple[str, ...]:
    """Ours, and those that other packages add.

    Raises:
        PluginError: as `_added`.
    """
    return (*STRATEGIES, *_added())


def _added() -> dict[str, Mapping[str, Lowering]]:
    """The lowerings of other packages.

    Raises:
        PluginError: one has a name of ours, or holds something else.
    """
    added = dict(plugins.loaded(plugins.STRATEGIES))
    for name, lowerings in added.items():
        wrong = "has the name of a strategy of onnxpool" if name in STRATEGIES else ""
        if not isinstance(lowerings, Mapping) or not set(lowerings) <= set(LOWERINGS):
            wrong = f"is no dict from some of {', '.join(LOWERINGS)} to functions"
        plugins.check(plugins.STRATEGIES, name, wrong)
    return added


def _lowering(op: str, strategy: str) -> tuple[Lowering, str]:
    """How an op is lowered; what a strategy of another package has no function for, as by auto."""
    if strategy in STRATEGIES:
        return LOWERINGS[op], strategy
    lowering = _added()[strategy].get(op)
    return (LOWERINGS[op], "auto") if lowering is None else (lowering, strategy)


def lower(graph: gs.Graph, node: gs.Node, opset: int, strategy: str = "auto") -> str:
    """Replace a dialect node of `graph` by standard ops, in place.

    The new nodes stand where the node stood and produce its output Variables.

    Args:
        node: of domain `onnxpool`, as `onnxpool.rewrites.graph.verify` wants it.
        opset: the opset of the model; the new nodes are valid in it.
        strategy: one of `strategies()`.

    Returns:
        The strategy that was used, such as "matmul" or, for GeMPool, "exp-log/slice"; where only
        the runtime knows sizes, whatever was asked for, "dynamic matmul" or "dynamic gather".

    Raises:
        Unsupported: the node cannot be lowered; the graph is as it was.
    """
    if strategy not in strategies():
        raise Unsupported(f"there is no strategy {strategy!r}; there are {', '.join(strategies())}")
    _check(node, opset)
    op = next(op for op in DIALECT if op.op_type() == node.op).from_attributes(node.attrs)
    builder = Builder(graph, node, opset)
    try:
        op = _with_known_size(op, node.inputs)
        _check_size(op, node.inputs[0].shape)
        outputs = builder.wanted_outputs()
        lowering, strategy = _lowering(node.op, strategy)
        with _blaming(strategy):
            results, used = lowering(builder, op, list(node.inputs), outputs, strategy)
        builder.check()
    except Exception:
        builder.discard()
        raise
    builder.replace(results)
    return used


def _blaming(strategy: str) -> AbstractContextManager[None]:
    """Name the package whose strategy fails."""
    if strategy in STRATEGIES:
        return nullcontext()
    return plugins.calling(plugins.STRATEGIES, strategy, Unsupported)


def _with_known_size(op: Op, inputs: Sequence[gs.Tensor]) -> Op:
    """The op without a size that the graph computes, where that is a constant."""
    if not isinstance(op, AdaptivePool) or COMPUTED not in op.output_size:
        return op
    if len(inputs) < 2 or not inputs[1].name:
        raise Unsupported("its output_size has a 0, but it has no input size")
    size = inputs[1]
    if not isinstance(size, gs.Constant):
        return op
    try:
        sizes = op.sizes([size.values])
    except InvalidOp as error:
        raise Unsupported(str(error)) from error
    return dataclasses.replace(op, output_size=sizes)


def _check_size(op: Op, x: Sequence[Dim]) -> None:
    """Refuse what takes more nodes, or larger matrices, than a file may ask for."""
    for size in op.each_size:
        for length, bins in zip(x[len(x) - len(size) :], size, strict=True):
            if length == 0 and bins > 0:
                raise Unsupported("an axis of X has no elements, and no windows over them")
            if bins > MOST_WINDOWS and bins != length:
                raise Unsupported(
                    f"too large to try: {bins:,} windows on an axis, at most {MOST_WINDOWS:,}"
                )
            elements = length * bins if isinstance(length, int) and bins != length else 0
            if elements > _LARGEST_MATRIX:
                raise Unsupported(
                    f"too large to try: an axis of {length:,} to {bins:,} windows; at most "
                    f"{_LARGEST_MATRIX:,} as a product"
                )


def _check(node: gs.Node, opset: int) -> None:
    x = node.inputs[0]
    if opset < MIN_OPSET:
        raise Unsupported(f"opset {opset} is below {MIN_OPSET}; convert the model first")
    if x.shape is None:
        raise Unsupported(f"the rank of its input {x.name!r} is not known; infer shapes first")
    if x.dtype is None:
        raise Unsupported(f"the type of its input {x.name!r} is not known; infer shapes first")
    if onnx_type(x.dtype) == onnx.TensorProto.BFLOAT16 and opset < MIN_OPSET_BFLOAT16:
        raise Unsupported(f"opset {opset} has no bfloat16; it starts at {MIN_OPSET_BFLOAT16}")
