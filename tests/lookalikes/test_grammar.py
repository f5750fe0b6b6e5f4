"""Graphs at random: no rewrite changes a value.

ONNXPOOL_LOOKALIKES=2000 tries as many examples, other ones at each run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, assume, given, reject, settings

from tests.lookalikes.grammar import graphs
from tests.lookalikes.judge import judge, runs
from tests.lookalikes.lookalike import Lookalike
from tests.lookalikes.rounding import NoRule

_ASKED = os.environ.get("ONNXPOOL_LOOKALIKES")


@settings(
    max_examples=int(_ASKED or 150),
    derandomize=_ASKED is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(graph=graphs())
def test_a_rewrite_changes_no_value(graph: Lookalike) -> None:
    assume(runs(graph.model))
    try:
        verdict = judge(graph)
    except NoRule:  # ONNX Runtime takes more than onnx.reference does
        reject()
    assert verdict.right, f"{graph.name}: {verdict}"
