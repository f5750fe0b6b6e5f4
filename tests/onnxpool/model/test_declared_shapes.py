"""What a file declares behind restored pooling: what holds stays, what does not is corrected."""

import functools

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, parser
from torch import Tensor, nn

import onnxpool
from onnxpool.model import declared_shapes, shapes
from onnxpool.model.file import ModelFile
from tests import declared
from tests.exports import quiet

Dims = list[int | str | None]

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def corrected(
    text: str, declarations: dict[str, Dims | None], stale: str = "p"
) -> dict[str, Dims | None]:
    """What is declared after the correction, where tensor `stale` is not what the file says."""
    proto = parser.parse_model(f"{HEAD} {text}")
    for name, dims in declarations.items():
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        if name == proto.graph.output[0].name:
            proto.graph.output[0].CopyFrom(info)
        else:
            proto.graph.value_info.append(info)
    file = ModelFile.from_proto(proto)
    shapes.infer(file)
    scope = next(s for s in file.scopes if stale in names(s.graph))
    declared_shapes.correct(file, [(scope, stale)])
    values = (*file.proto.graph.value_info, *file.proto.graph.output)
    return {v.name: dims_of(v) for v in values}


def names(graph: onnx.GraphProto) -> set[str]:
    return {tensor.name for node in graph.nodes for tensor in node.outputs}


def dims_of(value: onnx.ValueInfoProto) -> Dims | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [
        d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim
    ]


POOLED = """g (float[N,3,H,W] x, float[N,3,6,6] z) => (y) {
    r = Relu(x)  p = MaxPool<kernel_shape=[2,2],strides=[2,2]>(r)  y = Abs(p)
}"""


@pytest.mark.parametrize(
    ("dims", "wanted"),
    [
        ([1, 3, 6, 6], ["N", 3, None, None]),
        (["N", 3, "H//2", "W//2"], ["N", 3, "H//2", "W//2"]),
        (["N", 3, "((H//2))", "(W-2)//2 + 1"], ["N", 3, "((H//2))", "(W-2)//2 + 1"]),
        (["N", 3, "W//2", "H"], ["N", 3, None, None]),
        (["N", "c", "p_dim_2", "Max(1, W)"], ["N", 3, None, None]),
        (["N", 3, "H//0", "H//"], ["N", 3, None, None]),
        (["a", None, None, "W//2"], ["N", 3, None, "W//2"]),
        ([6, 6], ["N", 3, None, None]),
        (None, None),
    ],
)
def test_a_declaration_holds_or_becomes_what_is_known(dims: Dims, wanted: Dims) -> None:
    found = corrected(POOLED, {"p": dims, "y": dims})
    assert found == {"p": wanted, "y": wanted}


def test_what_comes_before_stays_however_wrong() -> None:
    found = corrected(POOLED, {"r": [1, 3, 13, "V"], "y": [1, 3, 6, 6]})
    assert found == {"r": [1, 3, 13, "V"], "y": ["N", 3, None, None]}


def test_nothing_is_left_of_what_cannot_be_inferred() -> None:
    text = "g (float[N,3,H,W] x, int64[2] s) => (y) { p = Relu(x)  y = Reshape(p, s) }"
    assert corrected(text, {"y": [1, 507]}) == {"y": [None, None]}
    text = "g (float[N,3,H,W] x, int64[k] s) => (y) { p = Relu(x)  y = Reshape(p, s) }"
    assert corrected(text, {"y": [1, 507]}) == {"y": None}


def test_a_size_that_two_inputs_could_have_is_the_one_it_comes_from() -> None:
    text = "g (float[N,3,N,W] x, float[M,H] z) => (y) { p = Relu(x)  y = Transpose(p) }"
    assert corrected(text, {"y": ["W", "H", 3, "M"]}) == {"y": ["W", "N", 3, "N"]}


def test_sizes_without_a_name_stay_so() -> None:
    text = "g (float[?,3,H,W] x) => (y) { p = Relu(x)  y = Abs(p) }"
    assert corrected(text, {"y": [1, 3, 7, "W"]}) == {"y": [None, 3, "H", "W"]}


def test_through_the_bodies_of_control_flow() -> None:
    text = """g (float[N,3,H,W] x, bool c) => (y) {
        p = Relu(x)
        y = If (c) <
            then_branch = t () => (float[1,3,7,7] a) { a = Abs(p) },
            else_branch = e () => (float[1,3,7,7] b) { q = Neg(p)  b = Neg(q) }
        >
    }"""
    proto = parser.parse_model(f"{HEAD} {text}")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 7, 7])
    proto.graph.output[0].CopyFrom(output)
    for stale in ("p", "q"):
        file = ModelFile.from_proto(proto)
        shapes.infer(file)
        scope = next(s for s in file.scopes if stale in names(s.graph))
        declared_shapes.correct(file, [(scope, stale)])
        branches = [attribute.g.output[0] for attribute in file.proto.graph.node[1].attribute]
        found = {v.name: dims_of(v) for v in (*branches, *file.proto.graph.output)}
        wanted = ["N", 3, "H", "W"]
        assert found == {"a": wanted if stale == "p" else [1, 3, 7, 7], "b": wanted, "y": wanted}


