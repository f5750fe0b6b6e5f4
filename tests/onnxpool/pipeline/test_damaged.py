"""What no exporter writes and files hold all the same: a reason, or one line. All of it was met by
damaged files (tests/attacks) first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, FunctionProto, NodeProto, TensorProto, helper

import onnxpool
from onnxpool.errors import ExternalDataError, OnnxpoolError
from onnxpool.ops import DOMAIN, AdaptiveAveragePool, InvalidOp

N = helper.make_node
OPSET = 17


def model(
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto] = (),
    *,
    shape: Sequence[int | str] | None = (1, 4, 6, 6),
    dtype: int = TensorProto.FLOAT,
    functions: Sequence[FunctionProto] = (),
    declared: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:
    """From X to Y."""
    declared = declared or {}
    x = helper.make_tensor_value_info("X", dtype, shape)
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, declared.get("Y"))
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in declared.items()]
    domains = [helper.make_opsetid(name, v) for name, v in (("", OPSET), (DOMAIN, 1), ("mine", 1))]
    return helper.make_model(
        helper.make_graph(
            list(nodes),
            "damaged",
            [x],
            [y],
            list(constants),
            value_info=[info for info in infos if info.name != "Y"],
        ),
        opset_imports=domains,
        functions=functions,
        ir_version=8,
    )


def constant(name: str, value: Any) -> TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def function(*nodes: NodeProto) -> FunctionProto:
    """``pooled(x) -> y``, whose calls say `axes` or `size`."""
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    made = helper.make_function("mine", "pooled", ["x"], ["y"], list(nodes), domains, ["given"])
    made.attribute.append("other")
    return made


def referring(node: NodeProto, name: str, kind: Any) -> NodeProto:
    """`node`, with an attribute that the calls of the function around it decide."""
    node.attribute.append(AttributeProto(name=name, ref_attr_name="given", type=kind))
    return node


def bins(length: int | str) -> onnx.ModelProto:
    """Two bins along the last axis."""
    bounds = {f"i{n}": constant(f"i{n}", np.array([n])) for n in (0, 3, 6)}
    nodes = [
        N("Slice", ["X", "i0", "i3", "i3"], ["a"]),
        N("Slice", ["X", "i3", "i6", "i3"], ["b"]),
        N("ReduceMean", ["a"], ["c"], axes=[3]),
        N("ReduceMean", ["b"], ["d"], axes=[3]),
        N("Concat", ["c", "d"], ["Y"], axis=3),
    ]
    return model(nodes, list(bounds.values()), shape=(1, 4, 6, length))


@pytest.mark.parametrize("length", [0, 1])
def test_an_axis_may_be_empty_or_shorter_than_its_bins(length: int) -> None:
    given = bins(length)
    assert onnxpool.rewrite(given).model.SerializeToString() == given.SerializeToString()


def test_there_may_be_nothing_to_pool() -> None:
    pool = N("AdaptiveAveragePool", ["X"], ["Y"], domain=DOMAIN, output_size=[3, 3])
    (finding,) = onnxpool.inspect(model([pool], shape=(1, 4, 0, 6))).findings
    assert finding.action == "left"
    assert "an axis of X has no elements" in finding.detail


def test_a_sum_may_be_of_nothing() -> None:
    nodes = [N("ReduceSum", ["X", "axes"], ["s"]), N("Mul", ["s", "c"], ["Y"])]
    constants = [constant("axes", np.array([2, 3])), constant("c", np.float32(1))]
    report = onnxpool.inspect(model(nodes, constants, shape=(1, 4, 0, 6)))
    assert all(finding.action != "rewritable" for finding in report.findings)


def test_the_type_of_an_input_may_not_be_known() -> None:
    nodes = [N("Mul", ["X", "half"], ["h"]), N("ReduceMean", ["h"], ["Y"], axes=[2, 3])]
    report = onnxpool.inspect(
        model(
            nodes,
            [constant("half", np.float32(1))],
            dtype=TensorProto.UNDEFINED,
            declared={"h": (1, 4, 6, 6), "Y": (1, 4, 1, 1)},
        )
    )
    assert all(finding.action != "rewritable" for finding in report.findings)


def test_a_rank_may_not_be_known() -> None:
    pool = N("AdaptiveAveragePool", ["X"], ["Y"], domain=DOMAIN, output_size=[3, 3])
    given = model([pool], shape=None)
    (finding,) = onnxpool.rewrite(given, check="none").report.findings
    assert finding.action == "left"
    assert "the rank of its input 'X' is not known" in finding.detail


@pytest.mark.parametrize("batch", [-1, 9])
def test_batch_dims_may_be_anything(batch: int) -> None:
    nodes = [
        N("GatherND", ["X", "i"], ["g"], batch_dims=batch),
        N("ReduceMean", ["g"], ["Y"], axes=[2, 3]),
    ]
    report = onnxpool.inspect(
        model(
            nodes,
            [constant("i", np.zeros((1, 1), np.int64))],
            declared={"g": (1, 4, 6, 6), "Y": (1, 4, 1, 1)},
        )
    )
    assert all(finding.action != "rewritable" for finding in report.findings)


def test_an_attribute_may_have_no_value() -> None:
    """What says no type can be given to nobody again."""
    reduced = N("ReduceMean", ["c"], ["t"])
    reduced.attribute.append(AttributeProto(name="axes", type=AttributeProto.INTS))
    given = model(
        [reduced, N("Mul", ["X", "t"], ["m"]), N("GlobalAveragePool", ["m"], ["Y"])],
        [constant("c", np.ones((1, 6), np.float32))],
    )
    report = onnxpool.inspect(given)
    assert all(finding.action != "rewritable" for finding in report.findings)


def test_an_attribute_of_the_dialect_may_refer_to_one_of_a_function() -> None:
    pool = N("AdaptiveAveragePool", ["x"], ["y"], domain=DOMAIN)
    body = function(referring(pool, "output_size", AttributeProto.INTS))
    call = N("pooled", ["X"], ["Y"], domain="mine", given=[2, 2])
    report = onnxpool.inspect(model([call], functions=[body]))
    assert all("defect" not in finding.detail for finding in report.findings)


@pytest.mark.parametrize("value", [None, object()])
def test_an_attribute_of_the_dialect_has_a_value(value: object) -> None:
    with pytest.raises(InvalidOp, match="needs a value for the attribute 'output_size'"):
        AdaptiveAveragePool.from_attributes({"output_size": value})


def _called_with_axes() -> onnx.ModelProto:
    mean = referring(N("ReduceMean", ["x"], ["y"]), "axes", AttributeProto.INTS)
    call = N("pooled", ["X"], ["Y"], domain="mine", given=[2, 3])
    again = N("pooled", ["Y"], ["Z"], domain="mine", given=[1])
    return model([call, again], functions=[function(mean)])


def test_what_calls_decide_is_not_converted() -> None:
    with pytest.raises(OnnxpoolError, match="the calls of the function around it decide"):
        onnxpool.rewrite(_called_with_axes(), opset=18)


@pytest.mark.parametrize("target", ["opencv4", "ncnn", "emx"])
def test_nothing_is_said_of_a_form_that_calls_decide(target: str) -> None:
    report = onnxpool.inspect(_called_with_axes(), target=target)
    assert all("axes" not in refusal.reason for refusal in report.refusals)


def test_a_node_may_have_no_outputs() -> None:
    nodes = [N("ReduceMean", ["X"], ["Y"], axes=[2, 3]), N("Print", ["X"], [], domain="mine")]
    with pytest.raises(OnnxpoolError, match="pool"):
        onnxpool.inspect(model(nodes), output_sizes={"pool": (1, 1)})


def test_metadata_may_be_no_text() -> None:
    given = bins(6)
    entry = given.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace")
    entry.value = "@@@@"
    data = given.SerializeToString().replace(b"@@@@", b"\xff\xfe\xff\xfe")
    assert [f.action for f in onnxpool.inspect(data).findings] == ["rewritable"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("offset", "x", "wanted a number"),
        ("length", "9" * 40, "wanted a number"),
        ("location", "n" * 5000, "cannot be read"),
    ],
)
def test_external_data_may_be_anywhere(tmp_path: Path, key: str, value: str, said: str) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weight.data_location = TensorProto.EXTERNAL
    told = {"location": "w.bin", key: value}
    for name, text in told.items():
        weight.external_data.add(key=name, value=text)
    (tmp_path / "w.bin").write_bytes(bytes(16))
    path = tmp_path / "m.onnx"
    path.write_bytes(model([N("Add", ["X", "w"], ["Y"])], [weight]).SerializeToString())
    with pytest.raises(ExternalDataError, match=said) as caught:
        onnxpool.inspect(path)
    assert len(str(caught.value)) < 6000
