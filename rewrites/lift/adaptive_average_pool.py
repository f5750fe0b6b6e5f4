"""AdaptiveAveragePool: Y = mean of each window of X, however the windows are cut out.

torch dynamo:  Transpose, GatherND(index table), Transpose, ReduceMean         equal windows
               … Where(mask, 0, ·), Gather/Gather/Add unrolled, Div(·, counts) unequal windows
torch, 1-D:    Unsqueeze, one of these, Squeeze
by hand:       Slice/ReduceMean/Concat, interleaved AveragePool phases, MatMul with constant
               matrices, Conv with a constant averaging kernel
"""

from __future__ import annotations

from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.graph.tensors import is_float, shape_of
from onnxpool.rewrites.lift.rule import Meaning, Rule, one_region
from onnxpool.rewrites.region.computation import Dims
from onnxpool.rewrites.region.proof import average_differs, misplaced, unit, windows_of
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import output_size
from onnxpool.rewrites.region.terms import Value

_ROLES = Role.MOVE | Role.LINEAR | Role.SUM


def _applies(region: Region) -> bool:
    sums = Role.SUM in region.roles and not region.roles & ~_ROLES
    return sums and is_float(region.y.dtype)


def _output_size(region: Region) -> tuple[int, ...] | None:
    return output_size(shape_of(region.x), shape_of(region.y))


def _explain(region: Region, value: Value, dims: Dims, size: tuple[int, ...]) -> Meaning | str:
    rows = value.each()
    if not rows.is_linear.all():
        return "it raises or clamps what it adds up"
    reason = misplaced(value, dims, size) or average_differs(
        rows, windows_of(value, dims, size), unit(region)
    )
    return reason or Meaning(AdaptiveAveragePool(size))


RULE = Rule("adaptive average pooling", _applies, _output_size, _explain, one_region)
