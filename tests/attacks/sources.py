"""Sound models to damage: small, and of every kind of thing that a model file can hold."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from tests.rewrites.graph import bombs

ROOT = Path(__file__).parents[2]
DATA = "weights.bin"
"""The external data of those models that have some."""

WEIGHTS = np.linspace(-1, 1, 4 * 6, dtype=np.float32).tobytes()

_BINS = """<ir_version: 8, opset_import: ["" : 17]>
bins (float[N, 4, 7] X) => (float[N, 4, 4] Y)
<int64[1] axis = {2}, int64[1] s0 = {0}, int64[1] e0 = {2}, int64[1] s1 = {1}, int64[1] e1 = {4},
 int64[1] s2 = {3}, int64[1] e2 = {6}, int64[1] s3 = {5}, int64[1] e3 = {7}>
{
    t0 = Slice(X, s0, e0, axis)   m0 = ReduceMean <axes = [2], keepdims = 1> (t0)
    t1 = Slice(X, s1, e1, axis)   m1 = ReduceMean <axes = [2], keepdims = 1> (t1)
    t2 = Slice(X, s2, e2, axis)   m2 = ReduceMean <axes = [2], keepdims = 1> (t2)
    t3 = Slice(X, s3, e3, axis)   m3 = ReduceMean <axes = [2], keepdims = 1> (t3)
    Y = Concat <axis = 2> (m0, m1, m2, m3)
}"""

_GEM = """<ir_version: 8, opset_import: ["" : 17]>
gem (float[1, 4, 6, 5] X) => (float[1, 4, 1, 1] Y)
<float low = {0.000001}, float p = {3.0}>
{
    clamped = Clip(X, low)
    raised = Pow(clamped, p)
    mean = GlobalAveragePool(raised)
    inverse = Reciprocal(p)
    Y = Pow(mean, inverse)
}"""

_COMPUTED = """<ir_version: 8, opset_import: ["" : 17]>
computed (float[N, 4, H, W] X) => (float[N, 4, 1, 1] Y, int64[2] half)
<int64[2] sides = {2, 3}, int64 two = {2}>
{
    size = Shape(X)
    lengths = Gather <axis = 0> (size, sides)
    half = Div(lengths, two)
    front = Shape <start = 0, end = 2> (X)
    rest = Constant <value_ints = [-1]> ()
    shape = Concat <axis = 0> (front, rest)
    flat = Reshape(X, shape)
    mean = ReduceMean <axes = [-1], keepdims = 1> (flat)
    last = Constant <value = int64[1] {3}> ()
    Y = Unsqueeze(mean, last)
}"""

_BRANCHES = """<ir_version: 8, opset_import: ["" : 17]>
branches (float[1, 4, 6, 6] X, bool go) => (float[1, 4, 1, 1] Y)
{
    Y = If (go) <
        then_branch = yes () => (float[1, 4, 1, 1] A) {
            a = ReduceMean <axes = [3], keepdims = 1> (X)
            A = ReduceMean <axes = [2], keepdims = 1> (a)
        },
        else_branch = no () => (float[1, 4, 1, 1] B) {
            b = MaxPool <kernel_shape = [6, 6]> (X)
            B = Relu(b)
        }
    >
}"""

_LOOP = """<ir_version: 8, opset_import: ["" : 17]>
looping (float[1, 4, 6, 6] X) => (float[1, 4, 1, 1] Y)
<int64 times = {2}, bool go = {1}>
{
    last = Loop (times, go, X) <
        body = step (int64 i, bool more, float[1, 4, 6, 6] x) => (bool on, float[1, 4, 6, 6] y) {
            on = Identity(more)
            m = ReduceMean <axes = [2, 3], keepdims = 1> (x)
            y = Mul(x, m)
        }
    >
    Y = ReduceMean <axes = [2, 3], keepdims = 1> (last)
}"""

_FUNCTIONS = """<ir_version: 9, opset_import: ["" : 17, "mine" : 1]>
calling (float[1, 4, 7, 7] X) => (float[1, 4, 1, 1] Y)
{
    a = mine.twice(X)
    Y = mine.pooled <axes = [2, 3]> (a)
}
<opset_import: ["" : 17, "mine" : 1], domain: "mine">
twice (x) => (y) { h = mine.once(x)  y = mine.once(h) }
<opset_import: ["" : 17], domain: "mine">
once (x) => (y) { y = Relu(x) }
<opset_import: ["" : 17], domain: "mine">
pooled <axes> (x) => (y) { y = ReduceMean <axes : ints = @axes, keepdims = 1> (x) }"""

_DIALECT = """<ir_version: 9, opset_import: ["" : 17, "onnxpool" : 1]>
dialect (float[1, 4, 9, 7] X) => (float[1, 4, 3, 2] Y, float[1, 4, 1, 1] Z)
{
    Y = onnxpool.AdaptiveAveragePool <output_size = [3, 2]> (X)
    Z = onnxpool.AdaptiveMaxPool <output_size = [1, 1]> (X)
}"""

_FALLBACK = """<ir_version: 8, opset_import: ["" : 17, "org.pytorch.aten" : 1]>
fallback (float[1, 4, 9, 7] X) => (float[1, 4, 3, 2] Y)
<int64[2] size = {3, 2}>
{
    Y = org.pytorch.aten.ATen <operator = "adaptive_avg_pool2d", overload_name = ""> (X, size)
}"""

_NETWORK = """<ir_version: 8, opset_import: ["" : 17]>
network (float[1, 4, 12, 12] X) => (float[1, 6] Y)
<float[4] scale = {1, 2, 3, 4}, float[4] shift = {0, 0, 1, 1}, int64[2] flat = {1, -1}>
{
    n = BatchNormalization(X, scale, shift, shift, scale)
    r = Relu(n)
    s = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
    t = Transpose <perm = [0, 2, 3, 1]> (s)
    m = ReduceMean <axes = [1, 2], keepdims = 0> (t)
    f = Reshape(m, flat)
    Y = MatMul(f, w)
}"""


def _text(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def _file(name: str) -> onnx.ModelProto:
    return onnx.load(ROOT / "models" / name)


def _weight() -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 6])


def _embedded() -> onnx.ModelProto:
    model, weight = _text(_NETWORK), _weight()
    weight.raw_data = WEIGHTS
    model.graph.initializer.append(weight)
    return model


def _external() -> onnx.ModelProto:
    model, weight = _text(_NETWORK), _weight()
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", DATA), ("offset", "0"), ("length", str(len(WEIGHTS)))):
        weight.external_data.add(key=key, value=value)
    model.graph.initializer.append(weight)
    return model


def _recorded() -> onnx.ModelProto:
    """With records of training, quantization and origin, and shapes for all."""
    model = onnx.shape_inference.infer_shapes(_embedded())
    model.producer_name = "pytorch"
    model.metadata_props.add(key="author", value="someone")
    note = model.graph.quantization_annotation.add(tensor_name="r")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="scale")
    training = model.training_info.add()
    training.algorithm.node.add(op_type="Relu", input=["w"], output=["w2"])
    training.update_binding.add(key="w", value="w2")
    for number, node in enumerate(model.graph.node):
        node.name, node.doc_string = f"node_{number}", "a node"
        node.metadata_props.add(
            key="pkg.torch.onnx.stack_trace", value='File "a.py", line 3, in forward\n  f(x)'
        )
    return model


def _sparse() -> onnx.ModelProto:
    return bombs.model(
        [bombs.N("MatMul", ["X", "c"], ["p"]), bombs.N("GlobalMaxPool", ["p"], ["Y"])],
        sparse=[
            onnx.helper.make_sparse_tensor(
                bombs.constant("c", [1, 2], np.float32), bombs.constant("i", [3, 5]), [13, 2]
            )
        ],
    )


@dataclasses.dataclass(frozen=True)
class Source:
    """A sound model.

    Attributes:
        share: how often it is taken, beside the others.
    """

    name: str
    make: Callable[[], onnx.ModelProto]
    share: int = 4

    def model(self) -> onnx.ModelProto:
        """A model of one's own, to change."""
        return onnx.ModelProto.FromString(self.data)

    @functools.cached_property
    def data(self) -> bytes:
        return bytes(self.make().SerializeToString())


SOURCES: tuple[Source, ...] = (
    Source("bins", lambda: _text(_BINS)),
    Source("gem", lambda: _text(_GEM)),
    Source("computed", lambda: _text(_COMPUTED)),
    Source("branches", lambda: _text(_BRANCHES)),
    Source("loop", lambda: _text(_LOOP)),
    Source("functions", lambda: _text(_FUNCTIONS)),
    Source("dialect", lambda: _text(_DIALECT)),
    Source("fallback", lambda: _text(_FALLBACK)),
    Source("embedded", _embedded),
    Source("external", _external),
    Source("recorded", _recorded),
    Source("sparse", _sparse),
    Source("exported gem", lambda: _file("gem.onnx")),
    Source("exported average", lambda: _file("adaptive_avg_2d.onnx"), 2),
    Source("exported pyramid", lambda: _file("ppm.onnx"), 1),
)
