"""The function bodies compute every case of the table, where no kernel is registered."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from onnxpool.ops import (
    COMPUTED,
    DOMAIN,
    KEEP,
    VERSION,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    GeMPool,
    Op,
    PyramidPool,
)
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.tensors import onnx_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.lower.function_body import (
    MIN_OPSET,
    Bodies,
    Signature,
    function_body,
    is_body,
)
from tests.cases import AVERAGE, CASES, MAX, Case, nan
from tests.rewrites.lower.lowered import NEWEST_OF_ONNX_RUNTIME, ir_version, run
from tests.rewrites.lower.test_strategies import FINITE, assert_equals_reference

FLOAT = onnx.TensorProto.FLOAT


def signature(case: Case, opset: int = 17, dtype: Any = np.float32) -> Signature:
    return Signature.of(
        case.op, onnx_type(dtype), opset, inputs=2 if case.p else 1, outputs=case.outputs
    )


def call(op: Op, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
    return helper.make_node(op.op_type(), inputs, outputs, domain=DOMAIN, **op.attributes())


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, Any]],
    outputs: dict[str, tuple[int, Any]],
    functions: list[onnx.FunctionProto],
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of calls; inputs and outputs by name with type and shape."""
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info(name, *declared) for name, declared in inputs.items()],
        [helper.make_tensor_value_info(name, *declared) for name, declared in outputs.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(
        graph,
        opset_imports=imports,
        functions=functions,
        ir_version=max(8, ir_version(opset)),
    )


def calling(
    case: Case, opset: int = 17, dtype: Any = np.float32, *, sizes_known: bool = True
) -> onnx.ModelProto:
    """A model of one call."""
    kind = onnx_type(dtype)
    unknown: list[int | None] = [None] * len(case.shape)
    outputs = {f"Y{i}": (kind, unknown) for i in range(case.outputs)}
    if isinstance(case.op, AdaptiveMaxPool) and case.outputs == 2:
        outputs["Y1"] = (onnx.TensorProto.INT64, unknown)
    inputs = {"X": (kind, case.shape if sizes_known else unknown)}
    if case.p:
        inputs["p"] = (kind, [len(case.p)])
    node = call(case.op, list(inputs), list(outputs))
    body = function_body(signature(case, opset, dtype))
    return model_of([node], inputs, outputs, [body], opset)


def outputs_of(case: Case, *arguments: Any, **options: bool) -> list[Array]:
    model = calling(case, *arguments, **options)
    dtype = helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    x, *p = case.inputs(dtype)
    return run(model, X=x, **({"p": p[0]} if p else {}))


def check(case: Case, opset: int = 17, **options: bool) -> None:
    assert_equals_reference(case, outputs_of(case, opset, **options), np.float32)


@pytest.mark.parametrize("case", FINITE, ids=str)
def test_equals_the_reference(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", FINITE[::5], ids=str)
def test_sizes_need_not_be_known(case: Case) -> None:
    check(case, sizes_known=False)


@pytest.mark.parametrize("case", FINITE[::5], ids=str)
def test_float64(case: Case) -> None:
    if isinstance(case.op, GeMPool) and case.op.epsilon:
        stored = float(np.float32(case.op.epsilon))  # an attribute of ONNX has 32 bits
        case = dataclasses.replace(case, op=dataclasses.replace(case.op, epsilon=stored))
    assert_equals_reference(case, outputs_of(case, 17, np.float64), np.float64)


@pytest.mark.parametrize("case", FINITE[::5], ids=str)
def test_float16(case: Case) -> None:
    wanted = case.op.reference(*case.inputs(np.float16))
    for y, expected in zip(outputs_of(case, 17, np.float16), wanted, strict=False):
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        # What is computed in float32 and in float64 may be rounded to neighbours.
        np.testing.assert_allclose(y, expected, rtol=2 ** (-10), atol=2 ** (-24))


@pytest.mark.parametrize("opset", [MIN_OPSET, 13, 18, 21, NEWEST_OF_ONNX_RUNTIME])
@pytest.mark.parametrize("case", FINITE[::29], ids=str)
def test_every_opset(case: Case, opset: int) -> None:
    check(case, opset)


@pytest.mark.parametrize("case", [c for c in MAX if c not in FINITE and c.draw is not nan], ids=str)
def test_a_maximum_takes_infinities(case: Case) -> None:
    for y, expected in zip(outputs_of(case), case.op.reference(*case.inputs()), strict=False):
        np.testing.assert_array_equal(y, expected)


def test_an_average_spreads_a_nan_over_its_channel_and_no_further() -> None:
    case = next(case for case in AVERAGE if case.draw is nan and len(case.shape) == 4)
    x = np.ones(case.shape, np.float32)
    x[0, 0, 0, 0] = np.nan
    (y,) = run(calling(case), X=x)
    assert np.isnan(y[0, 0]).any()
    np.testing.assert_allclose(y[0, 1:], 1, rtol=1e-6)


@pytest.mark.parametrize("case", [c for c in FINITE if max(c.shape) < 50][::17], ids=str)
def test_onnx_takes_it_and_runs_it(case: Case) -> None:
    model = calling(case)
    onnx.checker.check_model(model)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    evaluator = ReferenceEvaluator(model)
    wanted = case.op.reference(*case.inputs())
    found = evaluator.run(None, dict(zip(evaluator.input_names, case.inputs(), strict=True)))
    for y, expected in zip(found, wanted, strict=False):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_one_body_serves_every_rank_and_size() -> None:
    ops = {
        "a": (AdaptiveAveragePool((4,)), (2, 3, 13)),
        "b": (AdaptiveAveragePool((4, KEEP)), (2, 3, 13, 7)),
        "c": (AdaptiveAveragePool((2, 5)), (3, 13, 7)),
        "d": (AdaptiveAveragePool((2, 1, 3)), (1, 2, 5, 7, 9)),
    }
    (body,) = {
        function_body(Signature.of(op, FLOAT, 17, inputs=1, outputs=1)).SerializeToString()
        for op, _ in ops.values()
    }
    model = model_of(
        [call(op, [name], [f"{name}_pooled"]) for name, (op, _) in ops.items()],
        {name: (FLOAT, shape) for name, (_, shape) in ops.items()},
        {f"{name}_pooled": (FLOAT, [None] * len(shape)) for name, (_, shape) in ops.items()},
        [onnx.FunctionProto.FromString(body)],
    )
    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal(s).astype(np.float32) for n, (_, s) in ops.items()}
    for y, (name, (op, _)) in zip(run(model, **inputs), ops.items(), strict=True):
        np.testing.assert_allclose(y, op.reference(inputs[name])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op_type", [AdaptiveAveragePool, AdaptiveMaxPool])
def test_sizes_that_the_graph_computes(op_type: type[Op]) -> None:
    op = op_type.from_attributes({"output_size": [COMPUTED, KEEP, 2]})
    made = Signature.of(op, FLOAT, 17, inputs=2, outputs=1)
    model = model_of(
        [call(op, ["X", "size"], ["Y"])],
        {"X": (FLOAT, [None] * 5), "size": (onnx.TensorProto.INT64, [3])},
        {"Y": (FLOAT, [None] * 5)},
        [function_body(made)],
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5, 6)).astype(np.float32)
    size = np.array([3, 0, 0])
    (y,) = run(model, X=x, size=size)
    np.testing.assert_allclose(y, op.reference(x, size)[0], rtol=1e-5, atol=1e-6)


def pooled(p: float, x: Array, epsilon: float | None, dtype: Any) -> Array:
    op = GeMPool((2, 2), epsilon)
    inputs = {"X": (onnx_type(dtype), [None] * x.ndim), "p": (onnx_type(dtype), [1])}
    made = Signature.of(op, onnx_type(dtype), 17, inputs=2, outputs=1)
    model = model_of(
        [call(op, list(inputs), ["Y"])], inputs, {"Y": inputs["X"]}, [function_body(made)]
    )
    return run(model, X=x, p=np.array([p], dtype))[0]


def test_powers_do_not_overflow_in_float16() -> None:
    x = np.random.default_rng(0).uniform(10, 60000, (1, 2, 5, 7)).astype(np.float16)
    (wanted,) = GeMPool((2, 2)).reference(x, np.array([12.0], np.float16))
    np.testing.assert_allclose(pooled(12.0, x, None, np.float16), wanted, rtol=2e-3)


def test_the_clamp_is_read_from_the_node() -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 7)).astype(np.float32)
    for epsilon in (0.0, 1e-6, 0.5):
        (wanted,) = GeMPool((2, 2), epsilon).reference(x, np.array([3.0], np.float32))
        np.testing.assert_allclose(pooled(3.0, x, epsilon, np.float32), wanted, rtol=1e-5)


