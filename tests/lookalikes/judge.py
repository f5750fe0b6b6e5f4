"""Does a rewrite change what a graph computes?

The judge knows nothing of the passes: it calls `onnxpool.rewrite`, runs both models in ONNX Runtime
without its optimisations, and compares every element with what rounding explains (rounding.py).

Allowed is three times the bound of the source's own rounding: once for the source, twice for what
takes its place, because a separable form rounds twice where the source rounds once. It is 0 where
the source does not round: maxima and indices are equal, ties included. Equal, too, are Inf and NaN,
with one exception that the README states: a MatMul spreads them over what it sums, so where the
rewrite brought one in, NaN may stand for a number on inputs with Inf or NaN. Where the source does
not run, or leaves the range of its type on the way, nothing is wanted.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import onnxpool
from onnxpool.errors import CheckError
from tests.lookalikes import inputs
from tests.lookalikes.lookalike import Lookalike
from tests.lookalikes.rounding import Rounding

Array = NDArray[Any]
Outcome = Literal["left", "equal", "changed", "refused", "repaired"]
_ALLOWED = 3.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a graph.

    Attributes:
        outcome: "left": byte for byte as it was; "equal": changed, and its values are equal;
            "changed": its values are not; "refused": an error, nothing was written; "repaired":
            changed where the report says that the source was wrong, so its values say nothing.
        detail: of a value that changed: on which input, at which shape, from what to what.
        found: the ops that the report names.
        caught: whether the default check refuses the result.
    """

    outcome: Outcome
    detail: str = ""
    found: tuple[str, ...] = ()
    caught: bool = False

    @property
    def right(self) -> bool:
        return self.outcome in ("left", "equal", "repaired")


def judge(graph: Lookalike, **options: Any) -> Verdict:
    """Rewrite a look-alike without the tool's own check, and compare.

    Args:
        options: of `onnxpool.rewrite`.
    """
    try:
        result = onnxpool.rewrite(graph.model, check="none", **options)
    except Exception as error:
        return Verdict("refused", f"{type(error).__name__}: {error}")
    findings = result.report.findings
    found = tuple(finding.op for finding in findings if finding.op)
    if result.model.SerializeToString() == graph.model.SerializeToString():
        return Verdict("left", found=found)
    if any(finding.repair for finding in findings):
        return Verdict("repaired", found=found)
    asked = bool(options.get("strategy")) or options.get("to") == "custom-op"
    difference = compare(graph, result.model, lowest=asked)
    caught = ""
    try:
        onnxpool.rewrite(graph.model, **options)
    except CheckError as error:
        caught = str(error)
    if difference:
        return Verdict("changed", difference, found, bool(caught))
    if caught:
        return Verdict(
            "refused", f"its values are equal, yet the check says: {caught}", found, True
        )
    return Verdict("equal", found=found)


def compare(graph: Lookalike, rewritten: onnx.ModelProto, *, lowest: bool = False) -> str:
    """Where a model differs from its source, in words; empty where it does not.

    Raises:
        ValueError: the source runs at no size, or the bounds do not hold for it.
    """
    before, after = _session(graph.model), _session(rewritten)
    rounding: Rounding | None = None
    promises = dataclasses.replace(_Promises.of(graph.model, rewritten), lowest=lowest)
    ran = False
    shapes = inputs.shapes(graph.model, rewritten)
    full = shapes[min(len(shapes) - 1, 5)]
    for shape in shapes:
        for name, x in inputs.values(graph.model, shape, few=shape != full):
            wanted = _run(before, x)
            if wanted is None:
                continue
            ran = True
            found = _run(after, x)
            where = f"{name}, {'x'.join(map(str, shape))}"
            if found is None:
                return f"{where}: it does not run any more"
            if all(map(_same, found, wanted)):
                continue
            rounding = rounding or Rounding(graph.plain or graph.model)
            bounds = rounding({"X": x})
            for output, y, w, (exact, bound) in zip(
                before.get_outputs(), found, wanted, bounds, strict=True
            ):
                if np.isfinite(_wide(x)).all():
                    _assert_explained(graph, where, w, exact, bound)
                else:
                    bound = promises.bound(y, w, exact, bound)
                if off := _difference(y, w, bound):
                    return f"{where}, {output.name}: {off}"
    if not ran:
        raise ValueError(f"{graph.name}: ONNX Runtime runs it at none of the shapes")
    return ""


def _assert_explained(graph: Lookalike, where: str, y: Array, exact: Array, bound: Array) -> None:
    """The bounds are right at least for the source, in the runtime that is there."""
    found, exact, bound = _wide(y), _wide(exact).reshape(y.shape), bound.reshape(y.shape)
    with np.errstate(invalid="ignore"):
        off = np.abs(found - exact)
        right = (found == exact) | (off <= bound) | np.isinf(bound)
        wrong = ~(right | (np.isnan(found) & np.isnan(exact)))
    if wrong.any():
        raise ValueError(
            f"{graph.name}, {where}: ONNX Runtime is {off[wrong].max():.3g} off the exact value, "
            f"which a bound of {bound[wrong].min():.3g} does not explain"
        )


