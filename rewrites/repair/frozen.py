"""Pooling whose windows an exporter froze at the traced size: kernel = traced size / output size.

torch dynamo:       AveragePool(kernel = strides = H / O) where O divides the traced H
torch TorchScript:  the same, and kernel = the traced plane for F.avg_pool2d(x, x.shape[2:])

The output size O is not in the node any more. It may have been fixed, or a share of H, and an
ordinary AvgPool2d(2) looks the same. Which of these three it is says

    the user                      --output-size
    the source, where it was run  `Hints.known`
    the metadata                  see evidence.py
    a declared size of Y          that is fixed, though that of X is open

Nothing else does, not the pools beside it. What O was is known from the same, and from

    what reads it        see proven_size.py
    the traced size      solved from what else the export froze: see traced_size.py

Where one O is left, it is taken and the evidence is told; where several are, none is taken. Then
nothing is repaired that the same outputs depend on: a model that fails is better than one that is
wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, AdaptivePool
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.graph.constants import has_reference
from onnxpool.rewrites.graph.tensors import is_float, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import (
    SWEEP,
    OutputSize,
    Plane,
    Share,
    as_attribute,
    in_words,
    shares,
)
from onnxpool.rewrites.region.trials import Trials
from onnxpool.rewrites.repair.call_sites import Called, of_call_sites
from onnxpool.rewrites.repair.evidence import Evidence, leaves_open, of_origin
from onnxpool.rewrites.repair.hints import EVERY_NODE, Hints, Known, WrongHint
from onnxpool.rewrites.repair.proven_size import Proof, proven_size
from onnxpool.rewrites.repair.source_line import Says
from onnxpool.rewrites.repair.traced_size import TracedSizes

_POOLS: dict[str, type[AdaptivePool]] = {
    "AveragePool": AdaptiveAveragePool,
    "MaxPool": AdaptiveMaxPool,
}
_KEPT = 16
"""A length for an axis that is kept: any will do."""
_MOST_CANDIDATES = 4


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A pool of side-by-side windows over a plane of open size.

    Attributes:
        kernel: the length of its windows per pooled axis.
        evidence: what the metadata says that it is.
        proof: what its readers prove of its output size.
        known: what running its source showed, or the user said.
        leaves_open: whether it may be adaptive though nothing says so.
    """

    node: gs.Node
    kernel: tuple[int, ...]
    evidence: Evidence
    proof: Proof | None
    known: Known | None = None
    leaves_open: bool = False

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

    @property
    def is_ordinary(self) -> bool:
        if self.known is not None:
            return self.known.size is None
        return self.evidence.says is Says.ORDINARY

    @property
    def is_adaptive(self) -> bool:
        if self.known is not None:
            return self.known.size is not None
        return self.evidence.is_adaptive

    @property
    def is_share(self) -> bool:
        """Whether its output size is known to follow its input."""
        size = self.known.size if self.known else self.evidence.size
        return any(isinstance(part, Share) for part in size or ())


@dataclasses.dataclass(frozen=True)
class _Settled:
    """Attributes:
    evidence: from what the size is known, in words.
    certain: see `Repair`.
    """

    size: OutputSize
    evidence: str
    certain: bool


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
    suspects = _suspects(graph, constructs, trials, hints)
    constructs = [c for c in constructs if not _contains(c, suspects)]
    frozen = [f for f in suspects if not _is_lifted(f, constructs)]
    _check_names(graph, frozen, hints)
    if not frozen:
        return list(constructs), list(declined)
    traced = TracedSizes(graph, trials, hints, constructs, opset)
    settled = _settle_all(frozen, traced, hints)
    found = [_construct(f, settled[id(f.node)]) for f in frozen if id(f.node) in settled]
    rest = [f for f in frozen if id(f.node) not in settled and not f.is_ordinary]
    waits = _waits((*constructs, *found), rest, hints, graph)
    awaited = {id(f.node) for _, f in waits if f is not None}
    left = [
        _unsettled(f, _beside(f, rest, constructs), traced, id(f.node) in awaited) for f in rest
    ]
    judged = {id(f.node) for f in frozen if id(f.node) in settled or f in rest}
    others = [d for d in declined if not any(id(node) in judged for node in d.region.nodes)]
    return [_waiting(c, f) for c, f in waits], [*others, *left]


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


