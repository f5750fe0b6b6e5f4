"""How often a process of ours looks for cyclic garbage.

A graph is a hundred thousand objects that all refer to each other and stay. Python looks through
them again and again while they are made, and finds nothing.
"""

from __future__ import annotations

import gc

_MADE = 50_000
"""Objects made since the last look; 700 by default."""


def collect_rarely() -> None:
    """Set it for the whole process; so it is for processes that are ours alone."""
    gc.set_threshold(_MADE, *gc.get_threshold()[1:])
