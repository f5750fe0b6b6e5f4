"""Known to be inexact: strided pooling put in the place of adaptive pooling, to be exported.

    stride = L // O        kernel = L - (O - 1) * stride        all windows of one length

where adaptive windows start at floor(i·L / O). The two agree if L is a multiple of O or one more.
Many networks write it instead of adaptive pooling before they export; it is reported, not changed,
because the graph says what its author wrote. The numbers alone are no evidence: the 5x5 windows of
stride 3 of GoogLeNet's auxiliary classifier have them too. So there must be one of

    a name      of the module, function, node or tensor, that says "adaptive"
    a sibling   pools the same tensor likewise to another size, as a pyramid does, or exactly
    the writer  is Paddle's exporter, which writes `pads` for ordinary pools alone
    two axes    of different lengths with different windows, to one number of windows
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.windows import MOST_WINDOWS, Window, windows
from onnxpool.rewrites.graph.tensors import carried_from, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.size import is_unknown

POOLS = {"AveragePool": "AdaptiveAvgPool", "MaxPool": "AdaptiveMaxPool"}
_AROUND = ("Identity", "Reshape", "Squeeze", "Unsqueeze")
"""What makes a plane of a line, and a line of it again."""


@dataclasses.dataclass(frozen=True)
class _Axis:
    """One pooled axis: its length, and its windows, whose number is `bins`."""

    length: int
    bins: int
    kernel: int
    stride: int

    @property
    def imitates(self) -> bool:
        """Whether kernel and stride are computed from length and number as above."""
        return (
            self.bins <= MOST_WINDOWS
            and self.stride == self.length // self.bins
            and self.kernel == self.length - (self.bins - 1) * self.stride
        )

    @property
    def is_exact(self) -> bool:
        """Whether the windows are those of adaptive pooling all the same."""
        starts = (i * self.stride for i in range(self.bins))
        sliding = tuple(Window(start, start + self.kernel) for start in starts)
        return sliding == windows(self.length, self.bins)


def explain(
    declined: Sequence[Declined],
    constructs: Sequence[Construct],
    origins: Mapping[int, Origin],
    producer: str,
) -> list[Declined]:
    """Give those pools that imitate adaptive ones another reason.

    Args:
        declined: regions that are left.
        constructs: what was found.
        origins: per `id` of a node.
        producer: that wrote the model.
    """
    regions = [d.region for d in declined]
    imitations = {id(r): axes for r in regions if (axes := _imitation(r)) is not None}
    exact = [r for c in constructs for r in c.found if pool_of(r) is not None]
    explained: list[Declined] = []
    for each in declined:
        axes = imitations.get(id(each.region))
        evidence = ""
        if axes is None and (why := _open_by_paddle(each, producer)):
            each = dataclasses.replace(each, reason=why, level="warning")
        if axes:
            evidence = _by_paddle(each.region, producer)
            evidence = evidence or _evidence(each.region, regions, imitations, exact, origins)
        if axes and evidence:
            each = dataclasses.replace(
                each,
                reason=_reason(each.region, axes, evidence),
                level="warning",
                meant=tuple(axis.bins for axis in axes),
            )
        explained.append(each)
    return explained


def _imitation(region: Region) -> tuple[_Axis, ...] | None:
    """The axes of a pool that has the numbers of the imitation where it is not exact; else None."""
    axes = _axes(region)
    if axes is None or not all(axis.imitates for axis in axes):
        return None
    return axes if not all(axis.is_exact for axis in axes) else None


def pool_of(region: Region) -> gs.Node | None:
    """The one pooling node of a region, as of a line that is pooled as a plane of height 1."""
    pools = [node for node in region.nodes if node.op in POOLS]
    others = [node for node in region.nodes if node.op not in POOLS]
    if len(pools) != 1 or any(node.op not in _AROUND for node in others):
        return None
    x, y = (shape_of(t) for t in (region.x, region.y))
    axes = len(pools[0].attrs["kernel_shape"])
    as_a_line = x is not None and y is not None and len(x) == len(y) == 3 and axes == 2
    return pools[0] if not others or as_a_line else None


def _axes(region: Region) -> tuple[_Axis, ...] | None:
    """The axes of one pooling node of known sizes that does not pad, those of the region."""
    node = pool_of(region)
    if node is None:
        return None
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if x is None or y is None:
        return None
    kernel = node.attrs["kernel_shape"]
    k = len(kernel)
    sizes = (*x[-k:], *y[-k:])
    padded = any(node.attrs.get("pads", ())) or node.attrs.get("auto_pad", "NOTSET") != "NOTSET"
    dilated = any(dilation != 1 for dilation in node.attrs.get("dilations", ()))
    if padded or dilated or not all(isinstance(size, int) and size > 0 for size in sizes):
        return None
    strides = node.attrs.get("strides") or [1] * k
    numbers = zip(x[-k:], y[-k:], kernel, strides, strict=True)
    axes = tuple(_Axis(*map(int, each)) for each in numbers)
    if len(region.nodes) == 1:
        return axes
    height, width = axes
    return (width,) if height == _Axis(1, 1, 1, height.stride) else None


def _by_paddle(region: Region, producer: str) -> str:
    node = pool_of(region)
    if "paddle" not in producer.lower() or node is None or "pads" in node.attrs:
        return ""
    return f"{producer} writes adaptive pools without pads, and ordinary ones with them"


def _open_by_paddle(declined: Declined, producer: str) -> str:
    """What is wrong with a pool of Paddle's whose sizes are open; empty where nothing is."""
    region = declined.region
    node, evidence = pool_of(region), _by_paddle(region, producer)
    is_open = is_unknown(shape_of(region.x), shape_of(region.y))
    if node is None or not evidence or not is_open or declined.level != "note":
        return ""
    kernel, stride = (_text(node.attrs.get(key, ())) for key in ("kernel_shape", "strides"))
    return (
        f"kernel {kernel} and stride {stride or 1} imitate adaptive pooling at the size that it "
        f"was exported at ({evidence}), and the sizes are open now; to which size it pools is not "
        "in the graph: rewrite with --restore NODE=HxW"
    )


