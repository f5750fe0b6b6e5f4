"""The verifier refuses every malformed dialect node in one line that names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest

from onnxpool.ops import DOMAIN, InvalidOp
from onnxpool.rewrites.graph.verify import verify

F32 = np.dtype(np.float32)
I64 = np.dtype(np.int64)


def tensor(name: str, shape: Any = None, dtype: Any = F32) -> gs.Variable:
    return gs.Variable(name, dtype, shape)


def graph(
    op: str, inputs: list[gs.Tensor], outputs: list[gs.Tensor], **attributes: Any
) -> gs.Graph:
    return gs.Graph([gs.Node(op, "pool_7", attributes, inputs, outputs, domain=DOMAIN)])


X = ("X", (1, 3, 9, 9))


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes"),
    [
        ("AdaptiveAveragePool", [X], [("Y", (1, 3, 2, 2))], {"output_size": [2, 2]}),
        ("AdaptiveAveragePool", [X], [("Y", None)], {"output_size": [2, -1]}),
        ("AdaptiveAveragePool", [("X", None)], [("Y", (1, 2))], {"output_size": [2, 2]}),
        ("AdaptiveAveragePool", [("X", None, None)], [("Y", None, None)], {"output_size": [2]}),
        ("AdaptiveMaxPool", [X], [("Y", ("N", 3, 2, None))], {"output_size": [2, 2]}),
        ("AdaptiveMaxPool", [X], [("Y", None), ("I", None, I64)], {"output_size": [2, 2]}),
        ("AdaptiveMaxPool", [X], [("Y", None), ("", None)], {"output_size": [2, 2]}),
        ("GeMPool", [X, ("p", (3, 1, 1))], [("Y", None)], {"output_size": [1, 1]}),
        ("GeMPool", [X, ("p", ())], [("Y", None)], {"output_size": [1, 1], "epsilon": 1e-6}),
        (
            "AdaptiveAveragePool",
            [("X", (1, 3, 9), onnx.TensorProto.BFLOAT16)],
            [("Y", None, onnx.TensorProto.BFLOAT16)],
            {"output_size": [2]},
        ),
        (
            "PyramidPool",
            [X],
            [("Y1", (1, 3, 1, 1)), ("Y2", (1, 3, 6, 6))],
            {"output_sizes": [1, 1, 6, 6], "levels": 2, "mode": "max"},
        ),
    ],
)
def test_well_formed_nodes_pass(
    op: str, inputs: list[Any], outputs: list[Any], attributes: dict[str, Any]
) -> None:
    verify(graph(op, [tensor(*i) for i in inputs], [tensor(*o) for o in outputs], **attributes))


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes", "message"),
    [
        ("AdaptiveMedianPool", [X], [("Y",)], {}, "no op 'AdaptiveMedianPool'; it has Adaptive"),
        ("AdaptiveAveragePool", [X], [("Y",)], {}, "needs the attribute 'output_size'"),
        ("AdaptiveAveragePool", [X], [("Y",)], {"output_size": [-7, 2]}, r"found \[-7, 2\]"),
        ("AdaptiveAveragePool", [], [("Y",)], {"output_size": [2, 2]}, "inputs, found 0"),
        ("AdaptiveAveragePool", [("",)], [("Y",)], {"output_size": [2, 2]}, "one is empty"),
        ("GeMPool", [X], [("Y",)], {"output_size": [2, 2]}, "takes 2 inputs, found 1"),
        (
            "AdaptiveAveragePool",
            [X],
            [("Y",), ("Z",)],
            {"output_size": [2, 2]},
            "takes 1 outputs, found 2",
        ),
        (
            "AdaptiveMaxPool",
            [X],
            [("Y",), ("I", None, I64), ("Z",)],
            {"output_size": [2, 2]},
            "takes 1 to 2 outputs, found 3",
        ),
        (
            "PyramidPool",
            [X],
            [("Y",)],
            {"output_sizes": [1, 1, 2, 2], "levels": 2},
            "has 2 levels and 1 outputs",
        ),
        (
            "AdaptiveAveragePool",
            [("X", None, I64)],
            [("Y",)],
            {"output_size": [2]},
            "takes floating-point tensors, found INT64",
        ),
        (
            "AdaptiveAveragePool",
            [X],
            [("Y", None, np.dtype(np.float16))],
            {"output_size": [2, 2]},
            "Y 'Y' of AdaptiveAveragePool is FLOAT16, wanted FLOAT",
        ),
        (
            "AdaptiveMaxPool",
            [X],
            [("Y",), ("I",)],
            {"output_size": [2, 2]},
            "Indices 'I' of AdaptiveMaxPool is FLOAT, wanted INT64",
        ),
        (
            "AdaptiveAveragePool",
            [("X", (9, 9))],
            [("Y",)],
            {"output_size": [2, 2]},
            "rank 3 or 4, found rank 2",
        ),
        (
            "AdaptiveAveragePool",
            [X],
            [("Y", (1, 3, 2, 3))],
            {"output_size": [2, 2]},
            r"'Y' is declared as \[1, 3, 2, 3\], but AdaptiveAveragePool makes it \[1, 3, 2, 2\]",
        ),
        (
            "PyramidPool",
            [X],
            [("Y1", (1, 3, 1, 1)), ("Y2", (1, 3, 1, 1))],
            {"output_sizes": [1, 1, 6, 6], "levels": 2},
            "output 'Y2' is declared as",
        ),
        (
            "GeMPool",
            [X, ("p", (2,))],
            [("Y",)],
            {"output_size": [1, 1]},
            "takes 1 or 3 exponents, found 2",
        ),
    ],
)
def test_malformed_nodes_are_refused(
    op: str, inputs: list[Any], outputs: list[Any], attributes: dict[str, Any], message: str
) -> None:
    malformed = graph(op, [tensor(*i) for i in inputs], [tensor(*o) for o in outputs], **attributes)
    with pytest.raises(InvalidOp, match=message) as raised:
        verify(malformed)
    assert str(raised.value).startswith("node 'pool_7': ")
    assert "\n" not in str(raised.value)


def test_other_domains_are_not_looked_at() -> None:
    node = gs.Node("AdaptiveMedianPool", "a", {}, [tensor(*X)], [tensor("Y")], domain="other")
    verify(gs.Graph([node, gs.Node("Relu", "b", {}, [tensor("Z")], [tensor("W")])]))
