"""AdaptiveMaxPool: Y = maximum of each window of X; Indices = where it stood.

torch dynamo:  MaxPool or ReduceMax; Indices by a second MaxPool(1), Slice, Sub, or by
               Reshape, ArgMax, Unsqueeze (unequal windows do not export)
by hand:       Slice/ReduceMax/Concat, interleaved MaxPool phases, Gather of window positions
"""

from __future__ import annotations

import dataclasses
import math

from onnx import TensorProto

from onnxpool.ops import AdaptiveMaxPool
from onnxpool.ops.op import Op
from onnxpool.rewrites.graph.tensors import is_integer, onnx_type, shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lift.rule import Meaning, Rule
from onnxpool.rewrites.region.combine import candidates
from onnxpool.rewrites.region.computation import Constants, Dims
from onnxpool.rewrites.region.proof import indices_differ, maximum_differs, misplaced, windows_of
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import output_size
from onnxpool.rewrites.region.terms import Value

VALUES, INDICES = 0, 1


def _applies(region: Region) -> bool:
    if _output_of(region) == INDICES:
        return bool(region.roles & (Role.INDEX | Role.MAX)) and Role.POWER not in region.roles
    return Role.MAX in region.roles and not region.roles & ~(Role.MOVE | Role.MAX)


def _output_of(region: Region) -> int:
    return INDICES if is_integer(region.y.dtype) else VALUES


def _output_size(region: Region) -> tuple[int, ...] | None:
    return output_size(shape_of(region.x), shape_of(region.y))


def _explain(region: Region, value: Value, dims: Dims, size: tuple[int, ...]) -> Meaning | str:
    if reason := misplaced(value, dims, size):
        return reason
    rows = candidates(value.rows).take(value.ids.reshape(-1))
    wanted = windows_of(value, dims, size)
    if _output_of(region) == VALUES:
        reason = maximum_differs(rows, wanted)
    elif onnx_type(region.y.dtype) != TensorProto.INT64:
        return "its indices are not int64"
    elif value.steps or rows.payload is None:
        return "its indices are not positions in one plane"
    else:
        first = len(dims) - len(size)
        plane = math.prod(int(n or 0) for axis, n in enumerate(dims) if axis >= first)
        reason = indices_differ(rows, wanted, plane)
    return reason or Meaning(AdaptiveMaxPool(size))


def _construct(region: Region, meaning: Meaning, constants: Constants) -> Construct:
    regions = (region,) if _output_of(region) == VALUES else (None, region)
    return Construct(meaning.op, regions)


RULE = Rule("adaptive max pooling", _applies, _output_size, _explain, _construct)


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


def _key(construct: Construct) -> tuple[str, tuple[int | None, ...], Op]:
    return construct.x.name, construct.axes_of_x, construct.op


def _with_indices(values: Construct, indices: Construct | None) -> Construct:
    if indices is None:
        return values
    regions = (values.regions[VALUES], indices.regions[INDICES])
    best = f"{values.best}, with its indices" if values.best else ""
    return dataclasses.replace(values, regions=regions, best=best)
