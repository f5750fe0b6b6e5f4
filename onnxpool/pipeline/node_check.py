"""What takes the place of one, for a target or an opset, against it.

Both are run on the values of inputs/adversarial.py, at sizes around the numbers in both, and every
element is compared with what the node as it was gives, y:

    a node that moves or picks elements 0; of a Clip as Relu between shifts, 4·u·(|y| + |min|)
    others                              (t + 32) · d and the least normal number
                                        d: the most that y changes where each input is moved by one
                                        rounding, up or down at random, at least u·|y|; t: the
                                        elements that are not zero. The rounding of a sum, a product
                                        or a quotient is that of its operands, and of any of t
                                        partial sums
    powers, exponentials, activations   and 32·u·(|y·ln|y|| + |x|): Exp(p·Log(X)) for a power, Tanh
                                        and Erf near -1
    LpPool, GlobalLpPool                and all of a y whose p-th power is near the least number
    Resize, PyramidUpsample             and 8·u·l·max|x|: coordinates up to a length l are rounded,
                                        so that a weight may be as far off as that

Where the node itself overflows nothing is promised. Infinities and NaN are compared unless one of
the two forms spreads them (see piece.py); ONNX Runtime's Clip, MaxPool and GlobalMaxPool know no
infinity, so that it is the greatest number there; and its maxima have no rule for NaN.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.errors import CheckError
from onnxpool.inputs import adversarial, constants, critical_sizes
from onnxpool.ops.op import Array
from onnxpool.pipeline.piece import Bodies, Piece, is_dialect
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.run import RunError, kernels_missing
from onnxpool.rewrites.graph.tensors import is_float, numpy_type

_ROUNDINGS = 32
_MOST_SIZES = 6
_MOST_ELEMENTS = 1 << 20
"""Of an input of a size that the graph leaves open; inputs that have more together are cropped."""
_MOST_WHOLE = 1 << 22
"""Of all inputs where nothing smaller runs."""
_SHORT = 16
_NO_END = (1 << 31) - 1
"""From here on a number is no position: it stands for the end of an axis."""
_ELEMENTS = 1 << 20
"""Of an input in all runs, unless the least number of runs has more."""
_LEAST_PLANES = 4
_MOVES = 3
"""How often the inputs are moved by a rounding."""
_FAR = 64
"""Roundings that a value is moved by, so that few of the moves are lost in another rounding."""

_EXACT = frozenset(
    [
        *("Abs", "ArgMax", "ArgMin", "Cast", "Ceil", "Clip", "Compress", "Concat", "Constant"),
        *("ConstantOfShape", "DepthToSpace", "Dropout", "Equal", "Expand", "Flatten", "Floor"),
        *("Gather", "GatherElements", "GatherND", "GlobalMaxPool", "Greater", "GreaterOrEqual"),
        *("Hardmax", "Identity", "Less", "LessOrEqual", "Max", "MaxPool", "Min", "Neg", "NonZero"),
        *("Not", "OneHot", "Pad", "Range", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Round"),
        *("ScatterElements", "ScatterND", "Shape", "Sign", "Size", "Slice", "SpaceToDepth"),
        *("Split", "Squeeze", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where"),
    ]
)
_STEEP = frozenset(
    [
        *("Exp", "Gelu", "GlobalLpPool", "LogSoftmax", "LpPool", "Mish", "Pow", "Softmax", "Swish"),
        *("HardSwish", "Tanh", "Erf", "Sigmoid", "Softplus"),
    ]
)
_INTERPOLATING = frozenset(("PyramidUpsample", "Resize"))
_NORMS = frozenset(("GlobalLpPool", "LpPool"))
_SATURATING = frozenset(("Clip", "GlobalMaxPool", "MaxPool"))
_SIZES = {"Expand": 1, "Reshape": 1, "Resize": 3}
"""Which input says the shape of the output."""


class NodeProbe:
    """A node as it was, ready to be compared with what takes its place."""

    def __init__(
        self, node: gs.Node, reads: Sequence[gs.Tensor], opset: int, bodies: Bodies = ()
    ) -> None:
        """Take what is needed from the graph before it changes.

        Args:
            reads: what it is computed from; its inputs, or tensors before them.
            bodies: the function bodies of dialect nodes.
        """
        read = {t.name: t for t in reads if t.name and not needs_constants_alone(t)}
        self._given = self._drawn = list(read.values())
        self._outputs = [t.name for t in node.outputs if t.name]
        self._title = f"{node.op} node {node.name or self._outputs[0]!r}"
        place = _SIZES.get(node.op, len(node.inputs))
        sized_by = node.inputs[place].name if place < len(node.inputs) else ""
        self._declared = {sized_by: node.outputs[0].shape or ()} if sized_by else {}
        self._before: Piece | None = None
        known = all(t.dtype is not None for t in (*self._given, *node.outputs) if t.name)
        if known and all(t.shape is not None for t in self._given):
            with contextlib.suppress(RunError):
                outputs = [t for t in node.outputs if t.name]
                self._before = Piece([*map(_opened, self._given)], outputs, opset, bodies)
                self._numbers = constants.integers(self._before.nodes)
                self._magnitudes = constants.floats(self._before.nodes)

    def compare(self, graph: gs.Graph, opset: int, bodies: Bodies = ()) -> float | None:
        """The greatest relative difference on ordinary inputs; None if the node could not be run.

        A node of the dialect is run by its body and, where the library is there, by its kernel.

        Raises:
            CheckError: what is there now does not run, or differs by more than rounding explains.
        """
        if self._before is None:
            return None
        tensors = {t.name: t for node in graph.nodes for t in (*node.inputs, *node.outputs)}
        given = [tensors.get(t.name, t) for t in self._given]
        # What was repaired in front of it may have fixed a size.
        self._drawn = [_with_sizes(t, now) for t, now in zip(self._given, given, strict=True)]
        # An output that nobody reads may be gone.
        kept = [name for name in self._outputs if name in tensors]
        outputs = [tensors[name] for name in kept]
        try:
            opened = [*map(_opened, given)]
            pieces = [Piece(opened, outputs, opset, bodies)]
            if is_dialect(pieces[0]) and not kernels_missing():
                pieces.append(Piece(opened, outputs, opset, bodies, kernels=True))
        except RunError as error:
            raise self._does_not_run(error) from error
        pairs = [(self._outputs.index(name), index) for index, name in enumerate(kept)]
        worst = [w for piece in pieces for w in self._differences(piece, pairs)]
        return max(worst, default=None)

    def _differences(self, after: Piece, pairs: Sequence[tuple[int, int]]) -> Iterator[float]:
        """Those on ordinary inputs, relative to the greatest value.

        Args:
            pairs: of the number of an output of the node, and of the piece.
        """
        assert self._before is not None
        for label, inputs in self._inputs(after):
            try:
                wanted = self._before(inputs)
            except RunError:
                continue  # No input of the node.
            if not any(y.size for y in wanted):
                continue  # A window that is larger than the plane.
            try:
                found = after(inputs)
            except RunError as error:
                raise self._does_not_run(error) from error
            for old, new in pairs:
                self._judge(label, inputs, after, wanted, old, found[new])
                if label == _ORDINARY:
                    yield _relative_difference(found[new], wanted[old])

    def _does_not_run(self, error: RunError) -> CheckError:
        return CheckError(
            f"what takes the place of {self._title} does not run: {error}; nothing was written"
        )

    def _judge(
        self,
        label: str,
        inputs: Sequence[Array],
        after: Piece,
        wanted: Sequence[Array],
        output: int,
        found: Array,
    ) -> None:
        y = wanted[output]
        if found.shape != y.shape or found.dtype != y.dtype:
            raise self._differs(label, f"{found.dtype} {list(found.shape)}", y)
        if found.dtype.kind not in "fiu":
            right = np.asarray(found == y)
        else:
            ops = self._ops(after)
            x, y = (_saturated(v, ops) for v in (found, y))
            right = (x == y) | (np.isnan(x) & np.isnan(y))
            if not right.all() and not self._is_exact:
                right |= self._is_rounding(inputs, output, x, y, ops)
            elif {"Clip", "Sub", "Add"} <= ops:
                shift = max(self._magnitudes, default=0.0)
                unit = float(_limits(found.dtype).eps) / 2
                right |= np.abs(x - y) <= 4 * unit * (np.abs(y) + shift)
        if not right.all():
            at = np.unravel_index(int(np.argmin(right)), right.shape)
            raise self._differs(label, f"{found[at]:.9g}", f"{wanted[output][at]:.9g}")

    def _differs(self, label: str, found: Any, wanted: Any) -> CheckError:
        return CheckError(
            f"what takes the place of {self._title} gives {found} instead of {wanted} on {label}, "
            "which no rounding explains; nothing was written"
        )

    @property
    def _powers(self) -> list[float]:
        """The exponents of the Lp norms in the node as it was."""
        nodes = self._before.nodes if self._before else ()
        return [node.attrs.get("p", 2) for node in nodes if node.op in _NORMS]

    @property
    def _is_exact(self) -> bool:
        return self._before is not None and {n.op for n in self._before.nodes} <= _EXACT

    def _ops(self, after: Piece) -> set[str]:
        assert self._before is not None
        return {node.op for piece in (self._before, after) for node in piece.nodes}

    def _is_rounding(
        self, inputs: Sequence[Array], output: int, found: Array, y: Array, ops: set[str]
    ) -> Array:
        """Whether each element of `found` is `y` up to rounding, or overflows there."""
        floats = [x for x in inputs if _is_floating(x)]
        if not floats:
            return np.zeros(y.shape, bool)
        x, limits = floats[0].astype(np.float64), _limits(floats[0].dtype)
        unit, terms = float(limits.eps) / 2, max(int(np.count_nonzero(v)) for v in floats)
        with np.errstate(all="ignore"):
            off = np.abs(found - y)
            rounding = unit * np.abs(y)
            bound = np.full(y.shape, float(limits.tiny) * min(terms, 1))
            if ops & _STEEP:
                steep = np.abs(y) * np.abs(np.log(np.abs(y)))
                steep = np.fmax(steep, np.abs(x)) if x.shape == y.shape else steep
                bound += _ROUNDINGS * unit * np.nan_to_num(steep)
            if ops & _INTERPOLATING:
                length = int(np.max([*y.shape, *x.shape]))
                largest = max(float(np.abs(v.astype(np.float64)).max()) for v in floats)
                bound += 8 * unit * length * largest
            for p in self._powers:
                vanishing = (float(limits.tiny) / unit) ** (1 / p)
                bound += np.where(np.abs(y) < vanishing, vanishing, 0) * min(terms, 1)
            right = (off <= bound + _ROUNDINGS * rounding) | ~np.isfinite(y)
            if not right.all():
                changed = np.fmax(rounding, self._moved(inputs, output, y, unit))
                right |= off <= bound + (terms + _ROUNDINGS) * changed
            return np.asarray(right)

    def _moved(self, inputs: Sequence[Array], output: int, y: Array, unit: float) -> Array:
        """The most that each element changes where every input is moved by about one rounding."""
        assert self._before is not None
        rng = np.random.default_rng(56)
        most = np.zeros(y.shape)
        for _ in range(_MOVES):
            moved = [_nearby(x, _FAR * unit, rng) if _is_floating(x) else x for x in inputs]
            with np.errstate(invalid="ignore"):
                change = np.abs(self._before(moved)[output].astype(np.float64) - y) / _FAR
            most = np.fmax(most, change)
        return most

    def _inputs(self, after: Piece) -> Iterator[tuple[str, list[Array]]]:
        """Values for all inputs, with what the first floating-point one of them holds."""
        assert self._before is not None
        numbers = sorted({*self._numbers, *constants.integers(after.nodes)})
        around = sorted({*self._magnitudes, *constants.floats(after.nodes)})
        pieces = (self._before, after)
        spreads = any(piece.spreads for piece in pieces)
        loses_nan = any(piece.loses_nan for piece in pieces)
        crop = self._crop(after)
        if crop is None:
            return
        for index, opened in enumerate(self._sizes(numbers)):
            sizes = {**opened, **crop}
            rng = np.random.default_rng(78 + index)
            yield _ORDINARY, [self._ordinary(t, sizes, rng) for t in self._drawn]
            first = next((i for i, t in enumerate(self._drawn) if is_float(t.dtype)), None)
            if index or first is None:
                continue
            shape = _shape(self._drawn[first], sizes)
            if 0 in shape:
                continue
            draw = adversarial.Draw(shape, shape, numpy_type(self._drawn[first].dtype), rng=rng)
            every = adversarial.planes(draw, around, is_max=False)
            most = max(_LEAST_PLANES, _ELEMENTS // math.prod(shape))
            for plane in itertools.islice(every, most):
                values = plane.values.astype(np.float64)
                finite = np.isfinite(values).all()
                if not finite and (spreads or (loses_nan and np.isnan(values).any())):
                    continue
                inputs = [self._ordinary(t, sizes, rng) for t in self._drawn]
                inputs[first] = plane.values
                yield plane.label, inputs

    def _ordinary(
        self, tensor: gs.Tensor, sizes: dict[Any, int], rng: np.random.Generator
    ) -> Array:
        """Random values; of a tensor that says a shape, what the graph declares of that shape."""
        shape, dtype = _shape(tensor, sizes), numpy_type(tensor.dtype)
        if is_float(tensor.dtype):
            return np.asarray(rng.uniform(-1, 1, shape)).astype(dtype)
        values = np.asarray(rng.integers(1, 9, shape)).astype(dtype)
        declared = self._declared.get(tensor.name, ())
        if values.shape == (len(declared),):
            for axis, dim in enumerate(declared):
                values[axis] = sizes.get(dim, dim if isinstance(dim, int) else values[axis])
        return values

    def _crop(self, after: Piece) -> dict[Any, int] | None:
        """Shorter lengths for long axes, where the inputs are large; None where none of them runs.

        They are longer than twice every position that the nodes name.
        """
        assert self._before is not None
        opened = next(self._sizes(()))
        if self._elements(opened) <= _MOST_ELEMENTS:
            return {}
        nodes = [*self._before.nodes, *after.nodes]
        named = (n for n in constants.integers(nodes, signed=True) if abs(n) < _NO_END)
        least = max(_SHORT, 2 * max(map(abs, named), default=0) + 1)
        dims = {dim for t in self._drawn for dim in t.shape if isinstance(dim, int) and dim > least}
        for kept in (None, *sorted(dims)):
            crop: dict[Any, int] = {dim: least for dim in dims if dim != kept}
            if self._runs({**opened, **crop}, after):
                return crop
        return {} if self._elements(opened) <= _MOST_WHOLE else None

    def _elements(self, sizes: dict[Any, int]) -> int:
        return sum(math.prod(_shape(tensor, sizes)) for tensor in self._drawn)

    def _runs(self, sizes: dict[Any, int], after: Piece) -> bool:
        """Whether both forms run at these sizes, and make something."""
        assert self._before is not None
        if self._elements(sizes) > _MOST_ELEMENTS:
            return False
        rng = np.random.default_rng(90)
        inputs = [self._ordinary(tensor, sizes, rng) for tensor in self._drawn]
        try:
            return all(y.size for piece in (self._before, after) for y in piece(inputs))
        except RunError:
            return False

    def _sizes(self, numbers: Sequence[int]) -> Iterator[dict[Any, int]]:
        """Numbers for the sizes that are open: of batch and channels, of the plane."""
        symbols: dict[Any, int] = {}
        for tensor in self._drawn:
            for axis, dim in enumerate(tensor.shape):
                if not isinstance(dim, int):
                    symbols.setdefault(_symbol(tensor, axis), 2 if axis < 2 else 6 + axis)
        yield symbols
        lengths = critical_sizes.lengths(numbers, ())
        for start in range(min(_MOST_SIZES, len(lengths)) if symbols else 0):
            chosen = itertools.islice(itertools.cycle(lengths), start, None)
            sizes = dict(zip(symbols, chosen, strict=False))
            if all(math.prod(_shape(t, sizes)) <= _MOST_ELEMENTS for t in self._drawn):
                yield sizes


_ORDINARY = "ordinary values"


def _with_sizes(tensor: gs.Tensor, now: gs.Tensor) -> gs.Tensor:
    """`tensor`, with the sizes that are known of it now."""
    if now.shape is None or len(now.shape) != len(tensor.shape):
        return tensor
    pairs = zip(tensor.shape, now.shape, strict=True)
    shape = [new if isinstance(new, int) else old for old, new in pairs]
    return gs.Variable(tensor.name, tensor.dtype, shape)


def _symbol(tensor: gs.Tensor, axis: int) -> Any:
    return tensor.shape[axis] or (tensor.name, axis)


def _shape(tensor: gs.Tensor, sizes: dict[Any, int]) -> tuple[int, ...]:
    return tuple(
        sizes.get(dim, dim) if isinstance(dim, int) else sizes[_symbol(tensor, axis)]
        for axis, dim in enumerate(tensor.shape)
    )


def _opened(tensor: gs.Tensor) -> gs.Tensor:
    """A tensor that takes other lengths on its long axes."""
    if tensor.shape is None or not any(isinstance(d, int) and d > _SHORT for d in tensor.shape):
        return tensor
    shape = [None if isinstance(dim, int) and dim > _SHORT else dim for dim in tensor.shape]
    return gs.Variable(tensor.name, tensor.dtype, shape)


def _nearby(x: Array, relative: float, rng: np.random.Generator) -> Array:
    """Each element changed by a share of itself, up or down."""
    signs = 2.0 * rng.integers(0, 2, x.shape) - 1
    return np.asarray(x.astype(np.float64) * (1 + relative * signs)).astype(x.dtype)


def _limits(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _is_floating(x: Array) -> bool:
    return x.dtype.kind not in "iub"


def _saturated(values: Array, ops: set[str]) -> Array:
    """In float64; where ONNX Runtime knows no infinity, without."""
    double = values.astype(np.float64)
    if values.dtype.kind == "f" and ops & _SATURATING:
        limits: Any = np.finfo(values.dtype)
        return np.asarray(np.clip(double, float(limits.min), float(limits.max)))
    return double


def _relative_difference(found: Array, wanted: Array) -> float:
    """The greatest difference as a share of the greatest finite value."""
    if wanted.dtype.kind not in "fiu":
        return 0.0
    x, y = found.astype(np.float64), wanted.astype(np.float64)
    numbers = np.isfinite(y) & np.isfinite(x)
    largest = float(np.max(np.abs(y), where=numbers, initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(x - y), where=numbers, initial=0.0)) / largest
