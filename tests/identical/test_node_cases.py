"""The node cases of onnx's own backend suite come out as they went in.

Each is one node, or the body of the function that defines it; a few hundred are attention, norms
and losses in words. All open: the same with every size of the inputs unknown.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import onnx
import pytest
from onnx.backend.test.loader import load_model_tests

from tests.identical.unchanged import what_changed

CASES = 1884
"""Those of onnx 1.23; later ones have more."""

FIRST_LETTERS = "abcdefghilmnopqrstuwx"
"""Of their names: they are made when the first of these tests runs, not when pytest looks."""


@functools.cache
def node_cases() -> dict[str, onnx.ModelProto]:
    with warnings.catch_warnings():
        # They are made here, out of casts that overflow and divisions by zero.
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    return {case.name.removeprefix("test_"): case.model for case in cases if case.model}


def with_open_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    for value in (*opened.graph.input, *opened.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            dim.dim_param = f"{value.name}_{axis}"
    del opened.graph.value_info[:]
    return opened


@pytest.mark.xdist_group("node_cases")
@pytest.mark.parametrize("open_sizes", [False, True], ids=["fixed", "open"])
@pytest.mark.parametrize("letter", FIRST_LETTERS)
def test_a_node_case_is_untouched(letter: str, open_sizes: bool, tmp_path: Path) -> None:
    cases = {name: model for name, model in node_cases().items() if name.startswith(letter)}
    assert cases
    prepare = with_open_sizes if open_sizes else lambda model: model
    outcomes = {name: what_changed(prepare(model), tmp_path) for name, model in cases.items()}
    assert not {name: change for name, change in outcomes.items() if change is not None}


@pytest.mark.xdist_group("node_cases")
def test_no_node_case_is_left_out() -> None:
    assert len(node_cases()) >= CASES
    assert {name[0] for name in node_cases()} == set(FIRST_LETTERS)
