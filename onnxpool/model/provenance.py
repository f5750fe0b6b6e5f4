"""Where nodes come from, as torch's exporters note it in the metadata of a model."""

from __future__ import annotations

import ast
import contextlib

import onnx

from onnxpool.model.scope import Scope
from onnxpool.rewrites.region.origin import Origin

_CLASSES = "pkg.torch.onnx.class_hierarchy"
_STACK = "pkg.torch.onnx.stack_trace"


def origins(scope: Scope) -> dict[int, Origin]:
    """Per `id` of a node of the scope's graph, where it comes from, if that is noted."""
    found = {key: origin(proto) for key, (_, proto) in scope.imported.items()}
    return {key: known for key, known in found.items() if known != Origin()}


def origin(node: onnx.NodeProto) -> Origin:
    noted = {entry.key: entry.value for entry in node.metadata_props}
    classes: object = []
    with contextlib.suppress(ValueError, SyntaxError):
        classes = ast.literal_eval(noted.get(_CLASSES, "[]"))
    modules = tuple(map(str, classes)) if isinstance(classes, list) else ()
    lines = noted.get(_STACK, "").strip().splitlines()
    return Origin(modules, lines[-1].strip() if lines else "")
