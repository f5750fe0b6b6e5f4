"""Where a node comes from: what the exporter noted of the source that called for it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a node comes from, as torch's exporter noted it; empty where it did not.

    Attributes:
        modules: the classes around it, the outermost first.
        line: the line of source that called for it.
    """

    modules: tuple[str, ...] = ()
    line: str = ""
