"""Nodes in another opset: valid there, and what they were; or refused, with the reason."""

from typing import Any

import numpy as np
import onnx
import pytest

from onnxpool.model.file import ModelFile
from onnxpool.model.shapes import infer
from onnxpool.rewrites.convert import FORMS, convert
from onnxpool.rewrites.lower import Unsupported
from tests.rewrites.legalize.standard import model_of, ops, relative_error, run

EPSILON = float(np.finfo(np.float32).eps)
X = {"X": (2, 4, 6, 5)}


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)


def converted(model: onnx.ModelProto, target: int) -> onnx.ModelProto:
    file = ModelFile.from_proto(model)
    infer(file)
    convert(file.main.graph, file.opset, target)
    file.splice()
    file.set_opset(target)
    onnx.checker.check_model(file.proto)
    return file.proto


RESIZE_AXES: dict[str, Any] = {"order": ["X", "", "scales"], "mode": "linear", "axes": [2, 3]}
MODELS = {
    "ReduceMean axes": model_of("ReduceMean", X, {"axes": ints(2, -1)}, 18),
    "ReduceMax all": model_of("ReduceMax", X, {}, 18, keepdims=0),
    "ReduceMax attribute": model_of("ReduceMax", X, {}, 13, axes=[2, 3]),
    "ReduceL2": model_of("ReduceL2", X, {"axes": ints(1)}, 20),
    "ReduceSum noop": model_of("ReduceSum", X, {}, 13, noop_with_empty_axes=1),
    "ReduceSum": model_of("ReduceSum", X, {}, 11, axes=[1], keepdims=0),
    "Unsqueeze": model_of("Unsqueeze", X, {"axes": ints(0, 3)}, 13),
    "Squeeze": model_of("Squeeze", {"X": (1, 4, 1, 5)}, {}, 11, axes=[0]),
    "Squeeze every 1": model_of("Squeeze", {"X": (1, 4, 1, 5)}, {}, 13),
    "Pad axes": model_of(
        "Pad", X, {"pads": ints(1, 0, 2, 1), "value": floats(3)[0], "axes": ints(-1, 1)}, 18
    ),
    "Pad": model_of("Pad", X, {"pads": ints(*[0] * 4, *[1] * 4)}, 13, mode="reflect"),
    "Resize axes scales": model_of(
        "Resize", X, {"scales": floats(2, 1.5)}, 18, antialias=0, **RESIZE_AXES
    ),
    "Resize axes sizes": model_of(
        "Resize", X, {"sizes": ints(9, 4)}, 19, order=["X", "", "", "sizes"], axes=[3, 2]
    ),
    "Resize 11": model_of(
        "Resize",
        X,
        {"roi": floats(), "scales": floats(), "sizes": ints(2, 4, 9, 9)},
        11,
        mode="linear",
    ),
    "Shape range": model_of("Shape", X, {}, 15, start=1, end=-1),
    "Shape": model_of("Shape", X, {}, 15),
    "Softmax last": model_of("Softmax", X, {}, 13),
    "Softmax middle": model_of("Softmax", X, {}, 13, axis=1),
    "Softmax rest": model_of("Softmax", X, {}, 11, axis=2),
    "LogSoftmax": model_of("LogSoftmax", X, {}, 13, axis=1),
    "Hardmax": model_of("Hardmax", X, {}, 13, axis=0),
    "Split sizes": model_of("Split", X, {"split": ints(1, 3)}, 13, outputs=["Y", "Z"], axis=1),
    "Split numbers": model_of("Split", X, {}, 18, outputs=["Y", "Z"], axis=3, num_outputs=2),
    "Split halves": model_of("Split", X, {}, 11, outputs=["Y", "Z"], axis=2),
    "Dropout": model_of("Dropout", X, {"ratio": floats(0.3)[0]}, 13),
    "Dropout attribute": model_of("Dropout", X, {}, 11, ratio=0.3),
    "Clip": model_of("Clip", X, {"min": floats(0.2)[0]}, 13),
    "Reshape": model_of("Reshape", X, {"shape": ints(0, -1)}, 14, allowzero=0),
    "AveragePool": model_of("AveragePool", X, {}, 19, kernel_shape=[2, 2], dilations=[1, 1]),
    "ArgMax": model_of("ArgMax", X, {}, 13, axis=1, select_last_index=0),
    "Cast": model_of("Cast", X, {}, 19, to=1, saturate=1),
    "GridSample": model_of("GridSample", X, {"grid": random(2, 3, 3, 2)}, 20, mode="linear"),
    "GridSample 16": model_of("GridSample", X, {"grid": random(2, 3, 3, 2)}, 16, mode="bicubic"),
    "Gelu": model_of("Gelu", X, {}, 20),
    "Gelu tanh": model_of("Gelu", X, {}, 20, approximate="tanh"),
    "Mish": model_of("Mish", X, {}, 18),
    "HardSwish": model_of("HardSwish", X, {}, 14),
    "LayerNormalization": model_of(
        "LayerNormalization", X, {"scale": random(6, 5), "bias": random(5)}, 17, axis=2
    ),
    "Slice 9": model_of("Slice", X, {}, 9, starts=[1, -3], ends=[9, -1], axes=[2, 3]),
    "Slice 7 every axis": model_of("Slice", X, {}, 7, starts=[0, 1], ends=[2, 3]),
    "Clip 10": model_of("Clip", X, {}, 10, min=0.2, max=0.7),
    "Clip 7 from below": model_of("Clip", X, {}, 7, min=0.3),
    "Pad 10": model_of("Pad", X, {}, 10, pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.5),
    "Pad 9 edge": model_of("Pad", X, {}, 9, mode="edge", pads=[0, 0, 1, 2, 0, 0, 0, 1]),
    "Upsample 7": model_of("Upsample", X, {}, 7, scales=[1.0, 1.0, 2.0, 1.5]),
    "Upsample 9 linear": model_of(
        "Upsample", X, {"scales": floats(1, 1, 2, 1.5)}, 9, mode="linear"
    ),
    "Resize 10": model_of("Resize", X, {"scales": floats(1, 1, 2, 3)}, 10),
    "Resize 10 linear": model_of("Resize", X, {"scales": floats(1, 1, 0.5, 2)}, 10, mode="linear"),
    "TopK 9": model_of("TopK", X, {}, 9, outputs=["Y", "Z"], axis=2, k=3),
    "Squeeze 9": model_of("Squeeze", {"X": (1, 4, 1, 5)}, {}, 9, axes=[0]),
    "BatchNormalization 7": model_of(
        "BatchNormalization",
        X,
        {name: random(4) for name in ("scale", "bias", "mean", "variance")},
        7,
    ),
    "RMSNormalization": model_of("RMSNormalization", X, {"scale": random(5)}, 23),
}
TARGETS = (11, 13, 15, 17, 18, 20, 21)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", MODELS)
def test_a_node_computes_the_same_in_another_opset(name: str, target: int) -> None:
    model = MODELS[name]
    if name.startswith("GridSample") and target < 16:
        with pytest.raises(Unsupported, match="it starts at opset 16"):
            converted(model, target)
        return
    x = {"X": random(*(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim))}
    for found, wanted in zip(run(converted(model, target), **x), run(model, **x), strict=True):
        assert relative_error(found, wanted) <= 8 * EPSILON


