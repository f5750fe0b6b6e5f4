"""Graphs of one or two ops over tensors of one to five axes: every axis, and several at once.

What `Limit`s of ranks and axes in onnxpool/targets are measured on.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from tests.runtimes.forms import Options, chain, floats, ints, one

SHAPES = {2: (2, 6), 3: (2, 4, 7), 4: (2, 4, 6, 7), 5: (2, 4, 5, 6, 7)}
Forms = Iterator[tuple[str, onnx.ModelProto]]

_REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSumSquare
"""


@functools.cache
def ranks() -> dict[str, onnx.ModelProto]:
    """The graphs, each named by its op, what is particular about it, and the number of axes."""
    return dict(_all())


def _all() -> Forms:
    for rank, shape in SHAPES.items():
        for name, model in (*_reducing(shape), *_along(shape), *_padding(shape)):
            yield f"{name} of {rank} axes", model
    for rank in (3, 4, 5):
        for name, model in (*_windows(SHAPES[rank]), *_resizing(SHAPES[rank])):
            yield f"{name} of {rank} axes", model
    yield from _vectors()
    for length in (1, 4):
        for pads in ([0, 1, 0, 1], [1, 1, 1, 1]):
            plane = (1, 8, 1, length)
            kernel = [1 if pads[0] == 0 else 3, 3]
            weights = floats(8, 1, *kernel)
            yield (
                f"Conv by channel of 1x{length}, kernel {kernel}",
                one("Conv", w=weights, shape=plane, group=8, pads=pads),
            )


def _reducing(shape: tuple[int, ...]) -> Forms:
    rank = len(shape)
    sets = [a for n in range(1, rank + 1) for a in itertools.combinations(range(rank), n)]
    for op, axes, keepdims in itertools.product(_REDUCTIONS.split(), sets, (0, 1)):
        if op in ("ReduceMax", "ReduceMean") or len(axes) > 2:
            name = f"{op} {list(axes)} keepdims {keepdims}"
            yield name, one(op, shape=shape, axes=list(axes), keepdims=keepdims)
    for axes in (a for a in sets if len(a) > 1):
        yield f"ReduceSum {list(axes)}", one("ReduceSum", a=ints(*axes), shape=shape)
    last = (*shape[:-1], 1)
    for op in _REDUCTIONS.split():
        yield f"{op} of one element", one(op, shape=last, axes=[rank - 1], keepdims=0)


def _along(shape: tuple[int, ...]) -> Forms:
    for axis in range(len(shape)):
        for op, keepdims in itertools.product(("ArgMax", "ArgMin"), (0, 1)):
            for before in ("Relu", "Softmax", "LogSoftmax"):
                yield (
                    f"{before}, {op} {axis} keepdims {keepdims}",
                    _positions(shape, before, op, axis, keepdims),
                )
        for op, opset in itertools.product(("Softmax", "LogSoftmax"), (12, 17)):
            yield f"{op} {axis} opset {opset}", one(op, shape=shape, axis=axis, opset=opset)
        constant = floats(*shape)
        for order in (["x", "c"], ["c", "x"]):
            name = f"Concat {axis} of {order[0]}, {order[1]}"
            yield name, one("Concat", c=constant, order=order, shape=shape, axis=axis)
    yield "Unsqueeze 0, 2", one("Unsqueeze", a=ints(0, 2), shape=shape)


def _positions(
    shape: tuple[int, ...], before: str, op: str, axis: int, keepdims: int
) -> onnx.ModelProto:
    options: Options = {} if before == "Relu" else {"axis": len(shape) - 1}
    return chain(
        {},
        (before, "x", "s", options),
        (op, "s", "t", {"axis": axis, "keepdims": keepdims}),
        ("Cast", "t", "y", {"to": onnx.TensorProto.FLOAT}),
        shape=shape,
    )


