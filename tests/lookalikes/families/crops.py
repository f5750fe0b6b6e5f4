"""Pooling of a part of X: the first n, every second, all but the last."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lookalikes.lookalike import Dims, Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins

_OPS = ("ReduceMean", "ReduceMax")
_FAR = 2**63 - 1


def graphs() -> Iterator[Lookalike]:
    yield from _open()
    yield from _fixed()
    yield from _other_ops()
    yield from _bins()
    yield from _honest()


def _cropped(name: str, op: str, x: Dims, s: int, e: int, d: int = 1) -> Lookalike:
    return lookalike(
        f"{op} of [{s}:{'' if abs(e) == _FAR else e}:{d}], {name}",
        f"t = Slice(X, s, e, a, d)\nY = {op}<axes=[2]>(t)",
        x,
        s=[s],
        e=[e],
        a=[2],
        d=[d],
    )


def _open() -> Iterator[Lookalike]:
    for op in _OPS:
        for n in (20, 100, 300, 1000):
            yield _cropped("open", op, (1, 2, "L"), 0, n)
        for s, e, d in (
            *((1, _FAR, 1), (0, -1, 1), (-20, _FAR, 1), (-100, _FAR, 1), (0, _FAR, 2)),
            *((-1, -_FAR, -2), (-200, 200, 1), (0, _FAR, 64), (150, _FAR, 1)),
        ):
            yield _cropped("open", op, (1, 2, "L"), s, e, d)
        yield lookalike(
            f"{op} of the first 100x100, open",
            f"t = Slice(X, s, e, a)\nY = {op}<axes=[2, 3]>(t)",
            ("N", 2, "H", "W"),
            s=[0, 0],
            e=[100, 100],
            a=[2, 3],
        )
        yield lookalike(
            f"{op} of the first 100 rows, open",
            f"t = Slice(X, s, e, a)\nY = {op}<axes=[2, 3]>(t)",
            ("N", 2, "H", "W"),
            s=[0],
            e=[100],
            a=[2],
        )
        yield lookalike(
            f"{op} of all but the last 100, open",
            f"t = Slice(X, s, e, a)\nY = {op}<axes=[2]>(t)",
            (1, 2, "L"),
            s=[0],
            e=[-100],
            a=[2],
        )
        yield lookalike(
            f"{op} of the first two tokens, open",
            f"t = Gather<axis=2>(X, i)\nY = {op}<axes=[2]>(t)",
            (1, 2, "L"),
            i=[0, 1],
        )


def _fixed() -> Iterator[Lookalike]:
    for op in _OPS:
        for s, e, d in (
            *((0, 12, 1), (1, _FAR, 1), (0, -1, 1), (0, _FAR, 2), (-1, -_FAR, -3), (-5, _FAR, 1)),
            *((12, 0, -1), (3, 9, 1)),
        ):
            yield _cropped("of 13", op, (2, 3, 13), s, e, d)
        yield lookalike(
            f"{op} of 12x12 of 13x13",
            f"t = Slice(X, s, e, a)\nY = {op}<axes=[2, 3]>(t)",
            (1, 3, 13, 13),
            s=[0, 0],
            e=[12, 12],
            a=[2, 3],
        )
        yield lookalike(
            f"{op} of 12 of 13 columns",
            f"t = Slice(X, s, e, a)\nY = {op}<axes=[2, 3]>(t)",
            (1, 3, 13, 13),
            s=[0],
            e=[12],
            a=[3],
        )


def _other_ops() -> Iterator[Lookalike]:
    x = (1, 3, 13, 13)
    for pool in ("AveragePool", "MaxPool"):
        kernel = "<kernel_shape=[6, 6], strides=[6, 6]>"
        yield lookalike(f"{pool} that leaves a row out", f"Y = {pool}{kernel}(X)", x)
        yield lookalike(
            f"{pool} of a crop",
            f"t = Slice(X, s, e, a)\nY = {pool}{kernel}(t)",
            x,
            s=[1, 1],
            e=[13, 13],
            a=[2, 3],
        )
        yield lookalike(
            f"{pool} of a crop by negative pads",
            f"t = Pad(X, p)\nY = {pool}{kernel}(t)",
            x,
            p=[0, 0, 0, 0, 0, 0, -1, -1],
        )
    for op in _OPS:
        yield lookalike(
            f"{op} of one half of a Split",
            f"a, b = Split<axis=2>(X, n)\nY = {op}<axes=[2]>(a)",
            (2, 3, 13),
            n=[12, 1],
        )
        yield lookalike(
            f"{op} without the middle",
            f"t = Gather<axis=2>(X, i)\nY = {op}<axes=[2]>(t)",
            (2, 3, 7),
            i=[0, 1, 2, 4, 5, 6],
        )
        yield lookalike(
            f"{op} with the middle twice",
            f"t = Gather<axis=2>(X, i)\nY = {op}<axes=[2]>(t)",
            (2, 3, 7),
            i=[0, 1, 2, 3, 3, 4, 5, 6],
        )
        yield lookalike(
            f"{op} of three of four channels",
            f"t = Slice(X, s, e, a)\nY = {op}<axes=[2, 3]>(t)",
            (1, 4, 5, 5),
            s=[0],
            e=[3],
            a=[1],
        )
        yield lookalike(
            f"{op} padded by its edge",
            f't = Pad<mode="edge">(X, p)\nY = {op}<axes=[2]>(t)',
            (2, 3, 7),
            p=[0, 0, 0, 0, 0, 1],
        )
        yield lookalike(
            f"{op} padded by zeros",
            f"t = Pad(X, p)\nY = {op}<axes=[2]>(t)",
            (2, 3, 7),
            p=[0, 0, 0, 0, 0, 1],
        )


def _bins() -> Iterator[Lookalike]:
    for op in _OPS:
        for name, spans in {
            "without the last": adaptive(12, 4),
            "without the first": [(s + 1, e + 1) for s, e in adaptive(12, 4)],
            "without the end of each": [(s, e - 1) for s, e in adaptive(13, 4)],
            "overlapping less": [(3 * i, 3 * i + 3) for i in range(4)],
        }.items():
            text, constants = bins(spans, 2, op)
            yield lookalike(f"{op} of bins of 13, {name}", text, (1, 2, 13), **constants)
        for length in (100, 200):
            text, constants = bins([(0, 25), (25, 50), (50, 75), (75, length)], 2, op)
            yield lookalike(f"{op} of bins up to {length}, open", text, (1, 2, "L"), **constants)
        text, constants = bins([(0, 4), (4, 8), (8, _FAR)], 2, op)
        yield lookalike(f"{op} of bins, the last open", text, (1, 2, "L"), **constants)


def _honest() -> Iterator[Lookalike]:
    for op in _OPS:
        yield _cropped("all of 13", op, (2, 3, 13), 0, 13)
        yield _cropped("all of 13, far", op, (2, 3, 13), 0, _FAR)
        yield _cropped("all, open", op, (1, 2, "L"), 0, _FAR)
        text, constants = bins(adaptive(13, 4), 2, op)
        yield lookalike(f"{op} of bins of 13", text, (1, 2, 13), found=True, **constants)
