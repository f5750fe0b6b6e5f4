"""Channels last, tokens and sequence first: windows that are off, and true ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import Span, adaptive, matrix, volume_bins

_OPS = ("ReduceMean", "ReduceMax")
_LAYOUTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    # The shape of X, and the axes that are pooled.
    "NHWC": ((2, 7, 8, 3), (1, 2)),
    "NTC": ((2, 7, 3), (1,)),
    "TNC": ((7, 2, 3), (0,)),
    "HWC": ((7, 8, 3), (0, 1)),
    "NDHWC": ((2, 5, 4, 6, 3), (1, 2, 3)),
}
_GEM = """{0}a = Max({1}, lo)
b = Pow(a, p)
m = ReduceMean<axes={2}, keepdims=0>(b)
{3}Y = Pow({4}, q)"""
"""In front, what is pooled, over which axes, behind the mean, and under what root."""


def graphs() -> Iterator[Lookalike]:
    for name, (shape, axes) in _LAYOUTS.items():
        yield from _windows(name, shape, axes)
        yield from _generalised(name, shape, axes)
    yield from _matrices()
    yield from _permuted()
    yield from _blocks()
    yield from _channels()
    yield from _open()


def _windows(name: str, shape: Sequence[int], axes: Sequence[int]) -> Iterator[Lookalike]:
    right = [adaptive(shape[axis], 2 + i) for i, axis in enumerate(axes)]
    for op in _OPS:
        text, constants = volume_bins(right, axes, op)
        yield lookalike(f"{op} of {name}", text, shape, found=True, **constants)
        for title, tables in _edited(right, [shape[axis] for axis in axes]):
            text, constants = volume_bins(tables, axes, op)
            yield lookalike(f"{op} of {name}, {title}", text, shape, **constants)


def _edited(
    right: Sequence[Sequence[Span]], lengths: Sequence[int]
) -> Iterator[tuple[str, list[list[Span]]]]:
    """Tables of windows with one bound of the last axis off by one, or two windows exchanged."""
    *others, last = (list(table) for table in right)
    length = lengths[-1]
    (start, end), *rest = last
    yield "the first window ends later", [*others, [(start, min(end + 1, length)), *rest]]
    *before, (start, end) = last
    yield "the last window starts later", [*others, [*before, (start + 1, end)]]
    yield "the last position is left out", [*others, [*before, (start, end - 1)]]
    yield "windows exchanged", [*others, last[::-1]]


def _generalised(name: str, shape: Sequence[int], axes: Sequence[int]) -> Iterator[Lookalike]:
    rank, first, last = len(shape), axes[0], axes[-1]
    mask = np.ones([n if axis in axes else 1 for axis, n in enumerate(shape)], np.float32)
    mask[tuple(-1 if axis in axes else 0 for axis in range(rank))] = 0
    numbers: dict[str, Any] = {"lo": 1e-6, "p": 2.5, "q": 0.4}
    plain = _GEM.format("", "X", list(axes), "", "m")
    yield lookalike(f"GeM of {name}", plain, shape, found=True, **numbers)
    yield lookalike(
        f"GeM of {name}, an epsilon is added",
        _GEM.format("", "X", list(axes), "e = Add(m, lo)\n", "e"),
        shape,
        **numbers,
    )
    yield lookalike(
        f"GeM of {name}, a mask",
        _GEM.format("k = Mul(X, mask)\n", "k", list(axes), "", "m"),
        shape,
        mask=mask,
        **numbers,
    )
    yield lookalike(
        f"GeM of {name}, a crop",
        _GEM.format("k = Slice(X, one, far, ax)\n", "k", list(axes), "", "m"),
        shape,
        one=[1],
        far=[100],
        ax=[last],
        **numbers,
    )
    yield lookalike(f"GeM of {name}, another root", plain, shape, lo=1e-6, p=2.5, q=0.3999)
    yield lookalike(
        f"GeM of {name}, one axis off",
        _GEM.format("", "X", [axis + 1 for axis in axes], "", "m"),
        shape,
        **numbers,
    )
    yield lookalike(
        f"GeM of {name}, exponents along the first pooled axis",
        plain,
        shape,
        lo=1e-6,
        p=np.linspace(2, 3, shape[first]).astype(np.float32).reshape(-1, *[1] * (rank - first - 1)),
        q=0.4,
    )


def _matrices() -> Iterator[Lookalike]:
    weights = matrix(7, adaptive(7, 3)).T.copy()
    shape = (2, 7, 5)
    text = "Y = MatMul(w, X)"
    yield lookalike("matrix of tokens", text, shape, found=True, w=weights)
    for title, factor in {"1e-6 more": 1 + 1e-6, "a tenth more": 1.1}.items():
        wrong = weights.copy()
        wrong[1, 3] *= np.float32(factor)
        yield lookalike(f"matrix of tokens, one weight {title}", text, shape, w=wrong)


def _permuted() -> Iterator[Lookalike]:
    for op in _OPS:
        text, constants = volume_bins([adaptive(7, 2), adaptive(8, 3)], [2, 3], op, x="t", y="p")
        for title, perm, found in (
            ("back", [0, 2, 3, 1], True),
            ("rows and columns exchanged", [0, 3, 2, 1], False),
            ("batch and channels exchanged", [1, 2, 3, 0], False),
        ):
            yield lookalike(
                f"{op} between Transposes, {title}",
                f"t = Transpose<perm=[0, 3, 1, 2]>(X)\n{text}\nY = Transpose<perm={perm}>(p)",
                (2, 7, 8, 3),
                found=found,
                **constants,
            )


def _blocks() -> Iterator[Lookalike]:
    for op in _OPS:
        for title, shape, axes, found in (
            ("of channels last", [2, 3, 4, 2, 3, 5], [2, 4], True),
            ("of every third row", [2, 4, 3, 2, 3, 5], [1, 4], False),
            ("that run over rows", [2, 4, 3, 3, 2, 5], [2, 4], False),
            ("of columns and channels", [2, 12, 2, 3, 1, 5], [3, 5], False),
        ):
            yield lookalike(
                f"{op} of blocks {title}",
                f"r = Reshape(X, s)\nY = {op}<axes={axes}, keepdims=0>(r)",
                (2, 12, 6, 5),
                found=found,
                s=shape,
            )


def _channels() -> Iterator[Lookalike]:
    """Of channels first, what stands where the rows of channels last do."""
    yield lookalike(
        "the norm over channels of pixels",
        "a = Mul(X, X)\nm = ReduceMean<axes=[1]>(a)\nY = Sqrt(m)",
        (2, 6, 4, 5),
    )
    for op in _OPS:
        yield lookalike(
            f"{op} of pairs of channels and columns",
            f"r = Reshape(X, s)\nY = {op}<axes=[2, 4], keepdims=0>(r)",
            (2, 6, 4, 5),
            s=[2, 3, 2, 2, 2, 5],
        )


def _open() -> Iterator[Lookalike]:
    for name, shape, axes in (
        ("NHWC", ("N", "H", "W", 3), [1, 2]),
        ("NTC", ("N", "T", 3), [1]),
        ("TNC", ("T", "N", 3), [0]),
    ):
        text = _GEM.format("", "X", axes, "", "m")
        numbers: dict[str, Any] = {"lo": 1e-6, "p": 2.5, "q": 0.4}
        yield lookalike(f"GeM of open {name}", text, shape, found=True, **numbers)
        yield lookalike(
            f"GeM of open {name}, at most 100 long",
            _GEM.format("k = Slice(X, zero, hundred, ax)\n", "k", axes, "", "m"),
            shape,
            zero=[0],
            hundred=[100],
            ax=[axes[-1]],
            **numbers,
        )
