"""What a net computes, as the semantics says it, beside what ONNX Runtime makes of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx.printer
import onnx_graphsurgeon as gs
import onnxruntime
from hypothesis import note
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import RuntimeImplementationError

from onnxpool.ops.op import Array
from onnxpool.rewrites.region.computation import Constants, NeedsSize, compute
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.terms import (
    NOTHING,
    Candidates,
    Impossible,
    Logarithms,
    NotUnderstood,
    Rows,
    Sums,
    Value,
)
from tests.rewrites.region.semantics.net import Net

UNDERSTOOD, DECLINED, REFUSED = "understood", "declined", "refused by the runtimes"

_POOLS_WITHOUT_INFINITY = {"MaxPool", "GlobalMaxPool"}
"""Of -inf alone ONNX Runtime makes the lowest finite number; see `plan._strategy`."""


def judge(net: Net, y: str, pooled: Container[int], opened: Container[int]) -> str:
    """Compare; return what became of it.

    Args:
        y: the output that is looked at.
        pooled: axes of X that are followed element by element from the start.
        opened: axes whose size is not told.
    """
    model = net.model(y)
    note(onnx.printer.to_text(model))
    run = _runtime(model)
    inputs = list(_inputs(net))
    found = None if run is None else run(inputs[0])
    dims = [None if axis in opened else size for axis, size in enumerate(net.x.shape)]
    region = _region(model)
    impossible = ""
    try:
        value = compute(region, dims, pooled, Constants(net.opset))
    except Impossible as reason:
        impossible = str(reason)
    except (NotUnderstood, NeedsSize):
        return DECLINED
    if impossible:
        # Another size may do where one is not told.
        assert opened or found is None, f"said to be impossible: {impossible}; found {found}"
        return DECLINED
    if found is None or run is None:
        return REFUSED
    if isinstance(value.rows, Candidates) and not net.ops & _POOLS_WITHOUT_INFINITY:
        inputs.append(_of(net, [-np.inf, -1, 0, np.inf], 3))
    if value.steps and opened:
        return DECLINED  # Positions in a tensor of a size that is not told: nothing reads them.
    for x in inputs:
        wanted = run(x)
        assert wanted is not None
        said = whole(value, x)
        assert said.shape == wanted.shape, (said.shape, wanted.shape)
        _compare(value.rows, said, wanted)
    return UNDERSTOOD


def _compare(rows: Rows, said: Array, wanted: Array) -> None:
    """Exactly, what is an element of X; with float32's rounding, what is computed of several."""
    if isinstance(rows, Candidates) or (isinstance(rows, Sums) and _only_moved(rows)):
        np.testing.assert_array_equal(said, wanted)
        return
    if isinstance(rows, Sums) and rows.summed.any():
        # A runtime makes NaN of 0 · NaN; an element of weight 0 is said to have no part.
        said = np.where(np.isnan(wanted), np.nan, said)
    np.testing.assert_allclose(said, wanted, rtol=2e-5, atol=2e-5)


def _only_moved(rows: Sums) -> bool:
    return bool(np.all((rows.plain | rows.constant) & ~rows.summed & rows.is_linear))


def shape_of(net: Net, name: str) -> tuple[int, ...] | None:
    """The shape of a tensor; None where the runtimes do not compute it."""
    run = _runtime(net.model(name))
    found = None if run is None else run(next(_inputs(net)))
    return None if found is None else found.shape


def _region(model: onnx.ModelProto) -> Region:
    graph = gs.import_onnx(model)
    return Region(graph.inputs[0], graph.outputs[0], tuple(graph.nodes), Role(0))


class _Runtime:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._name = model.graph.output[0].name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: Array) -> Array | None:
        try:
            return np.asarray(self._session.run([self._name], {"X": x})[0])
        except Exception as error:
            # Its own exceptions share no base class but Exception.
            if "ONNXRuntimeError" not in str(error):
                raise
            return None


def _runtime(model: onnx.ModelProto) -> _Runtime | _Reference | None:
    """ONNX Runtime; where it has no kernel, onnx's own reference; None where it is no model."""
    try:
        return _Runtime(model)
    except Exception as error:
        if "NOT_IMPLEMENTED" in str(error):
            return _reference(model)
        if "ONNXRuntimeError" not in str(error):
            raise
        return None