def test_behind_a_function() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "d" : 1]>
    g (float[N,3,H,W] x) => (float[1,3,7,7] y) { r = d.f(x)  y = Abs(r) }
    <domain: "d", opset_import: ["" : 17]> f (a) => (b) { p = Relu(a)  b = Neg(p) }"""
    file = ModelFile.from_proto(parser.parse_model(text))
    shapes.infer(file)
    declared_shapes.correct(file, [(file.scopes[0], "p")])
    assert dims_of(file.proto.graph.output[0]) == ["N", 3, "H", "W"]


def test_a_static_model_says_what_it_computes() -> None:
    text = "g (float[1,3,8,8] x) => (y) { p = AveragePool<kernel_shape=[2,2]>(x)  y = Abs(p) }"
    assert corrected(text, {"y": [1, 3, 6, 6]}) == {"y": [1, 3, 7, 7]}


def fallback(size: tuple[int, int], *tail: str) -> onnx.ModelProto:
    """A dynamic export with traced sizes everywhere, as TorchScript writes it."""
    proto = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17, "org.pytorch.aten" : 1]>
        g (float[N,3,H,W] X) => (Y) {{
            h = Shape(X)  two = Constant<value_ints=[2]>()  four = Constant<value_ints=[4]>()
            plane = Slice(h, two, four)
            p = org.pytorch.aten.adaptive_avg_pool2d<output_size=[{size[0]},{size[1]}]>(X)
            {" ".join(tail)}
        }}"""
    )
    traced = onnx.ModelProto()
    traced.CopyFrom(proto)
    for dim, length in zip(
        traced.graph.input[0].type.tensor_type.shape.dim, (1, 3, 13, 17), strict=True
    ):
        dim.dim_value = length
    file = ModelFile.from_proto(traced)
    shapes.infer(file)
    for node in file.main.graph.nodes:
        for tensor in node.outputs:
            info = helper.make_tensor_value_info(
                tensor.name,
                helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)),
                tensor.shape,
            )
            if tensor.name == "Y":
                proto.graph.output[0].CopyFrom(info)
            else:
                proto.graph.value_info.append(info)
    return proto


TAILS = (
    "a = Flatten(p) Y = Relu(a)",
    "lead = Slice(h, zero, two) target = Concat<axis=0>(lead, plane)"
    ' a = Resize<mode="nearest">(p, , , target) Y = Concat<axis=1>(a, X)',
    "s = Shape(p) Y = Expand(p, s)",
    "Y = Transpose<perm=[0,2,3,1]>(p)",
    "a = GlobalAveragePool(p) Y = Add(a, p)",
    "a = Pad(p, pads) Y = MaxPool<kernel_shape=[2,2],strides=[2,2]>(a)",
)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    tail=st.sampled_from(TAILS),
    batch=st.integers(1, 3),
    plane=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@settings(max_examples=40, deadline=None)
def test_all_that_is_declared_is_true_at_any_size(
    size: tuple[int, int], tail: str, batch: int, plane: tuple[int, int]
) -> None:
    constants = "zero = Constant<value_ints=[0]>()  pads = Constant<value_ints=[0,0,1,1,0,0,1,1]>()"
    result = rewritten(size, f"{constants} {tail}")
    declared.assert_true(result, [(batch, 3, *plane)])
    assert any(dims_of(value) for value in result.graph.value_info)


@functools.cache
def rewritten(size: tuple[int, int], tail: str) -> onnx.ModelProto:
    return onnxpool.rewrite(fallback(size, tail)).model


class Pyramid(nn.Module):
    """Two levels, one brought up to the size of X, and the other flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = F.interpolate(F.adaptive_avg_pool2d(x, 6), size=x.shape[2:], mode="bilinear")
        coarse = F.adaptive_avg_pool2d(x[:, :2], 3)
        return self.conv(torch.cat([x, fine[:, 1:]], 1)), coarse.flatten(2)


@pytest.mark.parametrize("traced", [36, 33])
def test_all_that_is_declared_is_true_of_a_repaired_export(traced: int) -> None:
    shape = (1, 3, traced, traced)
    with quiet():
        program = torch.onnx.export(
            Pyramid().eval(),
            (torch.zeros(shape),),
            dynamo=True,
            input_names=["X"],
            dynamic_shapes=({0: "N", 2: "H", 3: "W"},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    result = onnxpool.rewrite(model, traced_sizes={"X": shape})
    assert result.report.rewritten
    before = {value.name: dims_of(value) for value in model.graph.value_info}
    after = {value.name: dims_of(value) for value in result.model.graph.value_info}
    corrected = {name for name in after if after[name] != before[name]}
    if traced == 36:
        pairs = [(before[name] or [], after[name] or []) for name in corrected]
        assert any("(H//6)" in was and now[2:] == [6, 6] for was, now in pairs)
    declared.assert_true(result.model, [shape, (2, 3, 40, 47), (1, 3, 5, 20)])
