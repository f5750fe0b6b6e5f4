"""How far rounding can take the outputs of a graph from their exact values, element by element.

A running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3): the
graph is evaluated in float64 by onnx.reference, which shares no code with ONNX Runtime, and beside
every value v goes a bound e such that what a runtime computes in the tensor's own type is within
v ± e. With u the unit roundoff of that type and s its smallest number:

- copies: the same copy of e;
- sums of n terms that are not 0: the sum of e + n·u·sum(|x|) (any order of summation), and one u
  for a division;
- products with weights: the same with |w|·|x| for |x|;
- functions of one element: the farthest of f(v ± e), and a few u of f(v);
- x^p: the same at the corners, and u·|p·log x|, which is what the rounding of p itself does;
- maxima: the greatest e of the window; e is 0 where nothing before them rounds;
- what is decided by values that are not exact (a comparison, an index): e is infinite if another
  decision is within the bounds;
- what leaves the range of its type, or may on the way as a sum of |x|: e is infinite.

What depends on constants and shapes alone is exact: it is evaluated in its own type.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference.ops import load_op

Array = NDArray[Any]
Run = Callable[..., tuple[Array, ...]]
Result = list[tuple[Array, Array]]


class NoRule(Exception):
    """No bound is known for a node, or onnx.reference does not evaluate it."""


class Rounding:
    """A model without bodies and calls, to be evaluated with bounds."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model)
        graph = inferred.graph
        self._opset = next(o.version for o in model.opset_import if not o.domain)
        self._outputs = [value.name for value in graph.output]
        self._constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self._types = {
            v.name: helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)
            for v in (*graph.input, *graph.value_info, *graph.output)
        }
        self._nodes = [(node, self._loaded(node)) for node in graph.node]
        self._data = self._dependent({value.name for value in graph.input})

    def __call__(self, inputs: Mapping[str, Array]) -> Result:
        """For each output its value in float64 (integers as they are) and its bound."""
        values: dict[str, Array] = dict(self._constants)
        errors: dict[str, Array] = {}
        values |= {name: _wide(value) for name, value in inputs.items()}
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of means of nothing
            for node, run in self._nodes:
                self._evaluate(node, run, values, errors)
        return [(values[n], _error_of(n, values, errors)) for n in self._outputs]

    def _dependent(self, names: set[str]) -> set[str]:
        """The tensors whose values, not only shapes, depend on the inputs'."""
        for node, _ in self._nodes:
            if node.op_type not in ("Shape", "Size") and names & set(node.input):
                names |= set(node.output)
        return names

    def _evaluate(
        self, node: onnx.NodeProto, run: Run, values: dict[str, Array], errors: dict[str, Array]
    ) -> None:
        given = [values[n] if n else None for n in node.input]
        if not self._data & set(node.output):
            # ReferenceEvaluator's ops want trailing inputs left out, not None.
            for name, value in zip(node.output, run(*_trimmed(given)), strict=False):
                values[name] = np.asarray(value)
            return
        wide = [None if v is None else _wide(v) for v in given]
        bounds = [np.zeros(()) if not n else _error_of(n, values, errors) for n in node.input]
        dtype = self._types.get(node.output[0], np.dtype(np.float32))
        try:
            kind = _KINDS[node.op_type]
            results = kind(node, run, _trimmed(wide), bounds, _unit(dtype), _least(dtype))
        except Exception as error:
            raise NoRule(f"{node.op_type}: {error!r}") from error
        for name, (value, bound) in zip(node.output, results, strict=False):
            if name:
                values[name], errors[name] = value, _overflown(value, bound, self._types.get(name))

    def _loaded(self, node: onnx.NodeProto) -> Run:
        op = load_op(node.domain, node.op_type, self._opset)
        parameters = {
            "opsets": {"": self._opset},
            "log": lambda *_: None,
            "verbose": 0,
            "evaluator_cls": None,
            "new_ops": {},
        }
        return op(node, parameters).run


def _wide(value: Array) -> Array:
    floating = np.issubdtype(value.dtype, np.floating) or value.dtype == ml_dtypes.bfloat16
    return value.astype(np.float64) if floating else value


