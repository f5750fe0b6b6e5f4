"""What upsamples the levels of a pyramid in standard ops; and what does not change."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import parser
from torch import nn
from torch.nn import functional

import onnxpool
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import Runner
from tests.exports.export import quiet


class Head(nn.Module):
    """Zhao et al., Pyramid Scene Parsing Network, with 4 channels."""

    def __init__(self, sizes: tuple[int, ...], align_corners: bool) -> None:
        super().__init__()
        self.sizes, self.align_corners = sizes, align_corners
        self.convolutions = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [
            functional.interpolate(
                torch.relu(conv(functional.adaptive_avg_pool2d(x, size))),
                x.shape[2:],
                mode="bilinear",
                align_corners=self.align_corners,
            )
            for size, conv in zip(self.sizes, self.convolutions, strict=True)
        ]
        return torch.cat([x, *levels], 1)


def exported(head: nn.Module, plane: tuple[int, int], *, batch: bool = False) -> onnx.ModelProto:
    """With a batch of any size, if that is wanted."""
    shapes = ({0: torch.export.Dim("N")},) if batch else None
    with quiet():
        program = torch.onnx.export(
            head.eval(),
            (torch.zeros(2, 4, *plane),),
            input_names=["X"],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def ops(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def drawn(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("plane", "batch"), [((17, 17), 2), ((12, 18), 3), ((7, 31), 2)])
def test_a_head_is_what_torch_computes(
    align_corners: bool, plane: tuple[int, int], batch: int
) -> None:
    torch.manual_seed(0)
    head = Head((1, 2, 3, 6), align_corners)
    result = onnxpool.rewrite(exported(head, plane, batch=batch != 2))
    assert ops(result.model)["Resize"] == 0
    x = drawn(batch, 4, *plane)
    with torch.no_grad():
        expected = head(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(Runner(result.model)({"X": x})[0], expected, atol=1e-5)
    changes = [change for change in result.report.changes if change.op == "Resize"]
    assert len(changes) == 4
    assert all(change.error is not None and change.error < 1e-5 for change in changes)


# With aligned corners 6 elements to 11 are an adaptive average of 6 to 11 as well; so is 1 to any.
@pytest.mark.parametrize(
    ("plane", "batch"), [((17, 13), False), ((17, 13), True), ((11, 11), False)]
)
def test_twice_is_once_and_custom_ops_are_those_of_the_export(
    plane: tuple[int, int], batch: bool
) -> None:
    torch.manual_seed(1)
    before = exported(Head((1, 2, 3, 6), True), plane, batch=batch)
    once = onnxpool.rewrite(before)
    assert onnxpool.rewrite(once.model).serialize() == once.serialize()
    assert not [f for f in onnxpool.inspect(once.model).findings if "upsample" in f.node]
    wanted = onnxpool.rewrite(before, to="custom-op").model
    found = onnxpool.rewrite(once.model, to="custom-op").model
    assert ops(found) == ops(wanted)
    assert ops(found)["PyramidUpsample"] == 1
    back = onnxpool.rewrite(wanted).model
    assert ops(back)["Resize"] == 0


@pytest.mark.parametrize(
    "options",
    [{"strategy": "slice"}, {"strategy": "pool"}, {"target": "openvino"}, {"target": "tensorrt"}],
    ids=str,
)
def test_resize_stays_where_something_else_is_asked_for(options: dict[str, str]) -> None:
    before = exported(Head((1, 2, 3, 6), True), (17, 17))
    assert ops(onnxpool.rewrite(before, **options).model)["Resize"] == 4  # type: ignore[arg-type]


POOL = "p1, p2 = onnxpool.PyramidPool<output_sizes=[2, 2, {0}, {0}], levels=2>(X)"
RESIZES = """u = Resize<mode="linear">(p1, , , sizes) v = Resize<mode="linear">(p2, , , sizes)"""
JOIN = "Y = Concat<axis=1>(X, u, v)"


def model(nodes: str, x: str, y: str = "Y") -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18, "onnxpool" : 1]> g ({x}) => ({y}) {{ {nodes} }}'
    )


@pytest.mark.parametrize(
    ("nodes", "x", "resizes"),
    [
        (f"{POOL.format(12)} {RESIZES} {JOIN}", "float[1,3,40,40] X", 0),
        (f"{POOL.format(13)} {RESIZES} {JOIN}", "float[1,3,40,40] X", 1),
        (f"{POOL.format(6)} {RESIZES} {JOIN}".replace(", sizes)", ", few)"), "float[1,3,5,9] X", 1),
        (f"{POOL.format(6)} {RESIZES} {JOIN}", "float16[1,3,40,40] X", 2),
        # No pyramid: what is upsampled is not joined, or no pool's.
        (f"{POOL.format(6)} {RESIZES} Y = Add(u, v)", "float[1,3,40,40] X", 2),
        (f"{RESIZES} {JOIN}", "float[1,3,40,40] X, float[1,3,2,2] p1, float[1,3,3,3] p2", 2),
    ],
)
def test_levels_of_few_pixels_alone(nodes: str, x: str, resizes: int) -> None:
    sizes = """sizes = Constant<value_ints=[1, 3, 40, 40]>()
    few = Constant<value_ints=[1, 3, 5, 9]>()"""
    result = onnxpool.rewrite(model(f"{sizes} {nodes}", x))
    assert ops(result.model)["Resize"] == resizes


def test_open_sizes_keep_resize() -> None:
    nodes = f"""lead = Constant<value_ints=[1, 3]>() shape = Shape<start=2>(X)
    sizes = Concat<axis=0>(lead, shape) {POOL.format(6)} {RESIZES} {JOIN}"""
    result = onnxpool.rewrite(model(nodes, "float[1,3,H,W] X"))
    assert ops(result.model)["Resize"] == 2
