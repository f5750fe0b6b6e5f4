"""Whether a model is right at every size that it declares open, as far as running it can tell.

Exporters bake numbers of the traced size in: in a factor, a buffer, a shape, a branch that was
taken. The module is at hand, so the model runs beside it, at sizes other than the traced one:

    broken assumptions   sizes for which a condition that the exporter relied on does not hold
    one axis             longer and shorter by one, by a stride, and by far; the others as traced
    all axes             the same, at once, for modules that tie them

An axis that moved where the model is wrong does not hold; `onnxpool.export` fixes it then.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxpool.errors import ArgumentError, CheckError, ModelError, SourceError
from onnxpool.exporters.specialised import Axis, Traced, shortened
from onnxpool.inputs.sizes import Shapes, Size
from onnxpool.inputs.values import ModelInput
from onnxpool.model.file import ModelFile
from onnxpool.validation.compare import Comparison, SizeResult
from onnxpool.validation.runnable import OnnxModel, TorchSource
from onnxpool.validation.source import Source

if TYPE_CHECKING:
    from torch import nn

Place = tuple[int, int]
"""The number of an input, and of one of its axes."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_SYMBOL = re.compile(rf"{_NAME.pattern}(\[\d+\])?")

_ENOUGH = 4
"""Sizes of one axis that the module takes, and of which more are not tried."""

_FACTORS = (4, 16)
"""How many times as long an axis is tried where sizes became numbers."""

_STRIDES = 64
"""How far from the traced size one is looked for that the module takes, where no other is."""

_MOST_ELEMENTS = 2**20
"""Of inputs longer than the traced ones."""

_MOST_WEIGHTS = 2**31
"""In bytes; beyond, what ONNX Runtime takes as one message ends."""


