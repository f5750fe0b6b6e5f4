"""No rewrite makes a size of a net worse, and as many are right as README's table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

import onnxpool
from tests.nets.__main__ import row
from tests.nets.judge import exported, judge
from tests.nets.net import Net
from tests.nets.packages import missing
from tests.nets.registry import NETS

# What the packages of the nets say of themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

QUICK = ("ResNet, GeM, F.normalize", "PCB traced at 96x32", "PSPNet of semseg traced at 72")
DETECTORS = [net for net in NETS if net.name in ("YOLO", "YuNet")]
README = Path(__file__).parents[2] / "README.md"


def parameters() -> list[ParameterSet]:
    marks = ([] if net.name in QUICK else [pytest.mark.nets] for net in NETS)
    return [pytest.param(net, id=net.name, marks=m) for net, m in zip(NETS, marks, strict=True)]


@pytest.mark.parametrize("net", parameters())
def test_no_size_becomes_worse(net: Net) -> None:
    if absent := missing(net.packages):
        pytest.skip(f"not installed: {', '.join(absent)}")
    outcomes = judge(net)
    before = outcomes["exported"]
    worse = [
        (way, size, before[size], after)
        for way in ("rewritten", "traced size", "reference")
        for size, after in outcomes[way].items()
        if (before[size], after) in (("right", "wrong"), ("right", "fails"), ("fails", "wrong"))
    ]
    assert worse == []
    assert "wrong" not in outcomes["export"].values()
    assert row(net.name, outcomes) in README.read_text()


@pytest.mark.parametrize("net", DETECTORS, ids=str)
def test_nothing_is_said_against_the_pools_of_a_detector(net: Net) -> None:
    findings = onnxpool.inspect(exported(net, net.module())).findings
    assert findings
    assert {finding.level for finding in findings} == {"note"}


def test_each_net_is_in_the_table() -> None:
    text = README.read_text()
    assert [text.count(f"\n| {net.name} |") for net in NETS] == [1] * len(NETS)