def test_every_form_is_tested() -> None:
    reductions = {op for op in FORMS if op.startswith("Reduce")}
    untested = set(FORMS) - {op for model in MODELS.values() for op in ops(model)} - reductions
    assert untested == {"Constant", "GreaterOrEqual", "LessOrEqual", "Swish"}


@pytest.mark.parametrize("op", ["GreaterOrEqual", "LessOrEqual"])
def test_comparisons_of_integers_are_negated(op: str) -> None:
    model = model_of(op, {"X": (5,)}, {"b": ints(2, 2, 2, 2, 2)}, 12, onnx.TensorProto.INT64)
    new = converted(model, 11)
    assert ops(new)[-1] == "Not"
    x = ints(1, 2, 3, 2, -2)
    np.testing.assert_array_equal(run(new, X=x)[0], run(model, X=x)[0])


def test_swish_is_a_product_with_a_sigmoid() -> None:
    x = random(2, 4, 6, 5)
    (found,) = run(converted(model_of("Swish", X, {}, 24, alpha=1.5), 17), X=x)
    assert relative_error(found, x / (1 + np.exp(-1.5 * x))) <= 8 * EPSILON


def test_a_constant_of_one_number_becomes_a_tensor() -> None:
    model = model_of("Constant", {}, {}, 13, value_ints=[3, 4])
    np.testing.assert_array_equal(run(converted(model, 11))[0], [3, 4])


def test_what_is_valid_in_both_opsets_is_not_touched() -> None:
    model = model_of("Conv", X, {"W": random(3, 4, 2, 2)}, 20)
    assert converted(model, 13).graph.node[0] == model.graph.node[0]


@pytest.mark.parametrize(
    ("model", "target", "reason"),
    [
        (model_of("ReduceMean", X | {"axes": (1,)}, {}, 18), 17, "axes are computed"),
        (model_of("ReduceL2", X, {}, 18, noop_with_empty_axes=1), 17, "it reduces no axis"),
        (model_of("Resize", X, {"s": floats(1, 1, 2, 2)}, 18, order=["X", "", "s"],
                  mode="linear", antialias=1), 17, "no antialias of Resize"),
        (model_of("Resize", X, {"s": floats(1, 1, 2, 2)}, 19, order=["X", "", "s"],
                  coordinate_transformation_mode="half_pixel_symmetric"), 17, "starts at opset 19"),
        (model_of("Pad", X, {"pads": ints(*[0] * 4, *[1] * 4)}, 19, mode="wrap"), 17, "wrap"),
        (model_of("AveragePool", X, {}, 19, kernel_shape=[2, 2], dilations=[2, 2]), 17,
         "no attribute dilations of AveragePool"),
        (model_of("Trilu", X, {}, 14), 13, "has no Trilu; it starts at opset 14"),
        (model_of("Relu", X, {}, 13, onnx.TensorProto.BFLOAT16), 12, "takes no bfloat16"),
        (model_of("LayerNormalization", X, {"s": random(5)}, 17, outputs=["Y", "mean"]), 16,
         "mean or deviation is used"),
        (model_of("RoiAlign", X, {"r": floats(0, 0, 2, 2).reshape(1, 4), "b": ints(0)}, 16), 15,
         "means something else from opset 16"),
        (model_of("Split", {"X": (2, "C")}, {}, 18, outputs=["Y", "Z"], axis=1, num_outputs=2), 17,
         "on axis 1 is not known"),
        (model_of("GreaterOrEqual", X, {"b": floats(1)}, 12), 11, "NaN"),
        (model_of("Resize", X, {"s": floats(1, 1, 0.5, 0.5)}, 10), 17, "it may shrink"),
    ],
)  # fmt: skip
def test_what_has_no_form_in_that_opset_is_refused(
    model: onnx.ModelProto, target: int, reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason) as raised:
        converted(model, target)
    assert str(raised.value).startswith(f"{ops(model)[0]} node 'node': ")
