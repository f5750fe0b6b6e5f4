"""How `onnxpool inspect` grows with the number of nodes: seconds of processor time and memory.

    python benchmarks/scale.py [--nodes 1000 5000 …] [--kinds cnn transformer …]

Each model is inspected by the command, in a process of its own. What that takes before it has read
a model (the interpreter, onnx, NumPy) is in the figures; the first row shows how much that is.

cnn            Conv, Add, Relu in residual blocks, a global pool at the end
transformer    decomposed layer norms and attention, batch and length open
detector       a CNN with levels that are resized, concatenated, sliced and transposed
pools          a chain of convolutions that 500 unequal adaptive pools read
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

OPSET = 17
POOLS = 500
NODES = [1000, 5000, 20_000, 50_000, 100_000]

_INSPECT = [sys.executable, "-m", "onnxpool", "inspect"]


class Graph:
    """Nodes in a row, and what they read."""

    def __init__(self, shape: Sequence[int | str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.outputs: list[str] = []
        self.input = helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def constant(self, name: str, value: object) -> str:
        if name not in self.constants:
            self.constants[name] = onnx.numpy_helper.from_array(np.asarray(value), name)
        return name

    def model(self) -> onnx.ModelProto:
        outputs = [ValueInfoProto(name=name) for name in self.outputs]
        for output in outputs:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes, "scale", [self.input], outputs, list(self.constants.values())
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
        )


def cnn(count: int) -> onnx.ModelProto:
    g = Graph(["N", 8, 64, 64])
    w = g.constant("w", np.full((8, 8, 3, 3), 0.01, np.float32))
    x = "X"
    while len(g.nodes) < count - 1:
        y = g.node("Relu", g.node("Conv", x, w, kernel_shape=[3, 3], pads=[1] * 4))
        y = g.node("Conv", y, w, kernel_shape=[3, 3], pads=[1] * 4)
        x = g.node("Relu", g.node("Add", x, y))
    g.outputs = [g.node("GlobalAveragePool", x)]
    return g.model()


def transformer(count: int) -> onnx.ModelProto:
    g = Graph(["N", "L", 64])
    w = g.constant("w", np.full((64, 64), 0.01, np.float32))
    x = "X"
    while len(g.nodes) < count - 1:
        x = g.node("Add", x, _attention(g, _norm(g, x), w))
        hidden = g.node("MatMul", _norm(g, x), w)
        x = g.node("Add", x, g.node("MatMul", g.node("Relu", hidden), w))
    g.outputs = [g.node("ReduceMean", x, axes=[1], keepdims=0)]
    return g.model()


def _norm(g: Graph, x: str) -> str:
    centred = g.node("Sub", x, g.node("ReduceMean", x, axes=[-1]))
    square = g.node("Pow", centred, g.constant("two", np.float32(2)))
    variance = g.node("ReduceMean", square, axes=[-1])
    deviation = g.node("Sqrt", g.node("Add", variance, g.constant("eps", np.float32(1e-5))))
    return g.node("Mul", g.node("Div", centred, deviation), g.constant("scale", np.float32(1)))


def _attention(g: Graph, x: str, w: str) -> str:
    shape = g.node("Shape", x)
    sizes = [
        g.node("Gather", shape, g.constant(f"i{axis}", np.array([axis], np.int64)), axis=0)
        for axis in (0, 1)
    ]
    heads = g.node("Concat", *sizes, g.constant("heads", np.array([4, 16], np.int64)), axis=0)
    q, k, v = (
        g.node("Transpose", g.node("Reshape", g.node("MatMul", x, w), heads), perm=[0, 2, 1, 3])
        for _ in range(3)
    )
    scores = g.node("MatMul", q, g.node("Transpose", k, perm=[0, 1, 3, 2]))
    mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1), v)
    flat = g.node("Concat", *sizes, g.constant("flat", np.array([64], np.int64)), axis=0)
    return g.node(
        "MatMul", g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), flat), w
    )


def detector(count: int) -> onnx.ModelProto:
    g = Graph([1, 8, 64, 64])
    w = g.constant("w", np.full((8, 8, 3, 3), 0.01, np.float32))
    merge = g.constant("m", np.full((8, 16, 1, 1), 0.01, np.float32))
    twice = g.constant("twice", np.array([1, 1, 2, 2], np.float32))
    x, heads = "X", []
    while len(g.nodes) < count - 3:
        x = g.node("Mul", x, g.node("Sigmoid", x))
        down = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        down = g.node("Conv", down, w, kernel_shape=[3, 3], pads=[1] * 4)
        up = g.node("Resize", down, "", twice, mode="nearest")
        x = g.node("Conv", g.node("Concat", x, up, axis=1), merge, kernel_shape=[1, 1])
        if len(g.nodes) % 40 < 6:
            flat = g.node("Reshape", down, g.constant("flat", np.array([1, 8, 1024], np.int64)))
            heads.append(g.node("Transpose", flat, perm=[0, 2, 1]))
    boxes = g.node("Concat", *heads, axis=1)
    g.outputs = [g.node("ReduceMax", boxes, axes=[2], keepdims=0), x]
    return g.model()


def pools(count: int) -> onnx.ModelProto:
    """Each pool is 13 to 3 on one axis: Slice and ReduceMean per bin, Concat."""
    g = Graph([1, 4, 13, 13])
    w = g.constant("w", np.full((4, 4, 3, 3), 0.01, np.float32))
    axis = g.constant("axis", np.array([3], np.int64))
    ends = {n: g.constant(f"i{n}", np.array([n], np.int64)) for n in (0, 4, 5, 8, 9, 13)}
    x = "X"
    between = max(1, count // POOLS - 7)
    while len(g.nodes) < count:
        for _ in range(between):
            x = g.node("Conv", x, w, kernel_shape=[3, 3], pads=[1] * 4)
        bins = [
            g.node("ReduceMean", g.node("Slice", x, ends[s], ends[e], axis), axes=[3])
            for s, e in ((0, 5), (4, 9), (8, 13))
        ]
        g.outputs.append(g.node("Concat", *bins, axis=3))
    return g.model()


KINDS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "cnn": cnn,
    "transformer": transformer,
    "detector": detector,
    "pools": pools,
}


def inspect(path: Path) -> tuple[float, float]:
    """Seconds of processor time, and the most memory in MB."""
    process = subprocess.Popen([*_INSPECT, str(path)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit(f"{path.name}: inspect fails")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    print("| nodes |" + "".join(f" {kind} |" for kind in arguments.kinds))
    print("|--:|" + "--:|" * len(arguments.kinds))
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.nodes:
            cells = []
            for kind in arguments.kinds:
                path = Path(folder) / f"{kind}.onnx"
                onnx.save(KINDS[kind](count), path)
                seconds, memory = inspect(path)
                cells.append(f" {seconds:.1f} s, {memory:.0f} MB |")
            print(f"| {count:,} |" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
