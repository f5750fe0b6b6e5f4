"""The models of the matrix: every construct of models/, exported and rewritten, with its values.

form     static: exported at the example's size      dynamic: N, H and W left open
state    exported: by plain torch.onnx.export(dynamo=True)
         rewritten: for a target; from the plain export where that is right at the sizes it has
         been declared for (static), else from `onnxpool.export`, which keeps pooling whole
         default: rewritten for no target in particular, on the toolchains of vendors alone
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch

import onnxpool
from onnxpool.errors import OnnxpoolError
from onnxpool.exporters.shapes import dynamic_axes, traced_shape
from onnxpool.exporters.torch_errors import one_line, quiet
from onnxpool.inputs.values import DISTRIBUTIONS, ModelInput, draw
from onnxpool.ops.op import Array
from onnxpool.validation.accuracy import Accuracy, Rule, compare
from onnxpool.validation.source import Source, load_source

MODELS = Path(__file__).parents[2] / "models"
Form = Literal["static", "dynamic"]
State = Literal["exported", "default", "rewritten"]
FORMS: tuple[Form, ...] = ("static", "dynamic")
STATES: tuple[State, ...] = ("exported", "rewritten")
STATIC: tuple[Form, ...] = ("static",)
TOOLCHAIN_STATES: tuple[State, ...] = ("exported", "default", "rewritten")
Shape = tuple[int, ...]

HALF_DISTRIBUTIONS = ("normal", "positive", "negative", "constant")
"""What is asked of toolchains that compute in float16: the others reach beyond its range."""

OTHER_LENGTHS = ((17, 24, 9), (5, 7, 6))
"""Lengths for the spatial axes of dynamic models, beside the example's: longer and shorter."""


@functools.cache
def builders() -> tuple[str, ...]:
    """All constructs, each as "file:name"."""
    files = sorted(p.stem for p in MODELS.glob("*.py"))
    modules = {file: importlib.import_module(f"models.{file}") for file in files}
    return tuple(f"{f}:{name}" for f, m in modules.items() for name in getattr(m, "EXAMPLES", ()))


def source_of(builder: str) -> Source:
    """The module, its weights seeded with 0."""
    file, name = builder.split(":")
    return load_source(f"{MODELS / file}.py:{name}")


def example_of(source: Source) -> Shape:
    assert source.example_shapes is not None
    (shape,) = source.example_shapes
    return shape


class NotMade(Exception):
    """There is no such model; the message says who refuses, in one line."""


def exported(source: Source, form: Form, opset: int | None = None) -> onnx.ModelProto:
    """What torch's exporter writes.

    Args:
        opset: None: the one that it writes by default.

    Raises:
        NotMade: it does not.
    """
    shape = example_of(source)
    axes = tuple(dynamic_axes([shape]))
    options: dict[str, Any] = {"args": (torch.zeros(shape),)}
    if form == "dynamic":
        options = {
            "args": (torch.zeros(traced_shape(shape)),),
            "dynamic_shapes": axes,
        }
    try:
        with quiet():
            program = torch.onnx.export(
                source.module, dynamo=True, verbose=False, opset_version=opset, **options
            )
    except Exception as error:
        raise NotMade(f"torch.onnx.export: {one_line(error)}") from error
    assert program is not None
    return program.model_proto


def exported_whole(source: Source, form: Form, opset: int | None = None) -> onnx.ModelProto:
    """What `onnxpool.export` writes, which keeps pooling whole.

    Args:
        opset: None: the one that it writes by default.

    Raises:
        NotMade: it does not.
    """
    shapes = "auto" if form == "dynamic" else None
    x = torch.zeros(example_of(source))
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        try:
            return onnxpool.export(source.module, x, path, dynamic_shapes=shapes, opset=opset).model
        except OnnxpoolError as error:
            raise NotMade(f"onnxpool export: {error}") from error


def rewritten(
    model: onnx.ModelProto, target: str, shape: Shape | None, strategy: str = "auto"
) -> onnx.ModelProto:
    """The model for a target.

    Args:
        shape: of the input, for targets without dynamic sizes.
        strategy: "auto": the target's own.

    Raises:
        NotMade: the rewrite refuses.
    """
    shapes = {} if shape is None else {model.graph.input[0].name: shape}
    try:
        return onnxpool.rewrite(model, target=target, strategy=strategy, input_shapes=shapes).model
    except OnnxpoolError as error:
        raise NotMade(f"onnxpool rewrite: {error}") from error


