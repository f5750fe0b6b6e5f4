"""Standard nodes in another form: each computes what it did."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxpool.rewrites.graph.replace import Emit
from onnxpool.rewrites.legalize import auto_pad, lp_pool, volume_pool
from onnxpool.rewrites.legalize.allow_zero import WITHOUT_ALLOW_ZERO
from onnxpool.rewrites.legalize.attribute_defaults import WRITTEN_OUT
from onnxpool.rewrites.legalize.auto_pad import EXPLICIT_PADS
from onnxpool.rewrites.legalize.clip import CLIP_BY_RELU, MIN_OF_NEGATIVE
from onnxpool.rewrites.legalize.constant_left import CONSTANT_ON_THE_RIGHT
from onnxpool.rewrites.legalize.counted_padding import PADDING_COUNTED
from onnxpool.rewrites.legalize.dropout import NOTHING_DROPPED
from onnxpool.rewrites.legalize.flat_activation import ON_LINES
from onnxpool.rewrites.legalize.flatten import FLATTEN_BY_RESHAPE
from onnxpool.rewrites.legalize.full_rank import CONSTANT_OF_FULL_RANK
from onnxpool.rewrites.legalize.full_rank import CONSTANT_OF_FULL_SHAPE as FULL_SHAPE
from onnxpool.rewrites.legalize.gather import GATHER_BY_SLICES
from onnxpool.rewrites.legalize.grouped_conv import CONV_PER_GROUP
from onnxpool.rewrites.legalize.initializer import INITIALIZER
from onnxpool.rewrites.legalize.lowest_around import LOWEST_AROUND
from onnxpool.rewrites.legalize.lp_pool import POWER_AVERAGE
from onnxpool.rewrites.legalize.number_by_channel import NUMBER_BY_CHANNEL
from onnxpool.rewrites.legalize.pad_by_concat import PAD_BY_CONCAT
from onnxpool.rewrites.legalize.pool_by_axes import POOL_BY_AXES
from onnxpool.rewrites.legalize.pool_defaults import STRIDES_AND_PADS
from onnxpool.rewrites.legalize.reduce_plane import GLOBAL_POOLING, PLANE_REDUCTION
from onnxpool.rewrites.legalize.sign_magnitude import MAGNITUDE_WITH_SIGN
from onnxpool.rewrites.legalize.volume_pool import POOL_BY_PLANES
from onnxpool.rewrites.legalize.zeros_around import ZEROS_AROUND
from onnxpool.rewrites.lower import Unsupported
from tests.rewrites.legalize.standard import Array, model_of, ops, relative_error, replaced, run

EPSILON = float(np.finfo(np.float32).eps)
PLANE = (1, 8, 11, 10)
VOLUME = (1, 4, 6, 7, 5)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def same(model: onnx.ModelProto, emit: Emit, terms: int) -> onnx.ModelProto:
    """Replace the node, run both; sums of `terms` numbers may be rounded in another order."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x, new = random(*shape), replaced(model, emit)
    (found,), (wanted,) = run(new, X=x), run(model, X=x)
    assert relative_error(found, wanted) <= 8 * np.sqrt(terms) * EPSILON
    return new


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [2, 4, 8])
def test_a_conv_per_group(groups: int, bias: bool) -> None:
    constants = {"W": random(16, 8 // groups, 3, 3)} | ({"B": random(16)} if bias else {})
    model = model_of("Conv", {"X": PLANE}, constants, group=groups, pads=[1, 1, 1, 1])
    new = same(model, CONV_PER_GROUP.emit, terms=9 * 8)
    assert ops(new) == [*["Slice", "Conv"] * groups, "Concat"]
    assert not any(a.name == "group" for node in new.graph.node for a in node.attribute)


def test_a_conv_of_computed_weights_is_left() -> None:
    model = model_of("Conv", {"X": PLANE, "W": (16, 4, 3, 3)}, group=2)
    with pytest.raises(Unsupported, match="computed"):
        replaced(model, CONV_PER_GROUP.emit)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
@pytest.mark.parametrize("op", auto_pad.OPS)
def test_pads_are_explicit(op: str, strides: list[int], mode: str) -> None:
    constants = {"W": random(4, 8, 4, 3)} if op == "Conv" else {}
    attributes: dict[str, Any] = {"kernel_shape": [4, 3], "strides": strides, "auto_pad": mode}
    new = same(model_of(op, {"X": PLANE}, constants, **attributes), EXPLICIT_PADS.emit, terms=96)
    assert not any(a.name == "auto_pad" for a in new.graph.node[0].attribute)


def test_pads_that_depend_on_the_size_are_left() -> None:
    shape = (1, 8, 11, "W")
    model = model_of("MaxPool", {"X": shape}, kernel_shape=[3, 3], auto_pad="SAME_UPPER")
    with pytest.raises(Unsupported, match="only the runtime knows"):
        replaced(model, EXPLICIT_PADS.emit)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("op", lp_pool.OPS)
def test_power_average(op: str, p: int) -> None:
    window: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}
    attributes = window if op == "LpPool" else {}
    new = same(model_of(op, {"X": PLANE}, p=p, **attributes), POWER_AVERAGE.emit, terms=110)
    assert not set(ops(new)) & set(lp_pool.OPS)


def test_an_lp_pool_over_the_edge_is_left() -> None:
    model = model_of("LpPool", {"X": PLANE}, opset=18, kernel_shape=[3, 3], ceil_mode=1)
    with pytest.raises(Unsupported, match="ceil_mode"):
        replaced(model, POWER_AVERAGE.emit)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMean"])
def test_the_plane_is_pooled(op: str, opset: int, keepdims: int) -> None:
    axes = {"axes": np.array([-1, 2], np.int64)} if opset == 18 else {}
    attributes: dict[str, Any] = {} if opset == 18 else {"axes": [-1, 2]}
    model = model_of(op, {"X": PLANE}, axes, opset, keepdims=keepdims, **attributes)
    new = same(model, GLOBAL_POOLING.emit, terms=110)
    pool = "GlobalMaxPool" if op == "ReduceMax" else "GlobalAveragePool"
    assert ops(new) == ([pool] if keepdims else [pool, "Reshape"])


def test_another_axis_is_not_pooled() -> None:
    with pytest.raises(Unsupported, match="exactly the plane"):
        replaced(model_of("ReduceMean", {"X": PLANE}, axes=[1, 2]), GLOBAL_POOLING.emit)


def volume_of(shape: tuple[int | str, ...], op: str, pads: list[int]) -> onnx.ModelProto:
    attributes: dict[str, Any] = {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "pads": pads}
    if op == "AveragePool":
        attributes["count_include_pad"] = 1
    return model_of(op, {"X": shape}, **({} if op.startswith("Global") else attributes))


@pytest.mark.parametrize("op", volume_pool.OPS)
@pytest.mark.parametrize("pads", [[0] * 6, [1, 0, 1, 0, 1, 1]])
def test_a_volume_is_pooled_by_planes(op: str, pads: list[int]) -> None:
    new = same(volume_of(VOLUME, op, pads), POOL_BY_PLANES.emit, terms=210)
    assert ops(new)[::2] == ["Reshape"] * (2 if op.startswith("Global") else 3)


@pytest.mark.parametrize("op", volume_pool.OPS)
@pytest.mark.parametrize("pads", [[0] * 6, [1, 0, 1, 0, 1, 1]])
@pytest.mark.parametrize("shape", [("N", 4, "D", "H", "W"), ("N", 4, 6, 7, 5), (1, 4, "D", 7, 5)])
def test_a_volume_of_open_size_is_pooled_by_planes(
    op: str, pads: list[int], shape: tuple[int | str, ...]
) -> None:
    model = volume_of(shape, op, pads)
    new = replaced(model, POOL_BY_PLANES.emit)
    for sizes in ((1, 4, 6, 7, 5), (3, 4, 9, 8, 4)):
        x = random(*(d if isinstance(d, int) else n for d, n in zip(shape, sizes, strict=True)))
        (found,), (wanted,) = run(new, X=x), run(model, X=x)
        assert relative_error(found, wanted) <= 8 * np.sqrt(288) * EPSILON


def test_a_volume_of_open_channels_is_left() -> None:
    with pytest.raises(Unsupported, match="its channels"):
        replaced(volume_of((1, "C", 6, 7, 5), "MaxPool", [0] * 6), POOL_BY_PLANES.emit)


def test_an_average_that_leaves_padding_out_is_left() -> None:
    model = model_of("AveragePool", {"X": VOLUME}, kernel_shape=[3] * 3, pads=[1] * 6)
    with pytest.raises(Unsupported, match="fewer positions"):
        replaced(model, POOL_BY_PLANES.emit)


@pytest.mark.parametrize("indices", [[3], [0, 0, 1, 2, 9, 8], [-1, 4, 5]])
def test_gather_by_slices(indices: list[int]) -> None:
    model = model_of("Gather", {"X": PLANE}, {"i": np.array(indices, np.int64)}, axis=-1)
    assert set(ops(same(model, GATHER_BY_SLICES.emit, terms=0))) <= {"Slice", "Concat", "Identity"}


@pytest.mark.parametrize(
    ("indices", "reason"),
    [(np.zeros((2, 2), np.int64), "no vector"), (np.arange(150) % 2 * 5, "150 slices")],
)
def test_other_gathers_are_left(indices: np.ndarray, reason: str) -> None:
    model = model_of("Gather", {"X": PLANE}, {"i": indices.astype(np.int64)}, axis=2)
    with pytest.raises(Unsupported, match=reason):
        replaced(model, GATHER_BY_SLICES.emit)


@pytest.mark.parametrize("op", ["Mul", "PRelu"])
def test_a_constant_gets_every_axis(op: str) -> None:
    new = same(model_of(op, {"X": PLANE}, {"c": random(8, 1, 1)}), CONSTANT_OF_FULL_RANK.emit, 0)
    assert [list(t.dims) for t in new.graph.initializer] == [[1, 8, 1, 1]]


@pytest.mark.parametrize("op", ["Sigmoid", "Softplus", "Tanh"])
def test_an_activation_of_lines(op: str) -> None:
    new = same(model_of(op, {"X": (2, 3, 4, 5)}), ON_LINES.emit, terms=0)
    assert ops(new) == ["Reshape", op, "Reshape"]
    with pytest.raises(Unsupported, match="of no planes"):
        replaced(model_of(op, {"X": (2, 3, 4)}), ON_LINES.emit)
    with pytest.raises(Unsupported, match="the runtime alone knows"):
        replaced(model_of(op, {"X": (2, 3, "H", "W")}), ON_LINES.emit)


@pytest.mark.parametrize("shape", [(3, 4), PLANE])
def test_a_number_for_each_channel(shape: tuple[int, ...]) -> None:
    model = model_of("Mul", {"X": shape}, {"c": np.float32(0.7)})
    new = same(model, NUMBER_BY_CHANNEL.emit, terms=0)
    assert [list(t.dims) for t in new.graph.initializer] == [[shape[1], *[1] * (len(shape) - 2)]]
    vector = model_of("Mul", {"X": PLANE}, {"c": random(8, 1, 1)})
    with pytest.raises(Unsupported, match="constant number"):
        replaced(vector, NUMBER_BY_CHANNEL.emit)
    with pytest.raises(Unsupported, match="number of channels"):
        replaced(model_of("Mul", {"X": (3,)}, {"c": np.float32(2)}), NUMBER_BY_CHANNEL.emit)


def test_padding_that_counts_is_a_pad() -> None:
    attributes: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]}
    model = model_of("AveragePool", {"X": PLANE}, count_include_pad=1, **attributes)
    assert ops(same(model, ZEROS_AROUND.emit, terms=6)) == ["Pad", "AveragePool"]
    conv = model_of("Conv", {"X": PLANE}, {"W": random(4, 8, 3, 2), "B": random(4)}, **attributes)
    assert ops(same(conv, ZEROS_AROUND.emit, terms=48)) == ["Pad", "Conv"]
    with pytest.raises(Unsupported, match="fewer positions"):
        replaced(model_of("AveragePool", {"X": PLANE}, **attributes), ZEROS_AROUND.emit)


