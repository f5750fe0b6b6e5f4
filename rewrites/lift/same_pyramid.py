"""Known to be inexact: a pyramid of sliding windows with padding SAME, as TensorFlow has it.

    kernel = stride = L / O, rounded to either side        ⌈L / kernel⌉ windows, which need not be O

Several such pools of one tensor are a pyramid; where the windows of a level are not those of
adaptive pooling to O, it is reported, and not changed: a network that was trained with these
windows wants them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.windows import Window, windows
from onnxpool.rewrites.graph.constants import has_reference, is_standard
from onnxpool.rewrites.graph.tensors import carried_from, shape_of
from onnxpool.rewrites.lift.construct import Declined
from onnxpool.rewrites.region.size import is_unknown

_POOLS = ("AveragePool", "MaxPool")
_SAME = ("SAME_LOWER", "SAME_UPPER")
_OPEN_LEVELS = 3
"""Of a pyramid whose sizes say nothing: two may be ordinary pools."""


@dataclasses.dataclass(frozen=True)
class _Axis:
    """A pooled axis: its length, and the length of its windows, side by side over SAME padding."""

    length: int
    kernel: int
    pad: int
    """In front of it."""

    @property
    def number(self) -> int:
        return -(-self.length // self.kernel)

    @property
    def bins(self) -> set[int]:
        """The numbers of windows that the kernel may have been computed from."""
        candidates = range(1, self.length + 1)
        return {b for b in candidates if self.kernel in (self.length // b, -(-self.length // b))}

    @property
    def nearest_bins(self) -> set[int]:
        """Those of `bins` where the kernel is rounded to the nearest, as Python's round does."""
        return {b for b in self.bins if self.kernel == round(self.length / b)}

    def is_exact(self, bins: int) -> bool:
        starts = (i * self.kernel - self.pad for i in range(self.number))
        found = [Window(max(s, 0), min(s + self.kernel, self.length)) for s in starts]
        return tuple(found) == windows(self.length, bins)


def explain(declined: Sequence[Declined], nodes: Sequence[gs.Node]) -> list[Declined]:
    """Give the inexact levels of such pyramids another reason.

    Args:
        declined: regions that are left.
        nodes: of their graph.
    """
    declined = _with_open_ones(declined, nodes)
    levels = {id(node): axes for node in nodes if (axes := _level(node)) is not None}
    pooled = [(n.op, carried_from(n.inputs[0]), levels[id(n)]) for n in nodes if id(n) in levels]
    explained = []
    for each in declined:
        node = each.region.nodes[0]
        axes = levels.get(id(node)) if len(each.region.nodes) == 1 else None
        if axes is not None and each.level == "note":
            source = carried_from(node.inputs[0])
            siblings = [a for op, x, a in pooled if op == node.op and x is source]
            each = _explained(each, axes, siblings)
        explained.append(each)
    return explained


def _with_open_ones(declined: Sequence[Declined], nodes: Sequence[gs.Node]) -> list[Declined]:
    """Give levels of pyramids whose sizes are open another reason, the ones that are not global."""
    open_ones = [n for n in nodes if _is_open_level(n)]
    explained = []
    for each in declined:
        node = each.region.nodes[0]
        source = carried_from(node.inputs[0]) if any(node is n for n in open_ones) else None
        siblings = [n for n in open_ones if n.op == node.op and carried_from(n.inputs[0]) is source]
        kernels = {tuple(n.attrs["kernel_shape"]) for n in siblings}
        if len(each.region.nodes) == 1 and each.level == "note" and len(kernels) >= _OPEN_LEVELS:
            shown = ", ".join(_text(k) for k in sorted(kernels, reverse=True))
            reason = (
                f"one of {len(siblings)} pools of {carried_from(each.region.x).name!r} with kernel "
                f"= stride ({shown}) and padding SAME, a pyramid as TensorFlow has it, whose "
                "sizes are open: its kernel was computed of one size; right as it is if the "
                "network was trained so, else rewrite with --restore NODE=HxW"
            )
            each = dataclasses.replace(each, reason=reason, level="warning")
        explained.append(each)
    return explained


def _is_open_level(node: gs.Node) -> bool:
    """Whether a node pools side by side with padding SAME over sizes that are open."""
    if node.op not in _POOLS or not is_standard(node) or has_reference(node):
        return False
    kernel = list(node.attrs["kernel_shape"])
    if node.attrs.get("auto_pad") not in _SAME or list(node.attrs.get("strides", ())) != kernel:
        return False
    return is_unknown(shape_of(node.inputs[0]), shape_of(node.outputs[0])) and max(kernel) > 1


def _level(node: gs.Node) -> tuple[_Axis, ...] | None:
    """The axes of a pool of side-by-side windows with SAME padding; None: it is none."""
    if node.op not in _POOLS or not is_standard(node) or has_reference(node):
        return None
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    kernel = node.attrs["kernel_shape"]
    k = len(kernel)
    if list(node.attrs.get("strides", [1] * k)) != list(kernel) or x is None or y is None:
        return None
    if any(step != 1 for step in node.attrs.get("dilations", ())) or len(x) != k + 2:
        return None
    lengths = [n for n in x[2:] if isinstance(n, int)]
    if len(lengths) != k or node.attrs.get("count_include_pad", 0):
        return None
    totals = [-(-n // w) * w - n for n, w in zip(lengths, kernel, strict=True)]
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto in _SAME:
        pads = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in totals]
    else:
        given = list(node.attrs.get("pads", [0] * 2 * k))
        pads = given[:k]
        if [a + b for a, b in zip(pads, given[k:], strict=True)] != totals:
            return None
    return tuple(_Axis(*map(int, each)) for each in zip(lengths, kernel, pads, strict=True))


def _explained(
    each: Declined, axes: tuple[_Axis, ...], siblings: Sequence[tuple[_Axis, ...]]
) -> Declined:
    kernels = {tuple(axis.kernel for axis in level) for level in siblings}
    bins = set.intersection(*(axis.bins for axis in axes))
    padded = any(axis.length % axis.kernel for level in siblings for axis in level)
    if len(kernels) < 2 or not bins or not padded:
        return each
    if any(all(axis.is_exact(b) for axis in axes) for b in bins):
        return each
    bins = set.intersection(*(axis.nearest_bins for axis in axes)) or bins
    meant = (min(bins),) * len(axes) if len(bins) == 1 else ()
    to = " or ".join(map(str, sorted(bins)))
    shown = ", ".join(_text(k) for k in sorted(kernels, reverse=True))
    x, sizes = carried_from(each.region.x).name, _text(axis.length for axis in axes)
    reason = (
        f"one of {len(siblings)} pools of {x!r} with kernel = stride ({shown}) and padding SAME, a "
        f"pyramid as TensorFlow has it; its kernel is {sizes} / {to}, rounded, and makes "
        f"{_text(axis.number for axis in axes)} windows, which are not those of adaptive pooling; "
        "right as it is if the network was trained so, else --restore writes adaptive ones"
    )
    return dataclasses.replace(each, reason=reason, level="warning", meant=meant)


def _text(numbers: Iterable[int]) -> str:
    return "x".join(map(str, numbers))
