"""The families, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.lookalikes.families import (
    attributes,
    axes,
    bodies,
    candidates,
    clamps,
    crops,
    divisors,
    dtypes,
    exponents,
    functions,
    layouts,
    masks,
    near,
    offsets,
    orders,
    scales,
    shared,
    sizes,
    ties,
)
from tests.lookalikes.lookalike import Lookalike

FAMILIES: dict[str, Callable[[], Iterator[Lookalike]]] = {
    "offsets": offsets.graphs,
    "scales": scales.graphs,
    "clamps": clamps.graphs,
    "exponents": exponents.graphs,
    "ties": ties.graphs,
    "candidates": candidates.graphs,
    "crops": crops.graphs,
    "masks": masks.graphs,
    "divisors": divisors.graphs,
    "sizes": sizes.graphs,
    "near": near.graphs,
    "orders": orders.graphs,
    "axes": axes.graphs,
    "layouts": layouts.graphs,
    "attributes": attributes.graphs,
    "dtypes": dtypes.graphs,
    "shared": shared.graphs,
    "bodies": bodies.graphs,
    "functions": functions.graphs,
}