def _suspects(
    graph: gs.Graph, constructs: Sequence[Construct], trials: Trials, hints: Hints
) -> list[Frozen]:
    nodes = [n for n in graph.nodes if has_side_by_side_windows(n) and _is_open(n, trials)]
    evidence = of_call_sites(
        [
            *(_called(node, hints) for node in nodes),
            *_called_beside(graph, constructs, hints),
        ]
    )
    return [_suspect(n, trials, e, hints) for n, e in zip(nodes, evidence, strict=False)]


def _called_beside(
    graph: gs.Graph, constructs: Sequence[Construct], hints: Hints
) -> Iterator[Called]:
    """The means, and the pools whose windows the graph computes."""
    computed = [c for c in constructs if len(c.nodes) > 1 and isinstance(c.op, AdaptivePool)]
    of_them = {id(node) for construct in computed for node in construct.nodes}
    for construct in computed:
        mode = "max" if isinstance(construct.op, AdaptiveMaxPool) else "avg"
        for region in construct.found:
            yield Called(_origin(region.y.inputs[0], hints), mode, None)
    for node in graph.nodes:
        if node.op == "ReduceMean" and id(node) not in of_them:
            yield Called(_origin(node, hints), "avg", ())


def _origin(node: gs.Node, hints: Hints) -> Origin:
    return hints.origins.get(id(node), Origin())


def _kernel(node: gs.Node) -> tuple[int, ...]:
    return tuple(node.attrs["kernel_shape"])


def _called(node: gs.Node, hints: Hints) -> Called:
    origin, kernel = _origin(node, hints), _kernel(node)
    mode = "avg" if node.op == "AveragePool" else "max"
    return Called(origin, mode, kernel, of_origin(origin, mode, kernel))


def has_side_by_side_windows(node: gs.Node) -> bool:
    if node.op not in _POOLS or len(node.outputs) != 1 or not is_float(node.outputs[0].dtype):
        return False
    if has_reference(node):
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


def _suspect(node: gs.Node, trials: Trials, noted: Evidence, hints: Hints) -> Frozen:
    kernel = _kernel(node)
    proof = proven_size(node.outputs[0], len(kernel), trials.constants)
    if noted.says is Says.NOTHING and proof is not None and proof.declared:
        noted = Evidence(Says.FIXED, proof.because)
    if noted.says is Says.SHARE and not noted.own_lengths and not _is_input_plane(node, trials):
        noted = Evidence(Says.ADAPTIVE, noted.because, asks=True)
    known = hints.known.get(node.name or node.outputs[0].name)
    if noted.says is Says.NOTHING and known is None:
        known = hints.known.get(EVERY_NODE)
    is_open = known is None and leaves_open(noted, _origin(node, hints), kernel)
    return Frozen(node, kernel, noted, proof, known, is_open)


def _is_input_plane(node: gs.Node, trials: Trials) -> bool:
    """Whether the lengths of X are sizes of an input: then no other tensor has divided ones."""
    x = node.inputs[0]
    dims = (shape_of(x) or ())[-len(_kernel(node)) :]
    return all(isinstance(dim, str) and dim in trials.symbols for dim in dims)


def _contains(construct: Construct, suspects: Sequence[Frozen]) -> bool:
    """Whether it takes the windows of a frozen pool, among other nodes, for what they are."""
    nodes = construct.nodes if len(construct.nodes) > 1 else ()
    adaptive = {id(f.node) for f in suspects if f.is_adaptive}
    return any(id(node) in adaptive for node in nodes)


def _is_lifted(frozen: Frozen, constructs: Sequence[Construct]) -> bool:
    return any(node is frozen.node for construct in constructs for node in construct.nodes)


