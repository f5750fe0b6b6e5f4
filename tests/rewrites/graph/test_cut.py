"""What depends on constants alone, in graphs of any depth."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from onnxpool.rewrites.graph import cut


def _chain(first: gs.Tensor, count: int) -> list[gs.Variable]:
    """Tensors that are each computed of the one before and of a constant."""
    one = gs.Constant("one", np.ones(1, np.float32))
    made = [gs.Variable(f"t{i}") for i in range(count)]
    for x, y in itertools.pairwise([first, *made]):
        gs.Node("Add", inputs=[one, x], outputs=[y])
    return made


@pytest.mark.parametrize("is_input", [True, False])
def test_every_tensor_of_a_chain_is_judged(is_input: bool) -> None:
    first = gs.Variable("X") if is_input else gs.Constant("c", np.ones(1, np.float32))
    made = _chain(first, 20)
    assert [cut.needs_constants_alone(t) for t in made] == [not is_input] * 20
    assert [cut.needs_constants_alone(t) for t in made[::-1]] == [not is_input] * 20


def test_what_varies_is_not_followed_to_the_input_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[gs.Node] = []

    def counted(node: gs.Node) -> bool:
        looked_at.append(node)
        return True

    monkeypatch.setattr(cut, "runs_as_constant", counted)
    made = _chain(gs.Variable("X"), 2000)
    assert not any(map(cut.needs_constants_alone, made))
    assert not any(map(cut.needs_constants_alone, reversed(made)))
    assert len(looked_at) <= 2 * len(made)
