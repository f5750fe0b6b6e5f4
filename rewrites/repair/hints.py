"""What is known of a graph besides its nodes: from the exporter's metadata, from the user, and
from the PyTorch source where it was run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.size import OutputSize, Share, axis_names, in_words

EVERY_NODE = "*"


class WrongHint(ValueError):
    """What a user said of a graph does not fit it; the message is one line."""


@dataclasses.dataclass(frozen=True)
class AxisShare(Share):
    """A share of the axis of this name: D, H or W, or L for the only one."""

    axis: str


@dataclasses.dataclass(frozen=True)
class Known:
    """What a pool is known to be.

    Attributes:
        size: to which it pools; None: it is an ordinary one, whose windows are what they should be.
        because: from what, in words.
    """

    size: OutputSize | None
    because: str


@dataclasses.dataclass(frozen=True)
class Hints:
    """Attributes:
    origins: per `id` of a node.
    output_sizes: per name of a node, or `EVERY_NODE`: one size per pooled axis, or one for all of
        them; -1 keeps an axis.
    traced: per name of an input, its shape when the graph was traced.
    known: per name of a node, what running its source showed.
    """

    origins: Mapping[int, Origin] = dataclasses.field(default_factory=dict)
    output_sizes: Mapping[str, OutputSize] = dataclasses.field(default_factory=dict)
    traced: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    known: Mapping[str, Known] = dataclasses.field(default_factory=dict)
    restored: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    producer: str = ""

    def output_size(self, node: str, axes: int) -> OutputSize | None:
        """The size that the user gave for a node that pools so many axes.

        Raises:
            WrongHint: it is for another number of axes, or for other ones.
        """
        key = node if node in self.output_sizes else EVERY_NODE
        size = self.output_sizes.get(key)
        if size is None:
            return None
        said = f"--output-size {key}={written(size)}"
        if len(size) == 1 and not isinstance(size[0], Share):
            return size * axes
        if len(size) != axes:
            raise WrongHint(f"{said} has {len(size)} axes, node {node!r} pools {axes}")
        names = axis_names(axes)
        for part, name in zip(size, names, strict=True):
            if isinstance(part, AxisShare) and part.axis not in (name, "L" if axes == 1 else name):
                raise WrongHint(
                    f"{said} takes a share of {part.axis} where node {node!r} pools {name}; its "
                    f"axes are {', '.join(names)}, in this order"
                )
        return tuple(Share(p.divisor) if isinstance(p, Share) else p for p in size)


def written(size: OutputSize) -> str:
    """A size as the user wrote it."""
    parts = (f"{p.axis}/{p.divisor}" if isinstance(p, AxisShare) else in_words((p,)) for p in size)
    return "x".join(parts)
