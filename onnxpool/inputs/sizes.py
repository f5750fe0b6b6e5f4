"""The input sizes at which a model is compared with its source.

Adaptive pooling of length L to O bins has equal windows where O divides L; else they differ in
length, overlap, or (L < O) repeat elements. What is right in one of these classes may be wrong in
the others, so that a dynamic axis is swept by the remainder of L mod O: 0, 1 and O - 1; with L less
than O and equal to it; with one element; with a large size; with different sizes for the axes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from onnxpool.errors import ArgumentError
from onnxpool.inputs.values import ModelInput

T = TypeVar("T")
Shapes = tuple[tuple[int, ...], ...]
"""One shape per input."""

DEFAULT_LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 31, 32, 33, 60, 65)
"""Where it is not known what the model pools to."""

_LARGE = 65
_BATCH = 3


@dataclasses.dataclass(frozen=True, order=True)
class PooledAxis:
    """An axis that is pooled to `bins`, and the length of the input over its length there."""

    bins: int
    stride: int = 1


@dataclasses.dataclass(frozen=True)
class Size:
    """Shapes for all inputs, and in words which class of sizes they stand for."""

    shapes: Shapes
    label: str

    def __str__(self) -> str:
        return ", ".join(in_words(shape) for shape in self.shapes)


def in_words(shape: Sequence[int | str]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def parse(text: str) -> tuple[int, ...]:
    """The shape that is written as 1x8x33x33.

    Raises:
        ArgumentError: it is not.
    """
    sizes = text.lower().split("x")
    if not all(size.isdecimal() for size in sizes):
        raise ArgumentError(f"{text!r} is no shape; wanted sizes with x between, as in 1x8x33x33")
    return tuple(map(int, sizes))


def parse_named(
    option: str, form: str, texts: Iterable[str], read: Callable[[str], T]
) -> dict[str, T]:
    """The sizes written as NAME=SIZE, in the words of an option of the command line.

    Args:
        form: what was wanted, such as "NAME=1x3x224x224".
        read: makes sizes of what is behind the "="; a ValueError says that it is none.

    Raises:
        ArgumentError: one is written otherwise, or a name is there twice.
    """
    found: dict[str, T] = {}
    for text in texts:
        name, equals, size = text.rpartition("=")
        if not equals or not name:
            raise ArgumentError(f"{option} {text}: wanted {form}")
        if name in found:
            raise ArgumentError(f"{option} gives two sizes for {name!r}")
        try:
            found[name] = read(size)
        except ValueError as error:
            raise ArgumentError(f"{option} {text}: wanted {form}") from error
    return found


def given(inputs: Sequence[ModelInput], shapes: Sequence[Sequence[int]]) -> list[Size]:
    """The sizes that the user lists: one shape for each input, as often as wanted.

    Raises:
        ArgumentError: number, rank or a fixed size does not fit the inputs.
    """
    if not inputs or len(shapes) % len(inputs):
        raise ArgumentError(
            f"the model has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), and "
            f"{len(shapes)} shapes are given; give one for each input"
        )
    groups = [shapes[i : i + len(inputs)] for i in range(0, len(shapes), len(inputs))]
    for group in groups:
        for model_input, shape in zip(inputs, group, strict=True):
            _check_fit(model_input, shape)
    return [Size(tuple(tuple(shape) for shape in group), "as given") for group in groups]


def fixed(inputs: Sequence[ModelInput], examples: Shapes | None) -> Size:
    """The one size that the inputs, or else the examples, fix; a free batch is 1.

    Raises:
        ArgumentError: a size is in neither.
    """
    axes = Axes.of(inputs, examples)
    for model_input, dims in zip(inputs, axes.inputs, strict=True):
        if free := [dim for dim in dims if dim in axes.swept and dim not in axes.examples]:
            raise ArgumentError(
                f"input {model_input.name!r} is {in_words(dims)}, and {free[0]} may be anything; "
                "give a size, such as --shape 1x8x33x33"
            )
    return Size(axes.shapes({}), "fixed")


def _check_fit(model_input: ModelInput, shape: Sequence[int]) -> None:
    dims = model_input.dims
    if dims is None:
        return
    if len(dims) != len(shape) or any(
        isinstance(dim, int) and dim != size for dim, size in zip(dims, shape, strict=True)
    ):
        raise ArgumentError(
            f"shape {in_words(shape)} does not fit input {model_input.name!r} of the model, which "
            f"is {in_words(dims)}"
        )


def sweep(
    inputs: Sequence[ModelInput], pools: Sequence[PooledAxis] | None, examples: Shapes | None
) -> list[Size]:
    """The sizes to compare at.

    Args:
        pools: what the source pools to; None where that is not known.
        examples: the shapes of the source's example inputs.

    Raises:
        ArgumentError: a size or rank is neither in the model nor in the examples.
    """
    axes = Axes.of(inputs, examples)
    lengths = DEFAULT_LENGTHS if pools is None else _lengths(pools)
    start = {name: axes.examples.get(name, _LARGE) for name in axes.swept}
    points = [start, *(near(start) if axes.examples else ())]
    points += [dict.fromkeys(axes.swept, length) for length in lengths]
    points += _unequal(axes.swept, lengths)
    sizes = {axes.shapes(point): axes.label(point, pools or ()) for point in points}
    found = [Size(shapes, label) for shapes, label in sizes.items()]
    if axes.batch:
        found.append(Size(axes.shapes(points[0], _BATCH), f"batch {_BATCH}"))
    return found


def near(point: Mapping[str, int]) -> list[dict[str, int]]:
    """The points beside one, of other remainders."""
    steps = (1, -1) if min(point.values(), default=0) > 1 else ()
    return [{name: size + step for name, size in point.items()} for step in steps]


@dataclasses.dataclass(frozen=True)
class Axes:
    """The symbols in the shapes of the inputs, and what stands for them.

    Attributes:
        batch: symbols of first axes.
        swept: symbols that take all lengths.
        examples: what the examples give for the symbols.
    """

    inputs: tuple[tuple[int | str, ...], ...]
    batch: frozenset[str]
    swept: tuple[str, ...]
    examples: Mapping[str, int]

    @classmethod
    def of(cls, inputs: Sequence[ModelInput], examples: Shapes | None) -> Axes:
        fitting = examples if examples and len(examples) == len(inputs) else (None,) * len(inputs)
        all_dims = []
        known: dict[str, int] = {}
        swept: dict[str, None] = {}
        batch: set[str] = set()
        for model_input, example in zip(inputs, fitting, strict=True):
            dims = _dims(model_input, example)
            all_dims.append(dims)
            for axis, dim in enumerate(dims):
                if isinstance(dim, int):
                    continue
                if example is not None and len(example) == len(dims):
                    known.setdefault(dim, example[axis])
                if axis == 0 and len(dims) > 1:
                    batch.add(dim)
                elif not _is_channels(dims, axis):
                    swept[dim] = None
                elif dim not in known:
                    raise ArgumentError(
                        f"input {model_input.name!r} does not say how many channels it has (axis "
                        f"{axis}); give a size, such as --shape 1x8x33x33"
                    )
        names = tuple(name for name in swept if name not in batch)
        return cls(tuple(all_dims), frozenset(batch), names, known)

    def shapes(self, point: Mapping[str, int], batch: int | None = None) -> Shapes:
        values = dict.fromkeys(self.batch, 1) | dict(self.examples) | dict(point)
        if batch is not None:
            values |= dict.fromkeys(self.batch, batch)
        return tuple(
            tuple(dim if isinstance(dim, int) else values[dim] for dim in dims)
            for dims in self.inputs
        )

    def label(self, point: Mapping[str, int], pools: Sequence[PooledAxis]) -> str:
        if not point:
            return "fixed"
        lengths = set(point.values())
        return "non-square" if len(lengths) > 1 else _residues(lengths.pop(), pools)


def _dims(model_input: ModelInput, example: tuple[int, ...] | None) -> tuple[int | str, ...]:
    if model_input.dims is not None:
        return model_input.dims
    if example is None:
        raise ArgumentError(
            f"input {model_input.name!r} has no known rank; give a size, such as --shape 1x8x33x33"
        )
    return tuple(f"{model_input.name}[{axis}]" for axis in range(len(example)))


def _is_channels(dims: Sequence[int | str], axis: int) -> bool:
    """Whether an axis counts channels in ``(N, C, D1, …, Dk)``, and not positions."""
    later = all(isinstance(dim, str) for dim in dims[2:])
    return axis == 1 and later and (len(dims) > 3 or (len(dims) == 3 and isinstance(dims[0], str)))


def _lengths(pools: Sequence[PooledAxis]) -> tuple[int, ...]:
    lengths = {1, _LARGE}
    for pool in pools:
        bins = pool.bins
        pooled = {bins - 1, bins, 2 * bins, 2 * bins + 1, 3 * bins - 1}
        lengths |= {length * pool.stride for length in pooled if length > 0}
    return tuple(sorted(lengths))


def _unequal(names: Sequence[str], lengths: Sequence[int]) -> list[dict[str, int]]:
    """A few points whose axes differ: neighbours, and the ends of the list, in both orders."""
    if len(names) < 2:
        return []
    middle = len(lengths) // 2
    pairs = [(middle - 1, middle), (middle, middle - 1), (1, len(lengths) - 1), (-1, middle)]
    return [{name: lengths[pair[i % 2] - i // 2] for i, name in enumerate(names)} for pair in pairs]


def _residues(length: int, pools: Sequence[PooledAxis]) -> str:
    """Such as "1 mod 2, 3; below 6"."""
    classes: dict[str, list[int]] = {}
    for pool in sorted(set(pools)):
        pooled = math.ceil(length / pool.stride)
        if pooled < pool.bins:
            relation = "below"
        elif pooled == pool.bins:
            relation = "equal"
        else:
            relation = f"{pooled % pool.bins} mod"
        classes.setdefault(relation, []).append(pool.bins)
    words = [f"{name} {', '.join(map(str, bins))}" for name, bins in classes.items()]
    return "; ".join(words) or ("one element" if length == 1 else "")
