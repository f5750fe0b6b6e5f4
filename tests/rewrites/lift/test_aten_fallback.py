"""Every spelling of PyTorch's own pooling, and every reason for which one is left."""

import onnx
import pytest
from onnx import parser

import onnxpool
from onnxpool.ops import COMPUTED, KEEP
from tests.rewrites.test_find import find_in

X = "float[N,3,H,W] X"
SIZE = "size = Constant<value_ints=[6,7]>()"
COMPUTED_SIZE = """shape = Shape(X)
    two = Constant<value_ints=[2]>()  three = Constant<value_ints=[3]>()
    h = Gather(shape, two)  w = Gather(shape, three)  third = Div(h, three)"""
OWN_SIZE = f"{COMPUTED_SIZE} own = Concat<axis=0>(h, w)"


def model(nodes: str, x: str = X, opset: int = 17) -> onnx.ModelProto:
    imports = f'"" : {opset}, "org.pytorch.aten" : 1, "aten" : 1'
    return parser.parse_model(
        f"<ir_version: 8, opset_import: [{imports}]> g ({x}) => (Y) {{ {nodes} }}"
    )


@pytest.mark.parametrize(
    ("nodes", "op", "size"),
    [
        (f"{SIZE} Y = org.pytorch.aten.adaptive_avg_pool2d(X, size)", "Average", (6, 7)),
        (f"{SIZE} Y = org.pytorch.aten._adaptive_avg_pool2d(X, size)", "Average", (6, 7)),
        (f"{SIZE} Y = aten.adaptive_avg_pool2d(X, size)", "Average", (6, 7)),
        (f"{SIZE} Y, I = org.pytorch.aten.adaptive_max_pool2d(X, size)", "Max", (6, 7)),
        (
            f'{SIZE} Y = org.pytorch.aten.ATen<operator="adaptive_avg_pool2d",overload_name="">'
            "(X, size)",
            "Average",
            (6, 7),
        ),
        (
            f'{SIZE} Y, I = aten.ATen<operator="aten::adaptive_max_pool2d">(X, size)',
            "Max",
            (6, 7),
        ),
        ("Y = org.pytorch.aten.adaptive_avg_pool2d<output_size=[6,7]>(X)", "Average", (6, 7)),
        (
            f"{COMPUTED_SIZE} s = Concat<axis=0>(third, w)"
            " Y = org.pytorch.aten.adaptive_avg_pool2d(X, s)",
            "Average",
            (COMPUTED, KEEP),
        ),
        (
            f"{COMPUTED_SIZE} s = Concat<axis=0>(w, three)"
            " Y = org.pytorch.aten.adaptive_avg_pool2d(X, s)",
            "Average",
            (COMPUTED, 3),
        ),
        (f"{OWN_SIZE} Y = org.pytorch.aten.avg_pool2d(X, own)", "Average", (1, 1)),
        (f"{OWN_SIZE} Y = org.pytorch.aten.max_pool2d(X, own)", "Max", (1, 1)),
        (
            f"{OWN_SIZE} Y, I = org.pytorch.aten.max_pool2d_with_indices(X, own)",
            "Max",
            (1, 1),
        ),
        (
            "r = Relu(X) shape = Shape<start=2>(r) Y = org.pytorch.aten.avg_pool2d(X, shape)",
            "Average",
            (1, 1),
        ),
        (
            "shape = Shape(X) a = Constant<value_ints=[-2]>() b = Constant<value_ints=[99]>()"
            " s = Slice(shape, a, b) Y = org.pytorch.aten.avg_pool2d(X, s)",
            "Average",
            (1, 1),
        ),
        (
            f"{COMPUTED_SIZE} one = Constant<value_ints=[1]>() s = Concat<axis=0>(h, one)"
            " Y = org.pytorch.aten.avg_pool2d(X, s)",
            "Average",
            (1, KEEP),
        ),
    ],
)
def test_a_spelling(nodes: str, op: str, size: tuple[int, ...]) -> None:
    ((construct,), declined) = find_in(model(nodes))
    assert not declined
    assert construct.op.op_type() == f"Adaptive{op}Pool"
    assert construct.op.attributes()["output_size"] == list(size)
    assert len(construct.parameters) == (COMPUTED in size)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_kernel_as_large_as_a_size_that_is_a_number(fixed: bool) -> None:
    x = "float[N,3,6,7] X" if fixed else X
    constructs, declined = find_in(model(f"{SIZE} Y = org.pytorch.aten.avg_pool2d(X, size)", x))
    assert (len(constructs), len(declined)) == ((1, 0) if fixed else (0, 1))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        (
            f"{SIZE} r = d.Unknown(X) Y = org.pytorch.aten.adaptive_avg_pool2d(r, size)",
            "the rank of its input 'r' is not known",
        ),
        (
            f"{SIZE} Y = org.pytorch.aten.adaptive_avg_pool3d(X, size)",
            "its output_size is [6, 7], wanted 3 sizes of at least 1",
        ),
        (
            "Y = org.pytorch.aten.adaptive_avg_pool2d<output_size=[6,0]>(X)",
            "its output_size is [6, 0], wanted 2 sizes of at least 1",
        ),
        (
            "Y = org.pytorch.aten.adaptive_avg_pool2d(X)",
            "its output_size is [], wanted 2 sizes of at least 1",
        ),
        (
            "Y = org.pytorch.aten.adaptive_avg_pool1d<output_size=[6]>(X)",
            "adaptive_avg_pool1d takes rank 2 or 3, found rank 4",
        ),
        (
            "l = Cast<to=7>(X) Y = org.pytorch.aten.adaptive_max_pool2d<output_size=[6,7]>(l)",
            "its input 'l' is int64, wanted floating point",
        ),
        (
            f"{SIZE} Y = org.pytorch.aten.avg_pool2d(X, size)",
            "its kernel_size is [6, 7], not the sizes of its input: an ordinary sliding window, "
            "no adaptive pooling",
        ),
        (
            f"{COMPUTED_SIZE} s = Concat<axis=0>(third, w) Y = org.pytorch.aten.avg_pool2d(X, s)",
            "its kernel_size is [computed, computed], not the sizes of its input: an ordinary "
            "sliding window, no adaptive pooling",
        ),
        (
            f"{OWN_SIZE} one = Constant<value_ints=[1,1]>() Y = org.pytorch.aten.avg_pool2d"
            "(X, own, own, one)",
            "its padding is [1, 1], wanted 0",
        ),
        (
            f"{OWN_SIZE} Y = org.pytorch.aten.max_pool2d<dilation=[2,2]>(X, own)",
            "its dilation is [2, 2], wanted 1",
        ),
        (
            f"{OWN_SIZE} Y = org.pytorch.aten.avg_pool2d<divisor_override=3>(X, own)",
            "it has a divisor_override, so it is no average",
        ),
        (
            f"{COMPUTED_SIZE} one = Constant<value_ints=[1]>() s = Concat<axis=0>(h, one)"
            " Y = org.pytorch.aten.avg_pool2d<stride=[1,2]>(X, s)",
            "its kernel_size is [computed, 1], not the sizes of its input: an ordinary sliding "
            "window, no adaptive pooling",
        ),
        (
            "Y = org.pytorch.aten.avg_pool2d(X, X)",
            "its kernel_size is not known, wanted the 2 sizes of its input",
        ),
    ],
)
def test_a_refusal(nodes: str, reason: str) -> None:
    proto = model(nodes)
    proto.opset_import.add(domain="d", version=1)
    (finding,) = onnxpool.inspect(proto).findings
    assert finding.detail == f"{reason}; ONNX Runtime does not load the model while it is there"
    assert onnxpool.rewrite(proto).model == proto


def test_an_opset_that_is_too_old() -> None:
    nodes = "Y = org.pytorch.aten.adaptive_avg_pool2d<output_size=[6,7]>(X)"
    (finding,) = onnxpool.inspect(model(nodes, opset=6)).findings
    assert finding.detail == "opset 6 is below 7; convert the model first"


def test_what_is_no_pooling_is_named_in_a_note() -> None:
    proto = model('a = org.pytorch.aten.grid_sampler(X, X)  Y = aten.ATen<operator="rot90">(a)')
    report = onnxpool.inspect(proto)
    assert report.findings == ()
    assert report.notes == (
        "main graph: grid_sampler, rot90: PyTorch's own op, no pooling, left; "
        "ONNX Runtime does not load the model while it is there",
    )


def test_a_function_of_the_model_is_no_obstacle() -> None:
    proto = model("Y = org.pytorch.aten.twice(X)")
    body = (
        '<domain: "org.pytorch.aten", opset_import: ["" : 17]> twice (x) => (y) { y = Add(x, x) }'
    )
    proto.functions.append(parser.parse_function(body))
    assert onnxpool.inspect(proto).notes == ()
