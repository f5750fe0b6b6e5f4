"""The output size of a pool, proven by what reads it: nothing else lets the graph run.

Squeeze of a pooled axis                              that axis has size 1
Flatten or Reshape to (N, M), then Gemm or MatMul     C·O1·…·Ok is the width of the weight
a size that the file declares, X being open           that size
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.constants import is_constant, is_standard
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.region.size import in_words

_KEEP_THE_PLANE = frozenset(
    ("Abs", "BatchNormalization", "Cast", "Clip", "Dropout", "Elu", "Gelu", "HardSigmoid")
) | frozenset(
    ("HardSwish", "Identity", "LeakyRelu", "PRelu", "Pow", "Relu", "Sigmoid", "Sqrt", "Tanh")
)
_MOST_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Proof:
    """Attributes:
    sizes: one per pooled axis; None where nothing is proven of it.
    product: of all output sizes; None where nothing is proven of it.
    because: in words.
    declared: whether the file itself says that the size is fixed.
    """

    sizes: tuple[int | None, ...]
    product: int | None
    because: str
    declared: bool = False

    @property
    def output_size(self) -> tuple[int, ...] | None:
        """All sizes, where one reading remains; a product that is a square is one of equals."""
        known = [size for size in self.sizes if size is not None]
        if len(known) == len(self.sizes):
            return tuple(known)
        if self.product is None:
            return None
        if self.product == 1:
            return (1,) * len(self.sizes)
        rest, remainder = divmod(self.product, math.prod(known))
        missing = self.sizes.count(None)
        root = round(rest ** (1 / missing))
        if remainder or root**missing != rest:
            return None
        return tuple(root if size is None else size for size in self.sizes)


def proven_size(y: gs.Variable, k: int, constants: frozenset[str]) -> Proof | None:
    """What the readers of `y` prove of its last `k` sizes; None where they prove nothing."""
    declared = (shape_of(y) or ())[-k:]
    known = tuple(dim for dim in declared if isinstance(dim, int))
    if len(known) == k:
        because = f"the file declares {y.name!r} as {in_words(known)}"
        return Proof(known, None, because, declared=True)
    for tensor in _same_plane(y, constants):
        for node in tensor.outputs:
            for rule in (_squeezed, _flattened):
                if proof := rule(node, tensor, k, constants):
                    return proof
    return None


def _same_plane(y: gs.Variable, constants: frozenset[str]) -> Iterator[gs.Variable]:
    """`y` and the tensors behind it whose pooled axes are those of `y`."""
    tensors = [y]
    for tensor in tensors:
        yield tensor
        for node in tensor.outputs:
            if len(tensors) < _MOST_STEPS and _keeps_the_plane(node, constants):
                tensors.append(node.outputs[0])


def _keeps_the_plane(node: gs.Node, constants: frozenset[str]) -> bool:
    if not is_standard(node):
        return False
    if node.op == "Conv":
        ones = {*node.attrs.get("kernel_shape", [0]), *node.attrs.get("strides", [1])} == {1}
        return ones and not any(node.attrs.get("pads", ()))
    if node.op in ("Add", "Mul", "Div", "Sub"):
        return sum(not is_constant(t, constants) for t in node.inputs) == 1
    return node.op in _KEEP_THE_PLANE


def _squeezed(
    node: gs.Node, tensor: gs.Variable, k: int, constants: frozenset[str]
) -> Proof | None:
    shape = shape_of(tensor)
    if node.op != "Squeeze" or shape is None:
        return None
    axes = node.attrs.get("axes")
    if axes is None and len(node.inputs) > 1 and isinstance(node.inputs[1], gs.Constant):
        axes = node.inputs[1].values.tolist()
    if axes is None:
        return None
    gone = {axis % len(shape) for axis in axes}
    sizes = tuple(1 if axis in gone else None for axis in range(len(shape) - k, len(shape)))
    return Proof(sizes, None, f"{node.name or 'Squeeze'!r} drops its axes") if any(sizes) else None


def _flattened(
    node: gs.Node, tensor: gs.Variable, k: int, constants: frozenset[str]
) -> Proof | None:
    shape = shape_of(tensor)
    if node.op not in ("Flatten", "Reshape") or shape is None or len(shape) < k + 2:
        return None
    channels, flat = shape[-k - 1], node.outputs[0]
    if not isinstance(channels, int) or (flat.shape is not None and len(flat.shape) != 2):
        return None
    for reader in flat.outputs:
        width = _width(reader, flat)
        if width is not None and width % channels == 0:
            because = f"{reader.name or reader.op!r} takes {width} features of {channels} channels"
            return Proof((None,) * k, width // channels, because)
    return None


def _width(node: gs.Node, flat: gs.Variable) -> int | None:
    """How many features a fully connected layer reads."""
    if node.op not in ("Gemm", "MatMul") or node.inputs[0].name != flat.name:
        return None
    weight = node.inputs[1].shape
    if weight is None or len(weight) != 2 or node.attrs.get("transA", 0):
        return None
    width = weight[1] if node.op == "Gemm" and node.attrs.get("transB", 0) else weight[0]
    return int(width) if isinstance(width, int | np.integer) else None
