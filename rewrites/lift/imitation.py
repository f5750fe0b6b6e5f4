"""Strided pools in the place of adaptive ones: what says so, and which adaptive pool is meant.

    floor_stride   stride = L // O, by hand, or by Paddle's exporter for every adaptive pool
    same_pyramid   kernel = stride = round(L / O) with padding SAME, as in TensorFlow

The graph says what its author wrote, so nothing is changed by itself: `Declined.meant` is what
`--restore` takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lift import floor_stride, same_pyramid
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role


def explain(
    declined: Sequence[Declined],
    constructs: Sequence[Construct],
    origins: Mapping[int, Origin],
    producer: str,
    nodes: Sequence[gs.Node],
) -> list[Declined]:
    """Give those pools that imitate adaptive ones another reason.

    Args:
        declined: regions that are left.
        constructs: what was found, among which are levels that are exact.
        origins: per `id` of a node.
        producer: that wrote the model.
        nodes: of the graph.
    """
    inner = {id(each): list(_inner(each.region)) for each in declined}
    asked = [each for d in declined for each in (d, *inner[id(d)])]
    explained = floor_stride.explain(asked, constructs, origins, producer)
    explained = same_pyramid.explain(explained, nodes)
    became = dict(zip(map(id, asked), explained, strict=True))
    found: list[Declined] = []
    for each in declined:
        told = [e for i in inner[id(each)] if (e := became[id(i)]).level != "note"]
        found += told or [became[id(each)]]
    return found


def _inner(region: Region) -> Iterator[Declined]:
    """The pools in a region that holds more than one, such as one and the Relu behind it."""
    if floor_stride.pool_of(region) is None:
        for node in region.nodes:
            if node.op in floor_stride.POOLS:
                yield Declined(Region(node.inputs[0], node.outputs[0], (node,), Role(0)), "")
