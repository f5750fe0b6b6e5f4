"""Stand-ins for real nets that took long to look at: seconds of processor time and memory.

    python benchmarks/stand_ins.py [--save FOLDER]

recogniser   of text, as PP-OCRv5's: depthwise convolutions with squeeze and excitation, two blocks
             of attention over columns, batch and width open, as paddle2onnx writes it
bytes        a classifier of files as magika: bytes one-hot, products, GELU by tanh, a maximum over
             positions, the batch open, as tf2onnx writes it

Weights are random. Each is inspected, and rewritten, by the command in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from scale import Graph

_CLASSES = 18_385
_BYTES = 2048

_RNG = np.random.default_rng(0)


def _weight(g: Graph, *shape: int) -> str:
    values = _RNG.normal(0, 0.05, shape).astype(np.float32)
    return g.constant(f"w{len(g.constants)}", values)


def _ints(g: Graph, *values: int) -> str:
    return g.constant("i" + "_".join(map(str, values)), np.array(values, np.int64))


def _float(g: Graph, value: float) -> str:
    return g.constant(f"f{value}", np.float32(value))


def recogniser() -> onnx.ModelProto:
    g = Graph(["N", 3, 48, "W"])
    x = _hard_swish(g, _conv(g, "X", 3, 16, 3, (2, 2)))
    channels = 16
    for out, strides, blocks in (
        (32, [1, 1], 2),
        (64, [2, 1], 2),
        (128, [2, 1], 2),
        (240, [1, 2], 6),
        (480, [2, 1], 4),
    ):
        for block in range(blocks):
            x = _hard_swish(g, _depthwise(g, x, channels, [1, 1] if block else strides))
            if out >= 240:
                x = _excited(g, x, channels)
            x, channels = _hard_swish(g, _conv(g, x, channels, out, 1)), out
    x = g.node("AveragePool", x, kernel_shape=[3, 2], strides=[3, 2])
    x = _conv(g, x, channels, 120, 1)
    columns = g.node("Transpose", g.node("Squeeze", x, _ints(g, 2)), perm=[0, 2, 1])
    for _ in range(2):
        columns = g.node("Add", columns, _attention(g, _norm(g, columns, 120), 120, 8))
        hidden = g.node(
            "Add", g.node("MatMul", _norm(g, columns, 120), _weight(g, 120, 240)), _weight(g, 240)
        )
        hidden = g.node("Mul", hidden, g.node("Sigmoid", hidden))
        hidden = g.node("MatMul", hidden, _weight(g, 240, 120))
        columns = g.node("Add", columns, hidden)
    scores = g.node("MatMul", _norm(g, columns, 120), _weight(g, 120, _CLASSES))
    g.outputs = [g.node("Softmax", g.node("Add", scores, _weight(g, _CLASSES)), axis=2)]
    return g.model()


def _conv(
    g: Graph, x: str, channels: int, out: int, k: int, strides: tuple[int, int] = (1, 1)
) -> str:
    y = g.node(
        "Conv",
        x,
        _weight(g, out, channels, k, k),
        kernel_shape=[k, k],
        pads=[k // 2] * 4,
        strides=strides,
    )
    return g.node("Add", y, _weight(g, 1, out, 1, 1))


def _depthwise(g: Graph, x: str, channels: int, strides: list[int]) -> str:
    return g.node(
        "Conv",
        x,
        _weight(g, channels, 1, 3, 3),
        kernel_shape=[3, 3],
        pads=[1] * 4,
        strides=strides,
        group=channels,
    )


def _hard_swish(g: Graph, x: str) -> str:
    """As Clip and Div around a sum."""
    shifted = g.node("Clip", g.node("Add", x, _float(g, 3)), _float(g, 0), _float(g, 6))
    return g.node("Div", g.node("Mul", x, shifted), _float(g, 6))


def _excited(g: Graph, x: str, channels: int) -> str:
    squeezed = _conv(g, g.node("GlobalAveragePool", x), channels, channels // 4, 1)
    gate = _conv(g, g.node("Relu", squeezed), channels // 4, channels, 1)
    return g.node("Mul", x, g.node("HardSigmoid", gate, alpha=1 / 6))


def _norm(g: Graph, x: str, channels: int) -> str:
    centred = g.node("Sub", x, g.node("ReduceMean", x, axes=[-1]))
    square = g.node("Pow", centred, _float(g, 2))
    variance = g.node("Add", g.node("ReduceMean", square, axes=[-1]), _float(g, 1e-6))
    scaled = g.node("Div", centred, g.node("Sqrt", variance))
    return g.node("Add", g.node("Mul", scaled, _weight(g, channels)), _weight(g, channels))


def _attention(g: Graph, x: str, channels: int, heads: int) -> str:
    size = g.node("Slice", g.node("Shape", x), _ints(g, 0), _ints(g, 2))
    parts = g.node("Concat", size, _ints(g, 3, heads, channels // heads), axis=0)
    qkv = g.node("Reshape", g.node("MatMul", x, _weight(g, channels, 3 * channels)), parts)
    qkv = g.node("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (
        g.node(
            "Squeeze", g.node("Slice", qkv, _ints(g, i), _ints(g, i + 1), _ints(g, 0)), _ints(g, 0)
        )
        for i in range(3)
    )
    scores = g.node("MatMul", q, g.node("Transpose", k, perm=[0, 1, 3, 2]))
    scores = g.node("Mul", scores, _float(g, (channels // heads) ** -0.5))
    mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1), v)
    whole = g.node("Concat", size, _ints(g, channels), axis=0)
    flat = g.node("Reshape", g.node("Transpose", mixed, perm=[0, 2, 1, 3]), whole)
    return g.node("MatMul", flat, _weight(g, channels, channels))


def bytes_() -> onnx.ModelProto:
    g = Graph(["N", _BYTES])
    index = g.node("Cast", "X", to=onnx.TensorProto.INT64)
    hot = g.node("OneHot", index, _ints(g, 257), g.constant("hot", np.array([0, 1], np.float32)))
    x = _gelu(g, g.node("Add", g.node("MatMul", hot, _weight(g, 257, 64)), _weight(g, 64)))
    rows = g.node("Slice", g.node("Shape", x), _ints(g, 0), _ints(g, 1))
    folded = g.node("Concat", rows, _ints(g, _BYTES // 4, 256), axis=0)
    x = _norm(g, g.node("Reshape", x, folded), 256)
    for channels, out in ((256, 256), (256, 512)):
        x = g.node("Unsqueeze", g.node("Transpose", x, perm=[0, 2, 1]), _ints(g, 2))
        x = g.node("Conv", x, _weight(g, out, channels, 1, 5), pads=[0, 2, 0, 2])
        x = g.node("Transpose", g.node("Squeeze", x, _ints(g, 2)), perm=[0, 2, 1])
        x = _norm(g, _gelu(g, g.node("Add", x, _weight(g, out))), out)
    x = g.node("ReduceMax", x, axes=[1], keepdims=0)
    x = _gelu(g, g.node("Add", g.node("MatMul", x, _weight(g, 512, 256)), _weight(g, 256)))
    x = g.node("MatMul", _norm(g, x, 256), _weight(g, 256, 214))
    g.outputs = [g.node("Softmax", g.node("Add", x, _weight(g, 214)), axis=1)]
    return g.model()


def _gelu(g: Graph, x: str) -> str:
    cube = g.node("Mul", g.node("Pow", x, _float(g, 3)), _float(g, 0.044715))
    inner = g.node("Tanh", g.node("Mul", g.node("Add", x, cube), _float(g, 0.7978846)))
    half = g.node("Mul", x, _float(g, 0.5))
    return g.node("Mul", half, g.node("Add", inner, _float(g, 1)))


NETS: dict[str, Callable[[], onnx.ModelProto]] = {"recogniser": recogniser, "bytes": bytes_}


def _measured(*arguments: str) -> str:
    """Seconds of processor time, and the most memory, of a call of the command."""
    command = [sys.executable, "-m", "onnxpool", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit(f"{' '.join(arguments)} fails")
    return f"{used.ru_utime + used.ru_stime:.1f} s, {used.ru_maxrss / 1024:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, help="write the models into this folder, and no more")
    folder = parser.parse_args().save
    print("| net | nodes | inspect | rewrite |\n|--|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        for name, build in NETS.items():
            model = build()
            path = Path(folder or temporary) / f"{name}.onnx"
            onnx.save(model, path)
            if folder is None:
                rewritten = _measured("rewrite", str(path), str(path.with_suffix(".out.onnx")))
                cells = (_measured("inspect", str(path)), rewritten)
                print(f"| {name} | {len(model.graph.node)} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
