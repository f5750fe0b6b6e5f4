"""Each op does to single elements what its semantics says, as ONNX Runtime runs it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from onnxpool.rewrites.region.semantics import SEMANTICS
from tests.rewrites.region.semantics.judge import UNDERSTOOD, judge
from tests.rewrites.region.semantics.maxima import ARITHMETIC, MAXIMA
from tests.rewrites.region.semantics.moves import MOVES
from tests.rewrites.region.semantics.net import draw_net
from tests.rewrites.region.semantics.powers import POWERS
from tests.rewrites.region.semantics.sums import SUMS

DRAWN = {**MOVES, **SUMS, **POWERS, **MAXIMA, **ARITHMETIC}

_EXAMPLES = 60
_LEAST_UNDERSTOOD = 0.3


def test_every_op_is_drawn() -> None:
    assert set(DRAWN) == set(SEMANTICS)


@pytest.mark.parametrize("op", SEMANTICS)
def test_every_element_is_what_onnxruntime_makes_of_it(op: str) -> None:
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def every(data: st.DataObject) -> None:
        net = draw_net(data.draw, DRAWN[op])
        y = DRAWN[op].step(data.draw, net, net.x)
        pooled = data.draw(st.sets(st.integers(0, net.x.rank - 1)))
        opened = data.draw(st.sets(st.integers(0, net.x.rank - 1))) - pooled
        whole = judge(net, y, pooled=range(net.x.rank), opened=())
        carried = judge(net, y, pooled, opened)
        outcomes.update((whole, f"carried: {carried}"))

    every()
    share = outcomes[UNDERSTOOD] / outcomes.total() * 2
    print(op, share, dict(outcomes))
    assert share >= _LEAST_UNDERSTOOD