def sizes_for(model: onnx.ModelProto, source: Source) -> list[Shape]:
    """The shapes at which a model is run: all that it declares and its source accepts."""
    example = example_of(source)
    rank = len(example) - 2
    others = ((*example[:2], *lengths[:rank]) for lengths in OTHER_LENGTHS)
    declared = [
        d.dim_value if d.HasField("dim_value") else None
        for d in model.graph.input[0].type.tensor_type.shape.dim
    ]
    fitting = [
        shape
        for shape in (example, *others)
        if all(d in (None, size) for d, size in zip(declared, shape, strict=True))
    ]
    if not fitting:
        fixed = (d or size for d, size in zip(declared, example, strict=True))
        fitting = [tuple(fixed)]
    return [shape for shape in fitting if accepts(source, shape)]


def accepts(source: Source, shape: Shape) -> bool:
    try:
        with torch.no_grad(), quiet():
            source.module(torch.zeros(shape))
    except Exception:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Values:
    """Seeded inputs of one shape, one per distribution, and what the source makes of them.

    Attributes:
        sums: n of onnxpool/validation/accuracy.py: the elements of a plane, and the terms that a
            result of each layer with weights sums, which runtimes do in orders of their own.
        source, half, exact: per input, the outputs in float32, float16 and float64; those of
            float16 for `HALF_DISTRIBUTIONS`.
    """

    shape: Shape
    sums: int
    inputs: dict[str, Array]
    source: dict[str, list[Array]]
    half: dict[str, list[Array]]
    exact: dict[str, list[Array]]

    @classmethod
    def of(cls, source: Source, shape: Shape) -> Values:
        model_input = ModelInput("x", np.dtype(np.float32), None)
        inputs = {d: draw([model_input], [shape], d, seed=0)["x"] for d in DISTRIBUTIONS}
        module = source.module
        own = {d: run(module, torch.from_numpy(x)) for d, x in inputs.items()}
        halves = {d: run_in_half(module, torch.from_numpy(inputs[d])) for d in HALF_DISTRIBUTIONS}
        double = copy.deepcopy(module).double()
        exact = {d: run(double, torch.from_numpy(x).double()) for d, x in inputs.items()}
        return cls(shape, sums_of(module, shape), inputs, own, halves, exact)

    def judge(self, distribution: str, found: list[Array], half: bool) -> Iterator[Accuracy]:
        """Compare with the source by the rule of onnxpool/validation/accuracy.py.

        Args:
            half: by what the source makes of it in float16. It adds up in float32, as NPUs do, so
                that a sum is rounded once however long it is.
        """
        sums = 0 if half else self.sums
        rule = Rule(sums, sums)
        wanted = (self.half if half else self.source)[distribution]
        exact = self.exact[distribution]
        for k, (y, own, double) in enumerate(zip(found, wanted, exact, strict=True)):
            yield compare(f"output {k}", distribution, as_integers(y, own), own, double, rule)


def sums_of(module: torch.nn.Module, shape: Shape) -> int:
    weights = (
        m.weight for m in module.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    )
    return math.prod(shape[2:]) + sum(weight[0].numel() for weight in weights)


def as_integers(found: Array, wanted: Array) -> Array:
    """Indices from a runtime that has no integer tensors, where they are whole numbers."""
    if wanted.dtype.kind != "i" or found.dtype.kind != "f" or not np.isfinite(found).all():
        return found
    return found.astype(wanted.dtype) if (found == np.rint(found)).all() else found


def run_in_half(module: torch.nn.Module, x: torch.Tensor) -> list[Array]:
    """In float16; where PyTorch has no such kernel, in float32 on what is rounded to float16."""
    half = copy.deepcopy(module).half()
    try:
        return run(half, x.half())
    except NotImplementedError:
        results = run(half.float(), x.half().float())
    return [y.astype(np.float16) if y.dtype.kind == "f" else y for y in results]


def run(module: torch.nn.Module, x: torch.Tensor) -> list[Array]:
    with torch.no_grad():
        results = module(x)
    results = results if isinstance(results, tuple | list) else (results,)
    return [y.numpy() for y in results]
