"""Pooling of other axes than the last: channels, batches, groups, tokens, channels last."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins

_OPS = ("ReduceMean", "ReduceMax")


def graphs() -> Iterator[Lookalike]:
    yield from _one_axis()
    yield from _groups()
    yield from _layouts()
    yield from _square()
    yield from _honest()


def _one_axis() -> Iterator[Lookalike]:
    for op in _OPS:
        for axis in range(4):
            text, constants = bins(adaptive(5, 2), axis, op)
            x = [2, 3, 4, 6]
            x[axis] = 5
            yield lookalike(f"{op} of bins along {axis}", text, x, **constants)
        for axis in range(3):
            text, constants = bins(adaptive(5, 2), axis, op)
            x = [5 if i == axis else 3 for i in range(3)]
            yield lookalike(f"{op} of bins along {axis} of 3", text, x, **constants)
        yield lookalike(f"{op} of all but the last", f"Y = {op}<axes=[0, 1, 2]>(X)", (2, 3, 4, 5))
        for k in (2, 3):
            window = ", ".join(["2"] * k)
            yield lookalike(
                f"{op} of channels through a pool of {k} axes",
                f"t = Transpose<perm={[0, *range(2, k + 2), 1]}>(X)\n"
                f"Y = {'AveragePool' if op == 'ReduceMean' else 'MaxPool'}"
                f"<kernel_shape=[{window}], strides=[{window}]>(t)",
                (1, *[4] * (k + 1)),
            )


def _groups() -> Iterator[Lookalike]:
    for op in _OPS:
        for name, (shape, axes) in {
            "pairs of channels": ([1, 2, 2, 6, 5], [2]),
            "two groups of channels": ([1, 2, 2, 6, 5], [1]),
            "channels and rows": ([1, 2, 2, 6, 5], [2, 3]),
            "groups and planes": ([1, 2, 2, 6, 5], [2, 3, 4]),
            "maxout": ([1, 2, 2, 30], [2]),
        }.items():
            yield lookalike(
                f"{op} of {name}",
                f"r = Reshape(X, s)\nY = {op}<axes={axes}, keepdims=0>(r)",
                (1, 4, 6, 5),
                s=shape,
            )
        yield lookalike(
            f"{op} of blocks, axes exchanged",
            f"r = Reshape(X, s)\nY = {op}<axes=[2, 4], keepdims=0>(r)",
            (1, 2, 6, 6),
            s=[1, 2, 2, 3, 2, 3],
        )
        yield lookalike(
            f"{op} over the batch of a video",
            f"r = Reshape(X, s)\nm = {op}<axes=[1], keepdims=0>(r)\nY = {op}<axes=[2, 3]>(m)",
            (6, 2, 4, 5),
            s=[2, 3, 2, 4, 5],
        )
        yield lookalike(
            f"{op} over the batch", f"Y = {op}<axes=[0, 2, 3], keepdims=1>(X)", (2, 3, 4, 5)
        )
        yield lookalike(f"{op} over channels", f"Y = {op}<axes=[1]>(X)", (2, 6, 4, 5))
        yield lookalike(
            f"{op} over channels and planes", f"Y = {op}<axes=[1, 2, 3]>(X)", (2, 3, 4, 5)
        )


def _layouts() -> Iterator[Lookalike]:
    for op, pool in (("ReduceMean", "AveragePool"), ("ReduceMax", "MaxPool")):
        yield lookalike(
            f"{pool} of channels last as if first",
            f"Y = {pool}<kernel_shape=[2, 2], strides=[2, 2]>(X)",
            (1, 4, 4, 6),
        )
        yield lookalike(
            f"{pool} between two Transposes that do not cancel",
            "t = Transpose<perm=[0, 3, 1, 2]>(X)\n"
            f"p = {pool}<kernel_shape=[2, 2], strides=[2, 2]>(t)\n"
            "Y = Transpose<perm=[0, 3, 2, 1]>(p)",
            (1, 4, 4, 2),
        )
        yield lookalike(
            f"{op} of columns and channels of channels last",
            f"Y = {op}<axes=[2, 3]>(X)",
            (1, 4, 4, 2),
        )
        yield lookalike(
            f"{op} of every second token",
            f"r = Reshape(X, s)\nY = {op}<axes=[1], keepdims=0>(r)",
            (2, 6, 4),
            s=[2, 3, 2, 4],
        )
        yield lookalike(
            f"{op} of tokens but the first",
            f"t = Slice(X, one, far, one)\nY = {op}<axes=[1], keepdims=0>(t)",
            (2, 7, 4),
            one=[1],
            far=[100],
        )


def _square() -> Iterator[Lookalike]:
    """All sizes equal, so that a shape does not say which axis is which."""
    for op in _OPS:
        for axes in ([0, 1], [1, 2], [0, 3], [1, 3], [0, 2]):
            yield lookalike(f"{op} {axes} of a cube", f"Y = {op}<axes={axes}>(X)", (4, 4, 4, 4))
        for axis in range(3):
            text, constants = bins([*adaptive(4, 4)[:2], (1, 3), (2, 4)], axis, op)
            yield lookalike(
                f"{op} of windows that keep the shape, axis {axis}", text, (4, 4, 4), **constants
            )
        yield lookalike(
            f"{op} of the other axis, transposed",
            f"m = {op}<axes=[1]>(X)\nY = Transpose<perm=[0, 2, 1]>(m)",
            (4, 4, 4),
        )


def _honest() -> Iterator[Lookalike]:
    for op, pool in (("ReduceMean", "AveragePool"), ("ReduceMax", "MaxPool")):
        text, constants = bins(adaptive(5, 2), 2, op)
        yield lookalike(f"{op} of bins", text, (2, 3, 5), found=True, **constants)
        yield lookalike(
            f"{op} of blocks",
            f"r = Reshape(X, s)\nY = {op}<axes=[3, 5], keepdims=0>(r)",
            (1, 2, 6, 6),
            found=True,
            s=[1, 2, 2, 3, 2, 3],
        )
        yield lookalike(
            f"{pool} between two Transposes",
            "t = Transpose<perm=[0, 3, 1, 2]>(X)\n"
            f"p = {pool}<kernel_shape=[2, 2], strides=[2, 2]>(t)\n"
            "Y = Transpose<perm=[0, 2, 3, 1]>(p)",
            (1, 4, 6, 2),
            found=True,
        )
