"""The ops that have layers, and how each is written; `LAYERS` lists them.

Pow, Add, Mul … with a number    Power: (shift + scale · x) ^ power, in exact numbers
a constant for each channel      Scale, with a bias or a factor of 1
AveragePool, MaxPool             Pooling; Caffe rounds the size of its output up; where windows
                                 leave a rest, ceil_mode: false says so, as OpenCV reads it
Resize, linear                   Interp, corners on corners, or from one element
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx

from onnxpool.caffe.convert import Emit, Writer, is_per_channel, refusal, vector
from onnxpool.caffe.net import Layer, Word
from onnxpool.ops.op import Array

Node = onnx.NodeProto
Layers = Iterator[Layer]


def _power(
    w: Writer, node: Node, of: str = "", *, scale: float = 1, shift: float = 0, power: float = 1
) -> Layer:
    """(shift + scale · x) ^ power of the first input, or of the tensor `of`."""
    settings = {"power": power, "scale": scale, "shift": shift}
    return w.layer("Power", node, {"power_param": settings}, bottoms=[of or node.input[0]])


def _scale(w: Writer, node: Node, factor: Array, bias: Array, of: str, top: str = "") -> Layer:
    blobs = [vector(factor), vector(bias)]
    return w.layer("Scale", node, {"scale_param": {"bias_term": True}}, blobs, [of], top)


def _elementwise(w: Writer, node: Node) -> Layers:
    """Add, Sub, Mul, Div: with a number, with one for each channel, or of equal shapes."""
    a, b = node.input
    for of, other in ((0, b), (1, a)):
        number = w.number(other)
        if number is not None:
            yield _power(w, node, node.input[of], **_linear(node, number, of))
            return
        if other in w.constants:
            x = node.input[of]
            yield _scale(w, node, *_per_channel(w, node, w.constants[other], x, of), x)
            return
    if w.shape(a, node) != w.shape(b, node):
        raise refusal(node, "its inputs have different shapes, and none is constant")
    how: dict[str, Any] = {
        "Add": {"operation": Word("SUM")},
        "Sub": {"operation": Word("SUM"), "coeff": [1.0, -1.0]},
        "Mul": {"operation": Word("PROD")},
    }
    if node.op_type not in how:
        raise refusal(node, "it divides one tensor by another")
    yield w.layer("Eltwise", node, {"eltwise_param": how[node.op_type]}, bottoms=[a, b])


def _linear(node: Node, number: float, of: int) -> dict[str, float]:
    """What a number does to X, the input `of`, in the words of Power."""
    if node.op_type == "Add":
        return {"shift": number}
    if node.op_type == "Sub":
        return {"shift": -number} if of == 0 else {"shift": number, "scale": -1}
    if node.op_type == "Mul":
        return {"scale": number}
    if of == 1 and number != 1:
        raise refusal(node, "it divides a number other than 1")
    return {"scale": 1 / number} if of == 0 else {"power": -1}


def _per_channel(w: Writer, node: Node, value: Array, x: str, of: int) -> tuple[Array, Array]:
    """Factor and bias for each channel of X, the input `of`."""
    shape = w.shape(x, node)
    if not is_per_channel(value, shape):
        raise refusal(node, "its constant is neither one number nor one for each channel")
    value = vector(value)
    zeros, ones = np.zeros_like(value), np.ones_like(value)
    if node.op_type == "Add":
        return ones, value
    if node.op_type == "Sub":
        return (ones, -value) if of == 0 else (-ones, value)
    if node.op_type == "Mul":
        return value, zeros
    if of == 1:
        raise refusal(node, "it divides a constant")
    return 1 / value, zeros


def _pow(w: Writer, node: Node) -> Layers:
    exponent = w.number(node.input[1])
    if exponent is None:
        raise refusal(node, "its exponent is not one number")
    yield _power(w, node, power=exponent)


def _several(operation: str, one_by_one: bool = False) -> Emit:
    def emit(w: Writer, node: Node) -> Layers:
        if len(node.input) == 1:
            yield from w.pass_on(node)
            return
        shapes = {w.shape(name, node) for name in node.input}
        if len(shapes) > 1 or any(name in w.constants for name in node.input):
            raise refusal(node, "its inputs have different shapes, or one is constant")
        settings = {"eltwise_param": {"operation": Word(operation)}}
        yield w.layer("Eltwise", node, settings, bottoms=list(node.input))

    return emit


def _plain(kind: str, parameters: dict[str, Any] | None = None) -> Emit:
    return lambda w, node: [w.layer(kind, node, parameters)]


def _leaky(kind: str, message: str, name: str, default: float) -> Emit:
    def emit(w: Writer, node: Node) -> Layers:
        value = w.attributes(node).get("alpha", default)
        yield w.layer(kind, node, {message: {name: float(value)}})

    return emit


def _fixed_power(scale: float = 1, power: float = 1) -> Emit:
    return lambda w, node: [_power(w, node, scale=scale, power=power)]


def _convolution(w: Writer, node: Node) -> Layers:
    weights, attributes = w.constant(node, 1, "weights"), w.attributes(node)
    if weights.ndim != 4:
        raise refusal(node, "it is not of planes")
    pads = _both_sides(w, node)
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    blobs = [weights]
    if len(node.input) > 2 and node.input[2]:
        blobs.append(w.constant(node, 2, "bias"))
    settings = {
        "num_output": weights.shape[0],
        "bias_term": len(blobs) > 1,
        "group": attributes.get("group", 1),
        **_two("pad", pads),
        **_two("kernel", weights.shape[2:]),
        **_two("stride", strides),
        "dilation": list(dilations),
    }
    yield w.layer("Convolution", node, {"convolution_param": settings}, blobs)


def _both_sides(w: Writer, node: Node) -> Sequence[int]:
    """The pads of an axis, which are the same on both sides."""
    attributes = w.attributes(node)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise refusal(node, "it has auto_pad")
    pads = list(attributes.get("pads", [0] * 4))
    if pads[:2] != pads[2:]:
        raise refusal(node, "it pads the two sides of an axis differently")
    return pads[:2]


def _two(name: str, sizes: Sequence[int]) -> dict[str, int]:
    return {f"{name}_h": int(sizes[0]), f"{name}_w": int(sizes[1])}


def _pooling(w: Writer, node: Node) -> Layers:
    x, y, attributes = (
        w.shape(node.input[0], node),
        w.shape(node.output[0], node),
        w.attributes(node),
    )
    if len(x) != 4:
        raise refusal(node, "it is not of planes")
    average = node.op_type == "AveragePool"
    pads, kernel = _both_sides(w, node), attributes["kernel_shape"]
    strides = attributes.get("strides", [1, 1])
    if any(d != 1 for d in attributes.get("dilations", ())):
        raise refusal(node, "it has dilations")
    if average and any(pads) and not attributes.get("count_include_pad", 0):
        raise refusal(node, "it leaves its padding out, which Caffe counts")
    settings: dict[str, Any] = {
        "pool": Word("AVE" if average else "MAX"),
        **_two("kernel", kernel),
        **_two("stride", strides),
        **_two("pad", pads),
    }
    ends = zip(x[2:], y[2:], kernel, strides, pads, strict=True)
    if any(-((size + 2 * pad - k) // -stride) + 1 != out for size, out, k, stride, pad in ends):
        settings["ceil_mode"] = False
    elif attributes.get("ceil_mode", 0) and average:
        raise refusal(node, "its last windows may hang over the edge (ceil_mode)")
    yield w.layer("Pooling", node, {"pooling_param": settings})


def _global_pooling(w: Writer, node: Node) -> Layers:
    if len(w.shape(node.input[0], node)) != 4:
        raise refusal(node, "it is not of planes")
    pool = Word("AVE" if node.op_type == "GlobalAveragePool" else "MAX")
    yield w.layer("Pooling", node, {"pooling_param": {"pool": pool, "global_pooling": True}})


def _interpolation(w: Writer, node: Node) -> Layers:
    x, y, attributes = (
        w.shape(node.input[0], node),
        w.shape(node.output[0], node),
        w.attributes(node),
    )
    if len(x) != 4 or x[:2] != y[:2]:
        raise refusal(node, "it is not of planes")
    kept = all(a in (1, b) for a, b in zip(x[2:], y[2:], strict=True))
    corners = attributes.get("coordinate_transformation_mode") == b"align_corners"
    if not kept and not (attributes.get("mode", b"nearest") == b"linear" and corners):
        raise refusal(node, "it is not linear with its corners aligned")
    yield w.layer("Interp", node, {"interp_param": {"height": y[2], "width": y[3]}})


def _concat(w: Writer, node: Node) -> Layers:
    if any(name in w.constants for name in node.input):
        raise refusal(node, "a part of it is constant")
    axis = w.attributes(node)["axis"] % len(w.shape(node.output[0], node))
    yield w.layer("Concat", node, {"concat_param": {"axis": axis}}, bottoms=list(node.input))


def _batch_norm(w: Writer, node: Node) -> Layers:
    scale, bias, mean, variance = (
        w.constant(node, k, what) for k, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    epsilon = float(w.attributes(node).get("epsilon", 1e-5))
    settings = {"batch_norm_param": {"use_global_stats": True, "eps": epsilon}}
    blobs = [vector(mean), vector(variance), np.ones(1, np.float32)]
    normal = f"{node.output[0]}/normal"
    yield w.layer("BatchNorm", node, settings, blobs, top=normal)
    yield _scale(w, node, scale, bias, normal)


def _softmax(w: Writer, node: Node) -> Layers:
    rank = len(w.shape(node.input[0], node))
    axis = w.attributes(node).get("axis", -1) % rank
    yield w.layer("Softmax", node, {"softmax_param": {"axis": axis}})


def _inner_product(w: Writer, node: Node) -> Layers:
    """Gemm, or MatMul of a matrix with constant weights."""
    weights, attributes = w.constant(node, 1, "weights"), w.attributes(node)
    if len(w.shape(node.input[0], node)) != 2 or weights.ndim != 2 or attributes.get("transA", 0):
        raise refusal(node, "it is not a matrix times constant weights")
    if not attributes.get("transB", 0):
        weights = weights.T
    blobs = [weights * np.float32(attributes.get("alpha", 1.0))]
    if len(node.input) > 2 and node.input[2]:
        bias = w.constant(node, 2, "bias") * np.float32(attributes.get("beta", 1.0))
        blobs.append(np.broadcast_to(bias.reshape(-1), (weights.shape[0],)))
    settings = {"num_output": weights.shape[0], "bias_term": len(blobs) > 1}
    yield w.layer("InnerProduct", node, {"inner_product_param": settings}, blobs)


def _slice(w: Writer, node: Node) -> Layers:
    """A part of one axis: what is before and behind it is given too, and read by nobody."""
    x, y = w.shape(node.input[0], node), w.shape(node.output[0], node)
    if x == y:
        yield from w.pass_on(node)
        return
    axes = [axis for axis, (a, b) in enumerate(zip(x, y, strict=True)) if a != b]
    if len(axes) > 1:
        raise refusal(node, "it cuts several axes")
    axis, name = axes[0], node.output[0]
    start = _start(w, node, axis)
    end = start + y[axis]
    points = [point for point in (start, end) if 0 < point < x[axis]]
    names = [*[""] * (start > 0), name, *[""] * (end < x[axis])]
    yield w.slice(node, axis, points, names)


def _start(w: Writer, node: Node, axis: int) -> int:
    rank = len(w.shape(node.input[0], node))
    attributes = w.attributes(node)
    if len(node.input) > 1:
        starts = w.constant(node, 1, "starts").tolist()
        axes = w.constant(node, 3, "axes").tolist() if len(node.input) > 3 else range(len(starts))
        steps = w.constant(node, 4, "steps").tolist() if len(node.input) > 4 else [1]
    else:
        starts, steps = attributes["starts"], [1]
        axes = attributes.get("axes", range(len(starts)))
    if any(step != 1 for step in steps):
        raise refusal(node, "it has steps")
    length = w.shape(node.input[0], node)[axis]
    (start,) = (s for s, a in zip(starts, axes, strict=True) if a % rank == axis)
    return int(max(start + length, 0) if start < 0 else start)


def _split(w: Writer, node: Node) -> Layers:
    shape = w.shape(node.input[0], node)
    axis = w.attributes(node).get("axis", 0) % len(shape)
    sizes = [w.shape(name, node)[axis] for name in node.output]
    yield w.slice(node, axis, np.cumsum(sizes)[:-1].tolist(), node.output)


def _reshape(w: Writer, node: Node) -> Layers:
    shape = {"shape": {"dim": list(w.shape(node.output[0], node))}}
    yield w.layer("Reshape", node, {"reshape_param": shape})


def _identity(w: Writer, node: Node) -> Sequence[Layer]:
    return w.pass_on(node)


LAYERS: dict[str, Emit] = {
    "Abs": _plain("AbsVal"),
    "Add": _elementwise,
    "AveragePool": _pooling,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _convolution,
    "Div": _elementwise,
    "Dropout": _identity,
    "Elu": _leaky("ELU", "elu_param", "alpha", 1.0),
    "Exp": _plain("Exp"),
    "Flatten": _reshape,
    "Gemm": _inner_product,
    "GlobalAveragePool": _global_pooling,
    "GlobalMaxPool": _global_pooling,
    "Identity": _identity,
    "LeakyRelu": _leaky("ReLU", "relu_param", "negative_slope", 0.01),
    "MatMul": _inner_product,
    "Max": _several("MAX"),
    "MaxPool": _pooling,
    "Mul": _elementwise,
    "Neg": _fixed_power(scale=-1),
    "Pow": _pow,
    "Reciprocal": _fixed_power(power=-1),
    "Relu": _plain("ReLU"),
    "Reshape": _reshape,
    "Resize": _interpolation,
    "Sigmoid": _plain("Sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _fixed_power(power=0.5),
    "Squeeze": _reshape,
    "Sub": _elementwise,
    "Sum": _several("SUM"),
    "Tanh": _plain("TanH"),
    "Unsqueeze": _reshape,
}
"""By the op type."""
