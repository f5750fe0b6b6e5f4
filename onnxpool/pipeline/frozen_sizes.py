"""What the user says of pooling: --output-size and --traced-size of what was frozen, --restore."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import onnx

from onnxpool.errors import ArgumentError
from onnxpool.inputs.sizes import parse, parse_named
from onnxpool.model.file import ModelFile
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.region.size import OutputSize
from onnxpool.rewrites.repair.hints import EVERY_NODE, AxisShare, Hints, Known

T = TypeVar("T")
OutputSizes = Mapping[str, str | Sequence[int | str]]
"""A number per pooled axis or one for all, -1 keeps an axis, "H/4" is a share of its length; or all
of it as the command line takes it, such as "H/4xW/4" or "ordinary"."""
TracedSizes = Mapping[str, Sequence[int]]
Restore = Mapping[str, Sequence[int]]
"""Per name of a node a number per pooled axis; "*" with none stands for all that is warned of."""

_FORMS = "NODE=7x7, NODE=7xNone, NODE=H/4xW/4, NODE=global or NODE=ordinary"
_ORDINARY = ()
"""What stands for a pool that is not adaptive."""
_SHARE = re.compile(r"(?P<axis>[DHWL])/(?P<divisor>\d+)")


def parse_output_sizes(texts: Iterable[str]) -> dict[str, OutputSize]:
    """The sizes written as NODE=7x7, NODE=7, NODE=H/4xW/4 and so on.

    Raises:
        ArgumentError: one is written otherwise, or a node is there twice.
    """
    return parse_named("--output-size", _FORMS, texts, _output_size)


def parse_traced_sizes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The shapes written as INPUT=1x3x224x224.

    Raises:
        ArgumentError: one is written otherwise, or an input is there twice.
    """
    return parse_named("--traced-size", "INPUT=1x3x224x224", texts, parse)


def parse_restore(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """What is written as NODE=6x6, or as * for all nodes.

    Raises:
        ArgumentError: one is written otherwise, or a node is there twice.
    """
    texts = list(texts)
    named = [text for text in texts if text != EVERY_NODE]
    every: dict[str, tuple[int, ...]] = {} if len(named) == len(texts) else {EVERY_NODE: ()}
    return every | parse_named("--restore", "NODE=6x6 or '*'", named, parse)


def told(
    file: ModelFile,
    output_sizes: OutputSizes | None,
    traced_sizes: TracedSizes | None,
    restore: Restore | None = None,
) -> Hints:
    """What the user says of a model, as `find` takes it, and who wrote the model.

    Raises:
        ArgumentError: a node or an input that is named is not in the model.
    """
    sizes = {name: _as_size(name, size) for name, size in (output_sizes or {}).items()}
    traced = {name: tuple(shape) for name, shape in (traced_sizes or {}).items()}
    restored = {name: _restored(name, size) for name, size in (restore or {}).items()}
    _check(file, sizes, traced)
    _check_nodes(file, "--restore", restored)
    ordinary = [name for name, size in sizes.items() if size == _ORDINARY]
    return Hints(
        output_sizes={name: size for name, size in sizes.items() if size != _ORDINARY},
        traced=traced,
        known={name: Known(None, "--output-size says so") for name in ordinary},
        restored=restored,
        producer=_producer(file.proto),
    )


def _producer(model: onnx.ModelProto) -> str:
    """Who wrote a model; where a tool has dropped that, the name of the graph may still tell."""
    return model.producer_name or model.graph.name


def _check(file: ModelFile, output_sizes: Iterable[str], traced_sizes: Iterable[str]) -> None:
    inputs = {tensor.name for tensor in file.main.graph.inputs}
    for name in traced_sizes:
        if name not in inputs:
            known = ", ".join(sorted(inputs))
            raise ArgumentError(f"--traced-size names {name!r}; the inputs are {known}")
    _check_nodes(file, "--output-size", output_sizes)


def _check_nodes(file: ModelFile, option: str, names: Iterable[str]) -> None:
    nodes = {
        node.name or next((tensor.name for tensor in node.outputs), "")
        for s in file.scopes
        for node in s.graph.nodes
    }
    for name in names:
        if name not in nodes and name != EVERY_NODE:
            raise ArgumentError(
                f"{option} names {name!r}, and no node of the model is called so; "
                "onnxpool inspect names the nodes"
            )


def _restored(name: str, size: Sequence[int]) -> tuple[int, ...]:
    """Raises:
    ArgumentError: it is no size, or not one of a node.
    """
    found = tuple(size)
    fits = all(isinstance(n, int) and n > 0 for n in found) and bool(found) != (name == EVERY_NODE)
    if not fits:
        raise ArgumentError(
            f"--restore {name} with the size {list(found)} is not understood; wanted NODE=6x6, or "
            "'*' alone"
        )
    return found


def _as_size(node: str, size: str | Sequence[int | str | AxisShare]) -> OutputSize:
    """A size as Python takes it.

    Raises:
        ArgumentError: it is none.
    """
    try:
        if isinstance(size, str):
            return _output_size(size)
        return tuple(_part(p) if isinstance(p, str) else p for p in map(_checked, size))
    except ValueError as error:
        raise ArgumentError(
            f"output size {size!r} of {node!r} is not understood; wanted sizes such as 7, -1 or "
            "'H/4', one per pooled axis"
        ) from error


def _output_size(text: str) -> OutputSize:
    """Raises:
    ValueError: it is written otherwise.
    """
    if text == "ordinary":
        return _ORDINARY
    if text == "global":
        return (1,)
    return tuple(_part(part) for part in text.split("x"))


def _part(text: str) -> int | AxisShare:
    if share := _SHARE.fullmatch(text):
        divisor = int(share["divisor"])
        _checked(divisor)
        return AxisShare(divisor, share["axis"])
    size = KEEP if text == "None" else int(text)
    _checked(size)
    return size


def _checked(size: T) -> T:
    if isinstance(size, int) and size < 1 and size != KEEP:
        raise ValueError(size)
    return size
