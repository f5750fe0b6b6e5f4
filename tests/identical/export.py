"""PyTorch modules through torch's exporters, at an opset, with all sizes fixed or open.

A `Source` is a module with its inputs and its axes of any length; a `Variant` is a way to export
it. Models are exported when they are first asked for, once in a process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import Tensor, nn

from tests.exports.export import quiet, through_torchscript


@dataclasses.dataclass(frozen=True)
class Source:
    """A module to export.

    Attributes:
        name: unique among its kind.
        torchscript: the first opset in which TorchScript's exporter can write it; None: in none.
    """

    name: str
    _: dataclasses.KW_ONLY
    torchscript: int | None = 13

    def module(self) -> nn.Module:
        raise NotImplementedError

    def inputs(self) -> dict[str, Tensor]:
        """By the names of the inputs, in their order."""
        raise NotImplementedError

    def axes(self) -> dict[str, dict[int, str]]:
        """The axes that may have any length, by input, with the names of their lengths."""
        raise NotImplementedError

    def can_be(self, variant: Variant) -> bool:
        if variant.exporter == "dynamo":
            return True
        return self.torchscript is not None and self.torchscript <= variant.opset


Exporter = Literal["dynamo", "torchscript"]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to export a module."""

    exporter: Exporter
    opset: int
    open_sizes: bool

    def __str__(self) -> str:
        return f"{self.exporter}-{self.opset}-{'open' if self.open_sizes else 'fixed'}"


VARIANTS = (
    Variant("torchscript", 13, open_sizes=False),
    Variant("torchscript", 16, open_sizes=True),
    Variant("torchscript", 20, open_sizes=True),
    Variant("dynamo", 18, open_sizes=True),
    Variant("dynamo", 23, open_sizes=False),
)
"""Each exporter with its norms and attention decomposed and as nodes of their own."""

OPSETS: dict[Exporter, tuple[int, ...]] = {
    "torchscript": (13, 14, 15, 16, 17, 18, 19, 20),
    "dynamo": (18, 19, 20, 21, 22, 23),
}
ALL_VARIANTS = tuple(
    Variant(exporter, opset, open_sizes)
    for exporter, opsets in OPSETS.items()
    for opset, open_sizes in itertools.product(opsets, (False, True))
)


@functools.cache
def exported(source: Source, variant: Variant) -> bytes:
    """The serialized model."""
    torch.manual_seed(0)
    with _very_quiet():
        if variant.exporter == "dynamo":
            return _dynamo(source, variant)
        return _torchscript(source, variant)


def parameters(
    sources: Iterable[Source], variants: Iterable[Variant], slow: Iterable[Variant] = ()
) -> list[ParameterSet]:
    """For pytest.mark.parametrize: every pair; all tests of a source on one worker."""
    variants = tuple(variants)
    rest = [variant for variant in slow if variant not in variants]
    return [
        pytest.param(
            source,
            variant,
            id=f"{source.name}-{variant}",
            marks=[
                pytest.mark.xdist_group(source.name),
                *([pytest.mark.slow] if variant in rest else []),
            ],
        )
        for source in sources
        for variant in (*variants, *rest)
        if source.can_be(variant)
    ]


def _dynamo(source: Source, variant: Variant) -> bytes:
    program = torch.onnx.export(
        _program(source, variant.open_sizes),
        opset_version=variant.opset,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    assert model.opset_import[0].version == variant.opset
    return model.SerializeToString()


@functools.cache
def _program(source: Source, open_sizes: bool) -> torch.export.ExportedProgram:
    inputs, axes = source.inputs(), source.axes() if open_sizes else {}
    shapes: Any = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for name, tensor in inputs.items():
        shapes[tensor] = dict.fromkeys(axes.get(name, {}), torch.export.Dim.DYNAMIC)
    return torch.export.export(
        source.module().eval(), tuple(inputs.values()), dynamic_shapes=shapes
    )


def _torchscript(source: Source, variant: Variant) -> bytes:
    inputs = source.inputs()
    model = through_torchscript(
        source.module().eval(),
        *inputs.values(),
        opset_version=variant.opset,
        input_names=list(inputs),
        dynamic_axes=source.axes() if variant.open_sizes else None,
    )
    return model.SerializeToString()


@contextlib.contextmanager
def _very_quiet() -> Iterator[None]:
    """Silence what torch says of its exporters, and of the sizes that a trace makes fixed."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
