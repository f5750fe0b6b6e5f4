"""One graph per op and per form of it that runtimes are known to differ in, at opset 17.

They are what `Limit` and `TRIED` in onnxpool/targets are measured on.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

Array = NDArray[Any]
Constants = Mapping[str, Array | np.generic]
Options = dict[str, Any]
"""What `one` takes as its rest: constants and attributes."""

OPSET = 17
PLANE, LINE, VOLUME, ROW = (1, 8, 12, 12), (1, 8, 12), (1, 8, 6, 6, 6), (1, 96)
SEQUENCE = (12, 1, 8)

_UNARY = """
    Abs Atan Ceil Celu Cos Elu Erf Exp Floor HardSigmoid HardSwish Identity LeakyRelu Log Neg
    Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Tan Tanh ThresholdedRelu
    Trilu GlobalAveragePool GlobalMaxPool GlobalLpPool Dropout Flatten Hardmax
"""
_BINARY = "Add Sub Mul Div Pow Max Min"
_REDUCTIONS = """
    ReduceMean ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceProd ReduceSumSquare ReduceLogSum
    ReduceLogSumExp
"""
_POOLS = ("AveragePool", "MaxPool")


@functools.cache
def forms() -> dict[str, onnx.ModelProto]:
    """The graphs, each named by its op and what is particular about it."""
    return dict(_all())


def _all() -> Iterator[tuple[str, onnx.ModelProto]]:
    yield from _elementwise()
    yield from _pooling()
    yield from _products()
    yield from _shaping()
    yield from _resizing()
    yield from _chains()


def _elementwise() -> Iterator[tuple[str, onnx.ModelProto]]:
    for op in _UNARY.split():
        yield op, one(op)
    for op in _BINARY.split():
        yield f"{op} by channel", one(op, c=floats(8, 1, 1))
        yield f"{op} by number", one(op, c=np.float32(0.7))
        yield f"{op} of number", one(op, c=np.float32(0.7), order=["c", "x"])
        yield f"{op} by plane", one(op, c=floats(1, 1, *PLANE[2:]))
    for op in ("Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"):
        yield op, one(op, c=np.float32(0.5), cast=True)
    yield "Mod", one("Mod", c=floats(8, 1, 1), fmod=1)
    yield "PRelu", one("PRelu", c=floats(8, 1, 1))
    yield "Clip", one("Clip", low=np.float32(0.2), high=np.float32(0.8))
    yield "IsNaN", one("IsNaN", cast=True)
    yield "Cast", one("Cast", cast=True, to=TensorProto.INT32)
    for axis in (1, -1):
        yield f"Softmax over {axis}", one("Softmax", axis=axis)
    yield "LogSoftmax", one("LogSoftmax", axis=1)
    for op in ("Sum", "Mean"):
        yield op, one(op, order=["x", "x"])
    for op in ("ArgMax", "ArgMin"):
        yield op, one(op, cast=True, axis=3)
    yield "CumSum", one("CumSum", axis=np.int64(3))


def _pooling() -> Iterator[tuple[str, onnx.ModelProto]]:
    square: Options = {"kernel_shape": [3, 3]}
    particular: dict[str, Options] = {
        "": {},
        " strides": {"strides": [2, 2]},
        " pads": {"pads": [1] * 4, "strides": [2, 2]},
        " uneven pads": {"pads": [0, 0, 1, 1], "strides": [2, 2]},
        " ceil_mode": {"ceil_mode": 1, "strides": [2, 2]},
        " SAME_UPPER": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        " SAME_LOWER": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        " large": {"kernel_shape": [11, 11]},
    }
    for op in _POOLS:
        for name, attributes in particular.items():
            yield op + name, one(op, **{**square, **attributes})
        yield f"{op} of lines", one(op, shape=LINE, kernel_shape=[3])
        yield f"{op} of volumes", one(op, shape=VOLUME, kernel_shape=[3] * 3)
        yield f"Global{op} of volumes", one(f"Global{op}", shape=VOLUME)
    padded: Options = {"pads": [1] * 4, "count_include_pad": 1}
    yield "AveragePool counts padding", one("AveragePool", **square, **padded)
    yield "MaxPool dilations", one("MaxPool", dilations=[2, 2], **square)
    yield "MaxPool indices", _indices()
    for p in (2, 3):
        yield f"LpPool {p}", one("LpPool", p=p, strides=[p, p], **square)
    for op in _REDUCTIONS.split():
        for name, axes, keepdims in (("plane", [2, 3], 1), ("away", [2, 3], 0), ("row", [3], 1)):
            yield f"{op} {name}", one(op, axes=axes, keepdims=keepdims)
    for op in ("ReduceMean", "ReduceMax"):
        yield f"{op} opset 18", one(op, a=ints(2, 3), opset=18)
    yield "ReduceSum", one("ReduceSum", a=ints(2, 3))


def _products() -> Iterator[tuple[str, onnx.ModelProto]]:
    square: Options = {"kernel_shape": [3, 3]}
    yield "Conv", one("Conv", w=floats(6, 8, 3, 3), b=floats(6), pads=[1] * 4, **square)
    yield "Conv of groups", one("Conv", w=floats(8, 2, 3, 3), group=4, **square)
    yield "Conv by channel", one("Conv", w=floats(8, 1, 3, 3), group=8, **square)
    yield "Conv dilations", one("Conv", w=floats(6, 8, 3, 3), dilations=[2, 2], **square)
    upper: Options = {"auto_pad": "SAME_UPPER", "strides": [2, 2]}
    yield "Conv SAME_UPPER", one("Conv", w=floats(6, 8, 3, 3), **upper, **square)
    yield "Conv of lines", one("Conv", w=floats(6, 8, 3), shape=LINE)
    yield "Conv of volumes", one("Conv", w=floats(6, 8, 3, 3, 3), shape=VOLUME)
    double: Options = {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}
    yield "ConvTranspose", one("ConvTranspose", w=floats(8, 4, 3, 3), **double)
    yield "Gemm", one("Gemm", w=floats(5, 96), b=floats(5), shape=ROW, transB=1)
    yield "MatMul", one("MatMul", w=floats(12, 7))
    yield "MatMul from the left", one("MatMul", w=floats(7, 12), order=["w", "x"])
    yield "Einsum", one("Einsum", w=floats(12, 7), equation="nchw,wo->ncho")
    statistics: Options = {name: floats(8) for name in ("s", "b", "m", "v")}
    yield "BatchNormalization", one("BatchNormalization", **statistics)
    yield "InstanceNormalization", one("InstanceNormalization", s=floats(8), b=floats(8))
    yield "LayerNormalization", one("LayerNormalization", s=floats(12), b=floats(12))
    yield "LRN", one("LRN", size=3)
    yield "LpNormalization", one("LpNormalization", axis=1)
    for op, gates in (("LSTM", 4), ("GRU", 3)):
        weights: Options = {"w": floats(1, 4 * gates, 8), "r": floats(1, 4 * gates, 4)}
        yield op, one(op, **weights, shape=SEQUENCE, hidden_size=4)


def _shaping() -> Iterator[tuple[str, onnx.ModelProto]]:
    yield "Reshape", one("Reshape", s=ints(0, 0, -1))
    yield "Transpose", one("Transpose", perm=[0, 2, 3, 1])
    yield "Unsqueeze", one("Unsqueeze", a=ints(2))
    yield "Squeeze", one("Squeeze", a=ints(2), shape=(1, 8, 1, 12))
    yield "Concat", one("Concat", order=["x", "x"], axis=1)
    yield "Slice", one("Slice", s=ints(2), e=ints(9), a=ints(3))
    yield "Slice steps", one("Slice", s=ints(0), e=ints(12), a=ints(3), t=ints(2))
    yield "Slice backwards", one("Slice", s=ints(-1), e=ints(-99), a=ints(3), t=ints(-1))
    for name, index in (("", [3, 1, 1]), (" table", [[3, 1], [1, 5]]), (" number", 3)):
        yield f"Gather{name}", one("Gather", i=np.array(index, np.int64), axis=3)
    elements = np.broadcast_to(np.array([5, 0, 7], np.int64), (1, 8, 12, 3)).copy()
    yield "GatherElements", one("GatherElements", i=elements, axis=3)
    updates: Options = {"i": elements, "u": floats(1, 8, 12, 3)}
    yield "ScatterElements", one("ScatterElements", **updates, axis=3)
    places = np.array([[0, 3], [0, 5]], np.int64)
    yield "GatherND", one("GatherND", i=places)
    yield "ScatterND", one("ScatterND", i=places, u=floats(2, 12, 12))
    yield "Expand", one("Expand", s=ints(*PLANE), shape=(1, 8, 1, 1))
    yield "Tile", one("Tile", r=ints(1, 1, 2, 3))
    for mode in ("constant", "reflect", "edge"):
        yield f"Pad {mode}", one("Pad", p=ints(0, 0, 1, 2, 0, 0, 0, 1), mode=mode)
    for op in ("DepthToSpace", "SpaceToDepth"):
        yield op, one(op, blocksize=2)
    yield "GridSample", one("GridSample", g=2 * floats(1, 5, 6, 2) - 1)
    rois: Options = {"r": np.array([[0, 0, 6, 6]], np.float32), "b": ints(0)}
    sizes: Options = {"output_height": 3, "output_width": 3}
    yield "RoiAlign", one("RoiAlign", **rois, **sizes)


def _resizing() -> Iterator[tuple[str, onnx.ModelProto]]:
    for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        for size in ((17, 30), (5, 7)):
            name = f"Resize linear {coordinates} to {size[0]}x{size[1]}"
            yield name, _resize(size, "linear", coordinates)
    yield "Resize linear of 1x1", _resize((9, 9), "linear", "half_pixel", (1, 8, 1, 1))
    yield "Resize cubic", _resize((17, 30), "cubic", "half_pixel")
    yield "Resize nearest", _resize((24, 24), "nearest", "asymmetric", nearest_mode="floor")
    sizes = onnx.numpy_helper.from_array(ints(1, 8, 17, 30), "value")
    yield (
        "Resize linear by Constant node",
        chain(
            {},
            ("Constant", "", "sizes", {"value": sizes}),
            ("Resize", "x - - sizes", "y", {"mode": "linear"}),
        ),
    )
    yield "Resize linear opset 19", _resize((17, 30), "linear", "align_corners", opset=19)


def _chains() -> Iterator[tuple[str, onnx.ModelProto]]:
    """Ops that take or give what is no map of floats."""
    half = {"half": np.float32(0.5), "most": np.float32(0.7)}
    above = ("Greater", "x half", "above")
    to_float = ("Cast", "t", "y", {"to": TensorProto.FLOAT})
    yield "Where", chain(half, above, ("Where", "above x half", "y"))
    yield "Not", chain(half, above, ("Not", "above", "t"), to_float)
    below = ("Less", "x most", "below")
    yield "And", chain(half, above, below, ("And", "above below", "t"), to_float)
    yield (
        "Split",
        chain(
            {"parts": ints(3, 5)},
            ("Split", "x parts", "a b", {"axis": 1}),
            ("Concat", "b a", "y", {"axis": 1}),
        ),
    )
    yield "TopK", chain({"k": ints(4)}, ("TopK", "x k", "y indices", {"axis": 3}))
    one_hot: Constants = {"depth": np.int64(12), "values": np.array([0, 1], np.float32)}
    positions = ("ArgMax", "x", "positions", {"axis": 3, "keepdims": 0})
    yield "OneHot", chain(one_hot, positions, ("OneHot", "positions depth values", "y"))
    tensor = onnx.numpy_helper.from_array(floats(8, 1, 1), "value")
    yield "Constant", chain({}, ("Constant", "", "c", {"value": tensor}), ("Add", "x c", "y"))
    twos = onnx.numpy_helper.from_array(np.array([2], np.float32), "value")
    sizes = ("Shape", "x", "sizes")
    yield (
        "ConstantOfShape",
        chain({}, sizes, ("ConstantOfShape", "sizes", "c", {"value": twos}), ("Add", "x c", "y")),
    )
    scalars = {"zero": np.int64(0), "one": np.int64(1), "last": np.int64(3)}
    yield (
        "Range",
        chain(
            scalars,
            sizes,
            ("Gather", "sizes last", "width"),
            ("Range", "zero width one", "range"),
            ("Cast", "range", "t", {"to": TensorProto.FLOAT}),
            ("Add", "x t", "y"),
        ),
    )
    average = ("AveragePool", "x", "t", {"kernel_shape": [3, 3]})
    yield "Clip behind AveragePool", chain(half, average, ("Clip", "t half", "y"))
    half_of_zeros = ("Sub", "x half", "t"), ("Relu", "t", "base")
    for p in (0.5, 2.3, 3.0):
        numbers = {"half": np.float32(0.5), "p": np.float32(p)}
        yield f"Pow {p:g} of 0", chain(numbers, *half_of_zeros, ("Pow", "base p", "y"))
    quantization: Constants = {"scale": np.float32(0.01), "zero_point": np.uint8(3)}
    yield (
        "QuantizeLinear",
        chain(
            quantization,
            ("QuantizeLinear", "x scale zero_point", "q"),
            ("DequantizeLinear", "q scale zero_point", "y"),
        ),
    )
    branches = {f"{way}_branch": _branch(op) for way, op in (("then", "Relu"), ("else", "Neg"))}
    total = ("ReduceSum", "x", "total", {"keepdims": 0})
    decide = ("Greater", "total half", "above")
    yield "If", chain(half, total, decide, ("If", "above", "y", branches))


def _branch(op: str) -> onnx.GraphProto:
    node = helper.make_node(op, ["x"], [op])
    return helper.make_graph([node], op, [], [onnx.ValueInfoProto(name=op)])


def chain(
    constants: Constants, *steps: tuple[Any, ...], shape: Sequence[int] = PLANE, opset: int = OPSET
) -> onnx.ModelProto:
    """Nodes (op, inputs, outputs, attributes), names in one text, "-" for an input left out."""
    nodes = []
    for op, inputs, outputs, *attributes in steps:
        options: Options = attributes[0] if attributes else {}
        given = ["" if name == "-" else name for name in inputs.split()]
        nodes.append(helper.make_node(op, given, outputs.split(), **options))
    read = {name for _, inputs, *_ in steps for name in inputs.split()}
    return _model(nodes, {k: v for k, v in constants.items() if k in read}, shape, opset)


def _resize(
    size: tuple[int, int],
    mode: str,
    coordinates: str,
    shape: Sequence[int] = PLANE,
    **options: Any,
) -> onnx.ModelProto:
    names: Options = {"mode": mode, "coordinate_transformation_mode": coordinates}
    order = ["x", "", "", "sizes"]
    return one("Resize", sizes=ints(1, 8, *size), order=order, shape=shape, **names, **options)


def _indices() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["values", "t"], "node", kernel_shape=[3, 3]),
        helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT),
    ]
    return _model(nodes, {}, PLANE, OPSET)


def one(
    op: str,
    *,
    shape: Sequence[int] = PLANE,
    order: Sequence[str] | None = None,
    cast: bool = False,
    opset: int = OPSET,
    **rest: Any,
) -> onnx.ModelProto:
    """Op(x, constants): arrays are inputs, all else are attributes; `cast` the result to float."""
    constants = {k: v for k, v in rest.items() if isinstance(v, np.ndarray | np.generic)}
    attributes = {k: v for k, v in rest.items() if k not in constants}
    output = "t" if cast else "y"
    inputs = list(order or ["x", *constants])
    nodes = [helper.make_node(op, inputs, [output], "node", **attributes)]
    if cast:
        nodes.append(helper.make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT))
    return _model(nodes, constants, shape, opset)


def _model(
    nodes: Sequence[onnx.NodeProto], constants: Constants, shape: Sequence[int], opset: int
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "form",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name="y")],
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
        ],
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def floats(*shape: int) -> Array:
    return np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)
