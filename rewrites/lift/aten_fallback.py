"""Pooling that torch's TorchScript exporter left as PyTorch's own op, which no runtime loads.

aten::adaptive_avg_pool2d(X, size) = AdaptiveAveragePool<size>(X)
aten::adaptive_max_pool2d(X, size) = AdaptiveMaxPool<size>(X), with its indices
aten::avg_pool2d(X, kernel), kernel = the sizes of X: AdaptiveAveragePool<1, 1>(X); max_pool too

    org.pytorch.aten::adaptive_avg_pool2d               OperatorExportTypes.ONNX_FALLTHROUGH
    org.pytorch.aten::ATen<operator="adaptive_…">       OperatorExportTypes.ONNX_ATEN_FALLBACK
    aten::adaptive_avg_pool2d, or sizes as attributes   older exporters, and by hand

Nothing runs these nodes, so what they compute is taken from their names, as for the dialect's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops import KEEP, AdaptiveAveragePool, AdaptiveMaxPool, AdaptivePool, InvalidOp
from onnxpool.rewrites.lift.construct import PYTORCH_DOMAINS, UNLOADABLE
from onnxpool.rewrites.lift.named_arguments import (
    Meaning,
    check_input,
    elements_of,
    in_words,
    output_size,
)
from onnxpool.rewrites.region.shape_arithmetic import Element, is_size_of

_POOL = re.compile(
    r"(aten::)?_?(?P<adaptive>adaptive_)?(?P<kind>avg|max)_pool(?P<k>[123])d(_with_indices)?"
)
_OPS: dict[str, type[AdaptivePool]] = {
    "avg": AdaptiveAveragePool,
    "max": AdaptiveMaxPool,
}
_SLIDING = {
    "avg": (
        "kernel_size",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    ),
    "max": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
}
"""The arguments behind X, in the order of PyTorch's native_functions.yaml."""


def applies(node: gs.Node) -> bool:
    """Whether a node is pooling of PyTorch's own."""
    return node.domain in PYTORCH_DOMAINS and _POOL.fullmatch(operator(node)) is not None


def operator(node: gs.Node) -> str:
    """PyTorch's name of the op of a node."""
    return str(node.attrs.get("operator", node.op))


def note(graph: gs.Graph) -> str | None:
    """What else of PyTorch's own keeps the model from being loaded; None where nothing does."""
    defined = {(function.domain, function.name) for function in graph.functions}
    nodes = (n for n in graph.nodes if n.domain in PYTORCH_DOMAINS and not applies(n))
    others = dict.fromkeys(operator(n) for n in nodes if (n.domain, n.op) not in defined)
    if not others:
        return None
    return f"{', '.join(others)}: PyTorch's own op, no pooling, left; {UNLOADABLE}"


def meaning(node: gs.Node, opset: int) -> Meaning:
    """What a node that `applies` computes.

    Raises:
        InvalidOp: that cannot be said, or not by an op of the dialect.
    """
    match = _POOL.fullmatch(operator(node))
    assert match is not None
    k = int(match["k"])
    check_input(node, operator(node), k)
    kind = _OPS[match["kind"]]
    if match["adaptive"]:
        size, parameters = output_size(node, k, opset)
        return kind(size), parameters
    return kind(_full_size(node, k, _SLIDING[match["kind"]], opset)), ()


def _full_size(node: gs.Node, k: int, names: Sequence[str], opset: int) -> tuple[int, ...]:
    """The output size of a window that is all of X, or one element, on each axis."""
    x = node.inputs[0]

    def argument(name: str) -> list[Element] | None:
        position = names.index(name) + 1 if name in names else len(node.inputs)
        return elements_of(node, position, name, opset)

    kernel, stride = argument("kernel_size"), argument("stride")
    if kernel is None or len(kernel) != k:
        raise InvalidOp(f"its kernel_size is {in_words(kernel)}, wanted the {k} sizes of its input")
    for name, harmless in (("padding", 0), ("dilation", 1)):
        found = argument(name)
        if found is None or any(element != harmless for element in found):
            raise InvalidOp(f"its {name} is {in_words(found)}, wanted {harmless}")
    if argument("divisor_override") != []:
        raise InvalidOp("it has a divisor_override, so it is no average")
    strides = kernel if stride == [] else (stride or [None]) * k
    axes = range(len(x.shape) - k, len(x.shape))
    size = [_bins(x, *each) for each in zip(axes, kernel, strides, strict=False)]
    if None in size:
        raise InvalidOp(
            f"its kernel_size is {in_words(kernel)}, not the sizes of its input: an ordinary "
            "sliding window, no adaptive pooling"
        )
    return tuple(bins for bins in size if bins is not None)


def _bins(x: gs.Tensor, axis: int, kernel: Element, stride: Element) -> int | None:
    if is_size_of(kernel, x, axis):
        return 1
    return KEEP if kernel == stride == 1 else None
