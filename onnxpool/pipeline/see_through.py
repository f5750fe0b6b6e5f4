"""Pooling that is spread over calls of functions and branches of If: found, and put in one graph.

A copy of the model, in which every call and every If of known condition is what it stands for, is
searched for pooling. What is found there and not in the model as it stands needs some of these
calls and branches in their place, and no others: a call only where a part of the pooling is in its
function, and in the function that all parts share, unless what is known of a single call counts.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

import onnx
import onnx_graphsurgeon as gs
from onnx import GraphProto, TensorProto

from onnxpool.errors import ModelError
from onnxpool.model import shapes
from onnxpool.model.bodies import with_bodies
from onnxpool.model.calls import Key, key_of_function
from onnxpool.model.expand import (
    Address,
    Expansion,
    Path,
    Step,
    called_functions,
    drop_uncalled,
    expand,
)
from onnxpool.model.file import ModelFile
from onnxpool.model.known_branches import branches_of
from onnxpool.model.known_types import resolve_types
from onnxpool.model.names import Names
from onnxpool.model.scope import Scope, root_of
from onnxpool.model.skeleton import is_small
from onnxpool.pipeline.survey import Goal, Planned, Pooling, survey
from onnxpool.rewrites.graph.cut import producers
from onnxpool.rewrites.lower.function_body import Bodies, is_body
from onnxpool.rewrites.repair.hints import Hints

_MOST_NODES = 5_000
_OF_EACH_NODE = 4
"""Nodes that come out of functions, and for each node of the model."""
_MOST_ROUNDS = 8
"""Of branches whose condition depends on what is in another branch."""
_REDUCING = frozenset(
    ["AveragePool", "Conv", "CumSum", "Einsum", "Gemm", "GlobalAveragePool", "GlobalLpPool"]
) | frozenset(["GlobalMaxPool", "LpPool", "MatMul", "Max", "MaxPool", "ReduceMax", "ReduceMean"])
_PARTS = _REDUCING | frozenset(["Add", "ArgMax", "Mean", "ReduceSum", "Sum"])
"""Without one of these there is no pooling to look for."""

Root = Key | None
"""The function that is expanded; None: the graph of the model."""


@dataclasses.dataclass(frozen=True)
class _Target:
    """Pooling that was found in the copy.

    Attributes:
        ends: the addresses of the nodes that compute its outputs.
        paths: those of all its nodes.
        depth: how many steps of the paths lead to the function that is expanded for it.
    """

    ends: frozenset[Address]
    paths: frozenset[Path]
    depth: int

    @property
    def root(self) -> Path:
        return next(iter(self.paths))[: self.depth]

    def needed(self) -> Iterator[Path]:
        """What has to be put in place, seen from the root."""
        shared = len(_common(self.paths))
        for path in self.paths:
            for end in range(self.depth + 1, len(path) + 1):
                if not path[end - 1].body or end > shared:
                    yield path[self.depth : end]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Attributes:
    file: the model with what pooling needs in its place; as it came where nothing is needed.
    notes: what was put in place.
    """

    file: ModelFile
    notes: tuple[str, ...] = ()


def see_through(file: ModelFile, goal: Goal, told: Hints) -> Seen:
    """Put in place what hides pooling; `file.proto` changes only where something does.

    Args:
        file: with shapes inferred.
        told: what the user says of the model.
    """
    if not _may_hide(file):
        return Seen(file)
    try:
        needed = _needed(file, goal, told)
    except ModelError:
        needed = {}  # No checker takes the model with a call in its place: it stays one.
    if not needed:
        return Seen(file)
    done = _apply(file.proto, needed)
    file.mark_changed()
    file = file.reimported()
    shapes.infer(file)
    if resolve_types(file, _from_calls(done.values())):
        file = file.reimported()
        shapes.infer(file)
    return Seen(file, tuple(_notes(done.values())))


def _needed(file: ModelFile, goal: Goal, told: Hints) -> dict[Root, set[Path]]:
    """What has to be put in place, per function that it is in.

    Raises:
        ModelError: the model is not valid with everything in its place.
    """
    copy, expansion = _expanded_everywhere(file)
    if not (expansion.functions or expansion.branches):
        return {}
    targets = list(_targets(copy, expansion, goal, told))
    return _settle(file, targets, expansion.functions, goal, told)


