"""Where a wrong model starts to differ from its reference.

Against another .onnx file: the first tensor, in the order of the graph, that has the same name in
both and other values. Against PyTorch: exporters fold, merge and rename, so that names do not say
which tensor is the result of which call. Values do: on an input for which the model is right, a
result in the source and the tensor that equals it are one and the same. Of these pairs, the first
that differs where the model is wrong is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import RunError
from onnxpool.validation.runnable import DoesNotRun, OnnxModel, TorchSource, values_of

_SAME = 1e-4
"""Share of the greatest value up to which two tensors are taken to be the same one."""

_MOST_TENSORS = 20_000

Inputs = Sequence[Array]
Values = dict[str, Array]


def in_models(model: OnnxModel, reference: OnnxModel, wrong: Inputs) -> str:
    """The first node of `model` whose value is not that of `reference` on the inputs `wrong`."""
    try:
        found, wanted = _tensors(model, wrong), _tensors(reference, wrong)
    except (RunError, ValueError) as error:
        return f"cannot be told: the graph does not run with all tensors as outputs ({error})"
    shared = [name for name in found if name in wanted]
    if not shared:
        return "cannot be told: the models share no tensor names"
    for name in shared:
        if not _equal(found[name], wanted[name]):
            return f"{_node(model, name)}: {_difference(found[name], wanted[name])}"
    return f"cannot be told: the {len(shared)} tensors that both models have are equal to {_SAME:g}"


def in_source(model: OnnxModel, source: TorchSource, right: Inputs | None, wrong: Inputs) -> str:
    """The first call in `source` whose result is not what `model` computes.

    Args:
        right: inputs for which the model is right; None where there are none.
        wrong: inputs for which it is not.
    """
    if right is None:
        return "cannot be told: there is no size and no distribution for which the model is right"
    try:
        right_tensors, wrong_tensors = _tensors(model, right), _tensors(model, wrong)
        right_results, wrong_results = source.record(right), source.record(wrong)
    except (RunError, DoesNotRun, ValueError) as error:
        return f"cannot be told: the graph does not run with all tensors as outputs ({error})"
    pairs = list(_pairs(right_results, right_tensors))
    for call, tensor in pairs:
        if call in wrong_results and tensor in wrong_tensors:
            found, wanted = wrong_tensors[tensor], wrong_results[call]
            if not _equal(found, wanted):
                return f"{call}, {_node(model, tensor)}: {_difference(found, wanted)}"
    return f"cannot be told: {len(pairs)} results of the source were found in the graph, all right"


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
    values = values_of(model.file, names, inputs)
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
