"""Write the nodes of a graph for another opset, down or up.

Most nodes are valid in both: they stay as they are. Where the form of an op changed between the two
opsets, `FORMS` says at which versions and what reads one form and writes the other. Attributes that
only the newer form has are dropped where they hold their default. What is left must fit the op's
schema of the new opset, types included; else the node is refused, with the reason. The pipeline
(conform) calls it for the nodes of a graph, once it has cured what the target does not take.

onnx's own converter was tried first: of 93 downward conversions of the nodes in
tests/rewrites/convert it makes 15 that are valid and equal, and it drops the metadata of nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.convert import (
    attributes,
    axes,
    clip,
    constant,
    dropout,
    functions,
    grid_sample,
    pad,
    resize,
    shape,
    slice_,
    softmax,
    split,
    top_k,
    upsample,
)
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.constants import has_reference, is_standard
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.schemas import misfit
from onnxpool.rewrites.graph.unsupported import Unsupported

__all__ = ["FORMS", "MIN_READ", "MIN_WRITTEN", "Rewritten", "convert", "title"]

MIN_READ, MIN_WRITTEN = 7, 11
"""The least opset that is converted, and the least that it is converted to."""

Rewrite = Callable[[Builder, gs.Node, int], Sequence[gs.Tensor]]
"""(builder for the new opset, node, its own opset) -> its outputs; raises `Unsupported`."""


@dataclasses.dataclass(frozen=True)
class Form:
    """Attributes:
    versions: the opsets at which the form changed.
    rewrite: reads any of them, writes the one of the builder's opset.
    """

    versions: tuple[int, ...]
    rewrite: Rewrite

    def changed(self, a: int, b: int) -> bool:
        return any(min(a, b) < version <= max(a, b) for version in self.versions)


_REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
)

FORMS: dict[str, Form] = {
    **dict.fromkeys(_REDUCTIONS, Form((18,), axes.rewrite)),
    "ReduceSum": Form((13,), axes.rewrite),
    "Squeeze": Form((13,), axes.rewrite),
    "Unsqueeze": Form((13,), axes.rewrite),
    "Clip": Form((11,), clip.rewrite),
    "Constant": Form((12,), constant.rewrite),
    "Dropout": Form((12,), dropout.rewrite),
    "GridSample": Form((20,), grid_sample.rewrite),
    "Hardmax": Form((13,), softmax.rewrite),
    "LogSoftmax": Form((13,), softmax.rewrite),
    "Softmax": Form((13,), softmax.rewrite),
    "Pad": Form((11, 18), pad.rewrite),
    "Resize": Form((11, 13, 18, 19), resize.rewrite),
    "Shape": Form((15,), shape.rewrite),
    "Slice": Form((10,), slice_.rewrite),
    "Split": Form((13, 18), split.rewrite),
    "TopK": Form((10,), top_k.rewrite),
    "Upsample": Form((10,), upsample.rewrite),
    **{op: Form((first,), functions.rewrite) for op, first in functions.FIRST_OPSET.items()},
}
"""The ops whose form changed from opset 7 on in more than an attribute with a default.

Below opset 11 the old form is read, not written.
"""

_MEANING_CHANGED = {
    "DFT": 20,
    "GroupNormalization": 21,
    "RoiAlign": 16,
    "Scan": 9,
}
"""The opset at which equal words took another meaning; nodes are not taken across it."""


@dataclasses.dataclass(frozen=True)
class Rewritten:
    """A node that was written anew, which is out of the graph now, and what stands in its place."""

    node: gs.Node
    new: tuple[gs.Node, ...]


def convert(
    graph: gs.Graph, source: int, target: int, about_to: Callable[[gs.Node], None] | None = None
) -> list[Rewritten]:
    """Write the nodes of `graph`, not those of its bodies, for opset `target`, in place.

    Args:
        graph: valid in opset `source`, with the shapes and dtypes that are known.
        source: an opset from 7 on.
        target: one from `MIN_WRITTEN` on.
        about_to: called with each node before something else takes its place.

    Raises:
        Unsupported: a node cannot be written for that opset; the message names it.
    """
    rewritten = []
    # From the end: what a node reads is then still as `source` has it, and can be evaluated.
    for node in reversed(list(graph.nodes)):
        if not is_standard(node):
            continue
        new: Sequence[gs.Node] = [node]
        if rewrite := _rewrite_for(node, source, target):
            if has_reference(node):
                raise Unsupported(
                    f"{title(node)}: its form has to change, and the calls of the function around "
                    "it decide its attributes"
                )
            new = _rewrite(graph, node, source, target, rewrite, about_to)
            if new[0] is not node:
                rewritten.append(Rewritten(node, tuple(new)))
        for each in new:
            if reason := misfit(each, target):
                raise Unsupported(f"{title(node)}: {reason}")
    return rewritten[::-1]


def _rewrite_for(node: gs.Node, source: int, target: int) -> Rewrite | None:
    form = FORMS.get(node.op)
    if form and form.changed(source, target):
        return form.rewrite
    changed = _MEANING_CHANGED.get(node.op)
    if changed and min(source, target) < changed <= max(source, target):
        raise Unsupported(f"{title(node)}: {node.op} means something else from opset {changed} on")
    return attributes.rewrite if attributes.superfluous(node, source, target) else None


def _rewrite(
    graph: gs.Graph,
    node: gs.Node,
    source: int,
    target: int,
    rewrite: Rewrite,
    about_to: Callable[[gs.Node], None] | None,
) -> list[gs.Node]:
    builder = Builder(graph, node, target)
    try:
        results = rewrite(builder, node, source)
    except (Unsupported, RunError) as reason:
        builder.discard()
        raise Unsupported(f"{title(node)}: {reason}") from reason
    if builder.repeats(node):
        builder.discard()
        return [node]
    if about_to:
        about_to(node)
    return builder.replace(results)


def title(node: gs.Node) -> str:
    """A node in messages: its op and its name, or its output where it has none."""
    name = node.name or next((t.name for t in node.outputs if t.name), "")
    return f"{node.op} node {name!r}"
