"""int8 builds, measured: ``python -m tests.runtimes.int8 [NAME…]``.

Each construct is quantized by each toolchain, calibrated on random data, run in its simulator on
other data, and compared with the module in float32.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from rich.console import Console

from onnxpool.ops.op import Array
from onnxpool.targets.running.process import Worker, running
from tests.runtimes import environments, states
from tests.runtimes.constructs import builders, example_of, run, source_of
from tests.runtimes.grid import NOT_RUN, Words, grid
from tests.runtimes.grid import read as read_grid
from tests.runtimes.int8.qdq import quantize_in_place
from tests.runtimes.registry import by_name

HERE = Path(__file__).parent
CALIBRATED_ON = 32
MEASURED_ON = 16
MORE = 1.25
TIMEOUT = 600.0

PAGE_HEAD = """\
# int8

What an int8 build takes away: each construct at opset 18, quantized by the toolchain's own means,
calibrated on {calibrated} inputs drawn from a normal distribution, run in its simulator on
{measured} others, and compared with the PyTorch module in float32. Given is the error relative to
the module's output (root mean square of both, the worst input) as exported, as `onnxpool rewrite`
writes it for no target in particular, and as it does for this one (exported → default → rewritten,
or one for all three). r refused, c crashed, t no answer within {seconds:g} s, NaN no number,
– no such model.

- `rknn`: RK3588, `build(do_quantization=True)`
- `qnn`: SM8650, quantized by ONNX Runtime with its settings for QNN (`get_qnn_qdq_config`), as the
  package of Qualcomm has no quantizer of ONNX files
- `nncase`: K230, `use_ptq`. What its NPU does not take stays in float, as all of GatherND's forms.
- `espdl`: ESP32-P4, `espdl_quantize_onnx`; its scales are powers of two
- `emx` has no int8: it writes the C code of the types that the model has.

Written by

    python -m tests.runtimes.int8 --write docs/int8.md

The quantizers for RKNN and QNN leave the result of an AveragePool at the scale of its input. Where
that has a wide range, as between the powers of GeM, little of an average is left; a product with
constant weights has a scale of its own. So an int8 build is better off with `--strategy matmul`,
which loses there what the exported form does: on both, `gem:gem_sized` 1.5 instead of 21 %,
`stochastic:stochastic_adaptive` 1.7 instead of 10, `power_average:learned_norm` 0.7 instead of 2.2,
`adaptive:adaptive_avg_2d` 1.6 instead of 3.6 (`python -m tests.runtimes.int8 --strategy matmul`).

