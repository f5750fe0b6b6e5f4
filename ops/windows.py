"""The windows of adaptive pooling: PyTorch's rule, the only place in Python that computes it."""

from typing import NamedTuple

MOST_WINDOWS = 1 << 14
"""Of an axis. A file can ask for any number of them; no pool has so many."""


class Window(NamedTuple):
    """The half-open range ``start <= index < end`` of input positions that one output sees."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def windows(length: int, bins: int) -> tuple[Window, ...]:
    """Return the `bins` windows over an axis of `length` positions.

        start(i) = floor(i * length / bins)        end(i) = ceil((i + 1) * length / bins)

    Neighbours overlap by at most one position where `bins` does not divide `length`, and repeat
    positions where `bins` is greater. Source: ``start_index`` and ``end_index`` of PyTorch's
    ``aten/src/ATen/native/AdaptivePooling.h``; integer arithmetic throughout.
    """
    return tuple(
        Window(i * length // bins, ((i + 1) * length + bins - 1) // bins) for i in range(bins)
    )
