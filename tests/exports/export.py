"""Modules through torch's exporters."""

import contextlib
import copy
import dataclasses
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from tests.exports.case import Array, Case, Reference

Exporter = Literal["dynamo", "torchscript", "torchscript_fallthrough"]


@dataclasses.dataclass(frozen=True)
class Export(Case):
    """A module of `build`, seeded, through one of torch's exporters."""

    build: Callable[[], nn.Module]
    exporter: Exporter = "dynamo"
    dynamic_batch: bool = False

    @property
    def runnable(self) -> bool:
        return self.exporter != "torchscript_fallthrough"

    def module(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().eval().to(getattr(torch, self.dtype))

    def model(self) -> onnx.ModelProto:
        with quiet():
            return self._dynamo() if self.exporter == "dynamo" else self._torchscript()

    def _example(self) -> tuple[Tensor]:
        return (torch.zeros(self.shape, dtype=getattr(torch, self.dtype)),)

    def _dynamo(self) -> onnx.ModelProto:
        program = torch.onnx.export(
            self.module(),
            self._example(),
            dynamo=True,
            input_names=["X"],
            dynamic_shapes=({0: torch.export.Dim("N")},) if self.dynamic_batch else None,
            verbose=False,
        )
        assert program is not None
        return program.model_proto

    def _torchscript(self) -> onnx.ModelProto:
        types = torch.onnx.OperatorExportTypes
        fallthrough = self.exporter == "torchscript_fallthrough"
        return through_torchscript(
            self.module(),
            *self._example(),
            input_names=["X"],
            dynamic_axes={"X": {0: "N"}} if self.dynamic_batch else None,
            operator_export_type=types.ONNX_FALLTHROUGH if fallthrough else types.ONNX,
        )

    def reference(self) -> Reference:
        module = self.module()

        def run(x: Array) -> tuple[Array, ...]:
            tensor = torch.from_numpy(x)
            with torch.no_grad():
                outputs = copy.deepcopy(module).to(tensor.dtype)(tensor)
            return tuple(y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,)))

        return run


def through_torchscript(module: nn.Module, *example: Tensor, **options: Any) -> onnx.ModelProto:
    """`torch.onnx.export(dynamo=False)`."""
    buffer: Any = io.BytesIO()  # torch takes it; its annotations name paths only.
    with quiet():
        torch.onnx.export(module, example, buffer, dynamo=False, verbose=False, **options)
    return onnx.load_from_string(buffer.getvalue())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what torch's exporters say about themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logger.setLevel(level)
