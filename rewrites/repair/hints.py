"""What is known of a graph besides its nodes: from the exporter's metadata and from the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.size import in_words

OutputSize = tuple[int, ...]

EVERY_NODE = "*"


class WrongHint(ValueError):
    """What a user said of a graph does not fit it; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Hints:
    """Attributes:
    origins: per `id` of a node.
    output_sizes: per name of a node, or `EVERY_NODE`: one size per pooled axis, or one for all of
        them; -1 keeps an axis.
    traced: per name of an input, its shape when the graph was traced.
    """

    origins: Mapping[int, Origin] = dataclasses.field(default_factory=dict)
    output_sizes: Mapping[str, OutputSize] = dataclasses.field(default_factory=dict)
    traced: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def output_size(self, node: str, axes: int) -> OutputSize | None:
        """The size that the user gave for a node that pools so many axes.

        Raises:
            WrongHint: it is for another number of axes.
        """
        key = node if node in self.output_sizes else EVERY_NODE
        size = self.output_sizes.get(key)
        if size is None:
            return None
        if len(size) not in (1, axes):
            raise WrongHint(
                f"--output-size {key}={in_words(size)} has {len(size)} axes, node "
                f"{node!r} pools {axes}"
            )
        return size * axes if len(size) == 1 else size
