"""Nodes behind one another: what the first leaves is what the second is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.rewrites.region.semantics.judge import UNDERSTOOD, judge, shape_of
from tests.rewrites.region.semantics.maxima import MAXIMA
from tests.rewrites.region.semantics.moves import MOVES
from tests.rewrites.region.semantics.net import Draw, Drawn, Net, Tensor, draw_net
from tests.rewrites.region.semantics.powers import POWERS
from tests.rewrites.region.semantics.sums import SUMS

_EXAMPLES = 80


def some(drawn: Mapping[str, Drawn], *ops: str) -> dict[str, Drawn]:
    return {op: drawn[op] for op in ops}


CUTS = some(MOVES, "Slice", "Gather", "GatherND", "GatherElements", "Split")
SHAPES = some(MOVES, "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile")
ROUND = some(MOVES, "Pad", "Where", "Concat")
REDUCED = some(SUMS, "ReduceMean", "ReduceSum", "MatMul", "CumSum", "Einsum")
POOLED = some(SUMS, "AveragePool", "Conv", "GlobalAveragePool")
SCALED = some(SUMS, "Add", "Sub", "Sum", "Mean") | some(POWERS, "Mul", "Div")
GREATEST = some(MAXIMA, "ReduceMax", "MaxPool", "GlobalMaxPool", "Max")
WHERE_IT_STOOD = some(MAXIMA, "ArgMax", "MaxPool")
CLAMPED = some(POWERS, "Clip", "Relu")
RAISED = some(POWERS, "Pow", "Sqrt", "Exp", "Mul")
POWERS_POOLED = some(POWERS, "LpPool", "GlobalLpPool")

CHAINS = {
    "a move in front of a sum": (CUTS | SHAPES, REDUCED),
    "a sum in front of a move": (REDUCED, CUTS | SHAPES),
    "two moves in front of a sum": (SHAPES, CUTS, REDUCED),
    "a move in front of a maximum": (CUTS | SHAPES | ROUND, GREATEST),
    "a maximum in front of a move": (GREATEST, CUTS | SHAPES | ROUND),
    "two maxima": (GREATEST, GREATEST),
    "where a moved maximum stood": (CUTS | SHAPES | ROUND, WHERE_IT_STOOD),
    "the position, moved": (WHERE_IT_STOOD, CUTS | SHAPES | ROUND),
    "something put around, in front of a pool": (ROUND, POOLED | POWERS_POOLED),
    "something put around, in front of a sum": (ROUND, REDUCED),
    "sums of sums": (REDUCED | POOLED, REDUCED | SCALED),
    "a shape in front of arithmetic": (SHAPES, SCALED),
    "a mean of powers": (CLAMPED, RAISED, REDUCED, RAISED),
    "a scaled mean of powers": (CLAMPED, RAISED, some(SUMS, "ReduceMean"), SCALED, RAISED),
    "powers of powers": (CLAMPED, RAISED, RAISED),
}


@pytest.mark.parametrize("name", CHAINS)
def test_every_element_of_a_chain_is_what_onnxruntime_makes_of_it(name: str) -> None:
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
        net, y = _chain(data.draw, CHAINS[name])
        pooled = data.draw(st.sets(st.integers(0, net.x.rank - 1)))
        opened = data.draw(st.sets(st.integers(0, net.x.rank - 1))) - pooled
        outcomes.update((judge(net, y, range(net.x.rank), ()), judge(net, y, pooled, opened)))

    every()
    print(name, outcomes)
    assert outcomes[UNDERSTOOD] >= 0.25 * outcomes.total()


def _chain(draw: Draw, steps: tuple[Mapping[str, Drawn], ...]) -> tuple[Net, str]:
    chosen = [choices[draw(st.sampled_from(sorted(choices)))] for choices in steps]
    widest = Drawn(
        chosen[0].step,
        chosen[0].ranks,
        max(drawn.oldest for drawn in chosen),
        all(drawn.doubles for drawn in chosen),
    )
    net = draw_net(draw, widest)
    x = net.x
    for drawn in chosen:
        assume(drawn.ranks[0] <= x.rank <= drawn.ranks[1] and 0 not in x.shape)
        name = drawn.step(draw, net, x)
        shape = shape_of(net, name)
        assume(shape is not None)
        x = Tensor(name, shape or ())
    return net, x.name
