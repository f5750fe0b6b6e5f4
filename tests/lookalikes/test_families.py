"""No look-alike changes its value, and true pooling is still found."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.lookalikes.judge import verdicts
from tests.lookalikes.lookalike import Lookalike
from tests.lookalikes.registry import FAMILIES

GRAPHS = {
    f"{family}: {graph.name}": graph for family, graphs in FAMILIES.items() for graph in graphs()
}
FOUND = {name: graph for name, graph in GRAPHS.items() if graph.found}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_a_rewrite_changes_no_value(graph: Lookalike) -> None:
    wrong = [
        f"{graph.name}, {options or 'by default'}: {verdict}"
        for options, verdict in verdicts(graph)
        if not verdict.right
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("graph", FOUND.values(), ids=FOUND)
def test_pooling_is_found(graph: Lookalike) -> None:
    import onnxpool

    assert any(finding.op for finding in onnxpool.inspect(graph.model).findings)


def test_names_are_unique() -> None:
    names = Counter(
        f"{family}: {graph.name}" for family, graphs in FAMILIES.items() for graph in graphs()
    )
    assert [name for name, count in names.items() if count > 1] == []
