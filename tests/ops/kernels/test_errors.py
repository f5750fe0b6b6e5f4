"""What is wrong with a node is an error that says so, at session creation or Run, and no crash."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from onnxpool.ops import DOMAIN
from tests.ops.kernels.runtime import model, session

X = np.ones((1, 2, 5, 5), np.float32)

OPS = ("AdaptiveAveragePool", "AdaptiveMaxPool")


def run(op: str, output_size: Any, *inputs: Any, outputs: Sequence[str] = ("y",)) -> None:
    feeds = {f"x{i}": x for i, x in enumerate(inputs)}
    attributes = {} if output_size is None else {"output_size": output_size}
    made = onnx.helper.make_node(op, list(feeds), outputs, "pool_7", domain=DOMAIN, **attributes)
    session(model(made, feeds)).run(None, feeds)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("size", [[-2, 3], [3, -9], [1, 1, 1, 1], [0, -3]], ids=str)
def test_sizes_that_mean_nothing(op: str, size: list[int]) -> None:
    wanted = "takes an output_size of 1 to 3 sizes, each at least 1 or -1 (keep) or 0 (computed)"
    message = f"{op} 'pool_7': {wanted}, found {size}"
    with pytest.raises(Exception, match=re.escape(message)):
        run(op, size, X)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("size", [None, 3, "3", 2.5, [1.5, 2.5]], ids=str)
def test_an_attribute_that_is_missing_or_of_another_type(op: str, size: Any) -> None:
    with pytest.raises(Exception, match=f"{op} 'pool_7': .*output_size"):
        run(op, size, X)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("GeMPool", {"output_size": [1, 1], "epsilon": 0}),
        ("PyramidPool", {"output_sizes": [1, 1], "levels": 1, "mode": 3}),
        ("PyramidPool", {"output_sizes": [1, 1], "levels": 1.0}),
    ],
)
def test_an_optional_attribute_of_another_type(op: str, attributes: dict[str, Any]) -> None:
    """An epsilon that was written as the integer 0 must not count as none."""
    inputs = {"x": X, "p": np.array([3], np.float32)} if op == "GeMPool" else {"x": X}
    made = onnx.helper.make_node(op, list(inputs), ["y"], "pool_7", domain=DOMAIN, **attributes)
    name = list(attributes)[-1]
    with pytest.raises(Exception, match=f"{op} 'pool_7': attribute {name}: "):
        session(model(made, inputs))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("shape", [(), (5,), (5, 5), (1, 1, 1, 5, 5)], ids=str)
def test_a_rank_that_does_not_fit(op: str, shape: tuple[int, ...]) -> None:
    message = rf"{op}: with output_size \[2, 3\] takes an input of rank 3 or 4, found shape "
    with pytest.raises(Exception, match=message + re.escape(str(list(shape)))):
        run(op, [2, 3], np.ones(shape, np.float32))


@pytest.mark.parametrize("op", OPS)
def test_a_pooled_axis_without_elements(op: str) -> None:
    with pytest.raises(
        Exception, match=r"takes pooled axes of at least 1, found shape \[1, 2, 0, 5"
    ):
        run(op, [2, 3], np.ones((1, 2, 0, 5), np.float32))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((), r"takes an input size of shape \[2\], found none"),
        ((np.array([3]),), r"takes an input size of shape \[2\], found shape \[1\]"),
        ((np.array([[3, 3]]),), r"takes an input size of shape \[2\], found shape \[1, 2\]"),
        ((np.array([0, 3]),), r"takes a size of at least 1, found \[0, 3\]"),
        ((np.array([-1, 3]),), r"takes a size of at least 1, found \[-1, 3\]"),
        ((np.array([3, 3], np.int32),), "tensor.int32"),
    ],
)
def test_a_computed_size_that_is_missing_or_unfit(
    op: str, size: tuple[np.ndarray, ...], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        run(op, [0, 3], X, *size)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.bool_])
def test_element_types_that_no_kernel_takes(op: str, dtype: type) -> None:
    with pytest.raises(Exception, match="tensor"):
        run(op, [2, 3], X.astype(dtype))


def test_indices_of_another_type() -> None:
    helper = onnx.helper
    made = helper.make_node("AdaptiveMaxPool", ["x"], ["y", "i"], domain=DOMAIN, output_size=[2, 2])
    graph = helper.make_graph(
        [made],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("i", onnx.TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    with pytest.raises(Exception, match=r"tensor\(int64\)"):
        session(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


@pytest.mark.parametrize("outputs", [("y", "i"), ("y", "i", "z")], ids=str)
def test_more_outputs_than_there_are(outputs: tuple[str, ...]) -> None:
    op = "AdaptiveAveragePool" if len(outputs) == 2 else "AdaptiveMaxPool"
    with pytest.raises(Exception, match=f"{op}|output"):
        run(op, [2, 3], X, outputs=outputs)


def test_only_indices() -> None:
    """The first output may not be left out, the second may."""
    with pytest.raises(Exception, match=r"AdaptiveMaxPool|output"):
        run("AdaptiveMaxPool", [2, 3], X, outputs=("", "i"))
    run("AdaptiveMaxPool", [2, 3], X, outputs=("y", ""))
