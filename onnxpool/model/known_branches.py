"""If nodes whose condition is constant: the branch that is taken, in their place.

A size that becomes known may leave a branch that does not load any more, as Squeeze of an axis of
another length than 1; it is not the one that is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import FunctionProto, GraphProto, NodeProto

from onnxpool.model.bodies import bodies, with_bodies
from onnxpool.model.splice import keep, reads

Container = GraphProto | FunctionProto


def known_conditions(model: onnx.ModelProto) -> dict[str, bool]:
    """The values of conditions of If nodes that a Constant node or an initializer gives."""
    conditions = {
        node.input[0]
        for root in (*model.functions, model.graph)
        for node in with_bodies(root.node)
        if _is_if(node)
    }
    constants = (
        (name, tensor)
        for root in (*model.functions, model.graph)
        for container in _containers(root)
        for name, tensor in _constants(container)
        if name in conditions
    )
    return {
        name: bool(onnx.numpy_helper.to_array(tensor).item())
        for name, tensor in constants
        if not tensor.external_data
    }


def take_branches(model: onnx.ModelProto, conditions: Mapping[str, bool]) -> bool:
    """Put the branch that is taken in the place of the If nodes of these conditions.

    Returns:
        Whether there was one.
    """
    changed = False
    for root in (*model.functions, model.graph):
        # Those inside come first: what is taken holds no such node any more.
        for container in reversed(list(_containers(root))):
            for node in [n for n in container.node if _is_if(n) and n.input[0] in conditions]:
                changed |= _take(root, container, node, conditions[node.input[0]])
        _drop_unread(root, conditions)
    return changed


def _is_if(node: NodeProto) -> bool:
    return node.op_type == "If" and node.domain in ("", "ai.onnx")


def _containers(root: Container) -> Iterator[Container]:
    """A graph or function, then the bodies in it, what is around before what is inside."""
    yield root
    for node in root.node:
        for body in bodies(node):
            yield from _containers(body)


def _constants(container: Container) -> Iterator[tuple[str, onnx.TensorProto]]:
    if isinstance(container, GraphProto):
        given = {value.name for value in container.input}
        yield from ((t.name, t) for t in container.initializer if t.name not in given)
    for node in container.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], attribute.t


def _take(root: Container, container: Container, node: NodeProto, condition: bool) -> bool:
    wanted = "then_branch" if condition else "else_branch"
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


def _drop_unread(root: Container, names: Iterable[str]) -> None:
    read = reads(root) | (set(root.output) if isinstance(root, FunctionProto) else set())
    unread = set(names) - read
    for container in _containers(root):
        keep(container.node, lambda n: n.op_type != "Constant" or n.output[0] not in unread)


def _copies(nodes: Iterable[NodeProto]) -> list[NodeProto]:
    copies = []
    for node in nodes:
        copies.append(NodeProto())
        copies[-1].CopyFrom(node)
    return copies


def _as_node(tensor: onnx.TensorProto) -> NodeProto:
    return onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)


def _names(container: Container) -> set[str]:
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