def _padding(shape: tuple[int, ...]) -> Forms:
    rank = len(shape)
    for mode, axis, (start, end) in itertools.product(
        ("constant", "reflect", "edge"), range(rank), ((1, 0), (1, 1))
    ):
        pads = np.zeros((2, rank), np.int64)
        pads[:, axis] = start, end
        yield (
            f"Pad {mode} {start},{end} on {axis}",
            one("Pad", p=pads.ravel(), shape=shape, mode=mode),
        )
    for mode in ("reflect", "edge"):
        yield f"Pad {mode} everywhere", one("Pad", p=ints(*[1] * 2 * rank), shape=shape, mode=mode)


def _windows(shape: tuple[int, ...]) -> Forms:
    k = len(shape) - 2
    pads = {"": [0] * 2 * k, "pads": [1] * 2 * k, "uneven pads": [0] * k + [1] * k}
    particular: dict[str, Options] = {name: {"pads": value} for name, value in pads.items()}
    particular |= {f"{mode}": {"auto_pad": mode} for mode in ("SAME_UPPER", "SAME_LOWER")}
    for op, (name, options), size in itertools.product(
        ("AveragePool", "MaxPool"), particular.items(), (2, 3)
    ):
        window: dict[str, Any] = {"kernel_shape": [size] * k, "strides": [2] * k, **options}
        yield f"{op} {size} {name}", one(op, shape=shape, **window)
        if "auto_pad" not in options:
            yield f"{op} {size} {name} ceil_mode", one(op, shape=shape, ceil_mode=1, **window)
    for name, options in particular.items():
        kernel: Options = {"kernel_shape": [2] * k, **options}
        yield f"Conv {name}", one("Conv", w=floats(6, 4, *[2] * k), shape=shape, **kernel)
        if k < 3 and "uneven" not in name and "auto" not in " ".join(options):
            weights = floats(4, 3, *[2] * k)
            yield f"ConvTranspose {name}", one("ConvTranspose", w=weights, shape=shape, **kernel)


def _resizing(shape: tuple[int, ...]) -> Forms:
    coordinates = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    for mode, (c, factor) in itertools.product(
        ("nearest", "linear"), itertools.product(coordinates, (0.5, 1.5, 2, 3))
    ):
        scales = np.array([1, 1, *[factor] * (len(shape) - 2)], np.float32)
        sizes = ints(*(int(n * s) for n, s in zip(shape, scales, strict=True)))
        names: Options = {"mode": mode, "coordinate_transformation_mode": c}
        rounding = ["round_prefer_floor", "floor", "ceil", "round_prefer_ceil"]
        for r in rounding if mode == "nearest" else rounding[:1]:
            options = {**names, "nearest_mode": r} if mode == "nearest" else names
            yield (
                f"Resize {mode} {c} {r} to {factor:g} times",
                one("Resize", s=sizes, order=["x", "", "", "s"], shape=shape, **options),
            )
        if mode == "linear" and c != "align_corners":
            yield (
                f"Resize {mode} {c} by {factor:g}",
                one("Resize", s=scales, order=["x", "", "s"], shape=shape, **names),
            )
    one_row = ints(*shape[:2], *[1] * (len(shape) - 2))
    names = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    yield (
        "Resize linear to one",
        one("Resize", s=one_row, order=["x", "", "", "s"], shape=shape, **names),
    )


def _vectors() -> Forms:
    """A tensor of one axis in the middle of a graph."""
    taken = ("ReduceMax", "x", "v", {"axes": [0], "keepdims": 0})
    number, row = np.float32(0.7), floats(3, 8)
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"):
        for name, constant in (("number", number), ("matrix", row)):
            yield (
                f"{op} of a vector and a {name}",
                chain({"c": constant}, taken, (op, "v c", "y"), shape=(3, 8)),
            )
    for op in ("Softmax", "LogSoftmax"):
        yield f"{op} of a vector", chain({}, taken, (op, "v", "y", {"axis": -1}), shape=(3, 8))
    yield (
        "Expand of a vector",
        chain({"s": ints(2, 8)}, taken, ("Expand", "v s", "y"), shape=(3, 8)),
    )
    yield (
        "MatMul of a vector",
        chain({"w": floats(8, 4)}, taken, ("MatMul", "v w", "y"), shape=(3, 8)),
    )
