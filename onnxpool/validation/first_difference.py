"""Where a wrong model starts to differ from its reference.

Against another .onnx file: the first tensor that has the same name in both and other values (see
bisect.py). Against PyTorch, or where no name says it: exporters fold, merge and rename, so that
names do not say which tensor is the result of which call. Values do: on an input for which the
model is right, a result in the source and the tensor that equals it are one and the same. Of these
pairs, the first that differs where the model is wrong is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import RunError
from onnxpool.validation import bisect
from onnxpool.validation.runnable import DoesNotRun, OnnxModel, TorchSource

_SAME = 1e-4
"""Share of the greatest value up to which two tensors are taken to be the same one."""

_MOST_TENSORS = 20_000
_NOT_TOLD = "cannot be told"

Inputs = Sequence[Array]
Values = dict[str, Array]
Side = OnnxModel | TorchSource


def between(model: Side, reference: Side, right: Inputs | None, wrong: Inputs) -> str:
    """The first node or call of `model` that is not what `reference` computes.

    Args:
        right: inputs for which both are equal; None where there are none.
        wrong: inputs for which they are not.
    """
    by_name = ""
    try:
        if isinstance(model, OnnxModel) and isinstance(reference, OnnxModel):
            first = bisect.first_difference(model, reference, wrong, _equal)
            by_name = _in_words(model, first) if first else ""
            if first and first.between == 1:
                return by_name
        if isinstance(model, TorchSource) and isinstance(reference, TorchSource):
            by_name = _in_sources(model, reference, wrong)
            if by_name:
                return by_name
        found = _by_values(model, reference, right, wrong)
    except (RunError, DoesNotRun, ValueError) as error:
        found = f"{_NOT_TOLD}: the graph does not run with all tensors as outputs ({error})"
    return by_name if by_name and found.startswith(_NOT_TOLD) else found


def _in_words(model: OnnxModel, first: bisect.Difference) -> str:
    many = f" (or one of the {first.between - 1} before it)" if first.between > 1 else ""
    return f"{_node(model, first.tensor)}{many}: {_difference(first.found, first.wanted)}"


def _in_sources(model: TorchSource, reference: TorchSource, wrong: Inputs) -> str:
    """The first call, in modules of one name, with another result; empty where there is none."""
    found, wanted = model.record(wrong), reference.record(wrong)
    for call in (call for call in wanted if call in found):
        if not _equal(found[call], wanted[call]):
            return f"{call}: {_difference(found[call], wanted[call])}"
    return ""


def _by_values(model: Side, reference: Side, right: Inputs | None, wrong: Inputs) -> str:
    """The first value of the reference whose counterpart, known from `right`, is another one."""
    if right is None:
        return f"{_NOT_TOLD}: there is no size and no distribution for which the model is right"
    pairs = list(_pairs(_values(reference, right), _values(model, right)))
    found, wanted = _values(model, wrong), _values(reference, wrong)
    for theirs, ours in pairs:
        if theirs in wanted and ours in found and not _equal(found[ours], wanted[theirs]):
            where = _node(model, ours) if isinstance(model, OnnxModel) else ours
            if isinstance(reference, TorchSource):
                where = f"{theirs}, {where}"
            return f"{where}: {_difference(found[ours], wanted[theirs])}"
    return f"{_NOT_TOLD}: {len(pairs)} results of the source were found in the graph, all right"


def _values(side: Side, inputs: Inputs) -> Values:
    return _tensors(side, inputs) if isinstance(side, OnnxModel) else side.record(inputs)


def _pairs(results: Values, tensors: Values) -> Iterator[tuple[str, str]]:
    """Calls, and the tensors that equal their results, in the order of the calls.

    Results without several different values equal too many tensors. Each tensor stands for one
    call: what two calls return may be equal here, and differ for other inputs.
    """
    left = dict(tensors)
    for call, result in results.items():
        if np.unique(result[np.isfinite(result)]).size < min(4, result.size):
            continue
        name = next((name for name, value in left.items() if _equal(value, result)), None)
        if name is not None:
            del left[name]
            yield call, name


def _tensors(model: OnnxModel, inputs: Inputs) -> Values:
    """The tensors of the main graph, in its order."""
    names = [name for node in model.file.proto.graph.node for name in node.output if name]
    if len(names) > _MOST_TENSORS:
        raise ValueError(f"{len(names)} tensors")
    values = model.tensors(names, inputs)
    return {name: value for name, value in values.items() if value.dtype.kind in "fiub"}


def _equal(found: Array, wanted: Array) -> bool:
    if found.shape != wanted.shape or found.dtype.kind != wanted.dtype.kind:
        return False
    if found.dtype.kind != "f":
        return bool(np.array_equal(found, wanted))
    with np.errstate(all="ignore"):
        error = np.abs(found.astype(np.float64) - wanted)
        bound = _SAME * np.max(np.abs(wanted), initial=0.0)
    return bool(np.all((error <= bound) | (found == wanted) | (np.isnan(found) & np.isnan(wanted))))


def _difference(found: Array, wanted: Array) -> str:
    if found.shape != wanted.shape:
        return f"shape {list(found.shape)} instead of {list(wanted.shape)}"
    with np.errstate(all="ignore"):
        error = np.nanmax(np.abs(found.astype(np.float64) - wanted))
        largest = float(np.max(np.abs(wanted), initial=0.0)) or 1.0
    return f"off by {error / largest:.1e} of its greatest value"


def _node(model: OnnxModel, tensor: str) -> str:
    node = next(n for n in model.file.proto.graph.node if tensor in n.output)
    return f"node {node.name or '(no name)'!r} ({node.op_type}), tensor {tensor!r}"
