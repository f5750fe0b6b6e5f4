"""AdaptiveAveragePool: Y = mean of each window of X, however the windows are cut out.

torch dynamo:  Transpose, GatherND(index table), Transpose, ReduceMean         equal windows
               … Where(mask, 0, ·), Gather/Gather/Add unrolled, Div(·, counts) unequal windows
torch, 1-D:    Unsqueeze, one of these, Squeeze
by hand:       Slice/ReduceMean/Concat, interleaved AveragePool phases, MatMul with constant
               matrices, Conv with a constant averaging kernel
"""

from __future__ import annotations

from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.proof import average_tolerance, prove, random_inputs
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import output_size

_ROLES = Role.MOVE | Role.LINEAR | Role.SUM


def judge(region: Region, opset: int) -> Construct | Declined | None:
    if Role.SUM not in region.roles or region.roles & ~_ROLES:
        return None
    shape = shape_of(region.x)
    size = output_size(shape, shape_of(region.y))
    if shape is None or size is None:
        return None
    op = AdaptiveAveragePool(size)
    tolerance = average_tolerance(shape, size)
    inputs = random_inputs(region, shape)
    if reason := prove(region, lambda x: op.reference(x)[0], inputs, opset, tolerance=tolerance):
        return Declined(region, f"it is not adaptive average pooling: {reason}")
    return Construct(op, (region,))