def _may_hide(file: ModelFile) -> bool:
    functions = [f for f in file.proto.functions if not is_body(f)]
    nodes = [file.proto.graph.node, *(function.node for function in functions)]
    ops = {node.op_type for each in nodes for node in with_bodies(each)}
    called = called_functions(file.proto) & {key_of_function(f) for f in functions}
    return bool(ops & _PARTS) and (bool(called) or any(_branches(file)))


def _branches(file: ModelFile) -> Iterator[tuple[str, str]]:
    """The first output of each If whose condition is known, and the branch that it takes."""
    return itertools.chain.from_iterable(map(branches_of, _scopes_of_graph(file)))


def _scopes_of_graph(file: ModelFile) -> list[Scope]:
    return [s for s in file.scopes if root_of(s) is file.main]


def _expanded_everywhere(file: ModelFile) -> tuple[ModelFile, Expansion]:
    """A copy in which calls and known branches are what they stand for."""
    proto = file.proto
    functions = {key_of_function(f): f for f in proto.functions if not is_body(f)}
    most_nodes = _MOST_NODES + _OF_EACH_NODE * (
        sum(len(function.node) for function in proto.functions) + len(proto.graph.node)
    )
    taken: set[Path] = set()
    for _ in range(_MOST_ROUNDS):
        model = _without_weights(proto)
        wanted = _every_call_and(taken)
        expansion = expand(model, model.graph, functions, wanted, Names(model), most_nodes)
        drop_uncalled(model, functions)
        copy = _with_weights(model, file, _from_calls([expansion]))
        at = [(expansion.addresses.get(output), branch) for output, branch in _branches(copy)]
        found = {(*a.path, Step(a.output, branch)) for a, branch in at if a is not None}
        if found <= taken:
            break
        taken = taken | found
    return copy, expansion


