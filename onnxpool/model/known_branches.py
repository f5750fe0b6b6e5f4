"""If nodes whose condition is known: the branch that is taken, in their place.

A size that becomes known may leave a branch that does not load any more, as Squeeze of an axis of
another length than 1; it is not the one that is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import FunctionProto, GraphProto, NodeProto

from onnxpool.model.bodies import bodies
from onnxpool.model.file import ModelFile
from onnxpool.model.scope import Scope, root_of
from onnxpool.model.splice import drop_initializers, reads, results, sweep
from onnxpool.rewrites.graph.conditions import known_branches

Body = GraphProto | FunctionProto


def take_branches(file: ModelFile) -> bool:
    """Put the branch that is taken in the place of the If nodes whose condition is known.

    What computed the condition, or was read by the other branch, and is read by nothing else goes.

    Args:
        file: with shapes inferred, as far as they are known; its proto is changed, and it is to be
            imported again.

    Returns:
        Whether there was one.
    """
    scopes = [(scope, dict(branches_of(scope)), _read(scope.proto)) for scope in file.scopes]
    changed = False
    # Those inside come first: what is taken holds no such node any more.
    for scope, known, before in scopes:
        unread = {name for node in scope.proto.node for name in node.output} - before
        for node in [n for n in scope.proto.node if _is_if(n) and _first_output(n) in known]:
            changed |= _take(root_of(scope).proto, scope.proto, node, known[_first_output(node)])
        if changed:
            sweep(scope.proto, unread)
            drop_initializers(file.proto, scope, before)
    if changed:
        file.mark_changed()
    return changed


def branches_of(scope: Scope) -> Iterator[tuple[str, str]]:
    """The first output of each If whose condition is known, and the branch that it takes.

    Names are those of tensors in the scope: another body may have the same ones.
    """
    for node, branch in known_branches(scope.graph, scope.opset):
        if output := next((tensor.name for tensor in node.outputs if tensor.name), ""):
            yield output, branch


def _read(container: Body) -> set[str]:
    return {*reads(container), *results(container)}


def _first_output(node: NodeProto) -> str:
    return next(filter(None, node.output), "")


def _is_if(node: NodeProto) -> bool:
    return node.op_type == "If" and node.domain in ("", "ai.onnx")


def _containers(root: Body) -> Iterator[Body]:
    """A graph or function, then the bodies in it, what is around before what is inside."""
    yield root
    for node in root.node:
        for body in bodies(node):
            yield from _containers(body)


def _take(root: Body, container: Body, node: NodeProto, wanted: str) -> bool:
    branch = GraphProto()
    branch.CopyFrom(next(a.g for a in node.attribute if a.name == wanted))
    if branch.sparse_initializer or branch.quantization_annotation:
        return False
    position = list(container.node).index(node)
    names = list(node.output)
    before, after = _copies(container.node[:position]), _copies(container.node[position + 1 :])
    del container.node[position:]
    container.node.extend(after)
    _rename(branch, _new_names(branch, names, _names(root)))
    tensors = []
    if isinstance(container, FunctionProto):
        tensors = [_as_node(tensor) for tensor in branch.initializer]
    else:
        container.initializer.extend(branch.initializer)
        outputs = {value.name for value in branch.output}
        container.value_info.extend(v for v in branch.value_info if v.name not in outputs)
    passed = [
        onnx.helper.make_node("Identity", [value.name], [name])
        for value, name in zip(branch.output, names, strict=True)
        if name and value.name != name
    ]
    del container.node[:]
    container.node.extend([*before, *tensors, *branch.node, *passed, *after])
    return True


def _copies(nodes: Iterable[NodeProto]) -> list[NodeProto]:
    copies = []
    for node in nodes:
        copies.append(NodeProto())
        copies[-1].CopyFrom(node)
    return copies


def _as_node(tensor: onnx.TensorProto) -> NodeProto:
    return onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)


def _names(container: Body) -> set[str]:
    """All names of tensors in a graph or function, and in the bodies in it."""
    names: set[str] = set()
    for each in _containers(container):
        names.update(name for node in each.node for name in (*node.input, *node.output))
        if isinstance(each, GraphProto):
            names.update(value.name for value in (*each.input, *each.output, *each.initializer))
        else:
            names.update((*each.input, *each.output))
    return names


def _new_names(branch: GraphProto, outputs: Sequence[str], used: set[str]) -> dict[str, str]:
    """For what the branch computes and holds: the name of the output that it is, or a free one."""
    computed = [name for node in branch.node for name in node.output if name]
    new: dict[str, str] = {}
    for value, name in zip(branch.output, outputs, strict=True):
        if value.name in computed and name:
            new.setdefault(value.name, name)
    for name in (*computed, *(tensor.name for tensor in branch.initializer)):
        if name not in new:
            new[name] = _free(name, used)
            used.add(new[name])
    return new


def _free(name: str, used: set[str]) -> str:
    candidates = (f"{name}_{k}" if k else name for k in itertools.count())
    return next(candidate for candidate in candidates if candidate not in used)


def _rename(graph: GraphProto, new: Mapping[str, str]) -> None:
    for container in _containers(graph):
        for node in container.node:
            for names in (node.input, node.output):
                names[:] = [new.get(name, name) for name in names]
        if isinstance(container, GraphProto):
            named = (*container.output, *container.value_info, *container.initializer)
            for value in named:
                value.name = new.get(value.name, value.name)
