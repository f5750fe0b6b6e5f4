"""`rewrite --to custom-op`: one file that runs with the library and without, and comes back."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxpool
from onnxpool.errors import ArgumentError, CheckError
from onnxpool.model.bodies import with_bodies
from onnxpool.ops import DOMAIN, AdaptiveAveragePool, PyramidPool
from onnxpool.pipeline import check, piece
from onnxpool.pipeline import rewrite as pipeline
from onnxpool.rewrites.graph.run import Runner, kernels_missing
from onnxpool.rewrites.lower import function_body
from onnxpool.rewrites.lower.function_body import is_body
from tests import exports
from tests.onnxpool.custom_op import kernels_used, needs_library, run
from tests.onnxpool.pipeline.test_rewrite import (
    LIFTED,
    RUNNABLE,
    model_around,
    pooling_nodes,
    relative_error,
)

SOME = [case for case in LIFTED if case.dtype != "bfloat16"][::5]


@functools.cache
def _rewritten(case: exports.Case) -> tuple[bytes, int]:
    result = onnxpool.rewrite(exports.load(case)[0], to="custom-op")
    return result.model.SerializeToString(), result.report.rewritten


def custom_model(case: exports.Case) -> onnx.ModelProto:
    serialized, rewritten = _rewritten(case)
    assert rewritten
    return onnx.load_from_string(serialized)


def dialect_ops(model: onnx.ModelProto) -> list[str]:
    functions = (f.node for f in model.functions)
    nodes = (n for each in (model.graph.node, *functions) for n in with_bodies(each))
    return sorted(node.op_type for node in nodes if node.domain == DOMAIN)


def bodies_of(model: onnx.ModelProto) -> list[str]:
    return sorted(function.name for function in model.functions if is_body(function))


def check_both_ways(case: exports.Case, model: onnx.ModelProto, before: onnx.ModelProto) -> None:
    """Body and kernel are as near to the float64 reference as the model as it came, or nearly."""
    x = case.sample(np.random.default_rng(1))
    _, reference = exports.load(case)
    old = run(before, library=False, X=x)
    wanted = reference(x.astype(np.float64)) if reference else old
    bound = 16 * float(np.finfo(case.dtype).eps)
    for library in (False, *[True] * (not kernels_missing())):
        for y, was, exact in zip(run(model, library=library, X=x), old, wanted, strict=True):
            assert y.shape == was.shape
            assert relative_error(y, exact) <= max(bound, 2 * relative_error(was, exact))


@pytest.mark.parametrize("case", exports.parameters(SOME))
def test_the_model_computes_what_the_source_does_both_ways(case: exports.Case) -> None:
    model = custom_model(case)
    onnx.checker.check_model(model, full_check=True)
    assert dialect_ops(model)
    assert bodies_of(model) == sorted(set(dialect_ops(model)))
    check_both_ways(case, model, exports.load(case)[0])


@needs_library
@pytest.mark.parametrize("case", exports.parameters(SOME))
def test_the_runtime_takes_the_kernel_where_there_is_one(
    case: exports.Case, tmp_path: Path
) -> None:
    model = custom_model(case)
    assert kernels_used(model, tmp_path, library=False) == []
    assert kernels_used(model, tmp_path, library=True) == dialect_ops(model)


@pytest.mark.parametrize("case", exports.parameters(SOME))
def test_a_second_rewrite_changes_nothing(case: exports.Case) -> None:
    once = custom_model(case)
    again = onnxpool.rewrite(once, to="custom-op")
    assert again.report.rewritten == 0
    assert {f.detail for f in again.report.findings if f.op in dialect_ops(once)} >= {
        "a custom op already"
    }
    assert again.model.SerializeToString() == once.SerializeToString()


@pytest.mark.parametrize("case", exports.parameters(SOME))
def test_it_comes_back_as_standard_ops(case: exports.Case) -> None:
    custom = custom_model(case)
    result = onnxpool.rewrite(custom)
    assert dialect_ops(result.model) == bodies_of(result.model) == []
    assert [o.domain for o in result.model.opset_import if o.domain == DOMAIN] == []
    assert result.report.before.nodes == onnxpool.inspect(custom).before.nodes
    check_both_ways(case, result.model, exports.load(case)[0])


@pytest.mark.parametrize("case", exports.parameters(SOME[::3]))
def test_inspect_foretells_what_rewrite_does(case: exports.Case) -> None:
    model, _ = exports.load(case)
    foretold = onnxpool.inspect(model, to="custom-op")
    done = onnxpool.rewrite(model, to="custom-op").report
    told = [
        (f.tensors, f.action.replace("rewritable", "rewritten"), f.detail)
        for f in foretold.findings
    ]
    assert told == [(f.tensors, f.action, f.detail) for f in done.findings]


@pytest.mark.parametrize(
    "case", exports.parameters([c for c in RUNNABLE if len(c.expected) == 1 and not c.lifted])
)
def test_what_one_standard_node_does_is_left(case: exports.Case) -> None:
    model, _ = exports.load(case)
    result = onnxpool.rewrite(model, to="custom-op")
    assert result.model.SerializeToString() == model.SerializeToString()


def pools_to(x: str, *sizes: int, length: int = 12) -> list[onnx.NodeProto]:
    """AveragePools of a square plane."""
    kernels = {s: [length // s] * 2 for s in sizes}
    return [
        helper.make_node("AveragePool", [x], [f"to_{s}"], kernel_shape=k, strides=k)
        for s, k in kernels.items()
    ]


def simple_model(
    nodes: list[onnx.NodeProto],
    outputs: list[str],
    shape: Any = (1, 2, 12, 12),
    *,
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("X", kind, shape)],
        [helper.make_tensor_value_info(name, kind, [None] * len(shape)) for name in outputs],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def dialect_node(op: Any, y: str, **more: Any) -> onnx.NodeProto:
    return helper.make_node(
        op.op_type(), ["X"], [y], f"node_{y}", domain=DOMAIN, **op.attributes(), **more
    )


def test_levels_that_are_one_node_each_are_one_pass_of_a_kernel() -> None:
    outputs = ["to_1", "to_2", "to_3"]
    model = simple_model(pools_to("X", 1, 2, 3, length=24), outputs, (1, 2, 24, 24))
    assert onnxpool.rewrite(model).report.rewritten == 0
    result = onnxpool.rewrite(model, to="custom-op")
    assert dialect_ops(result.model) == ["PyramidPool"]
    assert len(result.model.graph.node) == 1


def test_nodes_with_small_windows_are_best_left_alone() -> None:
    model = simple_model(pools_to("X", 1, 2, 3), ["to_1", "to_2", "to_3"])
    result = onnxpool.rewrite(model, to="custom-op")
    assert result.model.SerializeToString() == model.SerializeToString()
    assert {f.detail for f in result.report.findings} == {"one AveragePool already"}


def test_pooling_in_a_branch(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None)
    branch = helper.make_graph(pooling_nodes(), "then", [], [info])
    other = helper.make_graph(
        [helper.make_node("MaxPool", ["X"], ["other"], kernel_shape=[4, 4])],
        "else",
        [],
        [helper.make_tensor_value_info("other", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["condition"], ["Y"], then_branch=branch, else_branch=other)
    check_in_place(model_around([node]))


def test_pooling_in_a_function() -> None:
    function = helper.make_function(
        "local", "Pool", ["X"], ["pooled"], pooling_nodes(), [helper.make_opsetid("", 17)]
    )
    node = helper.make_node("Pool", ["X"], ["Y"], domain="local")
    model = model_around([node], functions=[function])
    result = check_in_place(model)
    assert [f.name for f in result.functions] == ["Pool", "AdaptiveAveragePool"]
    assert [(o.domain, o.version) for o in result.functions[0].opset_import] == [
        ("", 17),
        (DOMAIN, 1),
    ]
    # ONNX Runtime puts functions in place of their calls: the graph then holds the op.
    assert (DOMAIN, 1) in [(o.domain, o.version) for o in result.opset_import]
    back = onnxpool.rewrite(result).model
    assert DOMAIN not in [o.domain for o in back.opset_import]
    assert [f.name for f in back.functions] == ["Pool"]
    assert [o.domain for o in back.functions[0].opset_import] == [""]


def check_in_place(before: onnx.ModelProto) -> onnx.ModelProto:
    result = onnxpool.rewrite(before, to="custom-op")
    assert dialect_ops(result.model) == ["AdaptiveAveragePool"]
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 7)).astype(np.float32)
    (wanted,) = AdaptiveAveragePool((4, 4)).reference(x)
    for library in (False, *[True] * (not kernels_missing())):
        (y,) = run(result.model, library=library, X=x, condition=np.array(True))
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    return result.model


def test_a_node_without_a_body_keeps_everything_and_gets_one() -> None:
    op = AdaptiveAveragePool((5, 7))
    model = simple_model([dialect_node(op, "Y")], ["Y"])
    model.graph.node[0].metadata_props.add(key="namespace", value="kept")
    result = onnxpool.rewrite(model, to="custom-op")
    assert result.model.graph == model.graph
    assert bodies_of(result.model) == ["AdaptiveAveragePool"]
    assert [f.detail for f in result.report.findings] == ["custom op"]
    result.model.functions.pop()
    assert result.model == model


def test_nothing_else_of_the_model_changes() -> None:
    nodes = [*pooling_nodes(), helper.make_node("Neg", ["pooled"], ["Y"], "last")]
    nodes[-1].doc_string = "kept"
    local = helper.make_function(
        "local",
        "Unused",
        ["a"],
        ["b"],
        [helper.make_node("Relu", ["a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    model = model_around(nodes, functions=[local], producer_name="someone")
    result = onnxpool.rewrite(model, to="custom-op").model
    assert result.graph.node[-1] == model.graph.node[-1]
    assert result.functions[0] == model.functions[0]
    assert list(result.graph.input) == list(model.graph.input)
    assert (result.producer_name, result.ir_version) == ("someone", model.ir_version)


def test_an_ir_version_without_functions_is_raised_and_named() -> None:
    model = simple_model([dialect_node(AdaptiveAveragePool((5, 7)), "Y")], ["Y"], ir_version=7)
    result = onnxpool.rewrite(model, to="custom-op")
    assert result.model.ir_version == 8
    assert "IR version 7 → 8, the first with functions" in result.report.notes


def test_an_opset_below_those_of_bodies_is_one_clear_line() -> None:
    model = simple_model([dialect_node(AdaptiveAveragePool((5, 7)), "Y")], ["Y"], opset=11)
    result = onnxpool.rewrite(model, to="custom-op")
    assert dialect_ops(result.model) == []
    assert [f.detail for f in result.report.findings] == [
        "kronecker; no custom op: opset 11 is below 12, the first in which a function body reads "
        "attributes; convert the model first"
    ]


def test_bfloat16_has_no_kernel() -> None:
    op = AdaptiveAveragePool((5, 7))
    model = simple_model([dialect_node(op, "Y")], ["Y"], kind=TensorProto.BFLOAT16)
    result = onnxpool.rewrite(model, to="custom-op")
    assert dialect_ops(result.model) == []
    assert [f.detail for f in result.report.findings] == [
        "kronecker; no custom op: the library has no kernel for bfloat16"
    ]


def test_a_second_kind_of_node_becomes_standard_ops() -> None:
    average = AdaptiveAveragePool((5, 7))
    cast = helper.make_node("Cast", ["X"], ["X64"], to=TensorProto.DOUBLE)
    other = helper.make_node(
        average.op_type(), ["X64"], ["Z"], domain=DOMAIN, **average.attributes()
    )
    model = simple_model([dialect_node(average, "Y"), cast, other], ["Y", "Z"])
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.DOUBLE
    result = onnxpool.rewrite(model, to="custom-op")
    assert dialect_ops(result.model) == ["AdaptiveAveragePool"]
    first, second = (f.detail for f in result.report.findings)
    assert first == "custom op"
    assert second.startswith(
        "kronecker; no custom op: a model has one body per op, and that of AdaptiveAveragePool is "
        "for AdaptiveAveragePool in float, opset 17"
    )


def test_the_opset_can_change_in_the_same_call() -> None:
    model = simple_model([dialect_node(AdaptiveAveragePool((5, 7)), "Y")], ["Y"])
    custom = onnxpool.rewrite(model, to="custom-op", opset=18).model
    assert [o.version for o in custom.functions[0].opset_import] == [18]
    x = np.random.default_rng(0).standard_normal((1, 2, 12, 12)).astype(np.float32)
    older = onnxpool.rewrite(custom, to="custom-op", opset=13)
    assert [o.version for o in older.model.functions[0].opset_import] == [13]
    (y,) = run(older.model, library=False, X=x)
    np.testing.assert_allclose(y, AdaptiveAveragePool((5, 7)).reference(x)[0], rtol=1e-5)


def test_a_wrong_body_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    right = function_body.function_body

    def wrong(signature: function_body.Signature) -> onnx.FunctionProto:
        body = onnx.FunctionProto.FromString(right(signature).SerializeToString())
        body.node[-1].output[0] = "before"
        body.node.append(helper.make_node("Add", ["before", "before"], ["Y"]))
        return body

    monkeypatch.setattr(function_body, "function_body", wrong)
    model = simple_model([dialect_node(AdaptiveAveragePool((5, 7)), "Y")], ["Y"])
    with pytest.raises(CheckError, match=r"^the rewritten region of tensor 'Y' is off:"):
        onnxpool.rewrite(model, to="custom-op")


@needs_library
def test_a_wrong_kernel_is_not_relied_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Runner):
        def __init__(self, *arguments: Any, kernels: bool = False) -> None:
            super().__init__(*arguments, kernels=kernels)
            self.factor = 2 if kernels else 1

        def __call__(self, inputs: Any) -> tuple[Any, ...]:
            return tuple(y * self.factor for y in super().__call__(inputs))

    monkeypatch.setattr(check, "Runner", Wrong)
    monkeypatch.setattr(piece, "Runner", Wrong)
    model = simple_model([dialect_node(AdaptiveAveragePool((5, 7)), "Y")], ["Y"])
    with pytest.raises(CheckError, match=r"'Y' with the custom-op library is off:"):
        onnxpool.rewrite(model, to="custom-op")
    with pytest.raises(CheckError, match=r"^output 'Y' of the whole model differs"):
        check.check_whole_model(
            onnxpool.rewrite(model, check="none").model,
            onnxpool.rewrite(model, to="custom-op", check="none")._file,
        )


def test_without_the_library_the_report_says_what_was_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "kernels_missing", lambda: "there is none")
    monkeypatch.setattr(check, "kernels_missing", lambda: "there is none")
    model = simple_model([dialect_node(AdaptiveAveragePool((5, 7)), "Y")], ["Y"])
    notes = onnxpool.rewrite(model, to="custom-op").report.notes
    assert "checked without the kernels: there is none" in notes


@pytest.mark.parametrize(
    ("option", "name"), [("strategy", "slice"), ("target", "ncnn"), ("target", "onnxruntime")]
)
def test_options_of_standard_ops_are_refused(option: str, name: str) -> None:
    model = simple_model(pools_to("X", 2), ["to_2"])
    wanted = (
        f"^{option} {name} is for standard ops; custom ops are for ONNX Runtime, so leave it out$"
    )
    options: dict[str, Any] = {option: name}
    for call in (onnxpool.rewrite, onnxpool.inspect):
        with pytest.raises(ArgumentError, match=wanted):
            call(model, to="custom-op", **options)


def test_an_unknown_output_is_refused() -> None:
    model = simple_model(pools_to("X", 2), ["to_2"])
    wanted = "^unknown output 'custom'; use standard or custom-op$"
    with pytest.raises(ArgumentError, match=wanted):
        onnxpool.rewrite(model, to="custom")


def test_a_malformed_node_is_left_with_the_reason() -> None:
    node = dialect_node(PyramidPool((1, 1, 2, 2), 2), "Y")
    report = onnxpool.inspect(simple_model([node], ["Y"]), to="custom-op")
    assert [(f.action, f.detail) for f in report.findings] == [
        ("left", "PyramidPool has 2 levels and 1 outputs")
    ]
