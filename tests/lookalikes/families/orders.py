"""Right windows in another order, of other channels, or of a plane that was turned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import Piece, adaptive, bins, matrix, plane_bins

_OPS = ("ReduceMean", "ReduceMax")


def graphs() -> Iterator[Lookalike]:
    yield from _windows()
    yield from _turned()
    yield from _channels()
    yield from _matrices()
    yield from _honest()


def _windows() -> Iterator[Lookalike]:
    for op in _OPS:
        for length, count in ((7, 4), (12, 4), (13, 6)):
            spans = adaptive(length, count)
            for name, order in {
                "two exchanged": [1, 0, *range(2, count)],
                "the last two exchanged": [*range(count - 2), count - 1, count - 2],
                "reversed": list(range(count))[::-1],
                "rolled": [*range(1, count), 0],
                "one twice": [0, 0, *range(2, count)],
            }.items():
                text, constants = bins([spans[i] for i in order], 2, op)
                yield lookalike(
                    f"{op} {length} to {count}, {name}", text, (1, 2, length), **constants
                )
            text, constants = bins(spans, 2, op, y="m")
            behind: dict[str, Piece] = {
                "Gather": ("Y = Gather<axis=2>(m, i)", {"i": [1, 0, *range(2, count)]}),
                "reversed by a Slice": (
                    "Y = Slice(m, s, e, a, d)",
                    {"s": [-1], "e": [-100], "a": [2], "d": [-1]},
                ),
            }
            for name, (more, values) in behind.items():
                yield lookalike(
                    f"{op} {length} to {count}, {name}",
                    f"{text}\n{more}",
                    (1, 2, length),
                    **constants,
                    **values,
                )


def _turned() -> Iterator[Lookalike]:
    x = (1, 2, 6, 6)
    befores: dict[str, Piece] = {
        "transposed": ("t = Transpose<perm=[0, 1, 3, 2]>(X)", {}),
        "flipped": ("t = Slice(X, s, e, a, d)", {"s": [-1], "e": [-100], "a": [3], "d": [-1]}),
        "turned by half": (
            "t = Slice(X, s, e, a, d)",
            {"s": [-1, -1], "e": [-100, -100], "a": [2, 3], "d": [-1, -1]},
        ),
        "rolled": (
            "u = Slice(X, s1, e2, a)\nv = Slice(X, s0, e1, a)\nt = Concat<axis=3>(u, v)",
            {"s0": [0], "s1": [1], "e1": [1], "e2": [6], "a": [3]},
        ),
        "rows exchanged": ("t = Gather<axis=2>(X, i)", {"i": [1, 0, 2, 3, 4, 5]}),
        "interleaved": ("t = Gather<axis=3>(X, i)", {"i": [0, 2, 4, 1, 3, 5]}),
    }
    pools = {
        "AveragePool": "Y = AveragePool<kernel_shape=[2, 2], strides=[2, 2]>(t)",
        "MaxPool": "Y = MaxPool<kernel_shape=[3, 3], strides=[3, 3]>(t)",
        "GlobalAveragePool": "Y = GlobalAveragePool(t)",
        "GlobalMaxPool": "Y = GlobalMaxPool(t)",
        "indices": "y, Y = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(t)",
    }
    for before, (text, constants) in befores.items():
        for pool, more in pools.items():
            yield lookalike(f"{pool} of a plane {before}", f"{text}\n{more}", x, **constants)
    for op in _OPS:
        text, constants = plane_bins(adaptive(6, 4), adaptive(6, 4), op)
        yield lookalike(
            f"{op} of bins, transposed behind",
            text.replace("Y = ", "m = ") + "\nY = Transpose<perm=[0, 1, 3, 2]>(m)",
            x,
            **constants,
        )
        yield lookalike(
            f"{op} of bins, transposed before",
            "t = Transpose<perm=[0, 1, 3, 2]>(X)\n" + text.replace("(X, ", "(t, "),
            x,
            **constants,
        )


def _channels() -> Iterator[Lookalike]:
    x = (2, 4, 6, 5)
    for name, index in {
        "exchanged": [1, 0, 2, 3],
        "one twice": [0, 0, 2, 3],
        "reversed": [3, 2, 1, 0],
    }.items():
        for pool in ("GlobalAveragePool", "GlobalMaxPool"):
            before = f"t = Gather<axis=1>(X, i)\nY = {pool}(t)"
            behind = f"m = {pool}(X)\nY = Gather<axis=1>(m, i)"
            yield lookalike(f"{pool}, channels {name} before", before, x, i=index)
            yield lookalike(f"{pool}, channels {name} behind", behind, x, i=index)
    text, constants = bins(adaptive(7, 4), 2, y="m")
    yield lookalike(
        "bins, channels reversed",
        f"{text}\nY = Gather<axis=1>(m, i)",
        (1, 3, 7),
        i=[2, 1, 0],
        **constants,
    )
    yield lookalike(
        "bins, batch reversed",
        f"{text}\nY = Gather<axis=0>(m, i)",
        (3, 2, 7),
        i=[2, 1, 0],
        **constants,
    )
    yield lookalike(
        "channels shuffled",
        "r = Reshape(X, s)\nt = Transpose<perm=[0, 2, 1, 3, 4]>(r)\nu = Reshape(t, b)\n"
        "Y = GlobalAveragePool(u)",
        x,
        s=[2, 2, 2, 6, 5],
        b=[2, 4, 6, 5],
    )
    yield lookalike(
        "reshaped without a Transpose",
        "r = Reshape(X, s)\nY = ReduceMean<axes=[1]>(r)",
        x,
        s=[2, 30, 4],
    )


def _matrices() -> Iterator[Lookalike]:
    weights = matrix(7, adaptive(7, 4))
    for name, order in {"reversed": [3, 2, 1, 0], "exchanged": [0, 2, 1, 3]}.items():
        yield lookalike(
            f"matrix, windows {name}", "Y = MatMul(X, w)", (2, 3, 7), w=weights[:, order].copy()
        )
    yield lookalike("matrix, flipped", "Y = MatMul(X, w)", (2, 3, 7), w=weights[::-1].copy())
    square = matrix(6, adaptive(6, 4))
    kron = np.kron(square, square)
    yield lookalike(
        "one matrix for the plane, axes exchanged",
        "r = Reshape(X, s)\nm = MatMul(r, w)\nt = Reshape(m, b)\n"
        "Y = Transpose<perm=[0, 1, 3, 2]>(t)",
        (1, 2, 6, 6),
        s=[1, 2, 36],
        b=[1, 2, 4, 4],
        w=kron.astype(np.float32),
    )


def _honest() -> Iterator[Lookalike]:
    for op in _OPS:
        text, constants = bins(adaptive(7, 4)[::-1], 2, op, y="m")
        yield lookalike(
            f"{op} 7 to 4, reversed twice",
            f"{text}\nY = Slice(m, s, e, a, d)",
            (1, 2, 7),
            found=True,
            s=[-1],
            e=[-100],
            a=[2],
            d=[-1],
            **constants,
        )
    for pool in ("GlobalAveragePool", "GlobalMaxPool"):
        yield lookalike(
            f"{pool} of a plane transposed twice",
            "t = Transpose<perm=[0, 1, 3, 2]>(X)\nu = Transpose<perm=[0, 1, 3, 2]>(t)\n"
            f"Y = {pool}(u)",
            (1, 2, 6, 5),
        )
