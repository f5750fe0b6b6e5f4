"""AdaptiveMaxPool: Y = maximum of each window of X; Indices = where it stood.

torch dynamo:  MaxPool or ReduceMax; Indices by a second MaxPool(1), Slice, Sub, or by
               Reshape, ArgMax, Unsqueeze (unequal windows do not export)
by hand:       Slice/ReduceMax/Concat, interleaved MaxPool phases, Gather of window positions
"""

from __future__ import annotations

import dataclasses

from onnxpool.ops import AdaptiveMaxPool
from onnxpool.ops.op import Op
from onnxpool.rewrites.graph.tensors import is_integer, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.proof import peaks, prove, too_large_to_prove
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import output_size

VALUES, INDICES = 0, 1


def judge(region: Region, opset: int) -> Construct | Declined | None:
    output = INDICES if is_integer(region.y.dtype) else VALUES
    if not _can_be(region.roles, output):
        return None
    shape = shape_of(region.x)
    size = output_size(shape, shape_of(region.y))
    if shape is None or size is None:
        return None
    if too_large_to_prove(shape, size):
        return Declined(region, "its windows are too large to be tried position by position")
    op = AdaptiveMaxPool(size)
    inputs = peaks(region, shape, size)
    if reason := prove(region, lambda x: op.reference(x)[output], inputs, opset):
        return Declined(region, f"it is not adaptive max pooling: {reason}")
    return Construct(op, (region,) if output == VALUES else (None, region))


def _can_be(roles: Role, output: int) -> bool:
    if output == INDICES:
        return bool(roles & (Role.INDEX | Role.MAX)) and Role.POWER not in roles
    return Role.MAX in roles and not roles & ~(Role.MOVE | Role.MAX)


def pair(constructs: list[Construct]) -> list[Construct]:
    """Join the values and the indices of the same pool into one construct."""
    values = {_key(c) for c in constructs if _finds_only(c, VALUES)}
    indices = {_key(c): c for c in constructs if _finds_only(c, INDICES)}
    paired = [c for c in constructs if not (_finds_only(c, INDICES) and _key(c) in values)]
    return [_with_indices(c, indices.get(_key(c))) if _finds_only(c, VALUES) else c for c in paired]


def _finds_only(construct: Construct, output: int) -> bool:
    """Whether an AdaptiveMaxPool of fixed sizes has this output and not the other one."""
    found = [index for index, region in enumerate(construct.regions) if region is not None]
    fixed = isinstance(construct.op, AdaptiveMaxPool) and not construct.parameters
    return fixed and found == [output]


def _key(construct: Construct) -> tuple[str, Op]:
    return construct.x.name, construct.op


def _with_indices(values: Construct, indices: Construct | None) -> Construct:
    if indices is None:
        return values
    regions = (values.regions[VALUES], indices.regions[INDICES])
    best = f"{values.best}, with its indices" if values.best else ""
    return dataclasses.replace(values, regions=regions, best=best)
