"""Strided pools in the place of adaptive ones: what says so, and which adaptive pool is meant.

    floor_stride   stride = L // O, by hand, or by Paddle's exporter for every adaptive pool
    same_pyramid   kernel = stride = round(L / O) with padding SAME, as in TensorFlow

The graph says what its author wrote, so nothing is changed by itself: `Declined.meant` is what
`--restore` takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lift import floor_stride, same_pyramid
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.origin import Origin


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
    explained = floor_stride.explain(declined, constructs, origins, producer)
    return same_pyramid.explain(explained, nodes)
