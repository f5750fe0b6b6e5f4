"""Pow by a constant without a logarithm of 0: the same values, NaN and infinity in their places."""

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxpool
from onnxpool.model.file import ModelFile
from onnxpool.model.shapes import infer
from onnxpool.rewrites.legalize.power import (
    EXP_LOG,
    POWER_WITHOUT_ZERO,
    PRODUCTS,
    needs_logarithm_of_zero,
)
from onnxpool.rewrites.lower import Unsupported
from tests.rewrites.legalize.standard import model_of, ops, replaced, run

VALUES = np.array([0, -0.0, 1e-30, 0.3, 1, 2.7, 1e3, -1e-30, -2, -3.5, np.nan, np.inf], np.float32)
X = {"X": (1, 2, 2, 3)}
ROUNDINGS = 8 * float(np.finfo(np.float32).eps)
"""Of 8 factors, or of another Pow than ONNX Runtime's own of the same base: each an ulp or less."""


@pytest.mark.parametrize("p", [0.1, 1 / 3, 0.5, 1, 2, 2.3, 3, 4, 7, 8, 9, [[[2.5]], [[0.7]]]])
def test_zero_has_a_power(p: object) -> None:
    model = model_of("Pow", X, {"p": np.array(p, np.float32)})
    new = replaced(model, POWER_WITHOUT_ZERO.emit)
    x = VALUES.reshape(1, 2, 2, 3)
    for values in (x, x[..., ::-1].copy(), np.zeros_like(x)):
        found, wanted = run(new, X=values)[0], run(model, X=values)[0]
        np.testing.assert_allclose(found, wanted, rtol=ROUNDINGS, atol=0)


@pytest.mark.parametrize(
    ("p", "wanted"),
    [
        (0.5, ["Sqrt"]),
        (3, ["Mul", "Mul"]),
        (8, ["Mul"] * 3),
        (9, ["Mul"] * 4),
        (2.3, ["Max", "Pow", "Sign", "Sqrt", "Mul"]),
    ],
)
def test_the_form_of_a_power(p: float, wanted: list[str]) -> None:
    model = model_of("Pow", X, {"p": np.array(p, np.float32)})
    assert sorted(ops(replaced(model, POWER_WITHOUT_ZERO.emit))) == sorted(wanted)


@pytest.mark.parametrize(
    ("p", "reason"),
    [
        (-1, "no positive constant"),
        (0, "no positive constant"),
        (None, "no positive constant"),
        (65, "a product of 65 factors"),
        ([[[2.5]], [[3]]], "some of its exponents are whole"),
    ],
)
def test_another_exponent_is_left(p: float | None, reason: str) -> None:
    constants = {} if p is None else {"p": np.array(p, np.float32)}
    model = model_of("Pow", X if constants else X | {"p": ()}, constants)
    with pytest.raises(Unsupported, match=reason):
        replaced(model, POWER_WITHOUT_ZERO.emit)