def _trimmed(given: list[Any]) -> list[Any]:
    while given and given[-1] is None:
        given = given[:-1]
    return given


def _error_of(name: str, values: Mapping[str, Array], errors: Mapping[str, Array]) -> Array:
    return errors[name] if name in errors else np.zeros(values[name].shape)


def _unit(dtype: np.dtype[Any]) -> float:
    return float(_limits(dtype).eps) / 2 if _is_float(dtype) else 0.0


def _limits(dtype: Any) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _least(dtype: np.dtype[Any]) -> float:
    return float(_limits(dtype).smallest_subnormal) if _is_float(dtype) else 0.0


def _greatest_of(unit: float) -> float:
    """The greatest number of the type that has this unit roundoff."""
    types = (ml_dtypes.bfloat16, np.float16, np.float32, np.float64)
    return next((float(_limits(t).max) for t in types if _unit(np.dtype(t)) == unit), np.inf)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16


def _overflown(value: Array, bound: Array, dtype: np.dtype[Any] | None) -> Array:
    bound = np.where(np.isnan(bound), np.inf, bound)
    if dtype is None or not _is_float(dtype):
        return bound
    limit = float(_limits(dtype).max)
    return np.where(np.isfinite(value) & (np.abs(value) + bound > limit), np.inf, bound)


def _size(y: Array) -> Array:
    """What rounds relative to it; Inf and NaN do not round."""
    return np.where(np.isfinite(y), np.abs(y), 0.0)


def _off(end: Array, y: Array) -> Array:
    """How far `end` is from `y`: 0 where they are the same Inf or NaN."""
    same = (end == y) | (np.isnan(end) & np.isnan(y))
    off = np.where(same, 0.0, np.abs(end - y))
    return np.where(np.isnan(off), np.inf, off)


# Rules: (node, run, values, bounds, u, s) -> per output its value and bound ---------------------


