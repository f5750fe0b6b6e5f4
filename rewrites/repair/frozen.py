"""Pooling whose windows an exporter froze at the traced size: kernel = traced size / output size.

torch dynamo:       AveragePool(kernel = strides = H / O) where O divides the traced H
torch TorchScript:  the same, and kernel = the traced plane for F.avg_pool2d(x, x.shape[2:])

The output size O is not in the node any more, and an ordinary AvgPool2d(2) looks the same. That a
node is frozen is known from

    its metadata         the class AdaptiveAvgPool2d, a source line that calls adaptive_avg_pool2d
                         or takes its kernel from the shape of x
    a declared size      of Y that is fixed, though that of X is open
    other pools          of the same tensor: a pyramid

and what O was from

    what reads it        see proven_size.py
    the traced size      solved from what else the export froze: see traced_size.py
    the user             --output-size, --traced-size

Where one O is left, it is taken and the evidence is told; where several are, none is taken.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, AdaptivePool
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.graph.tensors import is_float, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import SWEEP, Plane, in_words
from onnxpool.rewrites.region.trials import Trials
from onnxpool.rewrites.repair.hints import Hints, WrongHint
from onnxpool.rewrites.repair.proven_size import Proof, proven_size
from onnxpool.rewrites.repair.traced_size import TracedSizes

_POOLS: dict[str, type[AdaptivePool]] = {
    "AveragePool": AdaptiveAveragePool,
    "MaxPool": AdaptiveMaxPool,
}
_FULL_SIZE = re.compile(r"(avg|max)_pool[123]d\(.*(\.size\(|\.shape)")
_ADAPTIVE = re.compile(r"adaptive_(avg|max)_pool|Adaptive(Avg|Max)Pool[123]d")
_ORDINARY = re.compile(r"\.(Avg|Max)Pool[123]d$|(?<!adaptive_)(avg|max)_pool[123]d\(")
_KEPT = 16
"""A length for an axis that is kept: any will do."""
_MOST_CANDIDATES = 4


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A pool of side-by-side windows over a plane of open size.

    Attributes:
        kernel: the length of its windows per pooled axis.
        why: why it is believed to be frozen; empty where nothing says so.
        ordinary: whether its origin says that it is not.
        proof: what its readers prove of its output size.
    """

    node: gs.Node
    kernel: tuple[int, ...]
    why: str
    ordinary: bool
    proof: Proof | None

    @property
    def x(self) -> gs.Variable:
        return self.node.inputs[0]

    @property
    def y(self) -> gs.Variable:
        return self.node.outputs[0]

    @property
    def name(self) -> str:
        return str(self.node.name or self.y.name)

    @property
    def region(self) -> Region:
        role = Role.LINEAR | Role.SUM if self.node.op == "AveragePool" else Role.MAX
        return Region(self.x, self.y, (self.node,), role)


def settle(
    graph: gs.Graph,
    constructs: Sequence[Construct],
    declined: Sequence[Declined],
    trials: Trials,
    hints: Hints,
    opset: int,
) -> tuple[list[Construct], list[Declined]]:
    """Judge the frozen pools of a graph, all of them together.

    Args:
        constructs, declined: what the other rules made of the graph.

    Returns:
        Both, with the frozen pools in them.

    Raises:
        WrongHint: what the user said does not fit the graph.
    """
    suspects = [f for f in _suspects(graph, trials, hints) if not _is_lifted(f, constructs)]
    frozen = _with_siblings(suspects, constructs)
    _check_names(graph, frozen, hints)
    if not frozen:
        return list(constructs), list(declined)
    traced = TracedSizes(trials, hints, constructs, opset)
    settled = _settle_all(frozen, traced, hints)
    found = [_construct(f, *settled[id(f.node)]) for f in frozen if id(f.node) in settled]
    open_ = [f for f in frozen if id(f.node) not in settled and not f.ordinary]
    left = [_unsettled(f, traced) for f in open_]
    judged = {id(f.node) for f in (*open_, *(f for f in frozen if id(f.node) in settled))}
    others = [d for d in declined if not any(id(node) in judged for node in d.region.nodes)]
    return [*constructs, *found], [*others, *left]