def _settle_all(frozen: Sequence[Frozen], traced: TracedSizes, hints: Hints) -> dict[int, _Settled]:
    """Per `id` of a node what it pools to; what is settled narrows the rest."""
    settled: dict[int, _Settled] = {}
    believed = [f for f in frozen if f.is_adaptive or _given_size(f, hints)]
    for f in believed:
        traced.fits(f.x, f.kernel)
    rules = (_given, _known, _noted_size, _proven, _solved, _divided)
    for rule in rules:
        for f in believed:
            if id(f.node) not in settled and (found := rule(f, traced, hints)):
                settled[id(f.node)] = found
                fixed = [KEEP if isinstance(s, Share) else s for s in found.size]
                traced.is_exactly(f.x, f.kernel, fixed)
    return settled


def _given_size(f: Frozen, hints: Hints) -> OutputSize | None:
    if f.name not in hints.output_sizes and not f.is_adaptive:
        return None
    return hints.output_size(f.name, len(f.kernel))


def _given(f: Frozen, traced: TracedSizes, hints: Hints) -> _Settled | None:
    size = _given_size(f, hints)
    if size is None:
        return None
    if wrong := [s for s, k in zip(size, f.kernel, strict=True) if not _made_windows(s, k)]:
        raise WrongHint(
            f"--output-size {f.name}={in_words(size)} does not fit windows of "
            f"{in_words(f.kernel)}: {_why_not(wrong[0])}"
        )
    return _Settled(size, f"--output-size says {in_words(size)}", certain=True)


def _made_windows(size: int | Share, kernel: int) -> bool:
    """Whether an axis pooled to `size` has windows of this length at some size."""
    if isinstance(size, Share):
        return size.makes(kernel)
    return kernel == 1 or size != KEEP


def _why_not(size: int | Share) -> str:
    if isinstance(size, Share):
        most = 2 * size.divisor - 1
        return f"those of a share {in_words((size,))[1:]} are {size.divisor} to {most} long"
    return "an axis that is kept has windows of 1"


def _known(f: Frozen, traced: TracedSizes, hints: Hints) -> _Settled | None:
    if f.known is None or f.known.size is None:
        return None
    return _Settled(f.known.size, f.known.because, certain=True)


def _noted_size(f: Frozen, traced: TracedSizes, hints: Hints) -> _Settled | None:
    if f.evidence.size is None or f.evidence.open_divisor:
        return None
    return _Settled(f.evidence.size, f.evidence.because, certain=not f.is_share)


def _proven(f: Frozen, traced: TracedSizes, hints: Hints) -> _Settled | None:
    if f.proof is None or f.proof.output_size is None or f.is_share:
        return None
    if None in f.proof.sizes and len(set(f.kernel)) > 1:
        return None
    return _Settled(f.proof.output_size, f.proof.because, certain=True)


def _solved(f: Frozen, traced: TracedSizes, hints: Hints) -> _Settled | None:
    if f.evidence.asks or f.is_share:
        return None
    kept = [size == 1 and set(f.kernel) != {1} for size in f.kernel]
    if any(kept) and not traced.is_told:
        return None
    found = traced.plane(f.x, f.kernel)
    if found is None:
        return None
    plane, because = found
    sizes = tuple(
        KEEP if is_kept else length // size
        for is_kept, length, size in zip(kept, plane, f.kernel, strict=True)
    )
    shown = "x".join("?" if k else str(n) for k, n in zip(kept, plane, strict=True))
    note = "; an axis of kernel 1 is taken as kept" if KEEP in sizes else ""
    evidence = f"{because} {shown}, its kernel is {in_words(f.kernel)}{note}"
    fixed = f.evidence.says is Says.FIXED
    return _Settled(sizes, evidence, certain=traced.is_told and fixed and KEEP not in sizes)