@pytest.mark.parametrize("amounts", [[0, 0, 1, 0, 0, 0, 2, 3], [1, 0, 0, 2, 0, 4, 0, 0]])
def test_a_pad_of_zeros_is_a_concat(amounts: list[int]) -> None:
    model = model_of("Pad", {"X": PLANE}, {"p": np.array(amounts)}, opset=17)
    assert set(ops(same(model, PAD_BY_CONCAT.emit, terms=0))) == {"Concat"}


@pytest.mark.parametrize(
    ("constants", "attributes", "reason"),
    [
        ({"p": np.array([0, 0, 1, 0, 0, 0, -2, 3])}, {}, "negative"),
        ({"p": np.array([0] * 8), "v": np.float32(1)}, {}, "something else than zeros"),
        ({"p": np.array([0, 0, 1, 1] * 2)}, {"mode": "reflect"}, "something else than zeros"),
    ],
)
def test_other_pads_are_left(
    constants: dict[str, Array], attributes: dict[str, Any], reason: str
) -> None:
    model = model_of("Pad", {"X": PLANE}, constants, **attributes)
    with pytest.raises(Unsupported, match=reason):
        replaced(model, PAD_BY_CONCAT.emit)


def test_a_pad_of_open_sizes_is_left() -> None:
    model = model_of("Pad", {"X": ("N", 8, "H", "W")}, {"p": np.array([0, 0, 1, 1] * 2)})
    with pytest.raises(Unsupported, match="known to the runtime alone"):
        replaced(model, PAD_BY_CONCAT.emit)


