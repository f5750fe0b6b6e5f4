"""What each standard op does to the elements of its input: the only place that says so.

An op has an entry for the attributes and the revisions that its function honours. A node with
another attribute, or of a later revision, is not understood, and what is around it is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx.defs

from onnxpool.rewrites.region.semantics import maxima, moves, powers, sums
from onnxpool.rewrites.region.semantics.call import Call
from onnxpool.rewrites.region.semantics.windows import ATTRIBUTES as WINDOW
from onnxpool.rewrites.region.terms import NotUnderstood, Value


@dataclasses.dataclass(frozen=True)
class Semantics:
    """Attributes:
    compute: what the outputs of a node are.
    newest: the last revision that is known, as the opset that brought it.
    attributes: those that are honoured.
    """

    compute: Callable[[Call], Sequence[Value]]
    newest: int
    attributes: frozenset[str] = frozenset()


def _op(compute: Callable[[Call], Sequence[Value]], newest: int, *attributes: str) -> Semantics:
    return Semantics(compute, newest, frozenset(attributes))


def _add(call: Call) -> Sequence[Value]:
    return maxima.shift_indices(call, 1) or sums.add(call)


def _sub(call: Call) -> Sequence[Value]:
    return maxima.shift_indices(call, -1) or sums.sub(call)


_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
_REDUCE = ("axes", "keepdims", "noop_with_empty_axes")

SEMANTICS: dict[str, Semantics] = {
    "Identity": _op(moves.identity, 25),
    "Dropout": _op(moves.dropout, 22, "ratio", "seed"),
    "Transpose": _op(moves.transpose, 25, "perm"),
    "Reshape": _op(moves.reshape, 25, "allowzero", "shape"),
    "Squeeze": _op(moves.squeeze, 25, "axes"),
    "Unsqueeze": _op(moves.unsqueeze, 25, "axes"),
    "Flatten": _op(moves.flatten, 25, "axis"),
    "Gather": _op(moves.gather, 13, "axis"),
    "GatherND": _op(moves.gather_nd, 13, "batch_dims"),
    "GatherElements": _op(moves.gather_elements, 13, "axis"),
    "Slice": _op(moves.slice_, 13, "starts", "ends", "axes"),
    "Split": _op(moves.split, 18, "axis", "split", "num_outputs"),
    "Concat": _op(moves.concat, 13, "axis"),
    "Expand": _op(moves.expand, 13),
    "Tile": _op(moves.tile, 13),
    "Pad": _op(moves.pad, 25, "mode", "pads", "value"),
    "Where": _op(moves.where, 16),
    "ReduceMean": _op(sums.reduce_mean, 18, *_REDUCE),
    "ReduceSum": _op(sums.reduce_sum, 13, *_REDUCE),
    "AveragePool": _op(sums.average_pool, 22, *WINDOW, "count_include_pad"),
    "GlobalAveragePool": _op(sums.global_average_pool, 22),
    "CumSum": _op(sums.cumsum, 14, "exclusive", "reverse"),
    "MatMul": _op(sums.matmul, 13),
    "Gemm": _op(sums.gemm, 13, "alpha", "beta", "transA", "transB"),
    "Conv": _op(sums.conv, 22, *WINDOW[:-1], "group"),
    "Einsum": _op(sums.einsum, 28, "equation"),
    "Add": _op(_add, 14),
    "Sub": _op(_sub, 14),
    "Sum": _op(sums.add, 13),
    "Mean": _op(sums.mean, 13),
    "Mul": _op(powers.mul, 14),
    "Div": _op(powers.div, 14),
    "Pow": _op(powers.power, 15),
    "Sqrt": _op(powers.sqrt, 13),
    "Exp": _op(powers.exponential, 13),
    "Log": _op(powers.logarithm, 13),
    "Clip": _op(powers.clip, 13, "min", "max"),
    "Relu": _op(powers.relu, 14),
    "Abs": _op(powers.absolute, 13),
    "LpPool": _op(powers.lp_pool, 22, *WINDOW, "p"),
    "GlobalLpPool": _op(powers.global_lp_pool, 22, "p"),
    "ReduceMax": _op(maxima.reduce_max, 20, *_REDUCE),
    "MaxPool": _op(maxima.max_pool, 22, *WINDOW, "storage_order"),
    "GlobalMaxPool": _op(maxima.global_max_pool, 22),
    "Max": _op(maxima.maximum, 13),
    "Min": _op(maxima.minimum, 13),
    "ArgMax": _op(maxima.argmax, 13, "axis", "keepdims", "select_last_index"),
    "Mod": _op(maxima.modulo, 28, "fmod"),
    "Cast": _op(maxima.cast, 28, "to", "saturate", "round_mode"),
}


def semantics_of(op: str, attributes: Sequence[str], opset: int) -> Semantics:
    """The semantics of a node.

    Raises:
        NotUnderstood: its op, one of its attributes or its revision is not in the table.
    """
    if op in _QUANTIZING:
        raise NotUnderstood(f"it is quantized between its nodes ({op})")
    found = SEMANTICS.get(op)
    if found is None:
        raise NotUnderstood(f"{op}, of which it is not known what it does to single elements")
    if unknown := sorted(set(attributes) - found.attributes):
        raise NotUnderstood(f"{op} with the attribute {unknown[0]!r}, which is not known")
    revision = onnx.defs.get_schema(op, max_inclusive_version=opset).since_version
    if revision > found.newest:
        raise NotUnderstood(f"{op} of opset {revision}; it is known up to {found.newest}")
    return found
