"""PyramidUpsample: reference, kernel and body are what PyTorch computes; and what is refused."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from onnxpool.ops import DOMAIN, PyramidUpsample
from onnxpool.ops.op import Array
from onnxpool.ops.pyramid_upsample import MODES
from onnxpool.rewrites.lower.function_body import Signature, function_body
from tests.ops.kernels.runtime import model, node, run, session

RNG = np.random.default_rng(0)

# The planes of X, and of the levels.
PLANES: tuple[tuple[tuple[int, int], tuple[tuple[int, int], ...]], ...] = (
    ((65, 65), ((1, 1), (2, 2), (3, 3), (6, 6))),
    ((60, 61), ((6, 6), (60, 61), (1, 3))),  # one that is copied
    ((7, 9), ((9, 12), (17, 2), (7, 1))),  # larger than X, and as high
    ((1, 1), ((1, 1), (3, 2))),
    ((1, 5), ((2, 3),)),
    ((3, 1030), ((2, 40), (1, 1))),  # rows longer than are made together
    ((33, 65), ((20, 17), (5, 9))),
)


def inputs(
    plane: tuple[int, int],
    levels: Sequence[tuple[int, int]],
    dtype: Any = np.float32,
    batch: int = 2,
) -> list[Array]:
    channels = (3, *range(1, len(levels) + 1))
    shapes = [(batch, c, *p) for c, p in zip(channels, (plane, *levels), strict=True)]
    return [RNG.standard_normal(shape).astype(dtype) for shape in shapes]


def in_pytorch(op: PyramidUpsample, given: Sequence[Array]) -> Array:
    import torch

    x, *levels = (torch.tensor(t.astype(np.float64)) for t in given)
    align = op.coordinate_transformation_mode == "align_corners"
    parts = [
        torch.nn.functional.interpolate(t, x.shape[2:], mode="bilinear", align_corners=align)
        for t in levels
    ]
    parts.insert(op.position, x)
    return torch.cat(parts, dim=1).numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize(("plane", "levels"), PLANES)
def test_kernel_and_reference_equal_pytorch(
    plane: tuple[int, int], levels: tuple[tuple[int, int], ...], mode: str, dtype: Any
) -> None:
    for position in range(len(levels) + 1):
        op, given = PyramidUpsample(mode, position), inputs(plane, levels, dtype)
        expected = in_pytorch(op, given)
        (exact,) = op.reference(*(t.astype(np.float64) for t in given))
        # PyTorch's coordinates are rounded products.
        np.testing.assert_allclose(exact, expected, rtol=1e-12, atol=1e-12)
        (found,) = run(op, *given)
        assert found.dtype == dtype
        # A share, and two products and a sum on each axis, of numbers below 8.
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(found, exact, rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("plane", "levels"), PLANES)
def test_the_body_computes_what_the_kernel_does(
    plane: tuple[int, int], levels: tuple[tuple[int, int], ...], mode: str
) -> None:
    op, given = PyramidUpsample(mode, 1), inputs(plane, levels)
    (expected,) = run(op, *given)
    for opset in (12, 13, 18, 21):
        signature = Signature.of(op, onnx.TensorProto.FLOAT, opset, inputs=len(given), outputs=1)
        (found,) = run_body(op, function_body(signature), given, opset)
        # ONNX Runtime computes its coordinates in float32.
        atol = 8 * 2**-24 * max(*plane, *levels[0], 17) * 4
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=atol)


def run_body(
    op: PyramidUpsample, body: onnx.FunctionProto, given: Sequence[Array], opset: int
) -> list[Array]:
    import onnxruntime

    feeds = {f"x{i}": t for i, t in enumerate(given)}
    proto = onnx.load_from_string(model(node(op, list(feeds), 1), feeds))
    proto.functions.append(body)
    proto.opset_import[0].version = opset
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return list(onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, feeds))


def test_a_batch_of_many_channels_in_many_threads() -> None:
    op, given = PyramidUpsample("align_corners", 0), inputs((65, 65), ((6, 6), (1, 1)))
    many = [np.repeat(t, 150, axis=1) for t in given]
    (one,) = run(op, *many)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(run(op, *many, threads=threads)[0], one)
    np.testing.assert_allclose(one, op.reference(*many)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("plane", [(61, 67), (64, 64)])
def test_what_is_larger_than_the_caches(plane: tuple[int, int], threads: int) -> None:
    """It is written past them, in whole lines, from wherever it begins."""
    op = PyramidUpsample("half_pixel", 2)
    x = RNG.standard_normal((2, 300, *plane)).astype(np.float32)
    levels = [RNG.standard_normal((2, 101, n, n)).astype(np.float32) for n in (1, 6)]
    (found,) = run(op, x, *levels, threads=threads)
    assert found.nbytes > 8 << 20
    np.testing.assert_allclose(found, op.reference(x, *levels)[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[:, 202:], x)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_special_values_reach_their_neighbours_only(value: float) -> None:
    op, (x, level) = PyramidUpsample("align_corners", 0), inputs((13, 13), ((4, 4),))
    level[0, 0, 1, 1] = value
    (found,), (expected,) = run(op, x, level), op.reference(x, level)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    assert np.isfinite(found[:, :3]).all()
    assert np.isfinite(found[0, 3, 9:, 9:]).all()
    level[0, 0] = value
    np.testing.assert_array_equal(run(op, x, level)[0][0, 3], np.full((13, 13), value, np.float32))


def test_nothing_in_it() -> None:
    op = PyramidUpsample("half_pixel", 0)
    for shapes in (
        ((0, 3, 5, 5), (0, 2, 1, 1)),
        ((1, 0, 5, 5), (1, 0, 1, 1)),
        ((1, 2, 0, 5), (1, 2, 1, 1)),
    ):
        given = [np.zeros(shape, np.float32) for shape in shapes]
        assert run(op, *given)[0].shape == op.reference(*given)[0].shape
    x, level = np.ones((1, 2, 5, 5), np.float32), np.ones((1, 0, 0, 3), np.float32)
    np.testing.assert_array_equal(run(op, x, level)[0], x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"coordinate_transformation_mode": "asymmetric"},
            "takes a coordinate_transformation_mode of align_corners or half_pixel or "
            "pytorch_half_pixel, found asymmetric",
        ),
        ({"position": -1}, "takes a position of 0 or more, found -1"),
        ({"position": 2}, "with 1 levels takes a position of at most 1, found 2"),
        ({"position": None}, "attribute position: "),
        ({"position": 1.0}, "attribute position: "),
    ],
)
def test_attributes_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    feeds = {"x": np.ones((1, 2, 5, 5), np.float32), "l": np.ones((1, 2, 1, 1), np.float32)}
    made = node(PyramidUpsample("half_pixel", 0), list(feeds), 1)
    for attribute in [a for a in made.attribute if a.name in changes]:
        made.attribute.remove(attribute)
    made.attribute.extend(
        onnx.helper.make_attribute(k, v) for k, v in changes.items() if v is not None
    )
    with pytest.raises(Exception, match=re.escape(message)):
        session(model(made, feeds)).run(None, feeds)


@pytest.mark.parametrize(
    ("x", "level", "message"),
    [
        ((1, 2, 5), (1, 2, 1, 1), "takes inputs of rank 4, found shape [1, 2, 5]"),
        ((1, 2, 5, 5), (2, 1), "takes inputs of rank 4, found shape [2, 1]"),
        ((1, 2, 5, 5), (3, 2, 1, 1), "one batch, found shapes [1, 2, 5, 5] and [3, 2, 1, 1]"),
        ((1, 2, 5, 5), (1, 2, 0, 1), "takes levels of at least one element, found shape [1, 2, 0"),
    ],
)
def test_shapes_that_do_not_fit(x: tuple[int, ...], level: tuple[int, ...], message: str) -> None:
    feeds = {"x": np.ones(x, np.float32), "l": np.ones(level, np.float32)}
    made = node(PyramidUpsample("half_pixel", 0), list(feeds), 1)
    with pytest.raises(Exception, match=re.escape(message)):
        session(model(made, feeds)).run(None, feeds)


def test_the_runtime_infers_its_shape() -> None:
    feeds = {"x": np.ones((1, 2, 5, 6), np.float32), "l": np.ones((1, 3, 1, 1), np.float32)}
    made = node(PyramidUpsample("half_pixel", 0), list(feeds), 1)
    declared = {"x": ["N", 2, "H", 6], "l": ["N", 3, 1, 1]}
    (y,) = session(model(made, feeds, declared)).get_outputs()
    assert y.shape == ["N", 5, "H", 6]
    declared["l"] = ["N", "C", 1, 1]  # Nothing is said then.
    (y,) = session(model(made, feeds, declared)).get_outputs()
    assert y.shape is None or y.shape == []
    (found,) = session(model(made, feeds, declared)).run(None, feeds)
    assert found.shape == (1, 5, 5, 6)


def test_without_a_level() -> None:
    feeds = {"x": np.ones((1, 2, 5, 6), np.float32)}
    made = onnx.helper.make_node(
        "PyramidUpsample",
        ["x"],
        ["y"],
        domain=DOMAIN,
        coordinate_transformation_mode="half_pixel",
        position=0,
    )
    with pytest.raises(Exception, match=r"PyramidUpsample|input"):
        session(model(made, feeds)).run(None, feeds)
