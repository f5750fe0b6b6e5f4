"""Attributes, ONNX schemas and shape inference of the dialect."""

import subprocess
import sys
from typing import Any

import onnx
import pytest

from onnxpool import ops
from onnxpool.ops import COMPUTED, DIALECT, DOMAIN, KEEP, InvalidOp, Op


@pytest.fixture(autouse=True)
def _registered() -> None:
    ops.register_schemas()


def test_registering_again_is_harmless() -> None:
    ops.register_schemas()
    assert all(onnx.defs.has(op.op_type(), DOMAIN) for op in DIALECT)


def test_nothing_is_registered_when_python_ends() -> None:
    """Else onnx frees functions of Python after it, and Python 3.10 crashes."""
    program = """if True:
        import atexit, onnx
        from onnxpool import ops
        def left():
            return [op.op_type() for op in ops.DIALECT if onnx.defs.has(op.op_type(), ops.DOMAIN)]
        atexit.register(lambda: print("left:", left()))
        ops.register_schemas()
        print("known:", len(left()))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"known: {len(DIALECT)}", "left: []"]


@pytest.mark.parametrize(
    "op",
    [
        ops.AdaptiveAveragePool((3, KEEP)),
        ops.AdaptiveMaxPool((3,)),
        ops.AdaptiveMaxPool((COMPUTED, 3)),
        ops.GeMPool((1, 1, 1)),
        ops.GeMPool((1, 1), 0.5),
        ops.PyramidPool((1, 1, 2, 2), 2, "max"),
        ops.PyramidUpsample("align_corners", 4),
    ],
    ids=str,
)
def test_attributes_survive_a_node(op: Op) -> None:
    node = onnx.helper.make_node(op.op_type(), ["X"], ["Y"], domain=DOMAIN, **op.attributes())
    read = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert type(op).from_attributes(read) == op


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        (ops.AdaptiveAveragePool, {}, "needs the attribute 'output_size'"),
        (ops.AdaptiveMaxPool, {"output_size": [1], "size": 2}, "has no attribute 'size'"),
        (ops.GeMPool, {"output_size": [0, 3]}, r"1 to 3 sizes.*found \[0, 3\]"),
        (ops.AdaptiveAveragePool, {"output_size": [1] * 4}, "1 to 3 sizes"),
        (ops.AdaptiveAveragePool, {"output_size": [-2]}, "at least 1 or -1"),
        (ops.GeMPool, {"output_size": [1], "epsilon": -1.0}, "epsilon of at least 0, found -1.0"),
        (ops.PyramidPool, {"output_sizes": [1, 2, 3], "levels": 2}, "2 levels, found 3 numbers"),
        (ops.PyramidPool, {"output_sizes": [1], "levels": 0}, "0 levels"),
        (ops.PyramidPool, {"output_sizes": [1], "levels": 1, "mode": "sum"}, "found sum"),
        (
            ops.PyramidUpsample,
            {"position": 0},
            "needs the attribute 'coordinate_transformation_mode'",
        ),
        (
            ops.PyramidUpsample,
            {"coordinate_transformation_mode": "asymmetric", "position": 0},
            "found asymmetric",
        ),
        (
            ops.PyramidUpsample,
            {"coordinate_transformation_mode": "half_pixel", "position": -1},
            "position of 0 or more, found -1",
        ),
    ],
)
def test_malformed_attributes_are_refused(
    op: type[Op], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOp, match=message):
        op.from_attributes(attributes)


@pytest.mark.parametrize(
    ("op", "outputs", "expected"),
    [
        (ops.AdaptiveAveragePool((3, KEEP)), 1, [(onnx.TensorProto.FLOAT16, ["N", 4, 3, "W"])]),
        (
            ops.AdaptiveMaxPool((3, 2)),
            2,
            [(onnx.TensorProto.FLOAT16, ["N", 4, 3, 2]), (onnx.TensorProto.INT64, ["N", 4, 3, 2])],
        ),
        (
            ops.AdaptiveAveragePool((COMPUTED, 5)),
            1,
            [(onnx.TensorProto.FLOAT16, ["N", 4, "unk__0", 5])],
        ),
        (
            ops.AdaptiveMaxPool((KEEP, COMPUTED)),
            2,
            [
                (onnx.TensorProto.FLOAT16, ["N", 4, 9, "unk__0"]),
                (onnx.TensorProto.INT64, ["N", 4, 9, "unk__1"]),
            ],
        ),
        (
            ops.PyramidPool((1, 1, 2, 2), 2),
            2,
            [
                (onnx.TensorProto.FLOAT16, ["N", 4, 1, 1]),
                (onnx.TensorProto.FLOAT16, ["N", 4, 2, 2]),
            ],
        ),
    ],
    ids=str,
)
def test_shape_inference(op: Op, outputs: int, expected: list[tuple[int, list[Any]]]) -> None:
    names = [f"Y{i}" for i in range(outputs)]
    sizes = ["size"] if COMPUTED in getattr(op, "output_size", ()) else []
    node = onnx.helper.make_node(
        op.op_type(), ["X", *sizes], names, domain=DOMAIN, **op.attributes()
    )
    x = onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT16, ["N", 4, 9, "W"])
    size = [onnx.helper.make_tensor_value_info(s, onnx.TensorProto.INT64, [2]) for s in sizes]
    ys = [onnx.ValueInfoProto(name=name) for name in names]
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, ops.VERSION)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x, *size], ys), opset_imports=opsets, ir_version=8
    )
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    types = [y.type.tensor_type for y in inferred.graph.output]
    found = [(t.elem_type, [d.dim_param or d.dim_value for d in t.shape.dim]) for t in types]
    assert found == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([["N", 3, 1, 1], ["N", 5, 6, 6]], ["N", 12, 9, "W"]),
        ([["N", 3, 1, 1], ["N", "C", 6, 6]], ["N", "unk__0", 9, "W"]),
        ([["N", 3, 1, 1], None], ["N", "unk__0", 9, "W"]),
    ],
)
def test_channels_of_all_inputs(levels: list[Any], expected: list[Any]) -> None:
    found = infer_upsampled([["N", 4, 9, "W"], *levels])
    assert [d.dim_param or d.dim_value for d in found.dim] == expected


@pytest.mark.parametrize(
    ("shapes", "position", "message"),
    [
        ([[2, 4, 9, 9], [3, 4, 1, 1]], 0, r"inputs of one batch, found \[2, 3\]"),
        ([[2, 4, 9, 9], [2, 4, 1]], 0, "takes inputs of rank 4, found rank 3"),
        ([[2, 4, 9, 9], [2, 4, 1, 1]], 2, "with 1 levels takes a position of at most 1, found 2"),
    ],
)
def test_shapes_that_cannot_be_joined(shapes: list[Any], position: int, message: str) -> None:
    with pytest.raises(InvalidOp, match=message):
        ops.PyramidUpsample("half_pixel", position).shapes_from([tuple(s) for s in shapes])


def infer_upsampled(shapes: list[Any]) -> Any:
    names = [f"x{i}" for i in range(len(shapes))]
    op = ops.PyramidUpsample("half_pixel", 0)
    node = onnx.helper.make_node(op.op_type(), names, ["Y"], domain=DOMAIN, **op.attributes())
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]
    graph = onnx.helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="Y")])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, ops.VERSION)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return inferred.graph.output[0].type.tensor_type.shape
