"""What is wrong with a construct as it stands in the graph, and from what that is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from onnxpool.rewrites.region.size import Plane, in_words


@dataclasses.dataclass(frozen=True)
class Repair:
    """A construct that is not what its source computes at every size.

    Attributes:
        right, wrong, failing: sizes of the pooled axes of X, parted by what comes out: the values
            of the source, others, or none. Seen by running the graph where it computes its
            windows; where they are frozen, it follows from their length.
        evidence: from what it is known what the source computes, where the graph does not say it.
        certain: whether that is proven, or said by the user, and not only what evidence suggests.
        waits_for: the pool, in words, whose size has to be known before this repair is made.
        restored: whether the graph is as it was exported, and the user wants another one.
    """

    right: tuple[Plane, ...] = ()
    wrong: tuple[Plane, ...] = ()
    failing: tuple[Plane, ...] = ()
    evidence: str = ""
    certain: bool = True
    waits_for: str = ""
    restored: bool = False

    def in_words(self) -> str:
        """Such as "wrong at 30 of 64 sizes (1x1, 2x2, 3x3, …)"."""
        bad = sorted({*self.wrong, *self.failing})
        tried = len(set(bad) | set(self.right))
        parts = [f"wrong at {len(self.wrong)}" * bool(self.wrong)]
        parts.append(f"fails at {len(self.failing)}" * bool(self.failing))
        shown = ", ".join(in_words(plane) for plane in bad[:3])
        more = ", …" if len(bad) > 3 else ""
        if not bad:
            return self.evidence
        said = f"{' and '.join(filter(None, parts))} of {tried} sizes ({shown}{more})"
        return f"{said}; {self.evidence}" if self.evidence else said


def join(repairs: Iterable[Repair | None]) -> Repair | None:
    """What is wrong with several constructs together: right where each of them is."""
    known = [repair for repair in repairs if repair is not None]
    if not known:
        return None
    failing = {plane for repair in known for plane in repair.failing}
    wrong = {plane for repair in known for plane in repair.wrong} - failing
    right = {plane for repair in known for plane in repair.right} - failing - wrong
    evidence = "; ".join(dict.fromkeys(r.evidence for r in known if r.evidence))
    return Repair(
        tuple(sorted(right)),
        tuple(sorted(wrong)),
        tuple(sorted(failing)),
        evidence,
        certain=all(repair.certain for repair in known),
        waits_for=next((r.waits_for for r in known if r.waits_for), ""),
        restored=all(r.restored for r in known),
    )