def test_a_reshape_without_allowzero() -> None:
    model = model_of("Reshape", {"X": PLANE}, {"s": np.array([8, -1])}, allowzero=1)
    new = same(model, WITHOUT_ALLOW_ZERO.emit, terms=0)
    assert not new.graph.node[0].attribute


@pytest.mark.parametrize("pads", [[1, 0, 2, 1], [1, 1, 1, 1]])
def test_padding_that_is_left_out(pads: list[int]) -> None:
    model = model_of("AveragePool", {"X": PLANE}, kernel_shape=[3, 2], strides=[2, 1], pads=pads)
    assert ops(same(model, PADDING_COUNTED.emit, terms=6)) == ["AveragePool", "Mul"]


@pytest.mark.parametrize(
    ("shape", "attributes", "reason"),
    [
        (PLANE, {"count_include_pad": 1, "pads": [1] * 4}, "counts its padding"),
        (PLANE, {}, "has none"),
        (PLANE, {"ceil_mode": 1, "pads": [1] * 4}, "hang over the edge"),
        (("N", 8, "H", "W"), {"pads": [1] * 4}, "known to the runtime alone"),
    ],
)
def test_another_average_is_left(shape: Any, attributes: dict[str, Any], reason: str) -> None:
    model = model_of("AveragePool", {"X": shape}, kernel_shape=[3, 3], **attributes)
    with pytest.raises(Unsupported, match=reason):
        replaced(model, PADDING_COUNTED.emit)