def _evidence(
    region: Region,
    regions: Sequence[Region],
    imitations: Mapping[int, tuple[_Axis, ...]],
    exact: Sequence[Region],
    origins: Mapping[int, Origin],
) -> str:
    """What says that adaptive pooling is meant, in words; empty where nothing does."""
    axes = imitations[id(region)]
    node = pool_of(region)
    assert node is not None
    origin = origins.get(id(node), Origin())
    # First of the modules is the whole network, and last the op itself.
    classes = [path.split(".")[-1] for path in origin.modules[1:-1]]
    names = [*classes[-1:], origin.line, _own_name(node.name), _own_name(region.y.name)]
    named = next((name for name in names if "adaptive" in name.lower()), None)
    if named is not None:
        return repr(named)
    siblings = [
        _text(axis.bins for axis in imitations[id(other)])
        for other in regions
        if id(other) in imitations and _is_level(other, region)
    ]
    if len(set(siblings)) > 1:
        return f"{region.x.name!r} is pooled likewise to {', '.join(dict.fromkeys(siblings))}"
    levels = [_sizes(other) for other in exact if _is_level(other, region)]
    if any(max(sizes) > 1 for sizes in levels):
        shown = ", ".join(dict.fromkeys(map(_text, levels)))
        return f"{region.x.name!r} is pooled adaptively to {shown}"
    windows_differ = len({(axis.kernel, axis.stride) for axis in axes}) > 1
    if windows_differ and len({axis.bins for axis in axes}) == 1:
        return f"{_text(axis.length for axis in axes)} to {axes[0].bins} windows on each axis"
    return ""


def _is_level(other: Region, region: Region) -> bool:
    """Whether two regions pool one tensor by the same op."""
    same = carried_from(other.x) is carried_from(region.x)
    return same and _op(other) == _op(region)


def _op(region: Region) -> str:
    """That of the pooling node of a region that has one."""
    node = pool_of(region)
    assert node is not None
    return str(node.op)


def _sizes(region: Region) -> tuple[int, ...]:
    """The sizes of the pooled axes of the output of one pooling node."""
    return tuple(size for size in (shape_of(region.y) or ())[2:] if isinstance(size, int))


def _own_name(name: str) -> str:
    """The name of a node or tensor without those of the modules far around it."""
    return "/".join(re.split(r"[/.]", name)[-2:])


def _reason(region: Region, axes: Sequence[_Axis], evidence: str) -> str:
    axis = next(axis for axis in axes if not axis.is_exact)
    lengths = sorted({window.length for window in windows(axis.length, axis.bins)})
    adaptive = " or ".join(map(str, lengths))
    return (
        f"stride {axis.length} // {axis.bins} = {axis.stride} and kernel {axis.kernel} imitate "
        f"adaptive pooling of {axis.length} to {axis.bins} ({evidence}), whose windows are "
        f"{adaptive} long, so the values differ; if they should not, put "
        f"{POOLS[_op(region)]}{len(axes)}d into the source and use onnxpool export, or "
        "rewrite with --restore"
    )


def _text(numbers: Iterable[int]) -> str:
    return "x".join(map(str, numbers))
