"""Regions against their definition: from X to Y, and everything of Y that varies comes from X."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from onnxpool.rewrites.region.region import RegionFinder


def _random_graph(rng: np.random.Generator, count: int) -> gs.Graph:
    """Sums of two earlier tensors, mostly of the last ones, and clamps of one."""
    x = gs.Variable("X", dtype=np.float32)
    tensors, nodes = [x], []
    for i in range(count):
        recent = tensors[-4:]
        reads = rng.choice(len(recent), 2 if rng.random() < 0.7 else 1)
        y = gs.Variable(f"t{i}", dtype=np.float32)
        read = [recent[k] for k in reads]
        nodes.append(gs.Node("Add" if len(read) > 1 else "Relu", inputs=read, outputs=[y]))
        tensors.append(y)
    return gs.Graph(nodes=nodes, inputs=[x], outputs=tensors[-1:], opset=17)


def _between(x: gs.Tensor, y: gs.Tensor) -> list[gs.Node] | None:
    """The nodes behind `x` that `y` needs, the last first; None where it needs another input."""
    found: dict[int, gs.Node] = {}
    tensors = [y]
    while tensors:
        tensor = tensors.pop()
        if tensor is x:
            continue
        if not tensor.inputs:
            return None
        (node,) = tensor.inputs
        if id(node) not in found:
            found[id(node)] = node
            tensors += node.inputs
    return list(found.values())


@pytest.mark.parametrize("seed", range(20))
def test_regions_are_what_they_are_by_definition(seed: int) -> None:
    graph = _random_graph(np.random.default_rng(seed), 16)
    position = {id(node): i for i, node in enumerate(graph.nodes)}
    finder = RegionFinder(graph)
    tensors = [*graph.inputs, *(node.outputs[0] for node in graph.nodes)]
    order = np.random.default_rng(seed).permutation(len(graph.nodes))
    for end in order:  # whoever asks first, the answer is the same
        y = tensors[end + 1]
        wanted = []
        for x in tensors[end::-1]:
            nodes = _between(x, y)
            if nodes is not None and any(node.op == "Add" for node in nodes):
                wanted.append((x.name, sorted(position[id(node)] for node in nodes)))
        found = [(r.x.name, [position[id(n)] for n in r.nodes]) for r in finder.regions(y)]
        assert found == wanted


def test_what_regions_share_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    step = RegionFinder._step

    def counted(self: RegionFinder, stretch: Any) -> None:
        nonlocal steps
        steps += 1
        step(self, stretch)

    monkeypatch.setattr(RegionFinder, "_step", counted)
    tensors = [gs.Variable(name, dtype=np.float32) for name in map(str, range(300))]
    pairs = itertools.pairwise(tensors)
    nodes = [gs.Node("Add", inputs=[x, x], outputs=[y]) for x, y in pairs]
    finder = RegionFinder(gs.Graph(nodes=nodes, inputs=tensors[:1], outputs=tensors[-1:]))
    regions = sum(1 for y in tensors[1:] for _ in finder.regions(y))
    assert regions > 10 * len(nodes)
    assert steps <= 2 * len(nodes)