@pytest.mark.parametrize(
    ("base", "p", "needed"),
    [
        ("base = Relu(x)", 2.3, True),
        ("base = Relu(x)", 2, False),
        ("base = Relu(x)", -1, False),
        ("base = Clip(x, eps)", 2.3, False),
        ("base = Max(x, eps)", 3, False),
        ("base = Clip(x, zero)", 2.3, True),
        ("c = Clip(x, eps) q = Pow(c, three) base = GlobalAveragePool(q)", 0.3, False),
        # 1e-6 to the power of 9 is no normal float32.
        ("c = Clip(x, eps) q = Pow(c, nine) base = GlobalAveragePool(q)", 0.1, True),
        ("c = Clip(x, eps) base = AveragePool<kernel_shape = [2, 2]>(c)", 2.3, False),
        (
            "c = Clip(x, eps) base = AveragePool<kernel_shape = [2, 2], pads = [1, 1, 1, 1], "
            "count_include_pad = 1>(c)",
            2.3,
            True,
        ),
        ("c = Clip(x, eps) r = Relu(x) base = Concat<axis = 1>(c, r)", 2.3, True),
        ("c = Clip(x, eps) base = Concat<axis = 1>(c, c)", 2.3, False),
    ],
)
def test_whether_the_base_may_be_zero(base: str, p: float, needed: bool) -> None:
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,4,6,6] x) => (float[N,C,H,W] y)
        <float eps = {{1e-6}}, float zero = {{0.0}}, float three = {{3.0}}, float nine = {{9.0}},
         float p = {{{float(p)}}}>
        {{ {base} y = Pow(base, p) }}""")
    file = ModelFile.from_proto(model)
    infer(file)
    (node,) = (n for n in file.main.graph.nodes if n.outputs[0].name == "y")
    assert needs_logarithm_of_zero(node) is needed


def test_a_whole_power_is_a_product() -> None:
    for p, count in ((3, 2), (4, 2), (7, 4), (8, 3)):
        model = model_of("Pow", X, {"p": np.array(p, np.float32)})
        new = replaced(model, PRODUCTS.emit)
        assert ops(new) == ["Mul"] * count
        x = VALUES.reshape(1, 2, 2, 3)
        np.testing.assert_allclose(run(new, X=x)[0], run(model, X=x)[0], rtol=ROUNDINGS, atol=0)


@pytest.mark.parametrize(
    ("shape", "p"), [(X["X"], 2), (X["X"], 9), (X["X"], 2.5), ((1, 2, 1, 1), 3), (X["X"], None)]
)
def test_a_power_that_gains_nothing_is_no_product(shape: tuple[int, ...], p: float | None) -> None:
    constants = {} if p is None else {"p": np.array(p, np.float32)}
    model = model_of("Pow", {"X": shape} | ({"p": ()} if p is None else {}), constants)
    with pytest.raises(Unsupported, match="no whole number"):
        replaced(model, PRODUCTS.emit)


def clamped_power(least: float, p: object) -> onnx.ModelProto:
    model = model_of("Pow", {"c": (1, 2, 6, 6)}, {"p": np.array(p, np.float32)})
    least_value = onnx.numpy_helper.from_array(np.array(least, np.float32), "least")
    model.graph.initializer.append(least_value)
    model.graph.node.insert(0, onnx.helper.make_node("Max", ["X", "least"], ["c"]))
    model.graph.input[0].name = "X"
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("p", [2.87, 0.3, [[[2.5]], [[4.1]]]])
def test_the_power_of_what_is_positive_is_an_exponential(p: object) -> None:
    model = clamped_power(1e-6, p)
    new = replaced(model, EXP_LOG.emit, node=1)
    assert ops(new) == ["Max", "Log", "Mul", "Exp"]
    x = (100 * np.random.default_rng(0).standard_normal((1, 2, 6, 6))).astype(np.float32)
    # p·log(x) is up to 40, and what it is rounded by is a relative error of its power.
    bound = 4 * 40 * float(np.finfo(np.float32).eps) / 2
    np.testing.assert_allclose(run(new, X=x)[0], run(model, X=x)[0], rtol=bound, atol=0)


@pytest.mark.parametrize(
    ("least", "p"), [(0, 2.87), (1e-6, 3), (-1, 2.5), (1e-6, [[[2.5]], [[4]]])]
)
def test_another_power_is_no_exponential(least: float, p: object) -> None:
    with pytest.raises(Unsupported, match="not known to be positive"):
        replaced(clamped_power(least, p), EXP_LOG.emit, node=1)


@pytest.mark.parametrize(
    ("target", "p", "wanted"),
    [
        ("tract", 3, ["Mul", "Mul"]),
        ("tract", 2.87, ["Log", "Mul", "Exp"]),
        ("opencv4", 3, ["Mul", "Mul"]),
        ("opencv4", 2.87, ["Pow"]),
        ("openvino", 3, ["Pow"]),
        ("openvino", 2.87, ["Log", "Mul", "Exp"]),
        ("ncnn", 3, ["Pow"]),
    ],
)
def test_a_target_gets_the_power_that_it_computes_fastest(
    target: str, p: float, wanted: list[str]
) -> None:
    model = clamped_power(1e-6, p)
    assert not onnxpool.inspect(model, target=target).refusals
    result = onnxpool.rewrite(model, target=target)
    assert ops(result.model) == ["Max", *wanted]
    assert [change.op for change in result.report.changes] == ["Pow"] * (wanted != ["Pow"])


def test_gem_is_left_to_ncnn_as_it_is() -> None:
    result = onnxpool.rewrite("models/gem.onnx", target="ncnn")
    assert ops(result.model) == ["Clip", "Pow", "GlobalAveragePool", "Pow"]
