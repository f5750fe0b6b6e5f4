"""Graphs of two ops, one behind the other: every op of a list behind every other.

What stands together often (the end of a network, and what exporters put around convolutions) is
where runtimes fuse nodes and share memory.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from tests.runtimes.forms import PLANE, Array, Options, chain, floats, ints

Step = tuple[str, dict[str, Any], Options]
"""An op, what it reads behind its input, and its attributes."""

_UNARY = """
    Abs Clip Elu Exp HardSigmoid HardSwish LeakyRelu Neg Relu Round Sigmoid Sign Softplus Tanh
"""


def _of_planes() -> Iterator[tuple[str, Step]]:
    for op in _UNARY.split():
        yield op, (op, {}, {})
    for op in ("Add", "Mul", "Sub", "Div"):
        yield f"{op} by channel", (op, {"c": floats(8, 1, 1)}, {})
        yield f"{op} by number", (op, {"c": np.float32(0.7)}, {})
    yield "BatchNormalization", ("BatchNormalization", {k: floats(8) for k in "sbmv"}, {})
    yield "Conv", ("Conv", {"w": floats(8, 8, 3, 3), "b": floats(8)}, {"pads": [1] * 4})
    yield "Conv by channel", ("Conv", {"w": floats(8, 1, 3, 3)}, {"group": 8, "pads": [1] * 4})
    for op in ("MaxPool", "AveragePool"):
        yield op, (op, {}, {"kernel_shape": [3, 3], "pads": [1] * 4})
        yield f"Global{op}", (f"Global{op}", {}, {})
    for keepdims in (0, 1):
        options = {"axes": [2, 3], "keepdims": keepdims}
        yield f"ReduceMean keepdims {keepdims}", ("ReduceMean", {}, options)
    for axis in (1, 3):
        yield f"Softmax {axis}", ("Softmax", {}, {"axis": axis})
    for mode in ("constant", "reflect", "edge"):
        yield f"Pad {mode}", ("Pad", {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}, {"mode": mode})
    yield "Slice", ("Slice", {"s": ints(2), "e": ints(6), "a": ints(1)}, {})
    yield "Transpose", ("Transpose", {}, {"perm": [0, 2, 3, 1]})
    yield "Flatten", ("Flatten", {}, {})
    nearest: Options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    sizes = {"roi": "", "scales": "", "sizes": ints(1, 8, 24, 24)}
    yield "Resize nearest", ("Resize", sizes, nearest)
    yield "Resize linear", ("Resize", sizes, {"mode": "linear"})
    for side in (12, 24):
        yield f"Concat of {side}x{side}", ("Concat", {"c": floats(1, 8, side, side)}, {"axis": 1})


def _of_matrices() -> Iterator[tuple[str, Step]]:
    for op in _UNARY.split():
        yield op, (op, {}, {})
    for op in ("Add", "Mul", "Sub", "Div"):
        yield f"{op} by column", (op, {"c": floats(8)}, {})
        yield f"{op} by number", (op, {"c": np.float32(0.7)}, {})
    yield "Gemm", ("Gemm", {"w": floats(8, 8), "b": floats(8)}, {})
    yield "MatMul", ("MatMul", {"w": floats(8, 8)}, {})
    for op, axis in itertools.product(("Softmax", "LogSoftmax"), (0, 1)):
        yield f"{op} {axis}", (op, {}, {"axis": axis})
    for op, axis, keepdims in itertools.product(("ArgMax", "ArgMin"), (0, 1), (0, 1)):
        yield f"{op} {axis} keepdims {keepdims}", (op, {}, {"axis": axis, "keepdims": keepdims})
    for op, axis in itertools.product(("ReduceMean", "ReduceMax", "ReduceL2"), (0, 1)):
        yield f"{op} {axis}", (op, {}, {"axes": [axis], "keepdims": 0})
    yield "Unsqueeze", ("Unsqueeze", {"a": ints(2, 3)}, {})
    yield "Transpose", ("Transpose", {}, {"perm": [1, 0]})
    yield "Gather", ("Gather", {"i": ints(1, 0)}, {"axis": 1})


@functools.cache
def pairs() -> dict[str, onnx.ModelProto]:
    """The graphs, each named by its ops; what no shapes fit is left out."""
    found = {}
    for steps, shape in ((_of_planes(), PLANE), (_of_matrices(), (3, 8))):
        named = list(steps)
        for (a, first), (b, second) in itertools.product(named, named):
            size = "x".join(map(str, shape))
            try:
                found[f"{a}, {b} of {size}"] = _pair(first, second, shape)
            except onnx.shape_inference.InferenceError:
                continue
    return found


def _pair(first: Step, second: Step, shape: tuple[int, ...]) -> onnx.ModelProto:
    constants: dict[str, Array | np.generic] = {}
    steps: list[tuple[Any, ...]] = []
    x = "x"
    for number, (op, read, options) in enumerate((first, second)):
        names = [f"{name}{number}" if value is not None else "-" for name, value in read.items()]
        kept = zip(names, read.values(), strict=True)
        constants |= {name: value for name, value in kept if not isinstance(value, str)}
        given = [n if n in constants else "-" for n in names]
        y = f"t{number}"
        steps.append((op, " ".join([x, *given]), y, options))
        x = f"f{number}"
        steps.append(("Cast", y, x, {"to": onnx.TensorProto.FLOAT}))
        if not op.startswith("Arg"):
            steps.pop()
            x = y
    op, inputs, _, *rest = steps[-1]
    steps[-1] = (op, inputs, "y", *rest)
    return chain(constants, *steps, shape=shape)
