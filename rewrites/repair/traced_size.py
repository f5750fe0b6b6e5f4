"""The size that a graph was traced at, solved from what the exporter froze.

    a frozen kernel k of a pool of X          divides the traced length of X
    a pool whose windows the graph computes   was right at the traced length of its X
    an output size O that is known            the traced length was k·O
    --traced-size                             says it

All of these speak of lengths of tensors; a symbol of an input decides them all.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.region.computation import Constants
from onnxpool.rewrites.region.size import in_words
from onnxpool.rewrites.region.sweep import Along
from onnxpool.rewrites.region.terms import NotUnderstood
from onnxpool.rewrites.region.trials import Trials
from onnxpool.rewrites.repair.hints import Hints, WrongHint

_MOST = 1024
"""The longest side of an input that is thought of. An answer above half of it is not certain."""

Condition = Callable[[int], bool]


@dataclasses.dataclass
class _Unknown:
    """The traced value of one symbol: what it must fulfil, cheap conditions first."""

    cheap: list[Condition] = dataclasses.field(default_factory=list)
    costly: list[Condition] = dataclasses.field(default_factory=list)


class TracedSizes:
    def __init__(
        self, trials: Trials, hints: Hints, constructs: Sequence[Construct], opset: int
    ) -> None:
        """Collect what the pools of a graph whose windows it computes say.

        Raises:
            WrongHint: the user gave a shape that an input cannot have.
        """
        self._trials = trials
        self._unknowns = {symbol: _Unknown() for symbol in trials.symbols}
        self._lengths: dict[tuple[str, int, int], int] = {}
        self._told = False
        self._siblings: list[str] = []
        for name, shape in hints.traced.items():
            self._is_traced_at(name, shape)
        for construct in constructs:
            self._was_right(construct, opset)

    def fits(self, x: gs.Variable, kernel: Sequence[int]) -> None:
        """Note that windows of these lengths fill the plane of X."""
        for axis, size in self._axes(x, kernel):
            if symbol := self._symbol(x, axis):
                condition = self._divides(x, axis, size)
                if self._told and not any(map(condition, self._values(symbol))):
                    raise WrongHint(
                        f"--traced-size makes {x.name!r} {self.plane_in_words(x)}, which windows "
                        f"of {in_words(kernel)} do not fill"
                    )
                self._unknowns[symbol].cheap.append(condition)

    def is_exactly(self, x: gs.Variable, kernel: Sequence[int], size: Sequence[int]) -> None:
        """Note that windows of length `kernel` made `size` of the plane of X."""
        for (axis, length), bins in zip(self._axes(x, kernel), size, strict=True):
            symbol = self._symbol(x, axis)
            if symbol and bins > 0:
                self._unknowns[symbol].cheap.append(self._equals(x, axis, length * bins))

    def lengths(self, x: gs.Variable, index: int) -> list[int]:
        """What the traced length of a pooled axis of X may have been; [] where too much may."""
        axis = index + 2
        symbol = self._symbol(x, axis)
        if symbol is None:
            dim = (shape_of(x) or ())[axis]
            return [dim] if isinstance(dim, int) else []
        values = self._values(symbol)
        if not self._is_limited(symbol, values):
            return []
        return sorted({self._length(x, axis, value) for value in values})

    @property
    def is_told(self) -> bool:
        """Whether the user said it."""
        return self._told

    def candidates(
        self, x: gs.Variable, kernel: Sequence[int], most: int
    ) -> list[tuple[tuple[int, ...], str]]:
        """The first few output sizes that are possible, each with the traced plane of X in words.

        An axis of kernel 1 beside a longer one is kept.
        """
        per_axis: list[list[tuple[int, str]]] = []
        for axis, size in self._axes(x, kernel):
            if size == 1 and max(kernel) > 1:
                per_axis.append([(KEEP, "?")])
                continue
            symbol = self._symbol(x, axis)
            lengths = (
                sorted({self._length(x, axis, value) for value in self._values(symbol)})
                if symbol
                else [size]
            )
            per_axis.append([(length // size, str(length)) for length in lengths[:most]])
        square = len({tuple(options) for options in per_axis}) == 1
        pairs = zip(*per_axis, strict=True) if square else itertools.product(*per_axis)
        found = (tuple(zip(*pair, strict=True)) for pair in itertools.islice(pairs, most))
        return [(tuple(sizes), "x".join(plane)) for sizes, plane in found]

    def because(self, x: gs.Variable) -> str:
        if self._told:
            return f"--traced-size makes {x.name!r}"
        if self._siblings:
            others = ", ".join(map(repr, self._siblings[:3]))
            return f"only one traced size fits the windows of {others}: {x.name!r} was"
        return f"the size of other pools tells that {x.name!r} was traced at"

    def plane_in_words(self, x: gs.Variable) -> str:
        axes = range(2, len(shape_of(x) or ()))
        lengths = [self._lengths_of(x, axis) for axis in axes]
        return "x".join(str(found[0]) if len(found) == 1 else "?" for found in lengths)

    def input_name(self, x: gs.Variable) -> str:
        """An input whose shape would settle the plane of X."""
        symbols = {self._symbol(x, axis) for axis in range(2, len(shape_of(x) or ()))}
        return next((n for n, d in self._trials.inputs.items() if symbols.intersection(d)), "INPUT")

    def _is_traced_at(self, name: str, shape: tuple[int, ...]) -> None:
        dims = self._trials.inputs.get(name)
        if dims is None:
            return
        agree = len(dims) == len(shape) and all(
            isinstance(dim, str) or dim == size for dim, size in zip(dims, shape, strict=False)
        )
        if not agree:
            raise WrongHint(
                f"--traced-size {name}={in_words(shape)} does not fit the input, which "
                f"is {'x'.join(map(str, dims))}"
            )
        self._told = True
        for dim, size in zip(dims, shape, strict=True):
            if isinstance(dim, str):
                self._unknowns[dim].cheap.insert(0, size.__eq__)

    def _was_right(self, construct: Construct, opset: int) -> None:
        if construct.repair is None or not isinstance(construct.op, AdaptiveAveragePool):
            return
        region = construct.found[0]
        try:
            along = Along(region, self._trials, construct.op.output_size, Constants(opset))
        except (RunError, NotUnderstood):
            return
        self._siblings.append(region.y.name)
        rank = len(shape_of(region.x) or ())
        for index in range(along.k):
            axis = rank - along.k + index
            if symbol := self._symbol(region.x, axis):
                self._unknowns[symbol].costly.append(self._is_right(along, region.x, axis, index))

    def _values(self, symbol: str) -> list[int]:
        unknown = self._unknowns[symbol]
        cheap = [v for v in range(1, _MOST + 1) if all(c(v) for c in unknown.cheap)]
        return [v for v in cheap if all(c(v) for c in unknown.costly)]

    def _is_limited(self, symbol: str, values: Sequence[int]) -> bool:
        """Whether no value beyond `_MOST` can fulfil the conditions as well."""
        return bool(values) and (self._told or 2 * max(values) <= _MOST)

    def _lengths_of(self, x: gs.Variable, axis: int) -> list[int]:
        symbol = self._symbol(x, axis)
        values = self._values(symbol) if symbol else []
        return sorted({self._length(x, axis, value) for value in values})

    def _axes(self, x: gs.Variable, kernel: Sequence[int]) -> list[tuple[int, int]]:
        return list(enumerate(kernel, start=len(shape_of(x) or ()) - len(kernel)))

    def _symbol(self, x: gs.Variable, axis: int) -> str | None:
        return self._trials.symbol(x, axis)

    def _length(self, x: gs.Variable, axis: int, value: int) -> int:
        """The length of an axis of X where its symbol has a value; 0 where that is not known."""
        key = (x.name, axis, value)
        if key not in self._lengths:
            symbol = self._symbol(x, axis)
            sizes = dict.fromkeys(self._trials.symbols, value) | {str(symbol): value}
            shape = self._trials.shape(x, sizes)
            self._lengths[key] = shape[axis] if shape else 0
        return self._lengths[key]

    def _divides(self, x: gs.Variable, axis: int, size: int) -> Condition:
        def divides(value: int) -> bool:
            length = self._length(x, axis, value)
            return length >= size and length % size == 0

        return divides

    def _equals(self, x: gs.Variable, axis: int, wanted: int) -> Condition:
        return lambda value: self._length(x, axis, value) == wanted

    def _is_right(self, along: Along, x: gs.Variable, axis: int, index: int) -> Condition:
        return lambda value: along.is_right(index, self._length(x, axis, value))
