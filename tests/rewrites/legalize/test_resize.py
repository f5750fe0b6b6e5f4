"""Resize as products: against ONNX's reference implementation and ONNX Runtime."""

from typing import Any

import numpy as np
import onnx.reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.legalize import computed_resize
from onnxpool.rewrites.legalize.resize import COORDINATES, NEAREST, RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.rewrites.lower import Unsupported
from tests.rewrites.legalize.standard import Array, model_of, ops, relative_error, replaced, run

BOUND = 16 * float(np.finfo(np.float32).eps)
"""Four taps per axis, two axes, weights rounded to float32."""

ROUNDED_POSITIONS = 64 * float(np.finfo(np.float32).eps)
"""ONNX Runtime computes positions up to 32 in float32: they are off by as many roundings."""

lengths = st.integers(1, 9)


def sized(
    length: tuple[int, ...], size: tuple[int, ...], opset: int = 19, **attributes: Any
) -> onnx.ModelProto:
    sizes = np.array([1, 2, *size], np.int64)
    order = ["X", "", "", "sizes"]
    shape = (1, 2, *length)
    return model_of("Resize", {"X": shape}, {"sizes": sizes}, opset, order=order, **attributes)


def by_the_reference(model: onnx.ModelProto, x: Array) -> Any:
    (wanted,) = onnx.reference.ReferenceEvaluator(model).run(None, {"X": x})
    return wanted


def sample(*length: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, 2, *length)).astype(np.float32)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@given(length=st.tuples(lengths, lengths), size=st.tuples(lengths, lengths))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_weights_are_those_of_the_reference(
    mode: str, coordinates: str, length: tuple[int, int], size: tuple[int, int]
) -> None:
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    model = sized(length, size, **attributes)
    x = sample(*length)
    (found,) = run(replaced(model, RESIZE_BY_MATMUL.emit), X=x)
    assert relative_error(found, run(model, X=x)[0]) <= ROUNDED_POSITIONS
    if coordinates == "pytorch_half_pixel" and 1 in size:
        return  # onnx.reference takes position -1/2 there, against the specification's 0
    wanted = by_the_reference(model, x)
    assert relative_error(found, wanted) <= BOUND


@pytest.mark.parametrize("nearest_mode", NEAREST)
@pytest.mark.parametrize("coordinates", COORDINATES)
@given(length=lengths, size=lengths)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_nearest_is_that_of_the_reference(
    nearest_mode: str, coordinates: str, length: int, size: int
) -> None:
    names: dict[str, Any] = {
        "coordinate_transformation_mode": coordinates,
        "nearest_mode": nearest_mode,
    }
    model = sized((length, 3), (size, 3), mode="nearest", **names)
    x = sample(length, 3)
    if reason := refusal(model):
        assert "rounding decides" in reason
        assert size % length  # upsampling by a whole number is exact
        return
    (found,) = run(replaced(model, RESIZE_BY_MATMUL.emit), X=x)
    wanted = by_the_reference(model, x)
    np.testing.assert_array_equal(found, wanted)


def refusal(model: onnx.ModelProto) -> str:
    """Why the node is not replaced; empty where it is."""
    try:
        replaced(model, RESIZE_BY_MATMUL.emit)
    except Unsupported as reason:
        return str(reason)
    return ""


def test_a_tie_that_only_rounding_decides_is_refused() -> None:
    # Output 4 of 9 lies at 4.5 · 7/9 - 1/2 = 3, or at the float32 number below.
    model = sized((7, 3), (9, 3), mode="nearest", nearest_mode="floor")
    assert "rounding decides" in refusal(model)


