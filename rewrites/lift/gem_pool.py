"""GeMPool: Y = mean(max(X, epsilon)^p)^(1/p) over each window.

torch dynamo:       Clip(X, min), Pow(p), any form of average pooling, Pow(1/p)
torch TorchScript:  the same with Reciprocal(p) and Mul(·, 1)
onnxpool's export:  Clip, Pow, AdaptiveAveragePool, Pow
by hand:            Max for Clip, Softplus(p) + 1, Exp(p·Log(X)), products, Sqrt, no clamp,
                    Reshape(N, C, -1) and ReduceMean(-1), pooled axes dropped
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops import GeMPool
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lift.rule import Meaning, Rule
from onnxpool.rewrites.region.casts import has_casts
from onnxpool.rewrites.region.computation import Constants, Dims
from onnxpool.rewrites.region.proof import average_differs, misplaced, unit, windows_of
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import output_size, size_of_dropped_axes
from onnxpool.rewrites.region.terms import Sums, Value


def _applies(region: Region) -> bool:
    return Role.POWER in region.roles and Role.SUM in region.roles and is_float(region.y.dtype)


def _output_size(region: Region) -> tuple[int, ...] | None:
    """The output size; also where Y is what is left of X without its pooled axes."""
    x, y = shape_of(region.x), shape_of(region.y)
    if region.pool is not None:
        size = region.pool.op.output_size
        return size if x is not None and len(x) - len(size) in (1, 2) else None
    if region.y.inputs[0].op in ("Reshape", "Squeeze", "Flatten"):
        return output_size(x, y)
    return output_size(x, y) or size_of_dropped_axes(x, y)


def _explain(region: Region, value: Value, dims: Dims, size: tuple[int, ...]) -> Meaning | str:
    rows = value.each()
    reason = misplaced(value, dims, size) or average_differs(
        rows, windows_of(value, dims, size), unit(region)
    )
    if reason:
        return reason
    if np.any(np.isfinite(rows.high)):
        return f"it is clamped at {rows.high.min():g} from above"
    low = np.unique(rows.low)
    if len(low) != 1 or (low[0] < 0 and np.isfinite(low[0])):
        return "it is clamped at several values, or at one below 0"
    if np.any(np.abs(rows.power * rows.root - 1) > 2 * unit(region)):
        return f"its root is {1 / rows.root[0]:.6g}, of powers {rows.power[0]:.6g}"
    if np.all(rows.power == 1):
        return ""
    p = _exponents(rows, value, len(dims) - len(size) - 1)
    if p is None:
        return "its exponents differ inside a channel"
    rounded = p.astype(numpy_type(region.x.dtype)).astype(np.float64)
    if has_casts(region) and np.any(rounded != p):
        return f"its exponent {p[0]:.6g} is no number of its input's type"
    epsilon = None if np.isneginf(low[0]) else float(low[0])
    return Meaning(GeMPool(size, epsilon), p)


def _exponents(rows: Sums, value: Value, channel: int) -> Array | None:
    """One exponent, or one per channel; None where they differ inside a channel."""
    powers = rows.power.reshape(value.ids.shape)
    if np.all(powers == powers.flat[0]):
        return powers.reshape(-1)[:1]
    by_channel = np.moveaxis(powers, channel, 0).reshape(powers.shape[channel], -1)
    same = np.all(by_channel == by_channel[:, :1])
    return by_channel[:, 0] if same else None


def _construct(region: Region, meaning: Meaning, constants: Constants) -> Construct:
    assert meaning.p is not None
    return Construct(meaning.op, (region,), (_parameter(region, meaning.p, constants),))


def _parameter(region: Region, p: Array, constants: Constants) -> gs.Constant:
    """The graph's own tensor of the exponents, or a new one."""
    dtype = numpy_type(region.x.dtype)
    for tensor in _own_constants(region):
        fits = numpy_type(tensor.dtype) == dtype and math.prod(tensor.shape) == p.size
        if fits and np.array_equal(constants(tensor).astype(np.float64).reshape(-1), p):
            return tensor
    return gs.Constant(f"{region.y.name}/onnxpool/p", p.astype(dtype))


def _own_constants(region: Region) -> Iterator[gs.Constant]:
    for node in region.nodes:
        if node.op in ("Pow", "Mul", "Div"):
            yield from (t for t in node.inputs if isinstance(t, gs.Constant) and t.name)


RULE = Rule("a generalised mean", _applies, _output_size, _explain, _construct)
