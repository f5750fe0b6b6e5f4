"""What the metadata of a pool of side-by-side windows says that it is.

There are three hypotheses: adaptive to a fixed size, adaptive to a share of its input, and an
ordinary pool. In this order there decide

    the class        nn.AdaptiveAvgPool2d is adaptive to a fixed size, nn.AvgPool2d ordinary
    torch's call     adaptive_max_pool2d becomes max_pool2d_with_indices, and adaptive_avg_pool2d
                     avg_pool2d with its stride written out: F.avg_pool2d(x, 2) leaves that out
    the source line  see source_line.py
    the call site    see call_sites.py

Where they leave it open, nothing is inferred.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.size import OutputSize, Share
from onnxpool.rewrites.repair.source_line import (
    Divided,
    Says,
    Word,
    divided_sizes,
    innermost_class,
    of_class,
    words,
)

_POOLING_MODULES = "torch/nn/modules/pooling.py"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Attributes:
    says: which hypotheses are left.
    because: from what, in words; empty where nothing is known.
    size: the output size, where the metadata says it.
    own_lengths: whether it is certain that a share is one of the lengths of X itself.
    open_divisor: whether the divisor of a share is not known.
    asks: whether the size is there to see and may follow the input.
    """

    says: Says
    because: str = ""
    size: OutputSize | None = None
    own_lengths: bool = True
    open_divisor: bool = False
    asks: bool = False

    @property
    def is_adaptive(self) -> bool:
        return self.says in (Says.ADAPTIVE, Says.FIXED, Says.SHARE, Says.WHOLE)


NOTHING = Evidence(Says.NOTHING)

_USUAL_WINDOWS = (2, 3)
"""As they are where a network halves its maps."""


def of_origin(origin: Origin, mode: str, kernel: Sequence[int]) -> Evidence:
    """What is noted of one pool.

    Args:
        mode: "avg" or "max".
        kernel: the length of its windows per pooled axis.
    """
    for word in of_class(origin.modules, mode):
        return Evidence(word.says, f"its metadata says {innermost_class(origin.modules)!r}")
    made_there = _is_made_there(origin)
    line = calling_line(origin)
    on_line = words(line, mode)
    adaptive = _was_adaptive(origin, mode, on_line)
    if made_there and adaptive is None and words(origin.line, mode):
        adaptive = _is_adaptive(words(origin.line, mode)[0])
    kept = [w for w in on_line if adaptive is None or _is_adaptive(w) in (adaptive, None)]
    because = f"its source line is {line!r}"
    if len({w.says for w in kept}) == 1:
        return _of_words(kept, because, kernel)
    written_out = adaptive or (adaptive is None and is_written_out(origin))
    if written_out and (shares := divided_sizes(line, len(kernel))):
        return _of_words(shares, because, kernel)
    if adaptive:
        return Evidence(Says.ADAPTIVE, f"torch noted {origin.target!r} for {line!r}")
    return NOTHING


def calling_line(origin: Origin) -> str:
    """The line that calls: torch's own says nothing of a module that is made where it is called."""
    return origin.caller if _is_made_there(origin) else origin.line


def _is_made_there(origin: Origin) -> bool:
    return _POOLING_MODULES in origin.place.replace("\\", "/")


def leaves_open(evidence: Evidence, origin: Origin, kernel: Sequence[int]) -> bool:
    """Whether a pool of which nothing is known may well have been an adaptive one.

    torch's call is one that these become, or, where no exporter noted anything, its windows are
    none that ordinary pools use to have.
    """
    if evidence.says is not Says.NOTHING:
        return False
    if origin != Origin():
        return is_written_out(origin)
    return len(set(kernel)) > 1 or kernel[0] not in _USUAL_WINDOWS


def _was_adaptive(origin: Origin, mode: str, on_line: Sequence[Word]) -> bool | None:
    """Whether torch's call was an adaptive one before it was decomposed; None: not known."""
    if mode == "max":
        if "max_pool" not in origin.target:
            return None
        return "_with_indices" in origin.target
    if "avg_pool" not in origin.target or not origin.arguments:
        return None
    if origin.arguments == 2:
        return False
    strides = [w.arguments > 2 for w in on_line if _is_adaptive(w) is False]
    named = any(_is_adaptive(w) for w in on_line)
    return True if named and not any(strides) else None


def is_written_out(origin: Origin) -> bool:
    """Whether an average has its stride as an argument, as decomposed adaptive ones have it."""
    return "avg_pool" in origin.target and origin.arguments == 3


def _is_adaptive(word: Word) -> bool | None:
    if word.says is Says.NOTHING:
        return None
    return word.says in (Says.ADAPTIVE, Says.FIXED, Says.SHARE)


def _of_words(found: Sequence[Word], because: str, kernel: Sequence[int]) -> Evidence:
    says = found[0].says
    if says is Says.NOTHING:
        return NOTHING
    if says is Says.WHOLE:
        return Evidence(says, because, (1,) * len(kernel))
    if says is Says.ORDINARY:
        return Evidence(says, because)
    sizes = {word.size for word in found}
    if len(sizes) > 1 or sizes == {()}:
        fixed = says is Says.FIXED
        return Evidence(says if fixed else Says.ADAPTIVE, because, asks=not fixed)
    (written,) = sizes
    size = written * len(kernel) if len(written) == 1 and says is Says.FIXED else written
    if len(size) != len(kernel):
        return Evidence(Says.ADAPTIVE, because, asks=True)
    if says is Says.SHARE:
        return _share(size, because, kernel)
    return Evidence(says, because, tuple(s for s in size if isinstance(s, int)))


def _share(size: Sequence[int | Divided], because: str, kernel: Sequence[int]) -> Evidence:
    """A share is of X's own length where the line says so, or windows are as long as `by`."""
    pairs = [(s, length) for s, length in zip(size, kernel, strict=True) if isinstance(s, Divided)]
    if not all(_made_windows(s, length) for s, length in pairs if s.by):
        return Evidence(Says.ADAPTIVE, because, asks=True)
    sizes = tuple(
        Share(s.by or length) if isinstance(s, Divided) else s
        for s, length in zip(size, kernel, strict=True)
    )
    return Evidence(
        Says.SHARE,
        because,
        sizes,
        own_lengths=all(s.own or s.by for s, _ in pairs),
        open_divisor=not all(s.by for s, _ in pairs),
    )


def _made_windows(size: Divided, length: int) -> bool:
    return Share(size.by).makes(length) if size.own else size.by == length
