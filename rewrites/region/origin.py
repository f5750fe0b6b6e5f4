"""Where a node comes from: what the exporter noted of the source that called for it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a node comes from, as torch's exporter noted it; empty where it did not.

    Attributes:
        modules: the classes around it, the outermost first.
        line: the line of source that called for it.
        caller: the line that called that one; empty where there is none.
        place: the whole stack of lines, which says where it was called.
        target: what it was in torch's graph, such as "aten.avg_pool2d.default".
        arguments: how many positional arguments that took; 0 where it is not known.
    """

    modules: tuple[str, ...] = ()
    line: str = ""
    caller: str = ""
    place: str = ""
    target: str = ""
    arguments: int = 0