def test_padding_of_a_maximum_is_the_lowest_number() -> None:
    attributes: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 2, 1]}
    model = model_of("MaxPool", {"X": PLANE}, **attributes)
    new = same(model, LOWEST_AROUND.emit, terms=0)
    assert ops(new) == ["Concat", "Concat", "MaxPool"]
    x = -np.abs(random(*PLANE))
    np.testing.assert_array_equal(run(new, X=x)[0], run(model, X=x)[0])
    with pytest.raises(Unsupported, match="ceil_mode"):
        replaced(model_of("MaxPool", {"X": PLANE}, ceil_mode=1, **attributes), LOWEST_AROUND.emit)


@pytest.mark.parametrize("outputs", [("Y",), ("Y", "mask")])
def test_a_dropout_that_drops_nothing(outputs: tuple[str, ...]) -> None:
    model = model_of("Dropout", {"X": PLANE}, outputs=outputs)
    del model.graph.output[1:]
    assert ops(same(model, NOTHING_DROPPED.emit, terms=0)) == ["Identity"]


@pytest.mark.parametrize(
    ("constants", "outputs", "reason"),
    [
        ({"r": np.float32(0.5), "t": np.bool_(True)}, ("Y",), "may drop"),
        ({}, ("Y", "mask"), "mask is used"),
    ],
)
def test_another_dropout_is_left(
    constants: dict[str, Array], outputs: tuple[str, ...], reason: str
) -> None:
    model = model_of("Dropout", {"X": PLANE}, constants, outputs=outputs)
    with pytest.raises(Unsupported, match=reason):
        replaced(model, NOTHING_DROPPED.emit)