@dataclasses.dataclass(frozen=True)
class Tried:
    """What running the model beside the module told.

    Attributes:
        wrong: the axes that do not hold, each with the reason.
        notes: what is not as open as it looks, in other ways.
    """

    wrong: Mapping[Place, str]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A size that the model leaves open, and the axes that have it."""

    name: str
    places: tuple[Place, ...]
    traced: int

    @property
    def is_batch(self) -> bool:
        return all(axis == 0 for _, axis in self.places)


def try_open_axes(
    file: ModelFile, module: nn.Module, args: tuple[Any, ...], traced: Traced
) -> Tried:
    """Run the model beside the module that it was exported from.

    Args:
        args: as the module takes them, of the traced sizes.
        traced: what the exporter said.

    Raises:
        CheckError: the model is wrong at the traced size already.
    """
    tensors, source = _of_tensors(module, args)
    if reason := _cannot_run(module):
        return untried(traced, reason)
    try:
        model = OnnxModel("the exported model", file)
        if len(model.inputs) != len(tensors):
            return untried(traced, f"it has {len(model.inputs)} inputs, the module {len(tensors)}")
        integers = {
            i.name: x.detach().cpu().numpy()
            for i, x in zip(model.inputs, tensors, strict=True)
            if not i.is_float
        }
        comparison = Comparison(
            model, TorchSource(source, model.inputs), ("normal",), seed=0, integers=integers
        )
        trial = _Trial(comparison, tuple(tuple(x.shape) for x in tensors))
        first = trial.at({})
    except (ArgumentError, ModelError, SourceError) as error:
        return untried(traced, str(error))
    if first.outcome == "not accepted":
        return untried(traced, f"the module does not take random values: {first.detail}")
    if first.failed:
        raise CheckError(f"at the size it was traced at, {trial.explained(first)}")
    return trial.of(traced)


def untried(traced: Traced, reason: str) -> Tried:
    """What is said where the model was not run."""
    notes = (f"not run beside the module: {reason}", *(a.note for a in traced.assumptions))
    return Tried({}, (*notes, *(f"{line} turns a size into a number" for line in traced.lines)))


def _cannot_run(module: nn.Module) -> str:
    weights = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    return f"its weights are {weights >> 20} MiB" if weights >= _MOST_WEIGHTS else ""


def _of_tensors(module: nn.Module, args: tuple[Any, ...]) -> tuple[list[Any], Source]:
    """The tensors in `args`, and the module as one that takes them alone."""
    import torch
    from torch.utils import _pytree as pytree

    leaves, spec = pytree.tree_flatten(args)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i] for i in places]
    name = type(module).__name__
    if len(tensors) == len(args) == len(leaves):
        return tensors, Source(name, module)

    class OfTensors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *given: torch.Tensor) -> Any:
            filled = list(leaves)
            for i, tensor in zip(places, given, strict=True):
                filled[i] = tensor
            return self.module(*pytree.tree_unflatten(filled, spec))

    return tensors, Source(name, OfTensors().train(module.training))


class _Trial:
    def __init__(self, comparison: Comparison, shapes: Shapes) -> None:
        self._comparison = comparison
        self._shapes = shapes
        self._symbols = symbols(comparison.model.inputs, shapes)
        self._wrong: dict[Place, str] = {}
        self._accepted: set[str] = set()
        self._results: dict[Shapes, SizeResult] = {}
        self._most = max(_MOST_ELEMENTS, sum(map(math.prod, shapes)))

    def at(self, moved: Mapping[Place, int]) -> SizeResult:
        """Compare where some axes have another size than the traced one."""
        shapes = tuple(
            tuple(moved.get((i, axis), size) for axis, size in enumerate(shape))
            for i, shape in enumerate(self._shapes)
        )
        if shapes not in self._results:
            self._results[shapes] = self._comparison.at(Size(shapes, ""))
        return self._results[shapes]

    def first_difference(self, result: SizeResult) -> str:
        return self._comparison.first_difference([self.at({}), result])

    def of(self, traced: Traced) -> Tried:
        notes = _fewer(list(self._assumptions(traced)))
        self._single()
        if traced.lines:
            self._far()
        self._joint()
        notes += self._ones()
        for symbol in self._symbols:
            if symbol.name not in self._accepted and not self._is_wrong(symbol):
                self._fix([symbol], "the module takes no other size of those that were tried")
        if traced.lines and self._wrong:
            where = f"sizes become numbers at {', '.join(traced.lines)}"
            self._wrong = {place: f"{why}; {where}" for place, why in self._wrong.items()}
        elif traced.lines:
            count = sum(result.outcome == "right" for result in self._results.values())
            notes += [
                f"{line} turns a size into a number; the model is right at the {count} sizes tried"
                for line in traced.lines
            ]
        return Tried(self._wrong, tuple(notes))

    def _assumptions(self, traced: Traced) -> Iterator[str]:
        """Fix the axes of what the source does not share; yield a note where no size tells."""
        for assumption in traced.assumptions:
            outcomes = [
                self._try(
                    [symbol for symbol, _ in moved],
                    [size for _, size in moved],
                    f"the export would be right only where {shortened(assumption.words)}",
                )
                for sizes in assumption.broken_by
                if (moved := self._moved(traced.inputs, sizes))
            ]
            if not any(outcome in ("right", "wrong", "fails") for outcome in outcomes):
                yield assumption.note

    def _moved(self, inputs: Sequence[str], sizes: Mapping[Axis, int]) -> list[tuple[Symbol, int]]:
        return [
            (symbol, size)
            for (name, axis), size in sizes.items()
            for symbol in self._symbols
            if name in inputs and (inputs.index(name), axis) in symbol.places
        ]

    def _single(self) -> None:
        for symbol in self._symbols:
            taken = 0
            for length in lengths(symbol.traced):
                if taken == _ENOUGH or self._is_wrong(symbol):
                    break
                taken += self._try([symbol], [length]) != "not accepted"
            for length in range(symbol.traced + 2, symbol.traced + _STRIDES + 1):
                if taken:
                    break
                taken += self._try([symbol], [length]) != "not accepted"

    def _far(self) -> None:
        """A number may have been compared with one that is far from it."""
        for symbol in self._symbols:
            for factor in _FACTORS:
                if not self._is_wrong(symbol):
                    self._try([symbol], [factor * symbol.traced])

    def _joint(self) -> None:
        """All axes at once but the batch: equal ones stay equal."""
        together = [s for s in self._symbols if not s.is_batch]
        if len(together) > 1:
            taken = 0
            for sizes in zip(*(lengths(s.traced) for s in together), strict=False):
                if taken == _ENOUGH or all(map(self._is_wrong, together)):
                    break
                held = [p for p in zip(together, sizes, strict=True) if not self._is_wrong(p[0])]
                outcome = self._try([s for s, _ in held], [size for _, size in held])
                taken += outcome != "not accepted"

    def _ones(self) -> Iterator[str]:
        """A size of 1 is one that torch.export never takes for open."""
        for symbol in self._symbols:
            if symbol.traced > 1 and not self._is_wrong(symbol):
                result = self.at(dict.fromkeys(symbol.places, 1))
                if result.failed:
                    yield f"wrong where {symbol.name} is 1: at {result.size}, {result.detail}"

    def _try(self, moved: Sequence[Symbol], sizes: Sequence[int], reason: str = "") -> str:
        if all(size == s.traced for s, size in zip(moved, sizes, strict=True)):
            return "not accepted"
        places = {p: size for s, size in zip(moved, sizes, strict=True) for p in s.places}
        if self._elements(places) > self._most:
            return "not accepted"
        result = self.at(places)
        if result.outcome != "not accepted":
            self._accepted.update(s.name for s in moved)
        if result.failed and not any(map(self._is_wrong, moved)):
            self._fix(moved, reason or self.explained(result))
        return result.outcome

    def explained(self, result: SizeResult) -> str:
        if result.outcome == "fails":
            return f"at {result.size} the export would not run ({shortened(result.detail)})"
        where = self.first_difference(result)
        where = "" if where.startswith("cannot") else f"; first difference: {where}"
        return f"at {result.size} the export would be wrong: {result.detail}{where}"

    def _elements(self, moved: Mapping[Place, int]) -> int:
        return sum(
            math.prod(moved.get((i, axis), size) for axis, size in enumerate(shape))
            for i, shape in enumerate(self._shapes)
        )

    def _is_wrong(self, symbol: Symbol) -> bool:
        return any(place in self._wrong for place in symbol.places)

    def _fix(self, wrong: Iterable[Symbol], why: str) -> None:
        self._wrong.update({place: why for symbol in wrong for place in symbol.places})


def _fewer(notes: list[str]) -> list[str]:
    """The first condition stands for all that no size tells from those of the module."""
    conditions = [note for note in notes if note.startswith("right only where")]
    if len(conditions) < 2:
        return notes
    others = [note for note in notes if note not in conditions]
    return [*others, f"{conditions[0]} (and {len(conditions) - 1} conditions more)"]


def symbols(inputs: Sequence[ModelInput], shapes: Shapes) -> list[Symbol]:
    """The sizes that may be moved: those of a name, which no computed size depends on."""
    places: dict[str, list[Place]] = {}
    tied: set[str] = set()
    for number, model_input in enumerate(inputs):
        for axis, dim in enumerate(model_input.dims or ()):
            if isinstance(dim, str):
                places.setdefault(dim, []).append((number, axis))
                tied.update([] if _SYMBOL.fullmatch(dim) else _NAME.findall(dim))
    return [
        Symbol(name, tuple(found), shapes[found[0][0]][found[0][1]])
        for name, found in places.items()
        if _SYMBOL.fullmatch(name) and name not in tied
    ]


def lengths(traced: int) -> Iterator[int]:
    """Other sizes than `traced`: of other remainders, of the same strides, and of both sides."""
    stride = traced & -traced
    sizes = (
        traced + 1,
        traced // 2,
        traced + stride,
        traced - 1,
        2 * traced,
        traced - stride,
    )
    yield from (size for size in dict.fromkeys(sizes) if size > 1 and size != traced)
