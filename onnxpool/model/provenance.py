"""Where nodes come from, as torch's exporters note it in the metadata of a model."""

from __future__ import annotations

import ast
import contextlib
import re

import onnx

from onnxpool.model.scope import Scope
from onnxpool.rewrites.region.origin import Origin

_CLASSES = "pkg.torch.onnx.class_hierarchy"
_STACK = "pkg.torch.onnx.stack_trace"
_SCOPES = "pkg.torch.onnx.name_scopes"
_FX_NODE = "pkg.torch.onnx.fx_node"
_CALL = re.compile(r"target=(?:torch\.ops\.)?([\w.]+)\]\(args = (\(.*\)), kwargs = ")
_TENSOR = re.compile(r"%(\w+)")


def origins(scope: Scope) -> dict[int, Origin]:
    """Per `id` of a node of the scope's graph, where it comes from, if that is noted."""
    noted = ((key, proto) for key, (_, proto) in scope.imported.items() if proto.metadata_props)
    found = {key: origin(proto) for key, proto in noted}
    return {key: known for key, known in found.items() if known != Origin()}


def origin(node: onnx.NodeProto) -> Origin:
    noted = _noted(node)
    trace = noted.get(_STACK, "").strip()
    lines = ["", "", *_lines(trace)]
    target, arguments = _call(noted.get(_FX_NODE, ""))
    return Origin(_modules(noted.get(_CLASSES, "")), lines[-1], lines[-2], trace, target, arguments)


def _noted(node: onnx.NodeProto) -> dict[str, str]:
    """What is text of the metadata of a node; protobuf gives what is not UTF-8 as bytes."""
    return {e.key: e.value for e in node.metadata_props if isinstance(e.value, str)}


def _modules(text: str) -> tuple[str, ...]:
    classes: object = []
    with contextlib.suppress(ValueError, SyntaxError):
        classes = ast.literal_eval(text)
    return tuple(map(str, classes)) if isinstance(classes, list) else ()


def _lines(trace: str) -> list[str]:
    """The lines of source of a stack trace, the outermost first."""
    stripped = (line.strip() for line in trace.splitlines())
    return [line for line in stripped if line and not line.startswith("File ")]


def _call(text: str) -> tuple[str, int]:
    """What a line such as "%y : … [target=torch.ops.aten.relu.default](args = (%x,), …" calls."""
    found = _CALL.search(text)
    if found is None:
        return "", 0
    with contextlib.suppress(ValueError, SyntaxError):
        return found[1], len(ast.literal_eval(_TENSOR.sub(r"'\1'", found[2])))
    return found[1], 0


def module_path(node: onnx.NodeProto) -> str | None:
    """The path of the module that called for a node, "" for the outermost; None: not noted."""
    noted = _noted(node)
    scopes = _modules(noted.get(_SCOPES, ""))
    # The last one is the call itself; a module that is called again is "pool@1".
    return scopes[-2].partition("@")[0] if len(scopes) > 1 else None