@pytest.mark.parametrize("sizes", [{"s": np.array([0, 8, 110])}, {}])
def test_a_reshape_to_what_may_be_zero_keeps_allowzero(sizes: dict[str, Array]) -> None:
    model = model_of("Reshape", {"X": PLANE}, sizes, order=["X", "s"], allowzero=1)
    if not sizes:
        model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.INT64, [3]))
    with pytest.raises(Unsupported, match="a size of it is 0, or may be"):
        replaced(model, WITHOUT_ALLOW_ZERO.emit)


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_strides_and_pads_are_written_out(op: str) -> None:
    new = same(model_of(op, {"X": PLANE}, kernel_shape=[3, 1]), STRIDES_AND_PADS.emit, terms=3)
    assert {a.name for a in new.graph.node[0].attribute} == {"kernel_shape", "strides", "pads"}


@pytest.mark.parametrize("op", volume_pool.OPS)
def test_a_plane_is_pooled_by_axes(op: str) -> None:
    window: dict[str, Any] = {"kernel_shape": [4, 3], "strides": [2, 3], "pads": [1, 0, 2, 1]}
    attributes = window | ({"count_include_pad": 1} if op == "AveragePool" else {})
    attributes = {} if op.startswith("Global") else attributes
    new = same(model_of(op, {"X": PLANE}, **attributes), POOL_BY_AXES.emit, terms=110)
    assert ops(new) == [op.removeprefix("Global")] * 2


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("opset", [17, 18])
def test_global_pooling_is_a_reduction(op: str, opset: int) -> None:
    (reduction,) = ops(same(model_of(op, {"X": PLANE}, {}, opset), PLANE_REDUCTION.emit, 110))
    assert reduction == {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}[op]


def test_a_lower_clamp_is_a_relu_between_shifts() -> None:
    model = model_of("Clip", {"X": PLANE}, {"min": np.float32(0.25)})
    assert ops(same(model, CLIP_BY_RELU.emit, terms=1)) == ["Sub", "Relu", "Add"]
    model = model_of("Clip", {"X": PLANE}, {"min": np.float32(0), "max": np.float32(6)})
    with pytest.raises(Unsupported, match="upper bound"):
        replaced(model, CLIP_BY_RELU.emit)


@pytest.mark.parametrize(
    ("op", "bounds", "wanted"),
    [
        ("Clip", {"min": np.float32(0.25)}, ["Neg", "Min", "Neg"]),
        ("Clip", {"min": np.float32(0.25), "max": np.float32(6)}, ["Neg", "Min", "Neg", "Min"]),
        ("Max", {"c": random(8, 1, 1) ** 2 + 0.1}, ["Neg", "Min", "Neg"]),
    ],
)
def test_a_lower_clamp_is_the_min_of_a_negative(
    op: str, bounds: dict[str, Array], wanted: list[str]
) -> None:
    model = model_of(op, {"X": PLANE}, bounds)
    new = replaced(model, MIN_OF_NEGATIVE.emit)
    assert ops(new) == wanted
    x = random(*PLANE)
    x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    # ONNX Runtime's Clip makes +inf the greatest number there is.
    wanted_values = run(model, X=x)[0] if op == "Max" or "max" in bounds else np.maximum(x, 0.25)
    np.testing.assert_array_equal(run(new, X=x)[0], wanted_values)


def test_a_clamp_at_zero_is_left() -> None:
    model = model_of("Clip", {"X": PLANE}, {"min": np.float32(0)})
    with pytest.raises(Unsupported, match="no positive lower bound"):
        replaced(model, MIN_OF_NEGATIVE.emit)


@pytest.mark.parametrize("shape", [(1, 1, 11, 10), (1, 1, 11, 1)])
def test_a_constant_of_the_plane_gets_every_element(shape: tuple[int, ...]) -> None:
    new = same(model_of("Div", {"X": PLANE}, {"c": random(*shape) + 9}), FULL_SHAPE.emit, 1)
    assert [list(t.dims) for t in new.graph.initializer] == [list(PLANE)]


@pytest.mark.parametrize(
    ("plane", "constant", "reason"),
    [
        (PLANE, (1, 8, 1, 1), "along the plane alone"),
        ((1, 8, "H", 10), (1, 1, 1, 10), "more than 1048576 elements"),
        ((1, 1024, 64, 64), (1, 1, 64, 64), "more than 1048576 elements"),
    ],
)
def test_another_constant_is_not_expanded(
    plane: tuple[int | str, ...], constant: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason):
        replaced(model_of("Mul", {"X": plane}, {"c": random(*constant)}), FULL_SHAPE.emit)