@given(length=st.integers(2, 9), scale=st.sampled_from([0.5, 0.6, 1.0, 1.3, 2.0, 2.5, 3.0]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_scales_are_taken_as_they_are_given(length: int, scale: float) -> None:
    constants = {"scales": np.array([1, 1, scale, 1], np.float32)}
    model = model_of(
        "Resize",
        {"X": (1, 2, length, 3)},
        constants,
        order=["X", "", "scales"],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    x = sample(length, 3)
    wanted = by_the_reference(model, x)
    (found,) = run(replaced(model, RESIZE_BY_MATMUL.emit), X=x)
    assert relative_error(found, wanted) <= ROUNDED_POSITIONS


def test_cubic_can_leave_out_what_is_outside() -> None:
    model = sized((5, 4), (9, 7), mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
    x = sample(5, 4)
    wanted = by_the_reference(model, x)
    (found,) = run(replaced(model, RESIZE_BY_MATMUL.emit), X=x)
    assert relative_error(found, wanted) <= BOUND


def test_one_and_three_axes() -> None:
    for length, size in (((5,), (8,)), ((3, 4, 5), (5, 4, 9))):
        model = sized(length, size, mode="linear")
        x = sample(*length)
        (found,) = run(replaced(model, RESIZE_BY_MATMUL.emit), X=x)
        assert relative_error(found, run(model, X=x)[0]) <= ROUNDED_POSITIONS


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"antialias": 1, "mode": "linear"}, "antialias"),
        ({"keep_aspect_ratio_policy": "not_larger"}, "not_larger"),
    ],
)
def test_what_has_no_constant_weights_is_refused(attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        replaced(sized((4, 4), (2, 2), **attributes), RESIZE_BY_MATMUL.emit)


def test_computed_sizes_are_refused() -> None:
    model = model_of(
        "Resize",
        {"X": (1, 2, 3, "W")},
        {"scales": np.array([1, 1, 2, 2], "f")},
        order=["X", "", "scales"],
        mode="linear",
    )
    with pytest.raises(Unsupported, match="only the runtime knows"):
        replaced(model, RESIZE_BY_MATMUL.emit)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_one_element_is_expanded(mode: str, coordinates: str) -> None:
    model = sized((1, 1), (4, 5), mode=mode, coordinate_transformation_mode=coordinates)
    new = replaced(model, UPSAMPLE_FROM_ONE.emit)
    assert ops(new) == ["Expand"]
    x = sample(1, 1)
    np.testing.assert_array_equal(run(new, X=x)[0], np.broadcast_to(x, (1, 2, 4, 5)))
    try:
        assert relative_error(run(new, X=x)[0], run(model, X=x)[0]) <= BOUND
    except RunError:
        assert coordinates == "half_pixel_symmetric"


def test_more_than_one_element_is_not_expanded() -> None:
    with pytest.raises(Unsupported, match="more than one element"):
        replaced(sized((1, 2), (4, 5), mode="linear"), UPSAMPLE_FROM_ONE.emit)


def computed(*lengths: int | str, **attributes: Any) -> onnx.ModelProto:
    """Resize of X ``(1, 2, …)`` to the sizes in the input "sizes"."""
    order = ["X", "", "", "sizes"]
    model = model_of("Resize", {"X": (1, 2, *lengths)}, {}, order=order, **attributes)
    sizes = onnx.helper.make_tensor_value_info("sizes", onnx.TensorProto.INT64, [2 + len(lengths)])
    model.graph.input.append(sizes)
    shape: list[int | str] = [1, 2, *(f"size_{i}" for i in range(len(lengths)))]
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("Y", 1, shape))
    return model


@pytest.mark.parametrize("coordinates", computed_resize.COORDINATES)
@pytest.mark.parametrize("lengths", [(3, 4), ("H", "W"), ("L",), (2, 3, "D")])
def test_computed_sizes_have_computed_weights(
    coordinates: str, lengths: tuple[int | str, ...]
) -> None:
    names = {"mode": "linear", "coordinate_transformation_mode": coordinates}
    model = computed(*lengths, **names)
    new = replaced(model, computed_resize.COMPUTED_RESIZE.emit)
    assert "Resize" not in ops(new)
    x = sample(*(length if isinstance(length, int) else 5 for length in lengths))
    for size in (1, 2, 7, 12):
        sizes = np.array([1, 2, *range(size, size + len(lengths))], np.int64)
        wanted = run(model, X=x, sizes=sizes)[0]
        assert relative_error(run(new, X=x, sizes=sizes)[0], wanted) <= ROUNDED_POSITIONS


def test_one_element_is_expanded_to_computed_sizes() -> None:
    new = replaced(computed(1, 1, mode="linear"), UPSAMPLE_FROM_ONE.emit)
    assert ops(new) == ["Expand"]
    x, sizes = sample(1, 1), np.array([1, 2, 4, 3], np.int64)
    np.testing.assert_array_equal(run(new, X=x, sizes=sizes)[0], np.broadcast_to(x, sizes))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"coordinate_transformation_mode": "half_pixel_symmetric"}, "not computed here"),
        ({"coordinate_transformation_mode": "tf_crop_and_resize"}, "not computed here"),
        ({"mode": "nearest"}, "only linear"),
        ({"mode": "cubic"}, "only linear"),
    ],
)
def test_other_computed_sizes_are_refused(attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        replaced(
            computed(3, 4, **{"mode": "linear", **attributes}), computed_resize.COMPUTED_RESIZE.emit
        )
