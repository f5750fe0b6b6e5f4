"""Every changed region is run before and after, on inputs and at sizes of the check's own.

Nothing here knows how a region was recognised. What it was taken for, an op of the dialect, says
where each element of each output may lie (rounding.py), and both must lie there: the region as it
was, else it was taken for what it is not; and what stands in its place. Every channel of X gets
another adversarial plane (inputs/adversarial.py); sizes that are open become those around the
numbers in both graphs (inputs/critical_sizes.py).

The region as it was is no judge where it is repaired, at other sizes than those at which it is said
to be right; where no runtime takes it; and where it reads sizes that do not follow from X's.

Where a region runs on a part of its batch and channels, that is what it is run on, and once on all
(leading_sizes.py). What is too large even so is not written.

Infinities and NaN are compared where both forms promise the same:

    average             in the windows that see them; a form with products (MatMul, Conv, CumSum)
                        spreads them over their plane
    generalised mean    the same; in the windows that see them, as the definition or the region as
                        it was has it, or as ONNX Runtime's Clip has it, which makes an infinity the
                        greatest number; or NaN
    maximum, indices    infinities, always; but MaxPool has the lowest finite number for a window
                        of -inf throughout. What a NaN does to the window that sees it is not
                        defined in ONNX Runtime's ReduceMax, MaxPool and ArgMax: forms without them
                        are the same there
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.errors import CheckError
from onnxpool.inputs import adversarial, constants, critical_sizes
from onnxpool.inputs.adversarial import Draw
from onnxpool.inputs.values import draw, model_inputs
from onnxpool.model.file import ModelFile
from onnxpool.ops import GeMPool
from onnxpool.ops.op import Array, Dim, Shape
from onnxpool.pipeline import rounding
from onnxpool.pipeline.leading_sizes import cropped, further, whole, with_room
from onnxpool.pipeline.piece import Bodies, Piece, is_dialect
from onnxpool.pipeline.rounding import Range
from onnxpool.rewrites.graph import limits
from onnxpool.rewrites.graph.cut import needs_constants_alone, producers
from onnxpool.rewrites.graph.run import RunError, Runner, evaluate, kernels_missing
from onnxpool.rewrites.graph.tensors import numpy_type, shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lower.function_body import is_body

_MOST_ELEMENTS = 1 << 23
"""Of X in all runs of a region at one size, unless the first run alone has more."""
_ELEMENTS_AT_ONCE = 1 << 19
_BYTES_OF_EACH = 128
"""What an element of X takes: in float64, with its ranges and what is computed on the way."""
_MOST_PLANES = 1 << 11
_MOST_SIZES = 48
_MOST_RIGHT_SIZES = 4
_MOST_LEADS = 5
_ORDINARY = "ordinary values"


@dataclasses.dataclass(frozen=True)
class Errors:
    """Greatest errors of a region against the float64 reference, relative to its output.

    Measured on ordinary random input. `before` is None where nothing runs the region as it was, a
    node of the dialect without a body, or where it was wrong. `after` is the greater one of
    function body and kernel where a region has both.
    """

    before: float | None
    after: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """Inputs of a region, and where its outputs may lie.

    Attributes:
        inputs: X, and the parameters that the graph computes.
        labels: what is in each slot of X, a slot being a channel of one element of the batch.
        ranges: per output, with the slots as first axis.
    """

    inputs: tuple[Array, ...]
    labels: Sequence[str]
    ranges: Sequence[Range]

    @property
    def ordinary(self) -> list[int]:
        return [slot for slot, label in enumerate(self.labels) if label == _ORDINARY]


class Deviation(NamedTuple):
    """The greatest difference of an output in one trial, and its greatest value there."""

    off: float
    largest: float


class Probe:
    """A construct as it was, ready to be compared with what takes its place."""

    def __init__(self, construct: Construct, opset: int, bodies: Bodies = ()) -> None:
        """Take what is needed from the graph before it changes.

        Args:
            bodies: the function bodies of dialect nodes.
        """
        self._construct = construct
        self._op = construct.op
        self._shape = construct.op_shape
        self._dtype = numpy_type(construct.x.dtype)
        self._parameters = [
            evaluate(p, opset) if needs_constants_alone(p) else None for p in construct.parameters
        ]
        self._sizes = construct.op.each_size
        given, outputs = self._given(), [region.y for region in construct.found]
        nodes = producers(outputs, {tensor.name for tensor in given})
        self._whole_numbers = set(constants.integers(nodes))
        self._magnitudes = set(constants.floats(nodes))
        self._source: Piece | None = None
        self._as_it_runs: Piece | None = None
        self._is_cropped = False
        if construct.repair is not None and not construct.repair.right:
            return
        with contextlib.suppress(RunError):
            half, lead = self._dtype.itemsize == 2, self._leading_axes
            source = Piece(given, outputs, opset, bodies, promote=half, open_axes=lead)
            if source.follows_from(self._shape):
                self._source = source
                if half and construct.repair is None:
                    self._as_it_runs = Piece(given, outputs, opset, bodies, open_axes=lead)

    def compare(self, graph: gs.Graph, opset: int, bodies: Bodies = ()) -> Errors:
        """Run the region as it was, and as it is in `graph` now.

        A node of the dialect is run by its body and, where the library is there, by its kernel.

        Raises:
            CheckError: the region was not what it was taken for, or what is there now does not run,
                or an element of it is not where rounding may bring it.
        """
        tensors = {t.name: t for node in graph.nodes for t in (*node.inputs, *node.outputs)}
        given = [tensors.get(tensor.name, tensor) for tensor in self._given()]
        # What was repaired in front of it may have fixed the size of X.
        now = self._op_shape(given[0]) or self._shape
        pairs = zip(self._shape, now, strict=True)
        self._shape = tuple(new if isinstance(new, int) else old for old, new in pairs)
        # An output that nobody reads is gone.
        names = [region.y.name for region in self._construct.found if region.y.name in tensors]
        outputs = [tensors[name] for name in names]
        if not outputs:
            return Errors(None, 0.0)
        title = f"the rewritten region of tensor {outputs[0].name!r}"
        pieces: dict[str, Piece] = {}
        lead = self._leading_axes
        try:
            pieces[title] = Piece(given, outputs, opset, bodies, open_axes=lead)
            if is_dialect(pieces[title]) and not kernels_missing():
                title += " with the custom-op library"
                pieces[title] = Piece(given, outputs, opset, bodies, kernels=True, open_axes=lead)
        except RunError as error:
            raise CheckError(f"{title} does not run: {error}; nothing was written") from error
        found = [region.y.name for region in self._construct.found]
        return self._compare(pieces, [found.index(name) for name in names])

    def _compare(self, pieces: dict[str, Piece], kept: Sequence[int]) -> Errors:
        """As `compare`.

        Args:
            kept: which of the outputs the pieces compute.
        """
        nodes = [node for piece in pieces.values() for node in piece.nodes]
        numbers = sorted(self._whole_numbers.union(constants.integers(nodes)))
        around = sorted(self._magnitudes.union(constants.floats(nodes)))
        self._is_cropped = self._runs_cropped(pieces.values(), kept, numbers)
        before: list[Deviation] = []
        after: list[Deviation] = []
        for trial, judged in self._trials(numbers, around):
            source = self._run_source(trial) if judged else None
            before += self._errors_before(trial, source)
            for title, piece in pieces.items():
                try:
                    found = piece(trial.inputs)
                except RunError as error:
                    if judged and source is None and self._source is not None:
                        continue  # Neither form takes this size.
                    raise CheckError(
                        f"{title} does not run at {_in_words(trial.inputs[0].shape)}: {error}; "
                        "nothing was written"
                    ) from error
                by_output = {i: self._as_of_op(i, y) for i, y in zip(kept, found, strict=True)}
                self._judge(title, piece, trial, by_output, source)
                after += _deviations(trial, by_output)
        return Errors(_greatest_share(before), _greatest_share(after) or 0.0)

    def _runs_cropped(
        self, pieces: Iterable[Piece], kept: Sequence[int], numbers: Sequence[int]
    ) -> bool:
        """Whether the region runs on a part of the batch and channels, as it was and as it is."""
        plane = [*self._right_planes, *self._planes(numbers)][0]
        rng = np.random.default_rng(34)
        exponents = self._draw_parameters(rng, plane) if isinstance(self._op, GeMPool) else ()
        if cropped(self._lead) == self._lead or any(p.size > 1 for p in exponents):
            return False
        lead = with_room(cropped(self._lead), self._symbols(plane), 1, crop=False)
        trial = next(self._at(plane, (), rng, lead=lead, thorough=False), None)
        if trial is None:
            return False
        sources = [(self._source, range(len(trial.ranges)))] if self._source else []
        try:
            outputs = [
                (self._as_of_op(index, found), trial.ranges[index])
                for piece, indices in [*((piece, kept) for piece in pieces), *sources]
                for index, found in zip(indices, piece(trial.inputs), strict=True)
            ]
        except RunError:
            return False
        return all(
            output.shape[: len(lead)] == lead and output.size == range_.wanted.size
            for output, range_ in outputs
        )

    @property
    def _right_planes(self) -> list[tuple[int, ...]]:
        """The sizes at which the region was right before its repair, as far as X has them now."""
        repair, k = self._construct.repair, len(self._sizes[0])
        right = repair.right if repair else ()
        return [plane for plane in right if _fits_in(plane, self._shape[-k:])]

    def _op_shape(self, x: gs.Tensor) -> Shape:
        shape = shape_of(x)
        return () if shape is None else self._construct.found[0].op_x(shape)

    @property
    def _leading_axes(self) -> list[int]:
        """Where the axes in front of the plane stand in X."""
        axes = map(self._construct.found[0].axis_of_x, range(len(self._lead)))
        return [axis for axis in axes if axis is not None]

    def _given(self) -> list[gs.Tensor]:
        """X, and the parameters that the graph computes: what the region is run on."""
        parameters = zip(self._construct.parameters, self._parameters, strict=True)
        return [self._construct.x, *(p for p, value in parameters if value is None)]

    def _run_source(self, trial: Trial) -> tuple[Array, ...] | None:
        """The outputs of the region as it was; None where it does not run.

        Raises:
            CheckError: they are not those of the op that it was taken for.
        """
        if self._source is None:
            return None
        try:
            found = tuple(map(self._as_of_op, itertools.count(), self._source(trial.inputs)))
        except RunError:
            return None
        y = self._construct.found[0].y.name
        title = f"the region of tensor {y!r} was taken for {self._op.op_type()}, but"
        average = not rounding.is_max(self._op) and not isinstance(self._op, GeMPool)
        for output, range_ in zip(found, trial.ranges, strict=True):
            values = _by_slots(output, range_, title)
            fits = _fits(values, range_, self._source)
            strange = range_.is_wanted(values) | np.isnan(values) | (not average)
            self._require(
                np.where(range_.touched, strange, fits), f"{title} it", trial, values, range_
            )
        return found

    def _judge(
        self,
        title: str,
        piece: Piece,
        trial: Trial,
        found: Mapping[int, Array],
        source: Sequence[Array] | None,
    ) -> None:
        for index, output in found.items():
            range_ = trial.ranges[index]
            values = _by_slots(output, range_, title)
            fits = _fits(values, range_, piece)
            strange = range_.is_wanted(values)
            if source is not None and self._source is not None:
                if output.shape != source[index].shape:
                    raise CheckError(
                        f"{title} has shape {list(output.shape)} instead of "
                        f"{list(source[index].shape)}; nothing was written"
                    )
                was = source[index].astype(np.float64).reshape(values.shape)
                strange = strange | (values == was) | (np.isnan(values) & np.isnan(was))
            if rounding.is_max(self._op):
                may_lose = source is None or self._source is None or self._source.loses_nan
                strange = strange | (piece.loses_nan and may_lose)
            elif piece.spreads:
                strange = np.ones_like(strange)
            elif isinstance(self._op, GeMPool):
                strange = strange | np.isnan(values) | range_.holds(values)
            self._require(np.where(range_.touched, strange, fits), title, trial, values, range_)

    def _as_of_op(self, index: int, output: Array) -> Array:
        """Output number `index` with its axes as the op has them."""
        layout = self._construct.found[index].layout
        if layout is None or output.ndim != sum(axis is not None for axis in layout.y):
            return output
        return layout.op_y(output)

    def _require(self, right: Array, title: str, trial: Trial, found: Array, range_: Range) -> None:
        """Raise a CheckError that names the first element that is not right."""
        if right.all():
            return
        at = tuple(int(i) for i in np.unravel_index(int(np.argmin(right)), right.shape))
        value, wanted = found[at], range_.wanted[at]
        raise CheckError(
            f"{title} is off: {value:.9g} instead of {wanted:.9g} at "
            f"{_in_words(trial.inputs[0].shape)}, {trial.labels[at[0]]}; rounding explains "
            f"{range_.low[at]:.9g} to {range_.high[at]:.9g}; nothing was written"
        )

    def _errors_before(self, trial: Trial, source: Sequence[Array] | None) -> list[Deviation]:
        """Those of the region as it was, in its own type, on ordinary values."""
        if source is None or self._construct.repair is not None or not trial.ordinary:
            return []
        if self._as_it_runs is not None:
            source = tuple(map(self._as_of_op, itertools.count(), self._as_it_runs(trial.inputs)))
        return _deviations(trial, dict(enumerate(source)))

    def _planes(self, numbers: Sequence[int]) -> list[tuple[int, ...]]:
        plane = self._shape[len(self._lead) :]
        return critical_sizes.planes(plane, self._sizes, numbers, _MOST_SIZES)

    def _trials(
        self, numbers: Sequence[int], around: Sequence[float]
    ) -> Iterator[tuple[Trial, bool]]:
        """Each with whether the region as it was has to be right there.

        Args:
            numbers: the whole numbers of the graph, before and after.
            around: as `_at` takes it.
        """
        repair = self._construct.repair
        rng = np.random.default_rng(34)
        planes = self._not_too_large(self._planes(numbers))
        for index, plane in enumerate(planes):
            for trial in self._at(plane, around, rng, thorough=not index):
                yield trial, repair is None
        smallest = min(planes, key=math.prod)
        least = cropped(self._lead) if self._is_cropped else self._lead
        for lead in further(least, numbers, smallest, _MOST_LEADS):
            for trial in self._at(smallest, around, rng, lead=lead, thorough=False):
                yield trial, repair is None
        right = self._right_planes
        if self._is_cropped:
            plane = right[0] if right else planes[0]
            lead = whole(self._lead, self._symbols(plane), plane)
            for trial in self._at(plane, around, rng, lead=lead, thorough=False):
                yield trial, repair is None or bool(right)
        for plane in right[:: math.ceil(len(right) / _MOST_RIGHT_SIZES) or 1]:
            for trial in self._at(plane, around, rng, thorough=False):
                yield trial, True

    @property
    def _lead(self) -> Shape:
        """The sizes in front of the plane."""
        return self._shape[: -len(self._sizes[0])]

    def _symbols(self, plane: Sequence[int]) -> dict[Dim, int]:
        """What the symbols of the plane are."""
        axes = zip(self._shape[-len(plane) :], plane, strict=True)
        return {dim: length for dim, length in axes if isinstance(dim, str)}

    def _least_lead(self, plane: tuple[int, ...]) -> tuple[int, ...]:
        return with_room(self._lead, self._symbols(plane), 1, crop=self._is_cropped)

    def _not_too_large(self, planes: Sequence[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
        """Those that there is memory for.

        Raises:
            CheckError: there is for none.
        """
        most = limits.current().memory // _BYTES_OF_EACH
        elements = {plane: math.prod((*self._least_lead(plane), *plane)) for plane in planes}
        found = [plane for plane in planes if elements[plane] <= most]
        if not found:
            raise CheckError(
                f"a changed region is too large to try: {min(elements.values()):,} elements, at "
                f"most {most:,}; nothing was written; --check none writes it without"
            )
        return found

    def _at(
        self,
        plane: tuple[int, ...],
        around: Sequence[float],
        rng: np.random.Generator,
        *,
        lead: tuple[int, ...] = (),
        thorough: bool,
    ) -> Iterator[Trial]:
        """Trials at one size; each slot of X gets a plane of its own.

        Args:
            around: numbers around which values are drawn.
            lead: the sizes in front of the plane; by default the open ones are as many as needed.
            thorough: whether to try all adversarial planes, not a few.
        """
        if math.prod(plane) * math.prod(d for d in self._shape if isinstance(d, int)) == 0:
            return  # There is nothing to compute.
        parameters = self._draw_parameters(rng, plane)
        if self._construct.shares and min(parameters[0]) < 1:
            return  # No share is left of so short an axis.
        sizes = rounding.output_sizes(self._op, parameters, len(self._construct.regions))
        gem = isinstance(self._op, GeMPool)
        least = 0.05 if isinstance(self._op, GeMPool) and self._op.epsilon is None else -1.0
        longest = rounding.longest_windows(plane, sizes)
        source = Draw(plane, longest, self._dtype, positive=gem, least=least, rng=rng)
        chosen = list(adversarial.telling(source))
        if thorough:
            most = min(_MOST_PLANES, 1 + _MOST_ELEMENTS // max(1, math.prod(plane)))
            every = adversarial.planes(source, around, is_max=rounding.is_max(self._op))
            chosen = list(itertools.islice(every, most))
        symbols = self._symbols(plane)
        lead = lead or with_room(self._lead, symbols, len(chosen) + 1, crop=self._is_cropped)
        slots = math.prod(lead)
        if gem and max(p.size for p in parameters) > 1:
            # Of an exponent per channel each has to show.
            chosen += adversarial.scaled(source, slots)
        # One definition for several runs: of small planes it is the call that costs.
        runs = max(1, _ELEMENTS_AT_ONCE // (slots * math.prod(plane)))
        for first in range(0, len(chosen) + 1, runs * slots):
            part = chosen[first : first + runs * slots]
            total = slots * math.ceil((len(part) + (len(part) < runs * slots)) / slots)
            distinct = self._distinct(total, len(part), math.prod(plane), parameters)
            values, labels = source.ordinary(distinct), [_ORDINARY] * distinct
            for place, plane_ in zip(rng.permutation(distinct), part, strict=False):
                values[place], labels[place] = plane_.values, plane_.label
            order = np.arange(total) if distinct == total else rng.permutation(total) % distinct
            yield from self._runs(lead, values, labels, order, parameters)

    def _distinct(self, slots: int, chosen: int, size: int, parameters: Sequence[Array]) -> int:
        """How many planes of this size there are for so many slots: others are there once more."""
        if isinstance(self._op, GeMPool) and parameters[0].size > 1:
            return slots
        return min(slots, max(chosen + 1, _ELEMENTS_AT_ONCE // max(1, size)))

    def _draw_parameters(self, rng: np.random.Generator, plane: tuple[int, ...]) -> list[Array]:
        """The parameters: as the graph has them, or drawn where it computes them."""
        if self._construct.shares:
            return [np.array(plane) // self._construct.shares]
        drawn: list[Array] = []
        for tensor, value in zip(self._construct.parameters, self._parameters, strict=True):
            if value is not None:
                drawn.append(value)
            elif isinstance(self._op, GeMPool):
                sizes = [d if isinstance(d, int) else 1 for d in tensor.shape or (1,)]
                drawn.append(np.asarray(rng.uniform(2.0, 4.0, sizes)).astype(self._dtype))
            else:
                drawn.append(rng.integers(1, 9, len(self._sizes[0])))
        return drawn

    def _runs(
        self,
        lead: tuple[int, ...],
        values: Array,
        labels: Sequence[str],
        order: Array,
        parameters: Sequence[Array],
    ) -> Iterator[Trial]:
        """Trials with these planes in slots behind one another, as many at a time as X has.

        Args:
            lead: the sizes of X in front of a slot.
            values: ``(planes, D1, …, Dk)``.
            order: which of them each slot gets.
        """
        per_slot = list(parameters)
        if isinstance(self._op, GeMPool) and per_slot[0].size > 1:
            per_slot = [np.tile(per_slot[0].reshape(-1), len(values) // per_slot[0].size)]
        cumulative = self._source is not None and self._source.sums_up
        strange = [slot for slot, label in enumerate(labels) if label != _ORDINARY]
        ranges = rounding.ranges(self._op, values, per_slot, strange, cumulative=cumulative)
        used = [r for r, o in zip(ranges, self._construct.regions, strict=False) if o is not None]
        # Shares of the lengths of X are computed with it.
        given = zip(parameters, self._parameters, strict=not self._construct.shares)
        rest = [value for value, known in given if known is None]
        slots = math.prod(lead)
        for first in range(0, len(order), slots):
            part = order[first : first + slots]
            x = values[part].reshape(*lead, *values.shape[1:])
            if self._construct.layout is not None:
                x = self._construct.layout.region_x(x)
            yield Trial((x, *rest), [labels[i] for i in part], [range_.of(part) for range_ in used])


def _fits_in(plane: Sequence[int], shape: Sequence[Dim]) -> bool:
    """Whether a tensor of this shape may have these sizes."""
    pairs = zip(plane, shape, strict=True)
    return all(length == dim or not isinstance(dim, int) for length, dim in pairs)


def too_large(construct: Construct) -> str:
    """Why a construct cannot be checked, whatever its open sizes; empty where it can."""
    x = construct.op_shape
    known = [dim for dim in x if isinstance(dim, int)]
    if known and isinstance(x[0], int) and len(x) == len(construct.op.each_size[0]) + 2:
        known = known[1:]  # A large batch is not run.
    most = limits.current().memory // _BYTES_OF_EACH
    found = math.prod(known)
    return f"too large to try: {found:,} elements, at most {most:,}" if found > most else ""


def _fits(found: Array, range_: Range, piece: Piece) -> Array:
    """Whether elements are where they may be, or are lost where the piece spreads what is strange.

    Args:
        found: ``(slots, …)``.
    """
    fits = range_.holds(found)
    if piece.has_lowest:
        lowest = found == np.finfo(np.float32).min
        fits = fits | ((range_.wanted == -np.inf) & lowest)
    if piece.spreads:
        axes = tuple(range(1, found.ndim))
        lost = (range_.touched | range_.beyond).any(axis=axes, keepdims=True)
        fits = fits | (lost & ~np.isfinite(found))
    return fits


def _by_slots(output: Array, range_: Range, title: str) -> Array:
    """An output in float64, with its slots as the first axis.

    Raises:
        CheckError: it has too few or too many elements.
    """
    if output.size != range_.wanted.size:
        raise CheckError(
            f"{title} has shape {list(output.shape)}, wanted {range_.wanted.size} elements; "
            "nothing was written"
        )
    # Y may come without its pooled axes.
    return output.astype(np.float64).reshape(range_.wanted.shape)


def _deviations(trial: Trial, found: Mapping[int, Array]) -> list[Deviation]:
    """Those of each output on ordinary values."""
    slots = trial.ordinary
    wanted = {index: trial.ranges[index].wanted for index in found}
    return [
        _deviation(output.reshape(wanted[index].shape)[slots], wanted[index][slots])
        for index, output in found.items()
    ]


def _deviation(found: Array, wanted: Array) -> Deviation:
    """How far an output is off; integers must be equal."""
    wanted = wanted.reshape(found.shape)
    if np.issubdtype(found.dtype, np.integer):
        return Deviation(0.0 if np.array_equal(found, wanted) else math.inf, 1.0)
    off = np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)
    return Deviation(float(off), float(np.max(np.abs(wanted), initial=0.0)))


def _greatest_share(deviations: Sequence[Deviation]) -> float | None:
    """The greatest difference as a share of the greatest value of all outputs."""
    if not deviations:
        return None
    return max(d.off for d in deviations) / (max(d.largest for d in deviations) or 1.0)


def _relative_error(found: Array, wanted: Array) -> float:
    """The greatest difference as a share of the greatest value."""
    return _greatest_share([_deviation(found, wanted)]) or 0.0


def _in_words(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def check_whole_model(before: str | os.PathLike[str] | onnx.ModelProto, after: ModelFile) -> None:
    """Run the whole model as it was and as it is now on seeded random inputs.

    Raises:
        CheckError: an output differs by more than 1e-3 (2e-2 in half precision) of its greatest
            value, or the model does not run, before or after.
    """
    folder = after.folder.model.parent
    source = before if isinstance(before, onnx.ModelProto) else os.fspath(before)
    inputs = _any_inputs(after.proto)
    try:
        old = Runner(source, folder)(inputs)
    except RunError as error:
        raise CheckError(
            "the model as it came does not run, so the whole of it cannot be compared; "
            f"--check regions compares what changed with its definition: {error}"
        ) from error
    has_kernels = any(map(is_body, after.proto.functions)) and not kernels_missing()
    try:
        results = [
            Runner(after.proto, folder, kernels=kernels)(inputs)
            for kernels in ([False, True] if has_kernels else [False])
        ]
    except RunError as error:
        raise CheckError(f"the whole model does not run: {error}; nothing was written") from error
    for new in results:
        _check_outputs([output.name for output in after.proto.graph.output], old, new)


def _check_outputs(names: Sequence[str], old: Sequence[Array], new: Sequence[Array]) -> None:
    for name, x, y in zip(names, old, new, strict=True):
        bound = 2e-2 if x.dtype.itemsize == 2 else 1e-3
        if not x.shape == y.shape or not _relative_error(y, x) <= bound:
            raise CheckError(
                f"output {name!r} of the whole model differs by {_relative_error(y, x):.2g} "
                "of its greatest value after the rewrite; nothing was written"
            )


def _any_inputs(model: onnx.ModelProto) -> dict[str, Array]:
    """Random values for the inputs; symbols stand for 2, and in the last two axes for 64."""
    inputs = model_inputs(model)
    shapes = [
        [
            dim if isinstance(dim, int) else 64 if axis >= max(2, len(dims) - 2) else 2
            for axis, dim in enumerate(dims)
        ]
        for dims in (i.dims or () for i in inputs)
    ]
    return draw(inputs, shapes, "normal", seed=0)