def _every_call_and(branches: Container[Path]) -> Callable[[Path], bool]:
    return lambda path: not path[-1].body or path in branches


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy to work on; of large initializers it has type and shape."""
    graph = model.graph
    return onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        graph=GraphProto(
            name=graph.name,
            node=graph.node,
            input=graph.input,
            output=graph.output,
            value_info=graph.value_info,
            initializer=[t if is_small(t) else _shell(t) for t in graph.initializer],
            sparse_initializer=graph.sparse_initializer,
        ),
    )


def _shell(tensor: TensorProto) -> TensorProto:
    return TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)


def _from_calls(expansions: Iterable[Expansion]) -> set[str]:
    """The outputs of nodes that came out of functions."""
    return {name for e in expansions for name, address in e.addresses.items() if address.path}


def _with_weights(model: onnx.ModelProto, file: ModelFile, from_calls: set[str]) -> ModelFile:
    """A model file of a copy that reads its initializers where `file` has them."""
    copy = _model_file(model, file)
    return _model_file(model, file) if resolve_types(copy, from_calls) else copy


def _model_file(model: onnx.ModelProto, file: ModelFile) -> ModelFile:
    copy = ModelFile(model, file.path, None, file.folder.left)
    stored = {c.name: c for c in file.main.stored.values()}
    for constant in copy.main.stored.values():
        if constant.name in stored:
            constant._values = stored[constant.name]._values
    shapes.infer(copy)
    return copy


def _targets(copy: ModelFile, expansion: Expansion, goal: Goal, told: Hints) -> Iterator[_Target]:
    for pooling in survey(copy, goal, told, Bodies(copy.proto.functions)):
        of_graph = root_of(pooling.scope) is copy.main
        for planned in _better(pooling) if of_graph else ():
            nodes = _nodes_of(planned)
            ends = [_address(region.y.inputs[0], expansion) for region in planned.construct.found]
            paths = frozenset(_address(node, expansion).path for node in nodes)
            shared = _common(paths)
            depth = max(
                (n for n in range(len(shared) + 1) if shared[:n] in expansion.functions), default=0
            )
            yield _Target(frozenset(ends), paths, depth)


def _better(pooling: Pooling) -> list[Planned]:
    return [planned for planned in pooling.found if planned.plan.better]


def _nodes_of(planned: Planned) -> Iterable[gs.Node]:
    """The nodes of a construct, those that compute its constants included."""
    construct = planned.construct
    nodes = list(construct.nodes)
    outputs = [region.y for region in construct.found]
    nodes += producers([*outputs, *construct.parameters], {construct.x.name})
    return {id(node): node for node in nodes}.values()


def _address(node: gs.Node, expansion: Expansion) -> Address:
    output = next((t.name for t in node.outputs if t.name), "")
    return expansion.addresses.get(output, Address((), output))


def _common(paths: Iterable[Path]) -> Path:
    first, *others = paths
    length = 0
    while length < len(first) and all(path[: length + 1] == first[: length + 1] for path in others):
        length += 1
    return first[:length]


def _settle(
    file: ModelFile,
    targets: Sequence[_Target],
    functions: Mapping[Path, Key],
    goal: Goal,
    told: Hints,
) -> dict[Root, set[Path]]:
    """What to put in place, in which function, so that the targets are found.

    Where a function does not hold all that counts, its call is put in place too, and in the end
    every call up to the graph of the model.
    """
    while True:
        needed: dict[Root, set[Path]] = {}
        for target in targets:
            if paths := set(target.needed()):
                needed.setdefault(functions.get(target.root), set()).update(paths)
        found = _found(file, needed, goal, told)
        lost = [
            t
            for t in targets
            if _is_replaced(t, functions, needed) or not _is_among(t, functions, found)
        ]
        if not lost:
            return needed
        targets = [_shallower(t, functions) if t in lost else t for t in targets]
        targets = [t for t in targets if t not in lost]


def _shallower(target: _Target, functions: Mapping[Path, Key]) -> _Target:
    path = target.root
    depth = max((n for n in range(len(path)) if path[:n] in functions), default=0)
    return dataclasses.replace(target, depth=depth)


def _is_replaced(
    target: _Target, functions: Mapping[Path, Key], needed: Mapping[Root, set[Path]]
) -> bool:
    """Whether the call that leads to the root of a target is put in its place."""
    path = target.root
    roots = (n for n in range(len(path)) if n == 0 or path[:n] in functions)
    return any(path[n:] in needed.get(functions.get(path[:n]), ()) for n in roots)


_Ends = set[tuple[Root, Address]]


def _is_among(target: _Target, functions: Mapping[Path, Key], found: _Ends) -> bool:
    root, depth = functions.get(target.root), target.depth
    return all((root, Address(end.path[depth:], end.output)) in found for end in target.ends)


def _found(file: ModelFile, needed: Mapping[Root, set[Path]], goal: Goal, told: Hints) -> _Ends:
    """Where pooling ends that is found with these calls and branches in their place."""
    done: Mapping[Root, Expansion] = {}
    if needed:
        model = _without_weights(file.proto)
        done = _apply(model, needed)
        file = _with_weights(model, file, _from_calls(done.values()))
    found: _Ends = set()
    for pooling in survey(file, goal, told, Bodies(file.proto.functions)):
        proto = root_of(pooling.scope).proto
        root = None if isinstance(proto, GraphProto) else key_of_function(proto)
        path = tuple(_steps(pooling.scope))
        for planned in _better(pooling):
            for region in planned.construct.found:
                at = _address(region.y.inputs[0], done.get(root, Expansion()))
                found.add((root, at if root in done else Address(path, at.output)))
    return found


def _steps(scope: Scope) -> list[Step]:
    """The bodies that lead from its root to a scope."""
    if scope.outer is None or scope.owner is None:
        return []
    output = next((t.name for t in scope.owner.outputs if t.name), "")
    body = scope.name.partition(" of ")[0]
    return [*_steps(scope.outer), Step(output, body)]


def _apply(model: onnx.ModelProto, needed: Mapping[Root, set[Path]]) -> dict[Root, Expansion]:
    """Put these calls and branches in their place, and drop the functions that nothing calls."""
    called = called_functions(model)
    functions = {key_of_function(function): function for function in model.functions}
    as_they_came = {
        key: onnx.FunctionProto.FromString(function.SerializeToString())
        for key, function in functions.items()
    }
    names = Names(model)
    done: dict[Root, Expansion] = {}
    for root, paths in needed.items():
        proto = model.graph if root is None else functions[root]
        done[root] = expand(model, proto, as_they_came, _among(paths), names)
    drop_uncalled(model, called)
    return done


def _among(paths: set[Path]) -> Callable[[Path], bool]:
    return lambda path: path in paths


def _notes(done: Iterable[Expansion]) -> Iterator[str]:
    calls: dict[Key, int] = {}
    for expansion in done:
        for key, count in expansion.calls.items():
            calls[key] = calls.get(key, 0) + count
        for name in expansion.branches:
            yield f"If {name!r}: its condition is known, so its branch stands in its place"
    for (domain, name, _), count in calls.items():
        several = "1 call" if count == 1 else f"{count} calls"
        yield f"{several} of function {domain}::{name} put in place: pooling goes through"
