"""Latency side by side: all in one process, in turns, warmed up, on the same inputs.

    ratio = median(times of a model) / median(times of the first model)

The times of a loaded machine mean little, and the ratio of times that were taken in turns means
much: what slows one model down slows the others in the same round. Every round runs all of them, in
another order each time, so that none always finds the caches as the same one left them.

A floor is one read of the inputs with the same number of threads: ONNX Runtime's own vectorised
sum (ReduceSum over rows of 4096 elements) and, where PyTorch is installed, torch.sum, which is
stricter. They include the cost of a call, as all the others do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from onnxpool.errors import ArgumentError, ModelError
from onnxpool.inputs.sizes import Shapes, Size, fixed, given
from onnxpool.inputs.values import ModelInput, distributions, draw, model_inputs
from onnxpool.model.file import ModelFile
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import EXTERNAL_DATA_FOLDER, one_line
from onnxpool.runtime import register_where_used
from onnxpool.validation.runnable import in_dtype
from onnxpool.validation.source import Source, load_source, require_torch

if TYPE_CHECKING:
    from torch import nn

Model = str | os.PathLike[str] | onnx.ModelProto | ModelFile
Run = Callable[[], object]
Contender = Callable[[int, Sequence[Array]], Run]
"""Makes ready to run with a number of threads, on inputs."""
Progress = Callable[[int, int], None]
"""Called with the number of rounds done, and of all rounds."""
Clock = Callable[[], float]
"""Seconds, as time.perf_counter."""

FLOOR, TORCH_FLOOR = "floor: ReduceSum of the input", "floor: torch.sum of the input"
CPU = "CPUExecutionProvider"
WARM_UP = 3
_ROW = 4096


@dataclasses.dataclass(frozen=True)
class Timing:
    """The times of one contender.

    Attributes:
        milliseconds: one for each round.
        failure: why it does not run; there are no times then.
    """

    name: str
    milliseconds: tuple[float, ...] = ()
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which the middle half of the times lies."""
        low, high = np.quantile(self.milliseconds, (0.25, 0.75))
        return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was timed in turns: one size, one number of threads."""

    threads: int
    size: str
    timings: tuple[Timing, ...]

    def ratio(self, timing: Timing) -> float:
        """The median of `timing` as a multiple of that of the first model."""
        return timing.median / self.timings[0].median


@dataclasses.dataclass(frozen=True)
class Bench:
    """The facts about one call.

    Attributes:
        processor: the machine, in words.
        provider: the execution provider of ONNX Runtime that the models were given to.
        versions: of what was timed, by package.
        runs: rounds that count.
        comparisons: one for each size and number of threads.
    """

    processor: str
    provider: str
    versions: Mapping[str, str]
    runs: int
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """The same facts in types of JSON, with medians, quartiles (ms) and ratios."""
        return {
            "processor": self.processor,
            "provider": self.provider,
            "versions": dict(self.versions),
            "runs": self.runs,
            "comparisons": [
                {
                    "threads": comparison.threads,
                    "size": comparison.size,
                    "timings": [_facts(comparison, timing) for timing in comparison.timings],
                }
                for comparison in self.comparisons
            ],
        }


def _facts(comparison: Comparison, timing: Timing) -> dict[str, Any]:
    if timing.failure:
        return {"name": timing.name, "failure": timing.failure}
    return {
        "name": timing.name,
        "median": timing.median,
        "quartiles": list(timing.quartiles),
        "ratio": comparison.ratio(timing),
        "milliseconds": list(timing.milliseconds),
    }


def bench(
    models: Sequence[Model],
    *,
    threads: Sequence[int] = (1,),
    shapes: Sequence[Sequence[int]] = (),
    runs: int = 31,
    torch: str | Source | nn.Module | None = None,
    openvino: bool = False,
    floor: bool = True,
    seed: int = 0,
    provider: str = CPU,
    clock: Clock = time.perf_counter,
    progress: Progress | None = None,
) -> Bench:
    """Time models in ONNX Runtime, side by side.

    Args:
        models: paths or models, which take the same inputs.
        threads: numbers of threads to time with, each by itself.
        shapes: one for each input, as often as wanted; needed where the models fix no size.
        runs: rounds that count, after a warm-up.
        torch: "file.py:name", "pkg.mod:name", a .pt2 file, a Source or an nn.Module, to be timed in
            PyTorch as well (eager).
        openvino: whether each model is timed in OpenVINO as well (float32 arithmetic).
        floor: whether one read of the inputs is timed as well.
        seed: of the inputs.
        provider: the execution provider of ONNX Runtime that gets the models; what it does not
            take, the CPU does.

    Raises:
        ArgumentError: a number, shape or input does not fit, OpenVINO is not installed, or this
            ONNX Runtime does not have the provider.
        ModelError: a model cannot be loaded, or does not run.
        SourceError: the PyTorch source cannot be loaded.
    """
    _check_numbers(models, threads, runs)
    _check_provider(provider)
    files = _named([ModelFile.of(model) for model in models])
    source = _source(torch, seed)
    inputs = _common_inputs(files)
    contenders: dict[str, Contender] = {
        name: _in_onnxruntime(f, provider) for name, f in files.items()
    }
    packages = ["onnxruntime"]
    if source is not None:
        contenders[f"{source.name} in PyTorch"] = in_pytorch(source, inputs)
        packages.append("torch")
    if openvino:
        contenders |= {f"{name} in OpenVINO": _in_openvino(f) for name, f in files.items()}
        packages.append("openvino")
    if floor:
        contenders |= floors()
        packages += ["torch"] * (TORCH_FLOOR in contenders and "torch" not in packages)
    sizes = given(inputs, shapes) if shapes else [fixed(inputs, _examples(source))]
    comparisons = []
    for size in sizes:
        values = list(draw(inputs, size.shapes, distributions(inputs)[0], seed).values())
        for number in threads:
            with _torch_threads(number, source is not None or TORCH_FLOOR in contenders):
                timings = in_turns(contenders, number, values, runs, clock, progress)
            _check_ran(files, timings, size)
            comparisons.append(Comparison(number, str(size), timings))
    return Bench(processor(), provider, versions(packages), runs, tuple(comparisons))


def _check_numbers(models: Sequence[Model], threads: Sequence[int], runs: int) -> None:
    if not models:
        raise ArgumentError("there is no model to time; give one or more")
    if not threads or min(threads) < 1:
        raise ArgumentError(f"the number of threads is {min(threads, default=0)}, wanted 1 or more")
    if runs < 1:
        raise ArgumentError(f"the number of runs is {runs}, wanted 1 or more")


def _check_provider(provider: str) -> None:
    import onnxruntime

    known = onnxruntime.get_available_providers()
    if provider not in known:
        raise ArgumentError(
            f"this ONNX Runtime has no provider {provider!r}; it has {', '.join(known)}"
        )


def _named(files: Sequence[ModelFile]) -> dict[str, ModelFile]:
    """By path; a number tells those of the same path apart."""
    named: dict[str, ModelFile] = {}
    for file in files:
        name = str(file.path)
        count = sum(str(other.path) == name for other in named.values())
        named[f"{name} ({count + 1})" if count else name] = file
    return named


def _source(source: str | Source | nn.Module | None, seed: int) -> Source | None:
    if source is None or isinstance(source, Source):
        return source
    if isinstance(source, str):
        return load_source(source, seed=seed)
    return Source(type(source).__name__, source)


def _examples(source: Source | None) -> Shapes | None:
    return None if source is None else source.example_shapes


def _common_inputs(files: Mapping[str, ModelFile]) -> list[ModelInput]:
    """The inputs of the first model, which all have to take.

    Raises:
        ArgumentError: one does not.
    """
    (first, inputs), *others = ((name, model_inputs(file.proto)) for name, file in files.items())
    for name, other in others:
        if _kinds(other) != _kinds(inputs):
            raise ArgumentError(
                f"{name} takes {_in_words(other)}, and {first} takes {_in_words(inputs)}; models "
                "are timed on the same inputs"
            )
    return inputs


def _kinds(inputs: Sequence[ModelInput]) -> list[str]:
    return [f"{model_input.dtype}" for model_input in inputs]


def _in_words(inputs: Sequence[ModelInput]) -> str:
    return ", ".join(f"{i.name} ({i.dtype})" for i in inputs) or "no inputs"


def _check_ran(names: Collection[str], timings: Sequence[Timing], size: Size) -> None:
    for timing in timings:
        if timing.failure and timing.name in names:
            raise ModelError(f"{timing.name} does not run at {size}: {timing.failure}")


def in_turns(
    contenders: Mapping[str, Contender],
    threads: int,
    inputs: Sequence[Array],
    runs: int,
    clock: Clock,
    progress: Progress | None,
) -> tuple[Timing, ...]:
    """Time all contenders, in another order each round."""
    ready: dict[str, Run] = {}
    failures: dict[str, str] = {}
    for name, contender in contenders.items():
        try:
            ready[name] = contender(threads, inputs)
            ready[name]()
        except Exception as error:
            failures[name] = one_line(error)
    times: dict[str, list[float]] = {name: [] for name in ready if name not in failures}
    order = list(times)
    shuffle = random.Random(0).shuffle
    for done in range(WARM_UP + runs):
        shuffle(order)
        for name in order:
            start = clock()
            ready[name]()
            times[name].append(1000 * (clock() - start))
        if progress:
            progress(done + 1, WARM_UP + runs)
    return tuple(
        Timing(name, tuple(times.get(name, ())[WARM_UP:]), failures.get(name, ""))
        for name in contenders
    )


def _in_onnxruntime(file: ModelFile, provider: str) -> Contender:
    def prepare(threads: int, inputs: Sequence[Array]) -> Run:
        session = _session(file.proto, threads, file.path.parent, provider)
        names = [model_input.name for model_input in model_inputs(file.proto)]
        feed = dict(zip(names, inputs, strict=True))
        return lambda: session.run(None, feed)

    return prepare


def _session(model: onnx.ModelProto, threads: int, folder: Path, provider: str = CPU) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    # Threads that look for more work after a run would slow down what runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry(EXTERNAL_DATA_FOLDER, str(folder))
    register_where_used(options, model)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=list(dict.fromkeys((provider, CPU)))
    )


def floors() -> dict[str, Contender]:
    """What one read of the inputs is measured by here."""
    found: dict[str, Contender] = {FLOOR: sum_of_inputs}
    if importlib.util.find_spec("torch") is not None:
        found[TORCH_FLOOR] = sum_in_pytorch
    return found


def sum_in_pytorch(_threads: int, inputs: Sequence[Array]) -> Run:
    torch = require_torch()
    tensors = [torch.from_numpy(x) for x in inputs]
    return lambda: [tensor.sum() for tensor in tensors]


def sum_of_inputs(threads: int, inputs: Sequence[Array]) -> Run:
    rows = [_rows(x) for x in inputs]
    value = helper.make_tensor_value_info
    types = [helper.np_dtype_to_tensor_dtype(x.dtype) for x in rows]
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", [f"X{i}", "axes"], [f"Y{i}"]) for i in range(len(rows))],
        "floor",
        [value(f"X{i}", types[i], x.shape) for i, x in enumerate(rows)],
        [value(f"Y{i}", types[i], None) for i in range(len(rows))],
        [helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = _session(model, threads, Path())
    feed = {f"X{i}": x for i, x in enumerate(rows)}
    return lambda: session.run(None, feed)


def _rows(x: Array) -> Array:
    """The memory of `x` as rows for ReduceSum; a last row that is not full is left out.

    What ONNX Runtime cannot sum is read as words of 32 bits.
    """
    if x.dtype not in (np.float32, np.float64, np.int32, np.int64):
        octets = np.frombuffer(x.tobytes(), np.uint8)
        x = octets[: octets.size // 4 * 4].view(np.int32)
    flat = x.reshape(-1)
    width = max(1, min(_ROW, flat.size))
    return flat[: flat.size // width * width].reshape(-1, width)


def in_pytorch(source: Source, inputs: Sequence[ModelInput]) -> Contender:
    module = in_dtype(source.module, inputs)

    def prepare(_threads: int, values: Sequence[Array]) -> Run:
        import torch

        tensors = [torch.from_numpy(value) for value in values]

        def run() -> object:
            with torch.inference_mode():
                return module(*tensors)

        return run

    return prepare


@contextlib.contextmanager
def _torch_threads(threads: int, used: bool) -> Iterator[None]:
    """Let PyTorch, which has one setting for the process, use `threads` for a while."""
    if not used:
        yield
        return
    torch = require_torch()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _in_openvino(file: ModelFile) -> Contender:
    openvino = _import_openvino()
    # A path, because weights outside of the file are found beside it.
    model = str(file.path) if file.path.is_file() else file.proto.SerializeToString()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}

    def prepare(threads: int, inputs: Sequence[Array]) -> Run:
        core = openvino.Core()
        read = core.read_model(model)
        read.reshape({i: x.shape for i, x in enumerate(inputs)})
        compiled = core.compile_model(read, "CPU", settings | {"INFERENCE_NUM_THREADS": threads})
        request = compiled.create_infer_request()
        for i, x in enumerate(inputs):
            request.set_input_tensor(i, openvino.Tensor(x, shared_memory=True))
        return lambda: request.infer()

    return prepare


def _import_openvino() -> Any:
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise ArgumentError(f"--openvino needs OpenVINO ({error}): pip install openvino") from error


def versions(packages: Sequence[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}


def processor() -> str:
    """Such as "Intel(R) Xeon(R) Processor, 4 cores"."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
    return f"{name}, {os.cpu_count()} cores"
