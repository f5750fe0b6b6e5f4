"""Pooling in other types, and casts on the way that round or cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins, matrix

_X = (1, 2, 6, 5)
_INTEGERS: tuple[type[np.integer[Any]], ...] = (np.int32, np.int64, np.uint8, np.int8)


def graphs() -> Iterator[Lookalike]:
    yield from _floats()
    yield from _casts()
    yield from _integers()
    yield from _honest()


def _floats() -> Iterator[Lookalike]:
    for dtype in (np.float16, np.float64):
        name = np.dtype(dtype).name
        edits: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("mean + eps", "m = ReduceMean<axes=[2, 3]>(X)\nY = Add(m, e)", {"e": 1e-6}),
            ("mean x c", "m = ReduceMean<axes=[2, 3]>(X)\nY = Mul(m, c)", {"c": 0.998}),
            (
                "RMSNorm",
                "q = Mul(X, X)\nm = ReduceMean<axes=[-1]>(q)\nv = Add(m, e)\nr = Sqrt(v)\n"
                "Y = Div(X, r)",
                {"e": 1e-5},
            ),
            (
                "GeM at most 100",
                "a = Clip(X, lo, hi)\nb = Pow(a, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)",
                {"lo": 1e-3, "hi": 100.0, "p": 2.0, "q": 0.5},
            ),
            (
                "root 0.34",
                "a = Clip(X, lo)\nb = Pow(a, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)",
                {"lo": 1e-3, "p": 3.0, "q": 0.34},
            ),
            ("last index", "Y = ArgMax<axis=2, select_last_index=1>(X)", {}),
            ("at most 65504", "a = Clip(X, , hi)\nY = ReduceMean<axes=[2, 3]>(a)", {"hi": 65504.0}),
        )
        for title, text, constants in edits:
            yield lookalike(f"{name}, {title}", text, _X, dtype=dtype, **constants)
    tiny = 1 + 2.0**-40
    yield lookalike(
        "float64, mean x (1 + 2^-40)",
        "m = ReduceMean<axes=[2, 3]>(X)\nY = Mul(m, c)",
        _X,
        dtype=np.float64,
        c=tiny,
    )
    yield lookalike(
        "float64, mean + 1e-300",
        "m = ReduceMean<axes=[2, 3]>(X)\nY = Add(m, c)",
        _X,
        dtype=np.float64,
        c=1e-300,
    )
    yield lookalike(
        "float64, weights of float32",
        "Y = MatMul(X, w)",
        (2, 3, 7),
        dtype=np.float64,
        w=matrix(7, adaptive(7, 4)).astype(np.float64),
    )
    text, constants = bins(adaptive(5, 3), 3, y="m")
    yield lookalike(
        "float64, bins x (1 + 1e-12)",
        f"{text}\nY = Mul(m, c)",
        _X,
        dtype=np.float64,
        c=1 + 1e-12,
        **constants,
    )


def _casts() -> Iterator[Lookalike]:
    types = {
        "float16": TensorProto.FLOAT16,
        "bfloat16": TensorProto.BFLOAT16,
        "double": TensorProto.DOUBLE,
        "int32": TensorProto.INT32,
        "int64": TensorProto.INT64,
        "uint8": TensorProto.UINT8,
    }
    pools = {
        "mean": "{} = ReduceMean<axes=[2, 3]>({})",
        "maximum": "{} = ReduceMax<axes=[2, 3]>({})",
    }
    for name, code in types.items():
        for pool, text in pools.items():
            if name == "bfloat16" or (name, pool) == ("uint8", "mean"):
                continue  # no kernel
            yield lookalike(
                f"{pool} in {name}",
                f"a = Cast<to={code}>(X)\n{text.format('b', 'a')}\nY = Cast<to=1>(b)",
                _X,
            )
        for pool, text in pools.items():
            yield lookalike(
                f"{pool}, through {name} before",
                f"a = Cast<to={code}>(X)\nb = Cast<to=1>(a)\n{text.format('Y', 'b')}",
                _X,
            )
            yield lookalike(
                f"{pool}, through {name} behind",
                f"{text.format('a', 'X')}\nb = Cast<to={code}>(a)\nY = Cast<to=1>(b)",
                _X,
            )
    separable = "w = ReduceMean<axes=[3]>(X)\na = Cast<to={}>(w)\nb = Cast<to=1>(a)\n"
    for name in ("float16", "int32"):
        yield lookalike(
            f"through {name} between two axes",
            separable.format(types[name]) + "Y = ReduceMean<axes=[2]>(b)",
            _X,
        )
    for name, text in {"Floor": "Floor", "Round": "Round", "Ceil": "Ceil"}.items():
        yield lookalike(f"mean, {name} behind", f"m = GlobalAveragePool(X)\nY = {text}(m)", _X)
        yield lookalike(f"mean, {name} before", f"m = {text}(X)\nY = GlobalAveragePool(m)", _X)


def _integers() -> Iterator[Lookalike]:
    for dtype in _INTEGERS[:2]:
        name = np.dtype(dtype).name
        yield lookalike(f"{name}, ReduceMean", "Y = ReduceMean<axes=[2, 3]>(X)", _X, dtype=dtype)
        yield lookalike(
            f"{name}, separable ReduceMean",
            "w = ReduceMean<axes=[3]>(X)\nY = ReduceMean<axes=[2]>(w)",
            _X,
            dtype=dtype,
        )
        yield lookalike(
            f"{name}, sum / 30",
            "s = ReduceSum(X, ax)\nY = Div(s, n)",
            _X,
            dtype=dtype,
            ax=[2, 3],
            n=np.array(30, dtype),
        )
    for dtype in _INTEGERS:
        name = np.dtype(dtype).name
        yield lookalike(f"{name}, ReduceMax", "Y = ReduceMax<axes=[2, 3]>(X)", _X, dtype=dtype)
        text, constants = bins(adaptive(6, 4), 2, "ReduceMax")
        yield lookalike(f"{name}, bins of maxima", text, _X, dtype=dtype, **constants)
        wrong, constants = bins([(0, 3), *adaptive(6, 4)[1:]], 2, "ReduceMax")
        yield lookalike(f"{name}, bins of maxima, one wrong", wrong, _X, dtype=dtype, **constants)
        yield lookalike(
            f"{name}, mean in float, cut again",
            "f = Cast<to=1>(X)\nm = ReduceMean<axes=[2, 3]>(f)\n"
            f"Y = Cast<to={TensorProto.INT32}>(m)",
            _X,
            dtype=dtype,
        )
    for dtype in _INTEGERS[2:]:
        yield lookalike(
            f"{np.dtype(dtype).name}, MaxPool",
            "Y = MaxPool<kernel_shape=[2, 5], strides=[2, 5]>(X)",
            _X,
            dtype=dtype,
        )
    yield lookalike(
        "int64, ArgMax, last", "Y = ArgMax<axis=2, select_last_index=1>(X)", _X, dtype=np.int32
    )


def _honest() -> Iterator[Lookalike]:
    for dtype in (np.float16, np.float64):
        name = np.dtype(dtype).name
        text, constants = bins(adaptive(6, 4), 2)
        yield lookalike(f"{name}, bins", text, _X, dtype=dtype, found=True, **constants)
        text, constants = bins(adaptive(6, 4), 2, "ReduceMax")
        yield lookalike(f"{name}, bins of maxima", text, _X, dtype=dtype, found=True, **constants)
        yield lookalike(
            f"{name}, GeM",
            "a = Clip(X, lo)\nb = Pow(a, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)",
            _X,
            dtype=dtype,
            found=True,
            lo=1e-3,
            p=3.0,
            q=1 / 3,
        )