Where the exported form and the one for this toolchain are both built, the second loses more or less
where its error is more than {more:g} times the other's:
"""


@dataclasses.dataclass(frozen=True)
class Build:
    """How a toolchain gets to int8.

    Attributes:
        driver: its own, which quantizes; None: the one for float runs quantized models.
        quantize: makes one, where its driver does not.
    """

    name: str
    driver: Path | None = None
    quantize: Callable[[Path, Sequence[Array]], None] | None = None


BUILDS = (
    Build("rknn", HERE / "drivers" / "rknn.py"),
    Build("qnn", quantize=quantize_in_place),
    Build("nncase", HERE / "drivers" / "nncase.py"),
    Build("espdl", HERE / "drivers" / "espdl.py"),
)
NAMES = tuple(build.name for build in BUILDS)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Toolchains; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Constructs; all, if none.")] = None,
    strategy: Annotated[str, typer.Option(help="Of what is rewritten for the toolchain.")] = "auto",
    write: Annotated[Path | None, typer.Option(help="The Markdown file to write.")] = None,
) -> None:
    """Print the error of each int8 build; the page keeps what it says of what is not run."""
    if write and strategy != "auto":
        raise typer.BadParameter("the page is of each toolchain's own strategy")
    torch.set_num_threads(1)
    place = folder or environments.default_folder()
    found = read(write.read_text()) if write and write.exists() else {}
    for build in BUILDS:
        runtime = by_name(build.name)
        python = environments.python_of(runtime, place)
        if python is None or (names and build.name not in names):
            continue
        scratch = Path(tempfile.mkdtemp(prefix=f"{build.name}-int8-"))
        driver = build.driver or runtime.driver_path
        with running(Worker(build.name, driver, python, scratch)) as worker:
            for builder in only or builders():
                trial = Trial(builder, build, worker, scratch)
                words = states.in_words(builder, runtime.target, trial.in_words, strategy)
                found[builder, build.name] = words
                Console(emoji=False).print(f"{build.name}, {builder}: {words}", markup=False)
        shutil.rmtree(scratch)
        if write:
            write.write_text(markdown(found))


class Trial:
    """A construct in a toolchain."""

    def __init__(self, builder: str, build: Build, worker: Worker, scratch: Path) -> None:
        source = source_of(builder)
        rng = np.random.default_rng(0)
        count, shape = CALIBRATED_ON + MEASURED_ON, example_of(source)
        drawn = list(rng.standard_normal((count, *shape)).astype(np.float32))
        self._samples, self._inputs = drawn[:CALIBRATED_ON], drawn[CALIBRATED_ON:]
        self._wanted = [run(source.module, torch.from_numpy(x)) for x in self._inputs]
        self._build, self._worker, self._scratch = build, worker, scratch

    def in_words(self, model: onnx.ModelProto) -> str:
        """The error of the model's int8 build in percent, or what becomes of it."""
        path = self._scratch / "model.onnx"
        onnx.save(model, path)
        np.savez(
            path.with_name("calibration.npz"),
            **{f"{k}": x for k, x in enumerate(self._samples)},
        )
        if self._build.quantize:
            self._build.quantize(path, self._samples)
        graph = model.graph
        answer, found = self._worker.run(
            path,
            [{graph.input[0].name: x} for x in self._inputs],
            [y.name for y in graph.output],
            TIMEOUT,
        )
        if answer.stage != "done":
            return {"crashed": "c", "timeout": "t"}.get(answer.stage, "r")
        error = max(map(relative_error, found, self._wanted), key=lambda e: (np.isnan(e), e))
        return "NaN" if np.isnan(error) else f"{100 * error:.2g} %"


def relative_error(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    """Of the outputs that are real numbers, together: the error's size by that of the output."""
    pairs = [(y, own) for y, own in zip(found, wanted, strict=True) if own.dtype.kind == "f"]
    error = sum(float(((y.reshape(own.shape) - own) ** 2).sum()) for y, own in pairs)
    return float(np.sqrt(error / sum(float((own**2).sum()) for _, own in pairs)))


def markdown(found: Words) -> str:
    """The page: a row for each construct."""
    head = PAGE_HEAD.format(
        calibrated=CALIBRATED_ON, measured=MEASURED_ON, seconds=TIMEOUT, more=MORE
    )
    lines = "\n".join(summary(found))
    return f"{head}\n{lines}\n\n{grid('construct', NAMES, builders(), found)}\n"


def summary(found: Words) -> Iterator[str]:
    """For each toolchain, what its own form loses where the exported one is built, too."""
    for name in NAMES:
        both: dict[str, tuple[float, float]] = {}
        for builder in builders():
            errors = percents(found.get((builder, name), NOT_RUN))
            before, after = errors[0], errors[-1]
            if before is not None and after is not None:
                both[builder] = before, after
        worse = [
            f"`{builder}` ({before:g} → {after:g} %)"
            for builder, (before, after) in both.items()
            if after > MORE * before
        ]
        better = sum(before > MORE * after for before, after in both.values())
        named = f": {', '.join(worse)}" if worse else ""
        yield (
            f"- `{name}`: of {len(both)} constructs it loses less in {better}, more in "
            f"{len(worse)}{named}"
        )


def percents(words: str) -> list[float | None]:
    """The errors of the states, as `in_words` writes them; None where there is none."""
    parts = words.split(states.ARROW)
    numbers = [re.fullmatch(r"(\S+) %", part) for part in parts]
    return [float(number[1]) if number else None for number in numbers]


def read(page: str) -> dict[tuple[str, str], str]:
    """What a page that `markdown` has written says."""
    return dict(read_grid(page, NAMES, builders()))


if __name__ == "__main__":
    typer.run(main)
