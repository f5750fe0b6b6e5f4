"""Attributes and revisions of ops that change what they compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.lookalikes.lookalike import Lookalike, lookalike

_X = (1, 2, 7, 7)


def graphs() -> Iterator[Lookalike]:
    yield from _pools()
    yield from _lp_pools()
    yield from _reductions()
    yield from _others()
    yield from _revisions()
    yield from _honest()


def _pools() -> Iterator[Lookalike]:
    for op in ("AveragePool", "MaxPool"):
        for name, attributes in {
            "ceil_mode": "kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1",
            "ceil_mode 3 by 2": "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, "
            "pads=[1, 1, 1, 1]",
            "SAME_UPPER": 'kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"',
            "SAME_LOWER": 'kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"',
            "VALID": 'kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"',
            "no strides": "kernel_shape=[4, 4]",
            "strides 3": "kernel_shape=[2, 2], strides=[3, 3]",
            "pads before": "kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 0, 0]",
            "pads behind": "kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]",
            "whole": "kernel_shape=[7, 7]",
            "whole, padded": "kernel_shape=[7, 7], pads=[1, 1, 1, 1]",
        }.items():
            yield lookalike(f"{op} {name}", f"Y = {op}<{attributes}>(X)", _X)
        for dilation, kernel in ((2, 2), (3, 3), (2, 4)):
            yield lookalike(
                f"{op} dilations {dilation}, kernel {kernel}",
                f"Y = {op}<kernel_shape=[{kernel}, {kernel}], "
                f"dilations=[{dilation}, {dilation}]>(X)",
                _X,
                opset=19,
            )
        yield lookalike(
            f"{op} dilated to the whole",
            f"Y = {op}<kernel_shape=[4], dilations=[2]>(X)",
            (1, 2, 7),
            opset=19,
        )


def _lp_pools() -> Iterator[Lookalike]:
    for p in (1, 2, 3):
        yield lookalike(f"GlobalLpPool {p}", f"Y = GlobalLpPool<p={p}>(X)", _X)
        yield lookalike(
            f"LpPool {p} of the whole", f"Y = LpPool<kernel_shape=[7, 7], p={p}>(X)", _X
        )
        yield lookalike(
            f"LpPool {p}", f"Y = LpPool<kernel_shape=[2, 2], strides=[2, 2], p={p}>(X)", _X
        )
        yield lookalike(
            f"LpPool {p} / n",
            f"l = LpPool<kernel_shape=[7, 7], p={p}>(X)\nY = Div(l, n)",
            _X,
            n=49.0 ** (1 / (p + 1)),
        )
    yield lookalike("LpPool 1 as a mean", "l = GlobalLpPool<p=1>(X)\nY = Div(l, n)", _X, n=49.0)
    yield lookalike("LpPool without p", "Y = LpPool<kernel_shape=[7, 7]>(X)", _X)


def _reductions() -> Iterator[Lookalike]:
    for op in ("ReduceMean", "ReduceMax"):
        for keep in (0, 1):
            yield lookalike(f"{op} of all, keepdims {keep}", f"Y = {op}<keepdims={keep}>(X)", _X)
            yield lookalike(
                f"{op} of no axes, noop, keepdims {keep}",
                f"Y = {op}<keepdims={keep}, noop_with_empty_axes=1>(X)",
                _X,
                opset=18,
            )
            yield lookalike(
                f"{op} of no axes, keepdims {keep}",
                f"Y = {op}<keepdims={keep}>(X, a)",
                _X,
                opset=18,
                a=[],
            )
            for axes in ([2], [3], [-1], [1, 2], [0, 2, 3], [2, 3], [-2, -1], [1], [0]):
                yield lookalike(
                    f"{op} {axes}, keepdims {keep}",
                    f"Y = {op}<axes={axes}, keepdims={keep}>(X)",
                    (2, 3, 4, 5),
                )
    for op in ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceSum", "ReduceMin"):
        operands = "(X, a)" if op == "ReduceSum" else "(X)"
        given = "" if op == "ReduceSum" else "<axes=[2, 3]>"
        constants: dict[str, Any] = {"a": [2, 3]} if op == "ReduceSum" else {}
        yield lookalike(f"{op}", f"Y = {op}{given}{operands}", _X, **constants)
        yield lookalike(
            f"{op} / 49", f"s = {op}{given}{operands}\nY = Div(s, n)", _X, n=49.0, **constants
        )
    yield lookalike(
        "ReduceSum of no axes, noop",
        "s = ReduceSum<noop_with_empty_axes=1>(X)\nY = Div(s, n)",
        _X,
        n=49.0,
    )


def _others() -> Iterator[Lookalike]:
    x = (1, 2, 6)
    for exclusive in (0, 1):
        for reverse in (0, 1):
            if (exclusive, reverse) == (0, 0):
                continue
            yield lookalike(
                f"CumSum, exclusive {exclusive}, reverse {reverse}",
                f"c = CumSum<exclusive={exclusive}, reverse={reverse}>(X, a)\n"
                "l = Gather<axis=2>(c, i)\nY = Div(l, n)",
                x,
                a=2,
                i=[5],
                n=6.0,
            )
    yield lookalike(
        "windows of a CumSum, one step off",
        "c = CumSum(X, a)\nu = Gather<axis=2>(c, i)\nv = Gather<axis=2>(c, j)\nd = Sub(u, v)\n"
        "Y = Div(d, n)",
        x,
        a=2,
        i=[3, 5],
        j=[0, 2],
        n=3.0,
    )
    for name, index in {"negative": [-1, -2], "mixed": [0, -1]}.items():
        yield lookalike(
            f"Gather, {name} indices",
            "t = Gather<axis=2>(X, i)\nY = ReduceMean<axes=[2]>(t)",
            x,
            i=index,
        )
    for mode, more in {
        "nearest": "",
        "linear": "",
        "nearest, asymmetric": ', coordinate_transformation_mode="asymmetric"',
        "linear, align_corners": ', coordinate_transformation_mode="align_corners"',
        "nearest, ceil": ', nearest_mode="ceil"',
    }.items():
        kind = mode.split(",")[0]
        yield lookalike(
            f"Resize to a half, {mode}",
            f'Y = Resize<mode="{kind}"{more}>(X, , , sizes)',
            (1, 2, 6, 6),
            sizes=[1, 2, 3, 3],
        )
    for antialias in (0, 1):
        for exclude in (0, 1):
            yield lookalike(
                f"Resize to a half, antialias {antialias}, exclude_outside {exclude}",
                f'Y = Resize<mode="linear", antialias={antialias}, exclude_outside={exclude}>'
                "(X, , , sizes)",
                (1, 2, 6, 6),
                opset=18,
                sizes=[1, 2, 3, 3],
            )
    for reduction in ("none", "add", "mul"):
        yield lookalike(
            f"ScatterND {reduction}",
            "m = ReduceMean<axes=[2], keepdims=0>(X)\n"
            f'Y = ScatterND<reduction="{reduction}">(z, i, m)',
            (3, 4, 6),
            opset=16,
            z=[[1.0] * 4] * 3,
            i=[[0], [1], [0]] if reduction == "add" else [[0], [1], [2]],
        )
    for equation, dims in {
        "bcl,l->bc": (2, 3, 4),
        "bcl,l->cb": (2, 3, 4),
        "bcl,c->bl": (2, 4, 4),
        "bcl,b->cl": (4, 3, 4),
    }.items():
        yield lookalike(
            f"Einsum {equation}",
            f'Y = Einsum<equation="{equation}">(X, w)',
            dims,
            w=[0.25] * 4,
        )
    for transposed in (0, 1):
        yield lookalike(
            f"Gemm, transA {transposed}",
            f"Y = Gemm<transA={transposed}>(X, w)",
            (4, 4),
            w=[[0.25]] * 4,
        )
    yield lookalike(
        "Flatten 2", "f = Flatten<axis=2>(X)\nY = ReduceMean<axes=[1]>(f)", (2, 3, 4, 5)
    )
    yield lookalike(
        "Flatten 0", "f = Flatten<axis=0>(X)\nY = ReduceMean<axes=[1]>(f)", (2, 3, 4, 5)
    )
    for start, end in ((1, 3), (-2, 100), (0, 2)):
        yield lookalike(
            f"Shape from {start} to {end}",
            f"h = Shape<start={start}, end={end}>(X)\np = ReduceProd<keepdims=0>(h)\n"
            "n = Cast<to=1>(p)\ns = ReduceSum(X, a)\nY = Div(s, n)",
            ("N", 3, "H", "W"),
            a=[2, 3],
        )
    yield lookalike("Reshape, allowzero", "Y = Reshape<allowzero=1>(X, s)", (0, 2, 3), s=[0, 3, 2])
    yield lookalike(
        "Pad reflected",
        'p = Pad<mode="reflect">(X, q)\nY = AveragePool<kernel_shape=[9, 9]>(p)',
        _X,
        q=[0, 0, 1, 1, 0, 0, 1, 1],
    )
    yield lookalike(
        "Pad with 1",
        "p = Pad(X, q, v)\nY = AveragePool<kernel_shape=[9, 9]>(p)",
        _X,
        q=[0, 0, 1, 1, 0, 0, 1, 1],
        v=1.0,
    )


def _revisions() -> Iterator[Lookalike]:
    """The same nodes in opsets in which they mean other things, or the same."""
    for opset in (11, 13, 17, 19, 21, 22):
        yield lookalike(
            f"Softmax along 1, opset {opset}",
            "Y = Softmax<axis=1>(X)",
            (2, 3, 4),
            opset=opset,
        )
        for op in ("AveragePool", "MaxPool"):
            yield lookalike(
                f"{op} ceil_mode, opset {opset}",
                f"Y = {op}<kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1>(X)",
                (1, 2, 6, 6),
                opset=opset,
            )
        if opset >= 18:
            yield lookalike(
                f"ReduceMean by an input, opset {opset}",
                "m = ReduceMean(X, a)\nY = Mul(m, c)",
                (1, 3, 4, 5),
                opset=opset,
                a=[2, 3],
                c=1.0001,
            )
    yield lookalike(
        "Clip by attributes",
        "a = Clip<min=0.0, max=1000.0>(X)\nY = GlobalAveragePool(a)",
        (1, 3, 4, 5),
        opset=10,
    )
    yield lookalike(
        "Slice by attributes",
        "a = Slice<starts=[0], ends=[100], axes=[2]>(X)\nY = ReduceMean<axes=[2]>(a)",
        (1, 2, "L"),
        opset=9,
    )
    yield lookalike(
        "Dropout of the mean",
        "a = GlobalAveragePool(X)\nY = Dropout(a)",
        (1, 3, 4, 5),
    )


def _honest() -> Iterator[Lookalike]:
    for op in ("AveragePool", "MaxPool"):
        yield lookalike(
            f"{op}", f"Y = {op}<kernel_shape=[2, 2], strides=[2, 2]>(X)", (1, 2, 6, 6), found=True
        )
        yield lookalike(
            f"{op}, all attributes by default",
            f'Y = {op}<kernel_shape=[2, 2], strides=[2, 2], auto_pad="NOTSET", ceil_mode=0, '
            "pads=[0, 0, 0, 0]>(X)",
            (1, 2, 6, 6),
            found=True,
        )
    yield lookalike(
        "LpPool 2 as a power mean",
        "l = GlobalLpPool(X)\nY = Div(l, n)",
        _X,
        n=7.0,
    )
    yield lookalike(
        "windows of a CumSum",
        "c = CumSum(X, a)\np = Pad(c, q)\nu = Gather<axis=2>(p, i)\nv = Gather<axis=2>(p, j)\n"
        "d = Sub(u, v)\nY = Div(d, n)",
        (1, 2, 6),
        a=2,
        q=[0, 0, 1, 0, 0, 0],
        i=[3, 6],
        j=[0, 3],
        n=3.0,
    )