def _divided(f: Frozen, traced: TracedSizes, hints: Hints) -> _Settled | None:
    """A share whose divisor is not known: the traced lengths may say it, or the windows alone."""
    if f.known is not None or not f.evidence.open_divisor:
        return None
    possible = _possible_shares(f, traced)
    if any(len(found) > 1 for found in possible):
        return None
    size = tuple(found[0] for found in possible)
    return _Settled(
        size, f"{f.evidence.because}; its kernel is {in_words(f.kernel)}", certain=False
    )


def _possible_shares(f: Frozen, traced: TracedSizes) -> list[Sequence[int | Share]]:
    """Per axis, the shares of it that have such windows; its size where that is no share."""
    found = traced.plane(f.x, f.kernel)
    # Of the shortest axis with such windows all shares have them that any longer one has.
    plane = found[0] if found else f.kernel
    size = f.evidence.size or tuple(map(Share, f.kernel))
    return [
        shares(length, kernel) if isinstance(part, Share) else [part]
        for length, kernel, part in zip(plane, f.kernel, size, strict=True)
    ]


def _construct(f: Frozen, settled: _Settled) -> Construct:
    repair = _repair(f, settled)
    op = _POOLS[f.node.op](as_attribute(settled.size))
    shares = tuple(s.divisor if isinstance(s, Share) else 1 for s in settled.size)
    return Construct(op, (f.region,), repair=repair, shares=shares if _has_share(settled) else ())


def _has_share(settled: _Settled) -> bool:
    return any(isinstance(size, Share) for size in settled.size)


def _repair(f: Frozen, settled: _Settled) -> Repair:
    axes = list(zip(f.kernel, settled.size, strict=True))
    exact = tuple(_KEPT if o == KEEP else k if isinstance(o, Share) else k * o for k, o in axes)
    right: list[Plane] = [exact]
    wrong: list[Plane] = []
    failing: list[Plane] = []
    for plane in ((n,) * len(axes) for n in SWEEP):
        fits = all(_is_right(n, k, o) for n, (k, o) in zip(plane, axes, strict=True))
        runs = all(n >= k for n, k in zip(plane, f.kernel, strict=True))
        (right if fits else wrong if runs else failing).append(plane)
    return Repair(
        tuple(dict.fromkeys(right)),
        tuple(wrong),
        tuple(failing),
        settled.evidence,
        certain=settled.certain,
    )


def _is_right(length: int, kernel: int, size: int | Share) -> bool:
    """Whether windows of this length, side by side, are those that pool to `size`."""
    if isinstance(size, Share):
        return size.fills(length, kernel)
    return size == KEEP or length == kernel * size


def _beside(f: Frozen, rest: Sequence[Frozen], constructs: Sequence[Construct]) -> list[str]:
    """Names of what pools the same tensor otherwise, as the levels of a pyramid do."""
    lifted = [c.found[0].y.name for c in constructs if c.x is f.x and _is_sibling(c, f)]
    return lifted + [s.y.name for s in rest if s.x is f.x and s.kernel != f.kernel]


def _is_sibling(construct: Construct, f: Frozen) -> bool:
    return isinstance(construct.op, _POOLS[f.node.op]) and construct.repair is not None


def _unsettled(f: Frozen, beside: Sequence[str], traced: TracedSizes, is_awaited: bool) -> Declined:
    if f.is_adaptive:
        because = f.known.because if f.known else f.evidence.because
        return _asked(f, traced, f"frozen at the traced size ({because})")
    proven = f.proof.output_size if f.proof else None
    doubt = ""
    if proven and f.proof:
        doubt = f" ({f.proof.because})"
    elif beside:
        doubt = f" ({', '.join(map(repr, beside[:3]))}: pooling of the same tensor)"
    if is_awaited:
        what = f"an ordinary pool (--output-size {f.name}=ordinary), or frozen at the traced size"
        return _asked(f, traced, f"{what}{doubt}")
    return Declined(
        f.region,
        "windows of a fixed size over sizes that are not fixed; if the source pools adaptively "
        "here, it is right at the traced size only; then say to which size it pools: "
        f"--output-size {f.name}={in_words(proven) if proven else 'HxW'}{doubt}, else "
        f"--output-size {f.name}=ordinary",
        level="warning" if doubt else "note",
    )