def _check_names(graph: gs.Graph, frozen: Sequence[Frozen], hints: Hints) -> None:
    known = {f.name for f in frozen}
    nodes = {node.name or node.outputs[0].name for node in graph.nodes}
    for name in hints.output_sizes:
        if name in nodes and name not in known:
            there_are = ", ".join(sorted(known)) or "none"
            raise WrongHint(
                f"--output-size names node {name!r}, which is no pooling whose windows may be "
                f"frozen; of these there are: {there_are}"
            )


def _suspects(graph: gs.Graph, trials: Trials, hints: Hints) -> list[Frozen]:
    return [
        _suspect(node, trials, hints.origins.get(id(node), Origin()))
        for node in graph.nodes
        if _has_side_by_side_windows(node) and _is_open(node, trials)
    ]


def _has_side_by_side_windows(node: gs.Node) -> bool:
    if node.op not in _POOLS or len(node.outputs) != 1 or not is_float(node.outputs[0].dtype):
        return False
    if any(isinstance(value, gs.Node.AttributeRef) for value in node.attrs.values()):
        return False
    kernel = list(node.attrs.get("kernel_shape", ()))
    return (
        list(node.attrs.get("strides", ())) == kernel
        and not any(node.attrs.get("pads", ()))
        and set(node.attrs.get("dilations", (1,))) == {1}
        and node.attrs.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and not node.attrs.get("ceil_mode", 0)
    )


def _is_open(node: gs.Node, trials: Trials) -> bool:
    x, k = node.inputs[0], len(node.attrs["kernel_shape"])
    rank = len(shape_of(x) or ())
    return rank == k + 2 and any(trials.is_open(x, axis) for axis in range(2, rank))


def _suspect(node: gs.Node, trials: Trials, origin: Origin) -> Frozen:
    kernel = tuple(node.attrs["kernel_shape"])
    proof = proven_size(node.outputs[0], len(kernel), trials.constants)
    why, size = _said_by(origin, len(kernel))
    if size is not None and proof is None:
        proof = Proof(size, None, why)
    ordinary = not why and any(_ORDINARY.search(text) for text in (*origin.modules, origin.line))
    if not why and proof is not None and proof.declared:
        why = proof.because
    return Frozen(node, kernel, why, ordinary, proof)


def _said_by(origin: Origin, k: int) -> tuple[str, tuple[int, ...] | None]:
    """What the metadata says: why it is frozen, and its output size where that is 1."""
    for text in (*origin.modules, origin.line):
        if _ADAPTIVE.search(text):
            return f"its metadata says {text.strip()!r}", None
    if _FULL_SIZE.search(origin.line):
        return f"its source line is {origin.line.strip()!r}", (1,) * k
    return "", None


def _is_lifted(frozen: Frozen, constructs: Sequence[Construct]) -> bool:
    return any(node is frozen.node for construct in constructs for node in construct.nodes)


def _with_siblings(suspects: Sequence[Frozen], constructs: Sequence[Construct]) -> list[Frozen]:
    """The suspects, with what the other pools of their tensor say."""
    told = []
    for frozen in suspects:
        lifted = [c.found[0].y.name for c in constructs if _is_sibling(c, frozen)]
        others = [s.y.name for s in suspects if s.x is frozen.x and s.kernel != frozen.kernel]
        siblings = lifted or others
        if siblings and not frozen.why and not frozen.ordinary:
            names = ", ".join(map(repr, siblings[:3]))
            frozen = dataclasses.replace(frozen, why=f"{names} pool the same tensor: a pyramid")
        told.append(frozen)
    return told


def _is_sibling(construct: Construct, frozen: Frozen) -> bool:
    same_kind = isinstance(construct.op, _POOLS[frozen.node.op])
    return same_kind and construct.x is frozen.x and construct.repair is not None


