"""Windows with one element more, one less, or another weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import Span, adaptive, bins, matrix, plane_bins

_SIZES = ((7, 4), (13, 6), (12, 5), (5, 8), (9, 2))


def graphs() -> Iterator[Lookalike]:
    yield from _spans()
    yield from _planes()
    yield from _matrices()
    yield from _masks()
    yield from _gathered()
    yield from _honest()


def _edits(spans: Sequence[Span], length: int) -> Iterator[tuple[str, list[Span]]]:
    """Window tables that are wrong in one place."""
    for i in (0, len(spans) // 2, len(spans) - 1):
        start, end = spans[i]
        for name, span in {
            "starts later": (start + 1, end),
            "starts earlier": (start - 1, end),
            "ends earlier": (start, end - 1),
            "ends later": (start, end + 1),
        }.items():
            if 0 <= span[0] < span[1] <= length:
                yield f"{i} {name}", [*spans[:i], span, *spans[i + 1 :]]


def _spans() -> Iterator[Lookalike]:
    for length, count in _SIZES[:3]:
        for op in ("ReduceMean", "ReduceMax"):
            edits = list(_edits(adaptive(length, count), length))
            for name, spans in edits[:: 1 if count == 4 else 3]:
                text, constants = bins(spans, 2, op)
                title = f"{op} {length} to {count}, window {name}"
                yield lookalike(title, text, (1, 2, length), **constants)


def _planes() -> Iterator[Lookalike]:
    right = adaptive(7, 3), adaptive(8, 5)
    for op in ("ReduceMean", "ReduceMax"):
        for axis in (0, 1):
            name, spans = list(_edits(right[axis], (7, 8)[axis]))[2]
            tables = [*right]
            tables[axis] = spans
            text, constants = plane_bins(tables[0], tables[1], op)
            yield lookalike(
                f"{op} of a plane, axis {axis}, {name}", text, (1, 2, 7, 8), **constants
            )


def _matrices() -> Iterator[Lookalike]:
    for length, count in _SIZES:
        weights = matrix(length, adaptive(length, count))
        used = np.argwhere(weights > 0)
        i, j = used[len(used) // 2]
        edited = {
            "one weight 0": (i, j, 0.0),
            "one weight 1 % more": (i, j, weights[i, j] * np.float32(1.01)),
            "one weight 1e-6 more": (i, j, weights[i, j] * np.float32(1 + 1e-6)),
            "one weight 1e-7 that was 0": (*np.argwhere(weights == 0)[0], 1e-7),
            "one weight 1e-30 that was 0": (*np.argwhere(weights == 0)[-1], 1e-30),
            "one weight negative": (i, j, -weights[i, j]),
        }
        for name, (row, column, value) in edited.items():
            wrong = weights.copy()
            wrong[row, column] = value
            yield lookalike(
                f"matrix {length} to {count}, {name}", "Y = MatMul(X, w)", (2, 3, length), w=wrong
            )
        moved = weights.copy()
        moved[used[0][0], 0], moved[used[1][0], 0] = 0, 2 * moved[used[0][0], 0]
        yield lookalike(
            f"matrix {length} to {count}, weight moved", "Y = MatMul(X, w)", (2, 3, length), w=moved
        )
    weights = matrix(7, adaptive(7, 4))
    yield lookalike("matrix from the left", "Y = MatMul(w, X)", (7, 7), w=weights.T.copy())
    yield lookalike(
        "matrix squared",
        "a = MatMul(X, v)\nY = MatMul(a, w)",
        (2, 3, 7),
        v=(weights @ weights.T).astype(np.float32),
        w=weights,
    )


def _masks() -> Iterator[Lookalike]:
    whole = np.ones((1, 1, 4, 5), np.float32)
    corner = whole.copy()
    corner[..., -1, -1] = 0
    masks: dict[str, np.ndarray[Any, Any]] = {
        "a corner": corner,
        "a border": np.pad(np.ones((1, 1, 2, 3), np.float32), ((0, 0), (0, 0), (1, 1), (1, 1))),
        "a chequerboard": (np.indices((4, 5)).sum(0) % 2).astype(np.float32)[None, None],
        "one channel": np.array([1, 1, 0], np.float32).reshape(1, 3, 1, 1),
        "one of 20 is 1 + 2^-16": np.where(corner == 0, np.float32(1 + 2**-16), corner),
        "one of 20 is 1e-8": np.where(corner == 0, np.float32(1e-8), corner),
    }
    for name, mask in masks.items():
        for op in ("ReduceMean", "ReduceMax"):
            x = (2, 3, 4, 5)
            yield lookalike(
                f"{op} of X times {name}", f"a = Mul(X, k)\nY = {op}<axes=[2, 3]>(a)", x, k=mask
            )
            if set(np.unique(mask)) <= {0, 1}:
                yield lookalike(
                    f"{op} of X where {name}",
                    f"a = Where(k, X, z)\nY = {op}<axes=[2, 3]>(a)",
                    x,
                    k=mask > 0,
                    z=0.0,
                )
        yield lookalike(
            f"mean over the count of {name}",
            "a = Mul(X, k)\ns = ReduceSum(a, ax)\nY = Div(s, n)",
            (2, 3, 4, 5),
            k=mask,
            ax=[2, 3],
            n=float(mask.sum()),
        )
    yield lookalike(
        "ReduceMax where a corner, -inf elsewhere",
        "a = Where(k, X, z)\nY = ReduceMax<axes=[2, 3]>(a)",
        (2, 3, 4, 5),
        k=corner > 0,
        z=-float("inf"),
    )
    yield lookalike(
        "a mask of X itself",
        "k = Greater(X, z)\na = Where(k, X, z)\nY = ReduceMean<axes=[2, 3]>(a)",
        (2, 3, 4, 5),
        z=0.0,
    )


def _gathered() -> Iterator[Lookalike]:
    """torch's form: all windows gathered, then reduced."""
    starts, length = [0, 1, 3, 4], 3
    right = np.array([range(s, s + length) for s in starts])
    tables = {"": right}
    for name, (i, j, value) in {
        "one index twice": (1, 2, 1),
        "one index too far": (2, 2, 6),
        "two exchanged windows": (0, 0, 0),
    }.items():
        table = right.copy()
        table[i, j] = value
        tables[name] = table if "exchanged" not in name else right[[1, 0, 2, 3]]
    for op in ("ReduceMean", "ReduceMax"):
        for name, table in tables.items():
            yield lookalike(
                f"{op} of a Gather 7 to 4, {name or 'right'}",
                f"t = Gather<axis=2>(X, i)\nY = {op}<axes=[3], keepdims=0>(t)",
                (1, 2, 7),
                i=table.astype(np.int64),
            )


def _honest() -> Iterator[Lookalike]:
    for length, count in _SIZES:
        for op in ("ReduceMean", "ReduceMax"):
            text, constants = bins(adaptive(length, count), 2, op)
            title = f"{op} {length} to {count}"
            yield lookalike(title, text, (1, 2, length), found=True, **constants)
        yield lookalike(
            f"matrix {length} to {count}",
            "Y = MatMul(X, w)",
            (2, 3, length),
            w=matrix(length, adaptive(length, count)),
            found=True,
        )
    for op in ("ReduceMean", "ReduceMax"):
        text, constants = plane_bins(adaptive(7, 3), adaptive(8, 5), op)
        yield lookalike(f"{op} of a plane", text, (1, 2, 7, 8), found=True, **constants)