def test_below_its_first_opset_there_is_no_body() -> None:
    case = CASES[0]
    with pytest.raises(Unsupported, match=r"^opset 11 is below 12, the first in which a function"):
        function_body(signature(case, MIN_OPSET - 1))


@pytest.mark.parametrize(
    ("op", "other", "inputs", "outputs"),
    [
        (GeMPool((1, 1), 1e-6), GeMPool((1, 1)), (2, 2), (1, 1)),
        (PyramidPool((1, 2), 2), PyramidPool((1, 2), 2, "max"), (1, 1), (2, 2)),
        (PyramidPool((1, 2), 2), PyramidPool((1, 2, 3), 3), (1, 1), (2, 3)),
        (AdaptiveMaxPool((2,)), AdaptiveMaxPool((2,)), (1, 1), (1, 2)),
        (AdaptiveAveragePool((2,)), AdaptiveAveragePool((0,)), (1, 2), (1, 1)),
    ],
)
def test_a_model_has_one_body_per_op(
    op: Op, other: Op, inputs: tuple[int, int], outputs: tuple[int, int]
) -> None:
    first = Signature.of(op, FLOAT, 17, inputs=inputs[0], outputs=outputs[0])
    second = Signature.of(other, FLOAT, 17, inputs=inputs[1], outputs=outputs[1])
    bodies = Bodies([])
    bodies.provide(first)
    bodies.provide(first)
    message = f"a model has one body per op, and that of {op.op_type()} is for {first}, not for "
    with pytest.raises(Unsupported, match=f"^{re.escape(message + str(second))}$"):
        bodies.provide(second)
    assert [body.name for body in bodies.added.values()] == [op.op_type()]
    again = Bodies(bodies.all)
    again.provide(first)
    assert again.added == {}


def test_what_is_a_body() -> None:
    body = function_body(signature(CASES[0]))
    assert is_body(body)
    stranger = onnx.FunctionProto(domain="elsewhere", name=body.name)
    assert not is_body(stranger)
    assert not is_body(onnx.GraphProto())
