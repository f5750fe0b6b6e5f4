"""Lowerings are valid in every opset and dtype, and right wherever ONNX Runtime runs them.

ONNX Runtime runs opsets up to 26, and no arithmetic in bfloat16: lowerings compute bfloat16 in
float32, so they run too. Opsets 27 and 28 are run by onnx's reference implementation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from onnxpool.ops import KEEP, AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, PyramidPool
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.lower import MIN_OPSET, STRATEGIES, Unsupported
from tests.cases import Case, positive
from tests.rewrites.lower.lowered import (
    BFLOAT16,
    NEWEST,
    NEWEST_OF_ONNX_RUNTIME,
    lowered,
    run,
    with_float_interface,
)
from tests.rewrites.lower.test_strategies import assert_equals_reference

PLANE = (1, 2, 10, 13)
CASES = (
    Case(AdaptiveAveragePool((3, 4)), PLANE),
    Case(AdaptiveAveragePool((4,)), (2, 14)),
    Case(AdaptiveAveragePool((2, 3, KEEP)), (1, 2, 8, 30, 9)),
    Case(AdaptiveAveragePool((5, 6)), (1, 2, 30, 40)),
    Case(AdaptiveAveragePool((1, 1)), PLANE),
    Case(AdaptiveAveragePool((12, 15)), PLANE),
    Case(AdaptiveMaxPool((3, 4)), PLANE),
    Case(AdaptiveMaxPool((1, 1)), PLANE[1:]),
    Case(AdaptiveMaxPool((3, KEEP)), PLANE, outputs=2),
    Case(AdaptiveMaxPool((1, 1)), PLANE, outputs=2),
    Case(GeMPool((1, 1), 1e-6), PLANE, positive, (3.0,)),
    Case(GeMPool((3, 4), 1e-6), PLANE, positive, (5.0,)),
    Case(GeMPool((3, 4), 1e-6), PLANE, positive, (2.5, 7.0)),
    Case(PyramidPool((1, 1, 2, 2, 3, 3), 3), (1, 2, 50, 35), outputs=3),
    Case(PyramidPool((1, 1, 2, 2, 4, 4), 3, "max"), PLANE, outputs=3),
)
DTYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": BFLOAT16,
}


def models(opset: int, dtype: Any) -> Iterator[tuple[Case, onnx.ModelProto]]:
    for case in CASES:
        for strategy in STRATEGIES:
            if not is_too_old(opset, case, dtype):
                yield case, lowered(case, strategy, opset, dtype)[0]


def is_too_old(opset: int, case: Case, dtype: Any) -> bool:
    """Whether there is no form: GatherElements starts at opset 11, Max broadcasts from 8 on."""
    indices = isinstance(case.op, AdaptiveMaxPool) and case.outputs == 2
    indices = indices and KEEP in getattr(case.op, "output_size", ())
    by_max = isinstance(case.op, GeMPool) and (
        dtype == np.float64 or (dtype == np.float16 and max(case.p) > 5)
    )
    return (opset < 11 and indices) or (opset < 8 and by_max)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("opset", [7, 8, 10])
def test_what_an_old_opset_has_no_form_for_is_refused(opset: int, dtype: Any) -> None:
    refused = [case for case in CASES if is_too_old(opset, case, dtype)]
    assert refused
    for case in refused:
        with pytest.raises(Unsupported, match="convert the model first"):
            lowered(case, "auto", opset, dtype)


def takes(opset: int, dtype: str) -> bool:
    return dtype != "bfloat16" or opset >= 13


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("opset", range(MIN_OPSET, NEWEST + 1))
def test_valid_in_every_opset_and_dtype(opset: int, dtype: str) -> None:
    if not takes(opset, dtype):
        with pytest.raises(Unsupported, match="has no bfloat16"):
            lowered(CASES[0], "auto", opset, DTYPES[dtype])
        return
    for _, model in models(opset, DTYPES[dtype]):
        assert {node.domain for node in model.graph.node} <= {"", None}
        onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 17, 18, 22, NEWEST_OF_ONNX_RUNTIME])
def test_right_in_onnx_runtime(opset: int, dtype: str) -> None:
    if not takes(opset, dtype):
        return
    for case, model in models(opset, DTYPES[dtype]):
        kind = numpy_type(DTYPES[dtype])
        (x, *_) = case.inputs(kind)
        x = x.astype(np.float32) if kind == ml_dtypes.bfloat16 else x
        name = model.graph.input[0].name
        assert_equals_reference(case, run(model, **{_fed(name, kind): x}), kind)


def _fed(name: str, kind: Any) -> str:
    return f"{name}_float" if kind == ml_dtypes.bfloat16 else name


@pytest.mark.parametrize("opset", range(NEWEST_OF_ONNX_RUNTIME + 1, NEWEST + 1))
def test_right_in_the_reference_implementation(opset: int) -> None:
    for case, model in models(opset, np.float32):
        found = ReferenceEvaluator(with_float_interface(model)).run(None, {"X": case.inputs()[0]})
        assert isinstance(found, list)
        assert_equals_reference(case, found, np.float32)