def test_what_a_constant_node_gives_is_an_initializer() -> None:
    sizes = helper.make_tensor("value", TensorProto.INT64, [4], [2, 8, 11, 10])
    model = model_of("Expand", {"X": PLANE, "sizes": (4,)})
    del model.graph.input[1:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["sizes"], value=sizes))
    new = replaced(model, INITIALIZER.emit, node=1)
    assert [t.name for t in new.graph.initializer] == [new.graph.node[-1].input[1]]
    x = random(*PLANE)
    np.testing.assert_array_equal(run(new, X=x)[0], np.broadcast_to(x, (2, *PLANE[1:])))
    with pytest.raises(Unsupported, match="are initializers"):
        replaced(model_of("Relu", {"X": PLANE}), INITIALIZER.emit)


@pytest.mark.parametrize("axis", [0, 1, 2, 4, -1])
def test_flatten_is_a_reshape(axis: int) -> None:
    model = model_of("Flatten", {"X": PLANE}, axis=axis)
    assert ops(same(model, FLATTEN_BY_RESHAPE.emit, 0)) == ["Reshape"]


def test_flatten_of_open_sizes_is_left() -> None:
    with pytest.raises(Unsupported, match="known to the runtime alone"):
        replaced(model_of("Flatten", {"X": ("N", 8, 3, 3)}), FLATTEN_BY_RESHAPE.emit)


@pytest.mark.parametrize(
    ("op", "wanted"), [("Sub", ["Sub", "Neg"]), ("Div", ["Pow", "Mul"]), ("Reciprocal", ["Pow"])]
)
def test_a_constant_on_the_left(op: str, wanted: list[str]) -> None:
    constants = {} if op == "Reciprocal" else {"c": random(8, 1, 1)}
    model = model_of(op, {"X": PLANE}, constants, order=[*constants, "X"])
    assert ops(same(model, CONSTANT_ON_THE_RIGHT.emit, 1)) == wanted


def test_a_constant_on_the_right_is_left_there() -> None:
    model = model_of("Div", {"X": PLANE}, {"c": random(8, 1, 1)})
    with pytest.raises(Unsupported, match="no constant on its left"):
        replaced(model, CONSTANT_ON_THE_RIGHT.emit)


def test_defaults_are_written_out() -> None:
    conv = model_of("Conv", {"X": PLANE}, {"w": random(4, 8, 3, 2)}, pads=[1, 0, 1, 1])
    new = same(conv, WRITTEN_OUT.emit, terms=48)
    (kernel,) = (a for a in new.graph.node[0].attribute if a.name == "kernel_shape")
    assert list(kernel.ints) == [3, 2]
    sizes = {"sizes": np.array([1, 8, 17, 9], np.int64)}
    resize = model_of("Resize", {"X": PLANE}, sizes, order=["X", "", "", "sizes"], mode="linear")
    new = same(resize, WRITTEN_OUT.emit, terms=1)
    assert {a.name for a in new.graph.node[0].attribute} == {
        "mode",
        "coordinate_transformation_mode",
    }
    with pytest.raises(Unsupported, match="are written out"):
        replaced(new, WRITTEN_OUT.emit)


def test_sign_and_magnitude() -> None:
    nodes = [
        helper.make_node("Mul", ["magnitude", "sign"], ["Y"], "node"),
        helper.make_node("Sign", ["X"], ["sign"]),
        helper.make_node("Abs", ["X"], ["abs"]),
        helper.make_node("Relu", ["abs"], ["magnitude"]),
    ]
    value = helper.make_tensor_value_info("X", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph(
        [*nodes[1:], nodes[0]], "graph", [value], [onnx.ValueInfoProto(name="Y")]
    )
    imports = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    new = replaced(model, MAGNITUDE_WITH_SIGN.emit, node=-1)
    assert "Mul" not in ops(new)
    x = np.array([[-2.0, 0.0, 3.0], [np.inf, -np.inf, np.nan]], np.float32)
    np.testing.assert_array_equal(run(new, X=x)[0], x)