def _reference(model: onnx.ModelProto) -> _Reference | None:
    try:
        return _Reference(model)
    except RuntimeImplementationError:
        return None


class _Reference:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._evaluator = ReferenceEvaluator(model)

    def __call__(self, x: Array) -> Array | None:
        try:
            (y,) = self._evaluator.run(None, {"X": x})
        except Exception:
            # It raises whatever its NumPy code raises.
            return None
        return np.asarray(y)


def _inputs(net: Net) -> Iterator[Array]:
    """No two elements alike; and many ties. Multiples of 1/8, so that sums are exact."""
    count = math.prod(net.x.shape)
    order = np.random.default_rng(1).permutation(count) - count // 2
    yield (order / 8).astype(net.dtype).reshape(net.x.shape)
    yield _of(net, [-1.5, -0.5, 0, 0.5, 2], 2)


def _of(net: Net, values: Sequence[float], seed: int) -> Array:
    chosen = np.random.default_rng(seed).choice(values, net.x.shape)
    return chosen.astype(net.dtype)


def whole(value: Value, x: Array) -> Array:
    """Every element of a tensor, of the elements of X: each slice of what is carried, put together.

    Args:
        x: of the whole size, also where `value` stands for any size of an axis.
    """
    labels = sorted(value.sizes)
    carried = [label for own in value.carried.values() for label in own]
    assert sorted(carried) == labels, "an axis that is carried is nowhere in the result"
    shape = list(value.ids.shape)
    for axis, own in value.carried.items():
        shape[axis] = math.prod(x.shape[label] for label in own)
    y = np.empty(shape, _dtype(value.rows))
    for index in itertools.product(*(range(x.shape[label]) for label in labels)):
        at = dict(zip(labels, index, strict=True))
        part = x[tuple(slice(at[a], at[a] + 1) if a in at else slice(None) for a in range(x.ndim))]
        rows = evaluated(value.rows, part.reshape(-1))
        if value.steps:
            rows = rows + sum(step * at[label] for label, step in value.steps.items())
        y[_place(value, x.shape, at)] = rows[value.ids]
    return y


def _place(value: Value, sizes: Sequence[int], at: Mapping[int, int]) -> tuple[slice, ...]:
    place = [slice(None)] * value.ids.ndim
    for axis, own in value.carried.items():
        position = 0
        for label in own:
            position = position * sizes[label] + at[label]
        place[axis] = slice(position, position + 1)
    return tuple(place)


def _dtype(rows: Rows) -> type[np.generic]:
    indices = isinstance(rows, Candidates) and rows.payload is not None
    return np.int64 if indices else np.float64


def evaluated(rows: Rows, x: Array) -> Array:
    """The value of each row, by its definition in `terms`; ``x`` is flat."""
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        if isinstance(rows, Logarithms):
            return rows.factor * np.log(evaluated(rows.of, x))
        return _sums(rows, x) if isinstance(rows, Sums) else _greatest(rows, x)


def _sums(rows: Sums, x: Array) -> Array:
    result = []
    for i in range(len(rows)):
        total = float(rows.offset[i])
        for t, w in zip(rows.terms[i], rows.weights[i], strict=True):
            if t != NOTHING:
                total += (
                    w * np.minimum(np.maximum(x[t], rows.low[i]), rows.high[i]) ** (rows.power[i])
                )
        result.append(np.float64(total) ** rows.root[i])
    return np.array(result, np.float64)


def _greatest(rows: Rows, x: Array) -> Array:
    assert isinstance(rows, Candidates)
    result = []
    for i in range(len(rows)):
        there = [k for k, t in enumerate(rows.terms[i]) if t != NOTHING]
        if rows.payload is None:
            result.append(max([rows.floor[i], *(x[rows.terms[i, k]] for k in there)]))
        else:
            assert rows.floor[i] == -np.inf
            first = max(there, key=lambda k: (x[rows.terms[i, k]], -k))
            result.append(rows.payload[i, first])
    return np.array(result)