@dataclasses.dataclass(frozen=True)
class _Promises:
    """What two models promise where X holds Inf or NaN.

    Attributes:
        by_order: the source takes maxima: ONNX Runtime's pass over a NaN or not by where it stands.
        spread, spreads: the source, and the result, has a product of matrices or a CumSum.
        lowest: the result was asked for in another form of maxima, by a strategy or as a custom op:
            MaxPool answers the lowest finite number for a window of -inf, the others -inf.
    """

    by_order: bool
    spread: bool
    spreads: bool
    lowest: bool

    @classmethod
    def of(cls, before: onnx.ModelProto, after: onnx.ModelProto) -> _Promises:
        old, new = _op_types(before), _op_types(after)
        by_order, spread, spreads = old & _MAXIMA, old & _PRODUCTS, new & _PRODUCTS
        return cls(bool(by_order), bool(spread), bool(spreads), lowest=False)

    def bound(self, found: Array, wanted: Array, exact: Array, bound: Array) -> Array:
        """`bound`, infinite where nothing is promised."""
        if found.shape != wanted.shape:
            return bound
        loose = np.zeros(wanted.shape, bool)
        if self.by_order:
            loose |= np.isnan(_wide(np.asarray(exact))) | (wanted.dtype.kind != "f")
        if self.lowest and wanted.dtype.kind == "f":
            none = [(y == -np.inf) | (y == np.finfo(y.dtype).min) for y in (found, wanted)]
            loose |= none[0] & none[1]
        if self.spread:
            loose |= ~np.isfinite(_wide(wanted))
        if self.spreads:
            loose |= ~np.isfinite(_wide(found))
        return np.where(loose, np.inf, bound)


def _difference(y: Array, wanted: Array, bound: Array) -> str:
    if y.shape != wanted.shape or y.dtype != wanted.dtype:
        return f"{y.dtype}{list(y.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
    found, source, bound = _wide(y), _wide(wanted), np.broadcast_to(bound, y.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        close = (found == source) | (np.abs(found - source) <= _ALLOWED * bound)
        close |= np.isnan(found) & np.isnan(source)
    close |= np.isinf(bound)
    if close.all():
        return ""
    place = tuple(int(i) for i in np.argwhere(~close)[0])
    return (
        f"{y[place]} instead of {wanted[place]} at {list(place)}, where rounding explains "
        f"{bound[place]:.2g}; {np.sum(~close)} of {y.size} differ"
    )


def _same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _wide(x: Array) -> Array:
    return x.astype(np.float64) if x.dtype.kind == "f" or x.dtype == ml_dtypes.bfloat16 else x


_PRODUCTS = {"MatMul", "Gemm", "Conv", "Einsum", "CumSum"}
_MAXIMA = {"ReduceMax", "MaxPool", "GlobalMaxPool", "ArgMax", "ReduceMin", "ArgMin", "TopK"}


def _op_types(model: onnx.ModelProto) -> set[str]:
    def within(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
        for node in nodes:
            yield node.op_type
            for attribute in node.attribute:
                yield from within(attribute.g.node)

    return {*within(model.graph.node), *(t for f in model.functions for t in within(f.node))}


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _run(session: onnxruntime.InferenceSession, x: Array) -> list[Array] | None:
    try:
        return [np.asarray(y) for y in session.run(None, {"X": x})]
    except Exception:
        return None


def runs(model: onnx.ModelProto) -> bool:
    """Whether ONNX Runtime takes a model, and runs it at one of the shapes at least."""
    try:
        session = _session(model)
    except Exception:
        return False
    shapes = inputs.shapes(model)
    return any(
        _run(session, x) is not None
        for shape in shapes
        for _, x in itertools.islice(inputs.values(model, shape), 1)
    )


def options(graph: Lookalike) -> Iterator[dict[str, Any]]:
    """How a look-alike is rewritten: by default, without repairs, and in another way."""
    yield {}
    if len(inputs.shapes(graph.model)) > 1:
        yield {"repair": False}
    number = zlib.crc32(graph.name.encode())
    yield from _OTHERS if graph.found else _OTHERS[number % 12 :][:1]


_OTHERS: tuple[dict[str, Any], ...] = (
    {"strategy": "slice"},
    {"strategy": "pool"},
    {"strategy": "matmul"},
    {"to": "custom-op"},
)


def verdicts(graph: Lookalike) -> list[tuple[dict[str, Any], Verdict]]:
    """Of all `options`."""
    return [(chosen, judge(graph, **chosen)) for chosen in options(graph)]
