"""PyramidPool: several adaptive pools of one tensor X, whatever form each of them has.

A pool that is best as it stands alone is still a level: the levels share their work. Where all
are, they are joined only for a kernel, which reads X once for all of them, and only if their
windows are large, or if they were a pyramid before: else ONNX Runtime's own pools are as fast.
"""

from __future__ import annotations

from collections.abc import Iterable

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, AdaptivePool, PyramidPool
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lift.needed_repair import join as join_repairs

_Level = tuple[tuple[int, ...], Construct]
_Key = tuple[str, type, int, bool, tuple[int | None, ...]]
_LEAST_LENGTH = 8
"""Of a window, on every axis."""

_MODES: dict[type, str] = {AdaptiveAveragePool: "average", AdaptiveMaxPool: "max"}


def join(constructs: Iterable[Construct], *, for_kernel: bool = False) -> list[Construct]:
    """Join the pools of one tensor into pyramids; leave what is best as it is, and the rest.

    Args:
        for_kernel: whether pools that are best as they are make a pyramid, too.
    """
    joined: list[Construct] = []
    pyramids: dict[_Key, list[_Level]] = {}
    for construct in constructs:
        op = construct.op
        plain = len(construct.regions) == 1 and not construct.parameters and not construct.shares
        if isinstance(op, AdaptivePool) and plain:
            maxima = construct.uses_max_pool and not for_kernel
            key = (construct.x.name, type(op), len(op.output_size), maxima, construct.axes_of_x)
            pyramids.setdefault(key, []).append((op.output_size, construct))
        else:
            joined.append(construct)
    for (_, kind, *_), levels in pyramids.items():
        best = all(level.best for _, level in levels)
        worth = for_kernel and (_has_large_windows(levels) or _were_lowered(levels))
        if len(levels) > 1 and (not best or worth):
            joined.append(_pyramid(_MODES[kind], levels, "one node per level already" * best))
        else:
            joined += [level for _, level in levels]
    return joined


def _were_lowered(levels: list[_Level]) -> bool:
    """Whether this package wrote them in the place of a pyramid, by the name of a node."""
    nodes = (node for _, level in levels for node in level.nodes)
    return any(f"/{PyramidPool.op_type()}/" in node.name for node in nodes)


def _has_large_windows(levels: list[_Level]) -> bool:
    """Whether all levels pool many positions, and not all of them the same ones."""
    return len({size for size, _ in levels}) > 1 and all(
        isinstance(length, int) and length >= bins * _LEAST_LENGTH
        for size, level in levels
        for length, bins in zip(level.op_shape[-len(size) :], size, strict=True)
        if bins != KEEP
    )


def _pyramid(mode: str, levels: list[_Level], best: str) -> Construct:
    levels = sorted(levels, key=lambda level: level[0])
    sizes = tuple(bins for size, _ in levels for bins in size)
    regions = tuple(region for _, level in levels for region in level.regions)
    repair = join_repairs(level.repair for _, level in levels)
    op = PyramidPool(sizes, len(levels), mode)
    return Construct(op, regions, best=best, repair=repair)
