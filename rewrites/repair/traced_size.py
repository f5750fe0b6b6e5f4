"""The size that a graph was traced at, solved from what the exporter froze.

    a frozen kernel k of a pool of X          divides the traced length of X
    a pool whose windows the graph computes   was right at the traced length of its X
    an output size O that is known            the traced length was k·O
    --traced-size                             says it

All of these speak of lengths of tensors; a symbol of an input decides them all. Where several
lengths are left, there decides

    every node, and every declared number     the graph ran at the traced size: an embedding of
                                              positions, a weight or a Reshape may fit one alone

Where only the number of elements is known, as of positions, a square plane is taken.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
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

_SAMPLES = (*range(512, 1024, 37), *range(768, 801))
"""Values at which it is seen how a length follows them: near to each other, and far."""
_ANY_LENGTHS = (448, 640)
"""Sides of images at which nodes that fit one size fail."""
_MOST_PLANES = 4096
_MOST_PER_AXIS = 64
_MOST_WHOLE = 64
"""Planes at which every node of the graph is tried."""
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
        self,
        graph: gs.Graph,
        trials: Trials,
        hints: Hints,
        constructs: Sequence[Construct],
        opset: int,
    ) -> None:
        """Collect what the pools of a graph whose windows it computes say.

        Raises:
            WrongHint: the user gave a shape that an input cannot have.
        """
        self._graph, self._trials = graph, trials
        self._planes: dict[tuple[str, int], tuple[list[tuple[int, ...]], bool]] = {}
        self._unknowns = {symbol: _Unknown() for symbol in trials.symbols}
        self._lengths: dict[tuple[str, int], list[int]] = {}
        dims = trials.inputs.values()
        self._batch = {d[0] for d in dims if d} - {dim for d in dims for dim in d[1:]}
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

    def plane(self, x: gs.Variable, kernel: Sequence[int]) -> tuple[tuple[int, ...], str] | None:
        """What the traced plane of X was, and from what that is known; None where it is open."""
        lengths = [self._lengths_if_limited(x, axis) for axis, _ in self._axes(x, kernel)]
        if all(len(found) == 1 for found in lengths):
            return tuple(found[0] for found in lengths), self.because(x)
        planes, all_of_them = self._possible(x, kernel)
        squares = [plane for plane in planes if len(set(plane)) == 1]
        for fitting, word in ((planes if all_of_them else [], ""), (squares, "square ")):
            if len(fitting) == 1:
                because = f"only one {word}size fits all nodes of the graph: {x.name!r} was"
                return fitting[0], because
        return None

    def _lengths_if_limited(self, x: gs.Variable, axis: int) -> list[int]:
        """What the traced length of an axis of X may have been; [] where too much may."""
        symbol = self._symbol(x, axis)
        if symbol is None:
            dim = (shape_of(x) or ())[axis]
            return [dim] if isinstance(dim, int) else []
        values = self._values(symbol)
        if not self._is_limited(symbol, values):
            return []
        return sorted({self._length(x, axis, value) for value in values})

    def _possible(
        self, x: gs.Variable, kernel: Sequence[int]
    ) -> tuple[list[tuple[int, ...]], bool]:
        """Planes of X at which the whole graph runs, and whether there are no others.

        Where there are, no square one among those that are found is large.
        """
        key = (x.name, sum(len(u.cheap) + len(u.costly) for u in self._unknowns.values()))
        if key not in self._planes:
            self._planes[key] = self._find_possible(x, kernel)
        return self._planes[key]

    def _find_possible(
        self, x: gs.Variable, kernel: Sequence[int]
    ) -> tuple[list[tuple[int, ...]], bool]:
        axes: dict[str, int] = {}
        for axis, size in self._axes(x, kernel):
            symbol = self._symbol(x, axis)
            if symbol and not _is_kept(size, kernel):
                axes.setdefault(symbol, axis)
        options = [self._one_per_length(x, axis, symbol) for symbol, axis in axes.items()]
        critical = self._critical() if axes else []
        if not critical:
            return [], False
        limits = [_MOST] * len(options)
        if math.prod(map(len, options)) > _MOST_PLANES:
            limits = [next(iter(values[_MOST_PER_AXIS:]), _MOST) for values in options]
            options = [values[:_MOST_PER_AXIS] for values in options]
        tried = [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*options)]
        for node in critical:
            tried = [sizes for sizes in tried if self._runs([node], sizes)]
        if len(tried) <= _MOST_WHOLE:
            tried = [sizes for sizes in tried if self._runs(self._graph.nodes, sizes)]
        near = [all(2 * n <= m for n, m in zip(s.values(), limits, strict=True)) for s in tried]
        shapes = [self._trials.shape(x, self._with_others(sizes)) for sizes in tried]
        planes = [shape[-len(kernel) :] for shape in shapes if shape is not None]
        if all(near):
            return planes, True
        pairs = zip(planes, near, strict=True)
        return [plane for plane, is_near in pairs if is_near and len(set(plane)) == 1], False

    def _one_per_length(self, x: gs.Variable, axis: int, symbol: str) -> list[int]:
        values = self._values(symbol)
        return sorted({self._length(x, axis, v): v for v in reversed(values)}.values())

    def _critical(self) -> list[gs.Node]:
        """The nodes that do not run at some size, or make another shape than is declared."""
        found: set[int] = set()
        for length in _ANY_LENGTHS:
            sizes = self._with_others(dict.fromkeys(self._of_planes(), length))
            failed = self._trials.walk(self._graph.nodes, sizes).failed
            for node in self._graph.nodes:
                fails = any(tensor.name in failed for tensor in node.outputs)
                if fails or not self._is_as_declared(node, sizes):
                    found.add(id(node))
        return [node for node in self._graph.nodes if id(node) in found]

    def _runs(self, nodes: Sequence[gs.Node], sizes: dict[str, int]) -> bool:
        sizes = self._with_others(sizes)
        for node in nodes:
            self._trials.shape(node.outputs[0], sizes)
        failed = self._trials.walk([], sizes).failed
        return not failed and all(self._is_as_declared(node, sizes) for node in nodes)

    def _is_as_declared(self, node: gs.Node, sizes: dict[str, int]) -> bool:
        """Whether the shapes that a node makes are those that the file has numbers for."""
        for tensor in node.outputs:
            shape, dims = self._trials.shape(tensor, sizes), shape_of(tensor)
            pairs = zip(shape or (), dims or (), strict=False)
            if any(isinstance(dim, int) and dim != length for length, dim in pairs):
                return False
        return True

    def _with_others(self, sizes: dict[str, int]) -> dict[str, int]:
        """Sizes of all inputs: those that decide no frozen plane are small, as a batch is."""
        planes = dict.fromkeys(self._of_planes(), _ANY_LENGTHS[0])
        return {**dict.fromkeys(self._unknowns, 2), **planes, **sizes}

    def _of_planes(self) -> list[str]:
        return [s for s, unknown in self._unknowns.items() if unknown.cheap or unknown.costly]

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
        kept = [_is_kept(size, kernel) for size in kernel]
        planes, all_of_them = self._possible(x, kernel)
        if not all_of_them:
            planes = self._by_axis(x, kernel, most)
        found: dict[tuple[int, ...], str] = {}
        for plane in planes:
            sizes = [n // size for n, size in zip(plane, kernel, strict=True)]
            shown = ["?" if k else str(n) for k, n in zip(kept, plane, strict=True)]
            key = tuple(KEEP if k else size for k, size in zip(kept, sizes, strict=True))
            found.setdefault(key, "x".join(shown))
        return list(found.items())[:most]

    def _by_axis(self, x: gs.Variable, kernel: Sequence[int], most: int) -> list[tuple[int, ...]]:
        """The first few planes that fit axis by axis; square ones where both axes are alike."""
        options = []
        for axis, size in self._axes(x, kernel):
            lengths = self._lengths_of(x, axis) if self._symbol(x, axis) else [size]
            options.append(lengths[:1] if _is_kept(size, kernel) else lengths[:most])
        square = len(set(map(tuple, options))) == 1
        planes = zip(*options, strict=True) if square else itertools.product(*options)
        return list(itertools.islice(planes, most))

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
        rank = len(construct.op_shape)
        for index in range(along.k):
            axis = region.axis_of_x(rank - along.k + index)
            if axis is not None and (symbol := self._symbol(region.x, axis)):
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
        key = (x.name, axis)
        if self._told or value > _MOST:
            return self._find_length(x, axis, value)
        if key not in self._lengths:
            self._lengths[key] = self._all_lengths(functools.partial(self._find_length, x, axis))
        return self._lengths[key][value]

    def _all_lengths(self, find: Callable[[int], int]) -> list[int]:
        """The length for every value up to `_MOST`.

        Strided convolutions make (value + offset) // stride of it; that is found, and seen to hold.
        """
        far, half = find(_MOST), find(_MOST // 2)
        grown = far - half
        stride = _MOST // 2 // grown if grown > 0 and _MOST // 2 % grown == 0 else 0
        least = far * stride - _MOST
        for offset in range(least, least + stride):
            if (_MOST // 2 + offset) // stride == half:
                found = [max(0, (value + offset) // stride) for value in range(_MOST + 1)]
                if all(found[value] == find(value) for value in _SAMPLES):
                    return found
        return [0, *map(find, range(1, _MOST + 1))]

    def _find_length(self, x: gs.Variable, axis: int, value: int) -> int:
        sizes = {s: 2 if s in self._batch else value for s in self._trials.symbols}
        shape = self._trials.shape(x, sizes | {str(self._symbol(x, axis)): value})
        return shape[axis] if shape else 0

    def _divides(self, x: gs.Variable, axis: int, size: int) -> Condition:
        def divides(value: int) -> bool:
            length = self._length(x, axis, value)
            return length >= size and length % size == 0

        return divides

    def _equals(self, x: gs.Variable, axis: int, wanted: int) -> Condition:
        return lambda value: self._length(x, axis, value) == wanted

    def _is_right(self, along: Along, x: gs.Variable, axis: int, index: int) -> Condition:
        return lambda value: along.is_right(index, self._length(x, axis, value))


def _is_kept(size: int, kernel: Sequence[int]) -> bool:
    """Whether an axis looks kept: its windows have one element, and others have more."""
    return size == 1 and max(kernel) > 1
