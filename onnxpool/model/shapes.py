"""Shapes and dtypes of the tensors of every scope: what follows, and what is declared besides."""

from __future__ import annotations

from typing import Any

import onnx_graphsurgeon as gs

from onnxpool.model.file import ModelFile
from onnxpool.model.inference import Inference, Types, exporters_pools
from onnxpool.model.open_sizes import Sizes
from onnxpool.model.scope import Scope
from onnxpool.model.types import GENERATED_SYMBOL, dtype_and_shape
from onnxpool.ops import register_schemas
from onnxpool.ops.op import Claimed, Dim, Shape
from onnxpool.rewrites.lift import exporters_node


def infer(model_file: ModelFile) -> None:
    """Fill in `shape` and `dtype` of the variables of all scopes; `model_file.proto` stays.

    What follows from the inputs of the model holds, whatever the file declares. Where nothing
    follows, a declared number is taken, and a declared symbol as `Claimed`; but not beside
    pooling of an exporter's own, which declares traced sizes for dynamic ones. In a function
    that is called with different shapes, shapes stay unknown; `Scope.shape_note` says so.
    """
    register_schemas()
    scopes = model_file.scopes
    fallback = any(exporters_node.applies(node) for s in scopes for node in s.graph.nodes)
    understood = None
    # What an exporter's own pool computes may depend on a rank that the round before has found.
    while understood != (found := list(exporters_pools(scopes))):
        understood = found
        derived = Inference(model_file, declared=False).run()
        claimed = {} if fallback else Inference(model_file, declared=True).run()
        for scope in scopes:
            _fill(scope, derived[id(scope)], claimed.get(id(scope)))


def at_sizes(model_file: ModelFile, sizes: Sizes) -> list[dict[str, Shape]]:
    """Per scope, the shapes that follow if the inputs of the model have these sizes.

    Args:
        sizes: a number for every one of `open_sizes.symbols`.
    """
    types = Inference(model_file, declared=False, sizes=sizes).run()
    known = [{name: _shape(types[id(s)], name) for name in types[id(s)]} for s in model_file.scopes]
    return [{name: s for name, s in shapes.items() if s is not None} for shapes in known]


def _fill(scope: Scope, derived: Types, claimed: Types | None) -> None:
    nodes = scope.graph.nodes
    tensors = [t for n in nodes for t in (*n.inputs, *n.outputs)] + scope.graph.inputs
    for tensor in {id(t): t for t in tensors if isinstance(t, gs.Variable)}.values():
        claimed_type, claim = _known({} if claimed is None else claimed, tensor.name)
        derived_type, shape = _known(derived, tensor.name)
        if tensor.dtype is None:
            tensor.dtype = derived_type if claimed_type is None else claimed_type
        merged = None if claimed is None else _merge(tensor.shape, claim)
        tensor.shape = _confirm(merged, shape)


def _shape(types: Types, name: str) -> Shape | None:
    return _known(types, name)[1]


def _known(types: Types, name: str) -> tuple[Any, Shape | None]:
    """The dtype and the shape of a tensor."""
    if name not in types:
        return None, None
    dtype, shape = dtype_and_shape(types[name])
    return dtype, shape and tuple(None if _is_generated(dim) else dim for dim in shape)


def _confirm(claimed: Shape | None, derived: Shape | None) -> Shape | None:
    """`derived`, and where it leaves a size open, what is claimed."""
    if claimed is not None:
        # Names that onnx made up in an earlier round are no claim: two may be of one length.
        named = (None if _is_generated(dim) else dim for dim in claimed)
        claimed = tuple(Claimed(dim) if isinstance(dim, str) else dim for dim in named)
    if derived is None:
        return claimed
    if claimed is None or len(claimed) != len(derived):
        return derived
    pairs = zip(claimed, derived, strict=True)
    return tuple(claim if dim is None else dim for claim, dim in pairs)


def _merge(declared: Shape | None, inferred: Shape | None) -> Shape | None:
    """`declared`, with what it leaves open, or only has a symbol for, from `inferred`."""
    if declared is None:
        return inferred
    if inferred is None or len(inferred) != len(declared):
        return declared
    return tuple(
        inferred_dim
        if dim is None or (isinstance(inferred_dim, int) and isinstance(dim, str))
        else dim
        for dim, inferred_dim in zip(declared, inferred, strict=True)
    )


def _is_generated(dim: Dim) -> bool:
    return isinstance(dim, str) and dim.startswith(GENERATED_SYMBOL)
