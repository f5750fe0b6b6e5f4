"""What the user says of pooling that was frozen: --output-size and --traced-size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onnxpool.errors import ArgumentError
from onnxpool.inputs.sizes import parse_named
from onnxpool.model.file import ModelFile
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.repair.hints import EVERY_NODE, Hints

OutputSizes = Mapping[str, Sequence[int]]
TracedSizes = Mapping[str, Sequence[int]]


def parse_output_sizes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The sizes written as NODE=7x7, NODE=7, NODE=7xNone or NODE=global.

    Raises:
        ArgumentError: one is written otherwise, or a node is there twice.
    """
    return parse_named("--output-size", "NODE=7x7 or NODE=global", texts, _output_size)


def parse_traced_sizes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The shapes written as INPUT=1x3x224x224.

    Raises:
        ArgumentError: one is written otherwise, or an input is there twice.
    """
    return parse_named("--traced-size", "INPUT=1x3x224x224", texts)


def told(
    file: ModelFile, output_sizes: OutputSizes | None, traced_sizes: TracedSizes | None
) -> Hints:
    """What the user says of a model, as `find` takes it.

    Raises:
        ArgumentError: a node or an input that is named is not in the model.
    """
    sizes = {name: tuple(size) for name, size in (output_sizes or {}).items()}
    traced = {name: tuple(shape) for name, shape in (traced_sizes or {}).items()}
    _check(file, sizes, traced)
    return Hints(output_sizes=sizes, traced=traced)


def _check(file: ModelFile, output_sizes: Iterable[str], traced_sizes: Iterable[str]) -> None:
    inputs = {tensor.name for tensor in file.main.graph.inputs}
    for name in traced_sizes:
        if name not in inputs:
            known = ", ".join(sorted(inputs))
            raise ArgumentError(f"--traced-size names {name!r}; the inputs are {known}")
    nodes = {node.name or node.outputs[0].name for s in file.scopes for node in s.graph.nodes}
    for name in output_sizes:
        if name not in nodes and name != EVERY_NODE:
            raise ArgumentError(
                f"--output-size names {name!r}, and no node of the model is called so; "
                "onnxpool inspect names the nodes"
            )


def _output_size(text: str) -> tuple[int, ...]:
    if text == "global":
        return (1,)
    sizes = tuple(KEEP if part in ("None", "-1") else int(part) for part in text.split("x"))
    if any(size < 1 and size != KEEP for size in sizes):
        raise ValueError(text)
    return sizes