def _move(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Copies of elements: their bounds are copied alike."""
    positions = _DATA.get(node.op_type, range(len(x)))
    moved = [
        e[i] if i in positions and x[i] is not None else None if _is_fill(node, i) else x[i]
        for i in range(len(x))
    ]
    bounds = run(*_trimmed(moved))
    decided = sum((b.max(initial=0) for i, b in enumerate(e) if i not in positions), 0.0)
    return [(np.asarray(y), b + decided) for y, b in zip(run(*x), bounds, strict=True)]


def _is_fill(node: onnx.NodeProto, index: int) -> bool:
    return node.op_type == "Pad" and index == 2


_DATA = {
    "Pad": (0,),
    "Resize": (0,),
    "Where": (1, 2),
    "ScatterND": (0, 2),
    "ScatterElements": (0, 2),
    **dict.fromkeys(
        (
            *("Reshape", "Squeeze", "Unsqueeze", "Gather", "GatherND", "GatherElements", "Slice"),
            *("Split", "Expand", "Tile", "Trilu", "Compress"),
        ),
        (0,),
    ),
}


def _sum(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Sums and means of windows; further inputs are axes."""
    y = _with_nan(np.asarray(run(*x)[0]), run, x)
    terms = _apply(run, (x[0] != 0).astype(np.float64), x) * _volume(node, x[0], y)
    spread = _apply(run, np.abs(x[0]), x)
    total = np.where(spread * _volume(node, x[0], y) > _greatest_of(u), np.inf, 0.0)
    return [
        (
            y,
            total
            + _apply(run, e[0], x)
            + u * terms * _size(spread)
            + u * _size(y)
            + s * (1 + terms),
        )
    ]


def _apply(run: Run, first: Array, x: Sequence[Any]) -> Array:
    return np.asarray(run(first, *x[1:])[0])


def _with_nan(y: Array, run: Run, x: Sequence[Any]) -> Array:
    """NaN for every window that holds one: the pools of onnx.reference pass over it."""
    if x[0].dtype.kind != "f" or not np.isnan(x[0]).any():
        return y
    return np.where(_apply(run, np.isnan(x[0]).astype(np.float64), x) > 0, np.nan, y)


def _volume(node: onnx.NodeProto, x: Array, y: Array) -> float:
    """By how much a mean divides its sum at most."""
    if node.op_type in ("ReduceSum", "CumSum"):
        return 1.0
    kernel = next((a.ints for a in node.attribute if a.name == "kernel_shape"), None)
    return float(math.prod(kernel)) if kernel else x.size / max(y.size, 1)


def _weighted(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Products with weights and their sums."""

    def alone(*operands: Array) -> Array:
        return np.asarray(_absolute(node, run)(*operands)[0])

    (y,) = run(*x)
    sizes, flags = [np.abs(v) for v in x], [(v != 0).astype(np.float64) for v in x]
    spread = alone(*sizes)
    bound = _off(alone(*(a + b for a, b in zip(sizes, e, strict=False))), spread)
    terms = alone(*flags)
    return [(np.asarray(y), bound + u * (terms + 1) * _size(spread) + s * (terms + 1))]


def _absolute(node: onnx.NodeProto, run: Run) -> Run:
    if node.op_type == "Gemm" and any(
        a.name in ("alpha", "beta") and a.f < 0 for a in node.attribute
    ):
        raise NoRule("Gemm with a negative factor")
    return run


def _norm(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """(sum |x|^p)^(1/p): a norm, so the bound is at most that of the norm of the bounds."""
    (y,) = run(*x)
    y = np.asarray(y)
    terms = x[0].size / max(y.size, 1)
    p = next((a.i for a in node.attribute if a.name == "p"), 2)
    return [(y, _apply(run, e[0], x) + u * (terms + 16) * _size(y) + (terms * s) ** (1 / p))]


def _sum_of_squares(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    (y,) = run(*x)
    terms = x[0].size / max(np.asarray(y).size, 1)
    bound = _off(_apply(run, np.abs(x[0]) + e[0], x), y)
    return [(np.asarray(y), bound + u * (terms + 1) * _size(y) + s * terms)]


def _greatest(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """One of the elements of a window, and its place if that is asked for."""
    results = [np.asarray(y) for y in run(*x)]
    results[0] = _with_nan(results[0], run, x)
    if not e[0].any():
        return [(y, np.zeros(y.shape)) for y in results]
    if node.op_type in ("MaxPool", "GlobalMaxPool", "ReduceMax"):
        bounds = _apply(run, e[0], x)
    else:
        bounds = np.full(results[0].shape, e[0].max(initial=0))
    return [(results[0], bounds), *((y, np.full(y.shape, np.inf)) for y in results[1:])]


def _place(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    (y,) = run(*x)
    y = np.asarray(y)
    return [(y, np.full(y.shape, np.inf if e[0].any() else 0.0))]


def _extreme(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Max and Min of several tensors."""
    (y,) = run(*x)
    y = np.asarray(y)
    return [(y, np.max([np.broadcast_to(b, y.shape) for b in e], axis=0))]


def _total(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Add, Sub, Sum, Mean: elementwise sums."""
    (y,) = run(*x)
    y = np.asarray(y)
    spread = sum(np.broadcast_to(_size(v), y.shape) for v in x)
    error = sum(np.broadcast_to(b, y.shape) for b in e)
    rounded = u * _size(y) if len(x) == 2 else u * len(x) * spread
    return [(y, error + rounded)]


def _function(roundings: float) -> Callable[..., Result]:
    """A function of one element (and constants), monotonous between v - e and v + e."""

    def rule(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
        (y,) = run(*x)
        y = np.asarray(y)
        if e[0].any():
            ends = [_apply(run, x[0] + sign * e[0], x) for sign in (-1, 1)]
            bound = np.max([_off(end, y) for end in ends], axis=0)
        else:
            bound = np.zeros(y.shape)
        least = s if roundings else 0.0
        return [(y, bound + roundings * u * _size(y) + least)]

    return rule


def _corners(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Mul, Div and Pow: the farthest of the corners, and the rounding of the result."""
    a, b = x
    (y,) = run(a, b)
    y = np.asarray(y)
    bound = np.zeros(y.shape)
    if e[0].any() or e[1].any():
        for i in (-1, 1):
            for j in (-1, 1):
                end = np.asarray(run(a + i * e[0], b + j * e[1])[0])
                bound = np.maximum(bound, _off(end, y))
    if node.op_type == "Div" and e[1].any():
        bound = np.where(np.abs(b) <= e[1], np.inf, bound)
    own = np.ones(y.shape)
    if node.op_type == "Pow":
        logarithm = np.log(np.maximum(np.abs(a), 1e-300))
        own = 2 + _size(b * logarithm)
    if y.dtype.kind != "f":
        return [(y, bound)]
    return [(y, bound + own * u * _size(y) + s)]


def _decision(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """A comparison: unknown where the bounds overlap."""
    (y,) = run(*x)
    a, b = (x[0], x[1]) if len(x) == 2 else (x[0], np.zeros(()))
    errors = e[0] + (e[1] if len(x) == 2 else 0.0)
    close = (errors > 0) & (np.abs(a - b) <= errors)
    return [(np.asarray(y), np.where(close, np.inf, 0.0))]


def _logic(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    (y,) = run(*x)
    y = np.asarray(y)
    return [(y, sum(np.broadcast_to(b, y.shape) for b in e))]


def _softmax(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """Terms are right to u·(|x| + a few), their sum to n·u more."""
    (y,) = run(*x)
    y = np.asarray(y)
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
    relative = 2 * e[0].max(axis=axis, keepdims=True) + u * (x[0].shape[axis] + 8)
    spread = x[0].max(axis=axis, keepdims=True) - x[0]
    relative = relative + u * spread
    if node.op_type == "LogSoftmax":
        return [(y, relative + 2 * u * np.abs(y) + s)]
    return [(y, np.expm1(relative) * y + s)]


def _cast(node, run, x, e, u, s):  # type: ignore[no-untyped-def]
    """To a float: one rounding; to an integer: exact if no other integer is within the bound."""
    to = helper.tensor_dtype_to_np_dtype(next(a.i for a in node.attribute if a.name == "to"))
    if _is_float(to):
        return [(x[0].astype(np.float64), e[0] + _unit(to) * _size(x[0]) + _least(to))]
    y = x[0].astype(to)
    ends = [(x[0] + sign * e[0]).astype(to) for sign in (-1, 1)]
    off = np.max([np.abs(end.astype(np.float64) - y.astype(np.float64)) for end in ends], axis=0)
    return [(y, np.where(off > 0, np.inf, 0.0))]


_KINDS: dict[str, Callable[..., Result]] = {
    **dict.fromkeys(
        (
            *("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Gather"),
            *("GatherND", "GatherElements", "Slice", "Split", "Concat", "Expand", "Tile", "Pad"),
            *("Where", "ScatterND", "ScatterElements", "DepthToSpace", "SpaceToDepth", "Trilu"),
            *("Compress", "Dropout"),
        ),
        _move,
    ),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "AveragePool", "GlobalAveragePool", "CumSum", "Resize"), _sum
    ),
    **dict.fromkeys(("MatMul", "Gemm", "Conv", "Einsum", "ConvTranspose"), _weighted),
    **dict.fromkeys(("LpPool", "GlobalLpPool", "ReduceL2", "ReduceL1"), _norm),
    "ReduceSumSquare": _sum_of_squares,
    **dict.fromkeys(("ReduceMax", "ReduceMin", "MaxPool", "GlobalMaxPool", "TopK"), _greatest),
    **dict.fromkeys(("ArgMax", "ArgMin", "NonZero"), _place),
    **dict.fromkeys(("Max", "Min"), _extreme),
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean"), _total),
    **dict.fromkeys(("Mul", "Div", "Pow", "Mod"), _corners),
    **dict.fromkeys(("Relu", "Clip", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round"), _function(0)),
    **dict.fromkeys(("Sqrt", "Reciprocal"), _function(1)),
    **dict.fromkeys(("Exp", "Log", "Sigmoid", "Tanh", "Softplus", "Erf"), _function(4)),
    **dict.fromkeys(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"), _decision),
    **dict.fromkeys(("And", "Or", "Not", "Xor", "IsNaN", "IsInf"), _logic),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "Cast": _cast,
}