def _settle_all(
    frozen: Sequence[Frozen], traced: TracedSizes, hints: Hints
) -> dict[int, tuple[tuple[int, ...], str]]:
    """Per node the output size and the evidence; what is settled narrows the rest."""
    settled: dict[int, tuple[tuple[int, ...], str]] = {}
    believed = [f for f in frozen if f.why or _given_size(f, hints)]
    for f in believed:
        traced.fits(f.x, f.kernel)
    rules = (_given, _proven, _solved)
    for rule in rules:
        for f in believed:
            if id(f.node) not in settled and (found := rule(f, traced, hints)):
                settled[id(f.node)] = found
                traced.is_exactly(f.x, f.kernel, found[0])
    return settled


def _given_size(f: Frozen, hints: Hints) -> tuple[int, ...] | None:
    if f.name not in hints.output_sizes and (f.ordinary or not f.why):
        return None
    return hints.output_size(f.name, len(f.kernel))


def _given(f: Frozen, traced: TracedSizes, hints: Hints) -> tuple[tuple[int, ...], str] | None:
    size = _given_size(f, hints)
    return None if size is None else (size, f"--output-size says {in_words(size)}")


def _proven(f: Frozen, traced: TracedSizes, hints: Hints) -> tuple[tuple[int, ...], str] | None:
    if f.proof is None or f.proof.output_size is None:
        return None
    if None in f.proof.sizes and len(set(f.kernel)) > 1:
        return None
    return f.proof.output_size, f.proof.because


def _solved(f: Frozen, traced: TracedSizes, hints: Hints) -> tuple[tuple[int, ...], str] | None:
    lengths = [
        traced.lengths(f.x, axis) if size > 1 else None for axis, size in enumerate(f.kernel)
    ]
    if any(found is not None and len(found) != 1 for found in lengths):
        return None
    sizes = tuple(
        KEEP if found is None else found[0] // size
        for found, size in zip(lengths, f.kernel, strict=True)
    )
    plane = "x".join("?" if found is None else str(found[0]) for found in lengths)
    kept = "; an axis of kernel 1 is taken as kept" if KEEP in sizes else ""
    return sizes, f"{traced.because(f.x)} {plane}, its kernel is {in_words(f.kernel)}{kept}"


def _construct(f: Frozen, size: tuple[int, ...], evidence: str) -> Construct:
    right = tuple(_KEPT if o == KEEP else k * o for k, o in zip(f.kernel, size, strict=True))
    fine: list[Plane] = [right]
    wrong: list[Plane] = []
    failing: list[Plane] = []
    for plane in ((n,) * len(size) for n in SWEEP):
        fits = all(o == KEEP or n == r for n, o, r in zip(plane, size, right, strict=True))
        runs = all(n >= k for n, k in zip(plane, f.kernel, strict=True))
        (fine if fits else wrong if runs else failing).append(plane)
    repair = Repair(tuple(dict.fromkeys(fine)), tuple(wrong), tuple(failing), evidence)
    op = _POOLS[f.node.op](size)
    return Construct(op, (f.region,), repair=repair)


def _unsettled(f: Frozen, traced: TracedSizes) -> Declined:
    if not f.why:
        proven = f.proof.output_size if f.proof else None
        size = in_words(proven) if proven else "HxW"
        return Declined(
            f.region,
            "windows of a fixed size over sizes that are not fixed; if the source pools adaptively "
            "here, it is right at the traced size only; then say to which size it pools: "
            f"--output-size {f.name}={size}{f' ({f.proof.because})' if f.proof and proven else ''}",
            level="warning",
        )
    candidates = traced.candidates(f.x, f.kernel, _MOST_CANDIDATES)
    shown = ", ".join(f"{in_words(o)} (traced at {in_words(t)})" for o, t in candidates)
    return Declined(
        f.region,
        f"frozen at the traced size ({f.why}); its kernel {in_words(f.kernel)} does not say to "
        f"which size it pools: {shown or 'any'}, …; say it with --output-size {f.name}=HxW or "
        f"--traced-size {traced.input_name(f.x)}=SHAPE",
        level="error",
    )
