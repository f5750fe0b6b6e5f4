"""What a PyTorch source pools to, seen by running it at several sizes.

Every call to a pool is watched below nn.Module and torch.nn.functional, so that all spellings are
seen alike, and compared over the runs, axis by axis:

    adaptive, the size stays                 fixed
    adaptive, the size is that of the input  kept
    adaptive, the size is a share of it      a share: length // k
    an ordinary pool, its kernel stays       ordinary
    an ordinary pool, its kernel is all      fixed: 1

A pool that fits none of them, or more than one, is of no known size, with the reason why.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from onnxpool.errors import SourceError
from onnxpool.inputs.sizes import Axes, Shapes
from onnxpool.inputs.values import ModelInput, distributions, draw
from onnxpool.ops.op import KEEP, Array
from onnxpool.rewrites.region.size import OutputSize, Plane, Share, in_words
from onnxpool.validation.runnable import DoesNotRun, TorchSource

Mode = Literal["avg", "max"]

_LENGTHS = (
    (96, 128),
    (80, 64),
    (33, 50),
    (160, 224),
    (128, 128),
    (224, 224),
    (256, 256),
    (384, 512),
    (32, 32),
    (24, 16),
    (14, 14),
    (7, 7),
    (512, 512),
)
"""Lengths to run at, in turns for the axes that are open. Some sources want squares, some multiples
of their patches; where all of a pair are small, a share of a small map shows in large ones only."""

_ENOUGH = 3
"""Runs after which it is asked whether all is known."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call to a pool in one run.

    Attributes:
        plane, out: the size of what is pooled, and of what is returned.
        kernel: the length of its windows, of an ordinary pool whose windows lie side by side;
            () for an adaptive one, None for other windows.
        reduced: whether it was a mean: what torch makes of an average to one element.
        x: what is pooled, in the first run.
    """

    module: str
    mode: Mode
    plane: Plane
    out: Plane
    kernel: Plane | None
    reduced: bool = False
    x: Array | None = None


@dataclasses.dataclass(frozen=True)
class SourcePool:
    """A pool of a source.

    Attributes:
        module: the path of the module that calls it; "" is the source itself.
        number: of the call in the run.
        planes: the size of what it pools, per run.
        x: what it pools, in the first run.
        kernel: of an ordinary one, the length of its windows.
        size: the size it pools to; None where it is ordinary, or not known.
        open_because: why it is not known what it is; empty where it is.
    """

    module: str
    mode: Mode
    number: int
    planes: Sequence[Plane]
    x: Array | None
    kernel: Plane = ()
    size: OutputSize | None = None
    open_because: str = ""


@dataclasses.dataclass(frozen=True)
class SourcePools:
    """Attributes:
    inputs: those of the first run.
    """

    source: TorchSource
    inputs: Sequence[Array]
    pools: Sequence[SourcePool]


def pools_of(source: TorchSource, inputs: Sequence[ModelInput], seed: int = 0) -> SourcePools:
    """Run a source at sizes of these inputs until it is known what each of its pools is.

    Raises:
        ArgumentError: a size or rank is neither in the model nor in the examples.
        SourceError: the source runs at fewer than two of the sizes.
    """
    first: list[Array] = []
    calls: list[list[Call]] = []
    pools: list[SourcePool] = []
    refused = ""
    for shapes in _sizes(inputs, source.example_shapes):
        values = list(draw(inputs, shapes, distributions(inputs)[0], seed).values())
        try:
            calls.append(_calls(source, values, keep=not calls))
        except DoesNotRun as error:
            refused = str(error)
            continue
        first = first or values
        if len(calls) >= _ENOUGH:
            pools = _compared(calls)
            if not any(pool.open_because for pool in pools):
                break
    if len(calls) < 2:
        raise SourceError(
            f"{source.name} runs at {len(calls)} of the sizes that were tried, and what it pools "
            f"to shows at two or more{': ' * bool(refused)}{refused}; give the file an EXAMPLES "
            "entry with the shape of an input"
        )
    return SourcePools(source, first, pools or _compared(calls))


def pools_here(
    source: TorchSource, inputs: Sequence[Array], planes: Sequence[tuple[SourcePool, Plane]]
) -> bool:
    """Whether these pools of a source pool planes of these sizes when it runs on `inputs`.

    Raises:
        DoesNotRun: the inputs are not accepted.
    """
    calls = dict(enumerate(_calls(source, inputs, keep=False)))
    found = [(calls.get(pool.number), pool.module, plane) for pool, plane in planes]
    return all(c and c.module == m and c.plane[-len(p) :] == p for c, m, p in found)


def _sizes(inputs: Sequence[ModelInput], examples: Shapes | None) -> list[Shapes]:
    axes = Axes.of(inputs, examples)
    points: list[Mapping[str, int]] = []
    if all(name in axes.examples for name in axes.swept):
        points = [{n: axes.examples[n] * by // 2 for n in axes.swept} for by in (2, 3, 4, 1)]
    smaller = 4 if len(axes.swept) > 2 else 1
    for pair in _LENGTHS:
        lengths = [max(1, pair[i % 2] // smaller) for i in range(len(axes.swept))]
        points.append(dict(zip(axes.swept, lengths, strict=True)))
    return list(dict.fromkeys(axes.shapes(point) for point in points))


def _calls(source: TorchSource, inputs: Sequence[Array], *, keep: bool) -> list[Call]:
    """Run once.

    Args:
        keep: whether what is pooled is kept.

    Raises:
        DoesNotRun: the inputs are not accepted.
    """
    found: list[Call] = []

    def see(module: str, name: str, args: Sequence[Any], result: Any) -> None:
        call = _call(module, name, args, result)
        if call is not None:
            x = args[0].detach().float().numpy().copy() if keep else None
            found.append(dataclasses.replace(call, x=x))

    source.watch(inputs, see)
    return found


def _call(module: str, name: str, args: Sequence[Any], result: Any) -> Call | None:
    name = name.removesuffix("_with_indices")
    mode = next((m for m in get_args(Mode) if f"{m}_pool" in name), None)
    if mode is None and not _is_mean_of_plane(name, args):
        return None
    x, y = args[0], result[0] if isinstance(result, tuple) else result
    if mode is None:
        axes = len(args[1])
        return Call(module, "avg", tuple(x.shape[-axes:]), (1,) * axes, (), reduced=True)
    if not name.endswith(("pool1d", "pool2d", "pool3d")):
        return None
    k = int(name[-2])
    kernel = () if "adaptive" in name else _side_by_side(k, args, mode)
    return Call(module, mode, tuple(x.shape[-k:]), tuple(y.shape[-k:]), kernel)


def _is_mean_of_plane(name: str, args: Sequence[Any]) -> bool:
    if name != "mean" or len(args) < 3 or not args[2] or not isinstance(args[1], list | tuple):
        return False
    rank = args[0].dim()
    return sorted(axis % rank for axis in args[1]) == list(range(rank - len(args[1]), rank))


def _side_by_side(k: int, args: Sequence[Any], mode: Mode) -> Plane | None:
    """The kernel of an ordinary pool whose windows neither overlap nor leave elements out."""
    kernel, stride, *rest = [*args[1:], None][: len(args) + 1]
    kernel = _axes(kernel, k)
    padding, *rest = rest or [0]
    dilation, *rest = (rest or [1]) if mode == "max" else [1, *rest]
    ceil_mode = bool(rest and rest[0])
    divisor = rest[2] if mode == "avg" and len(rest) > 2 else None
    plain = not any(_axes(padding or 0, k)) and set(_axes(dilation or 1, k)) == {1}
    beside = not stride or _axes(stride, k) == kernel
    return kernel if plain and beside and not ceil_mode and divisor is None else None


def _axes(value: Any, k: int) -> Plane:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values * k if len(values) == 1 else values


def _compared(runs: Sequence[Sequence[Call]]) -> list[SourcePool]:
    """What the calls of all runs have in common; calls are paired by module, in order."""
    by_place = [_by_place(calls) for calls in runs]
    found: list[SourcePool] = []
    for place, first in by_place[0].items():
        same = all(len(calls.get(place, ())) == len(first) for calls in by_place)
        for index, (number, _) in enumerate(first):
            calls = [of_run[place][index][1] for of_run in by_place] if same else []
            if same and (all(c.reduced for c in calls) or any(c.kernel is None for c in calls)):
                continue
            found.append(_pool(number, calls) if same else _unsteady(number, runs[0][number]))
    return sorted(found, key=lambda pool: pool.number)


def _by_place(calls: Sequence[Call]) -> dict[tuple[str, str, int], list[tuple[int, Call]]]:
    found: dict[tuple[str, str, int], list[tuple[int, Call]]] = defaultdict(list)
    for number, call in enumerate(calls):
        found[call.module, call.mode, len(call.out)].append((number, call))
    return found


def _unsteady(number: int, call: Call) -> SourcePool:
    return SourcePool(
        call.module,
        call.mode,
        number,
        (),
        None,
        open_because="its module pools another number of times at other sizes",
    )


def _pool(number: int, calls: Sequence[Call]) -> SourcePool:
    first = calls[0]
    planes = [call.plane for call in calls]
    pool = SourcePool(first.module, first.mode, number, planes, first.x)
    kernels = [call.kernel for call in calls]
    if not any(kernels):
        return _adaptive(pool, [call.out for call in calls])
    if not all(kernels):
        return dataclasses.replace(pool, open_because="it is adaptive at some sizes only")
    return _ordinary(pool, [kernel or () for kernel in kernels])


def _adaptive(pool: SourcePool, outs: Sequence[Plane]) -> SourcePool:
    sizes = [_sizes_of_axis(*axis) for axis in _per_axis(pool.planes, outs)]
    if all(len(found) == 1 for found in sizes):
        return dataclasses.replace(pool, size=tuple(found[0] for found in sizes))
    if all(sizes):
        options = " or ".join(in_words([s]) for s in next(f for f in sizes if len(f) > 1))
        why = f"at the sizes that were tried it may pool to {options}"
    else:
        pairs = zip(pool.planes, outs, strict=True)
        shown = ", ".join(f"{in_words(x)} to {in_words(y)}" for x, y in pairs)
        why = f"its output size follows its input in a way of its own ({shown})"
    return dataclasses.replace(pool, open_because=why)


def _ordinary(pool: SourcePool, kernels: Sequence[Plane]) -> SourcePool:
    axes = list(_per_axis(pool.planes, kernels))
    if all(len(set(kernel)) == 1 for _, kernel in axes):
        vary = any(len(set(lengths)) > 1 for lengths, _ in axes)
        why = "" if vary else "its input is of one size in all runs"
        return dataclasses.replace(pool, kernel=kernels[0], open_because=why)
    sizes = [_size_of_windows(*axis) for axis in axes]
    known = tuple(size for size in sizes if size is not None)
    if len(known) == len(sizes):
        return dataclasses.replace(pool, size=known)
    return dataclasses.replace(pool, open_because="its kernel follows its input")


def _per_axis(
    planes: Sequence[Plane], others: Sequence[Plane]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    return zip(zip(*planes, strict=True), zip(*others, strict=True), strict=True)


def _sizes_of_axis(lengths: Sequence[int], outs: Sequence[int]) -> list[int | Share]:
    """The sizes to which an axis of these lengths is pooled that give these outputs."""
    if len(set(lengths)) == 1:
        return [outs[0]] if len(set(outs)) == 1 else []
    pairs = list(zip(lengths, outs, strict=True))
    found: list[int | Share] = [outs[0]] if len(set(outs)) == 1 else []
    if all(length == out for length, out in pairs):
        found.append(KEEP)
    shares = (Share(k) for k in range(2, max(lengths) + 1))
    return [*found, *(s for s in shares if all(n // s.divisor == out for n, out in pairs))]


def _size_of_windows(lengths: Sequence[int], kernel: Sequence[int]) -> int | None:
    if all(n == k for n, k in zip(lengths, kernel, strict=True)):
        return 1
    return KEEP if set(kernel) == {1} else None
