"""Other tools before and after `onnxpool rewrite`: what is found, and whether it is still right.

    python benchmarks/composition.py [--models adaptive:adaptive_avg_2d_tuple …] [--tools onnxsim …]

torch and onnxscript export the models of models/. Each tool is applied to the export, and its
result rewritten; and to the rewritten export, whose result is rewritten again. A tool that is not
installed is left out: pip install onnxsim onnxslim onnxoptimizer. Printed are the table of
docs/composition.md and, behind it, what is not found or not right.

found     regions that are rewritten in the tool's result, of those in the export
right     the rewritten result against the tool's result, in ONNX Runtime on seeded values
settled   nothing is left to rewrite in what the tool makes of a rewritten model
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

import onnxpool
from models.make_onnx import export
from onnxpool.errors import OnnxpoolError

MODELS = (
    "adaptive:adaptive_avg_1d",
    "adaptive:adaptive_avg_2d",
    "adaptive:adaptive_avg_2d_tuple",
    "gem:gem",
    "gem:gem_per_channel",
    "gem:gem_sized",
    "pyramid:ppm",
    "pyramid:ppm_bottleneck",
)
LARGEST_ERROR = 1e-5
"""Of the greatest output: float32 in another order."""
LARGEST_HALF_ERROR = 5e-3
"""The same in float16."""

Change = Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclasses.dataclass(frozen=True)
class Tool:
    """Attributes:
    package: which is wanted for it.
    module: what is imported to see whether it is there.
    """

    name: str
    package: str
    module: str
    change: Change
    largest_error: float = LARGEST_ERROR


def _onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    made, _ = importlib.import_module("onnxsim").simplify(model)
    return made  # type: ignore[no-any-return]


def _onnxslim(model: onnx.ModelProto) -> onnx.ModelProto:
    return importlib.import_module("onnxslim").slim(model)  # type: ignore[no-any-return]


def _onnxoptimizer(model: onnx.ModelProto) -> onnx.ModelProto:
    return importlib.import_module("onnxoptimizer").optimize(model)  # type: ignore[no-any-return]


def _onnxscript(model: onnx.ModelProto) -> onnx.ModelProto:
    return importlib.import_module("onnxscript.optimizer").optimize(model)  # type: ignore[no-any-return]


def _optimized(level: str) -> Change:
    """As ONNX Runtime saves it after its own optimisations."""

    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.optimized_model_filepath = str(path)
            levels = onnxruntime.GraphOptimizationLevel
            options.graph_optimization_level = getattr(levels, f"ORT_ENABLE_{level}")
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            return onnx.load(path)

    return change


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    # The casts of inputs stand behind their readers until it is sorted.
    changed = importlib.import_module("onnxruntime.transformers.onnx_model").OnnxModel(model)
    changed.convert_float_to_float16(keep_io_types=True)
    changed.topological_sort()
    return changed.model  # type: ignore[no-any-return]


def _quantized(write: Callable[[Path, Path, onnx.ModelProto], None]) -> Change:
    def change(model: onnx.ModelProto) -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
            onnx.save(model, source)
            write(source, out, model)
            return onnx.load(out)

    return change


def _dynamically(source: Path, out: Path, _model: onnx.ModelProto) -> None:
    quantization.quantize_dynamic(source, out)


def _statically(source: Path, out: Path, model: onnx.ModelProto) -> None:
    class Values(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.values: Iterator[dict[str, Any]] = iter([_values(model, s) for s in range(3)])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.values, None)

    quantization.quantize_static(source, out, Values())


TOOLS = (
    Tool("onnxsim", "onnxsim", "onnxsim", _onnxsim),
    Tool("onnxslim", "onnxslim", "onnxslim", _onnxslim),
    Tool("onnxoptimizer", "onnxoptimizer", "onnxoptimizer", _onnxoptimizer),
    Tool("onnxscript optimizer", "onnxscript", "onnxscript.optimizer", _onnxscript),
    Tool("ORT basic", "onnxruntime", "onnxruntime", _optimized("BASIC")),
    Tool("ORT extended", "onnxruntime", "onnxruntime", _optimized("EXTENDED")),
    Tool(
        "float16", "onnxruntime", "onnxruntime.transformers.onnx_model", _half, LARGEST_HALF_ERROR
    ),
    Tool("dynamic quantization", "onnxruntime", "onnxruntime", _quantized(_dynamically)),
    Tool("static quantization", "onnxruntime", "onnxruntime", _quantized(_statically)),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """Attributes:
    found: regions rewritten behind the tool; None where the tool fails.
    wanted: those of the export.
    right: whether the rewritten result computes what the tool's does.
    settled: whether nothing is left to rewrite where the tool follows.
    detail: what is not so.
    """

    found: int | None
    wanted: int
    right: bool = False
    settled: bool = False
    detail: str = ""


def compose(model: onnx.ModelProto, tool: Tool) -> Row:
    wanted = onnxpool.rewrite(model).report.rewritten
    try:
        changed = tool.change(_copy(model))
    except Exception as error:
        return Row(None, wanted, detail=f"the tool fails: {_line(error)}")
    try:
        result = onnxpool.rewrite(changed)
        found = result.report.rewritten
        off = _difference(result.model, changed)
        left = [f.detail for f in result.report.findings if f.action == "left"]
    except OnnxpoolError as refusal:
        return Row(0, wanted, detail=_line(refusal))
    right = off <= tool.largest_error
    detail = (
        "; ".join(left) or "nothing is found"
        if found < wanted
        else ""
        if right
        else f"off by {off:.1e}"
    )
    try:
        after = onnxpool.rewrite(tool.change(_copy(onnxpool.rewrite(model).model)))
        again = [f.form for f in after.report.findings if f.action == "rewritten"]
    except Exception as failure:
        return Row(found, wanted, right, settled=False, detail=f"behind it: {_line(failure)}")
    if again:
        detail += f"{'; ' if detail else ''}behind a rewrite, rewritten again: {', '.join(again)}"
    return Row(found, wanted, right, not again, detail)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _values(model: onnx.ModelProto, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    stored = {tensor.name for tensor in model.graph.initializer}
    return {
        x.name: rng.uniform(0.05, 1, [d.dim_value for d in x.type.tensor_type.shape.dim]).astype(
            "f"
        )
        for x in model.graph.input
        if x.name not in stored
    }


def _difference(found: onnx.ModelProto, wanted: onnx.ModelProto) -> float:
    """The greatest, relative to the greatest output."""
    values = _values(wanted, 7)
    outputs = []
    for model in (found, wanted):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs.append(session.run(None, values))
    errors = [
        float(np.max(np.abs(a - b))) / (float(np.max(np.abs(b))) or 1.0)
        for a, b in zip(*outputs, strict=True)
    ]
    return max(errors)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _builder(name: str) -> tuple[Any, tuple[int, ...]]:
    file, build = name.split(":")
    module = importlib.import_module(f"models.{file}")
    return getattr(module, build), module.EXAMPLES[build]


def _is_there(tool: Tool) -> bool:
    try:
        importlib.import_module(tool.module)
    except ImportError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--tools", nargs="+", default=[tool.name for tool in TOOLS])
    arguments = parser.parse_args()
    models = {name: export(*_builder(name)) for name in arguments.models}
    print("| tool | found | right | settled |\n|---|--:|--:|--:|")
    details = []
    for tool in (tool for tool in TOOLS if tool.name in arguments.tools):
        if not _is_there(tool):
            details.append(f"{tool.name}: not installed")
            continue
        rows = {name: compose(model, tool) for name, model in models.items()}
        found, wanted = (
            sum(r.found or 0 for r in rows.values()),
            sum(r.wanted for r in rows.values()),
        )
        right, settled = sum(r.right for r in rows.values()), sum(r.settled for r in rows.values())
        version = importlib.metadata.version(tool.package)
        title = f"{tool.name} ({tool.package} {version})"
        print(
            f"| {title} | {found} of {wanted} | {right} of {len(rows)} | "
            f"{settled} of {len(rows)} |",
            flush=True,
        )
        details += [f"{tool.name}, {name}: {r.detail}" for name, r in rows.items() if r.detail]
    print("\n" + "\n".join(f"- {detail}" for detail in details))


if __name__ == "__main__":
    main()