def _asked(f: Frozen, traced: TracedSizes, what: str) -> Declined:
    """A question for its size, with the sizes that are possible."""
    shown = "" if f.is_share else _fixed_sizes(f, traced)
    if f.evidence.says in (Says.ADAPTIVE, Says.SHARE) and max(f.kernel) > 1:
        shown += f"{', or ' if shown else ''}a share of its input: {_shares_in_words(f, traced)}"
    told = "" if traced.is_told else f" or --traced-size {traced.input_name(f.x)}=SHAPE"
    return Declined(
        f.region,
        f"{what}; its kernel {in_words(f.kernel)} does not say to which size it pools: {shown}; "
        f"say it with --output-size {f.name}=HxW{told}",
        level="error",
    )


def _fixed_sizes(f: Frozen, traced: TracedSizes) -> str:
    found = traced.candidates(f.x, f.kernel, _MOST_CANDIDATES)
    sizes = [f"{in_words(o)} (traced at {t})" for o, t in found]
    more = ", …" if len(sizes) == _MOST_CANDIDATES or not sizes else ""
    return f"{', '.join(sizes) or 'any'}{more}"


def _shares_in_words(f: Frozen, traced: TracedSizes) -> str:
    """The share that needs the longest axis, and the one that needs the shortest."""
    possible = _possible_shares(f, traced)
    ends = [[found[i] for found in possible] for i in (-1, 0)]
    words = [in_words([_kept_or(part) for part in end]) for end in ends]
    return " to ".join(dict.fromkeys(words))


def _kept_or(part: int | Share) -> int | Share:
    return KEEP if part == Share(1) else part


def _waits(
    constructs: Sequence[Construct], rest: Sequence[Frozen], hints: Hints, graph: gs.Graph
) -> list[tuple[Construct, Frozen | None]]:
    """Each construct, with what it waits for."""
    if not any(construct.repair for construct in constructs):
        return [(construct, None) for construct in constructs]
    outputs = [_outputs_behind((f.y,), graph) for f in rest]
    open_ones = list(zip(rest, outputs, strict=True))
    return [(c, _waits_for(c, open_ones, hints, graph)) for c in constructs]


def _waits_for(
    construct: Construct,
    rest: Sequence[tuple[Frozen, set[str]]],
    hints: Hints,
    graph: gs.Graph,
) -> Frozen | None:
    """The pool of unknown size that has to be known before a construct is repaired.

    That is one of the same tensor or behind the same output; and beside a level of a pyramid one
    that may be another level, unless the user said what that level is.

    Args:
        rest: the pools of unknown size, with the outputs that are computed of each.
    """
    if construct.repair is None:
        return None
    behind = _outputs_behind((r.y for r in construct.found), graph)
    said = any(n.name in hints.output_sizes for n in construct.nodes)
    for f, outputs in rest:
        same_output = (f.is_adaptive or f.leaves_open) and behind & outputs
        same_tensor = f.x is construct.x and (f.is_adaptive or not said)
        if same_output or (same_tensor and isinstance(construct.op, _POOLS[f.node.op])):
            return f
    return None


def _waiting(construct: Construct, f: Frozen | None) -> Construct:
    if construct.repair is None or f is None:
        return construct
    repair = dataclasses.replace(construct.repair, waits_for=repr(f.name))
    return dataclasses.replace(construct, repair=repair)


def _outputs_behind(tensors: Iterable[gs.Variable], graph: gs.Graph) -> set[str]:
    """Names of the outputs of the graph that are computed of these tensors."""
    outputs = {tensor.name for tensor in graph.outputs}
    pending, seen = list(tensors), dict[str, gs.Variable]()
    while pending:
        tensor = pending.pop()
        if tensor.name not in seen:
            seen[tensor.name] = tensor
            pending += [y for reader in tensor.outputs for y in reader.outputs]
    return outputs & seen.keys()
