"""Whether all of the pooling runs on the NPU: ``python -m tests.runtimes.placement [NAME…]``.

Rockchip's toolkit says of every op where it runs when it builds a model; Qualcomm's refuses a model
of which anything would stay on the CPU.
"""

from __future__ import annotations

import collections
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import onnx
import typer
from rich.console import Console

from onnxpool.targets.running.process import WORKER
from tests.runtimes import environments, states
from tests.runtimes.constructs import builders
from tests.runtimes.grid import Words, grid
from tests.runtimes.grid import read as read_grid
from tests.runtimes.registry import HERE, by_name

TIMEOUT = 120
BUILD = HERE / "npu_build.py"
PLACED = re.compile(r"\] \d+ +(\w+) +\w+ +(CPU|NPU|GPU) ")
ENDS = ("InputOperator", "OutputOperator")
ON_THE_CPU = "assigned to the default CPU EP"
NAMES = ("rknn", "qnn")

PAGE_HEAD = """\
# Placement

Is all of a construct computed on the NPU? As exported, as `onnxpool rewrite` writes it for no
target in particular, and as it does for this one (exported → default → rewritten, or one word for
all three), at opset 18. Rockchip's toolkit says of every op where it runs (RK3588): named are those
that it leaves to its CPU, be they of the pooling or around it. Qualcomm's refuses what does not run
on the NPU as a whole (HTP, SM8650). nncase does not say. – there is no such model. Written by

    python -m tests.runtimes.placement --write docs/placement.md
"""


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Toolchains; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Constructs; all, if none.")] = None,
    write: Annotated[Path | None, typer.Option(help="The Markdown file to write.")] = None,
) -> None:
    """Print where each construct runs; the page keeps what it says of what is not run."""
    place = folder or environments.default_folder()
    found = read(write.read_text()) if write and write.exists() else {}
    for name in names or NAMES:
        python = environments.python_of(by_name(name), place)
        if python is None:
            continue
        for builder in only or builders():
            word = functools.partial(placed, name, python)
            found[builder, name] = states.in_words(builder, by_name(name).target, word)
            words = found[builder, name]
            Console(emoji=False).print(f"{name}, {builder}: {words}", markup=False)
        if write:
            write.write_text(markdown(found))


def placed(name: str, python: Path, model: onnx.ModelProto) -> str:
    """ "yes", or what is against it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        command = [str(python), str(BUILD), str(by_name(name).driver_path), str(path)]
        env = {**os.environ, "PYTHONPATH": str(WORKER.parent)}
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT
        )
    log = done.stdout + done.stderr
    if done.returncode:
        return "no" if ON_THE_CPU in log else "does not build"
    left = collections.Counter(on_the_cpu(log))
    ops = ", ".join(f"{n} {op}" if n > 1 else op for op, n in sorted(left.items()))
    return f"no: {ops}" if ops else "yes"


def on_the_cpu(log: str) -> Iterator[str]:
    """The ops that are not on the NPU, from what the toolkit prints."""
    for op, unit in PLACED.findall(log):
        if unit != "NPU" and op not in ENDS:
            yield op


def markdown(found: Words) -> str:
    """The page: a row for each construct."""
    lines = "\n".join(summary(found))
    return f"{PAGE_HEAD}\n{lines}\n\n{grid('construct', NAMES, builders(), found)}\n"


def summary(found: Words) -> Iterator[str]:
    """For each toolchain, how many constructs are on the NPU as a whole."""
    for name in NAMES:
        columns = [found[key].split(states.ARROW) for key in found if key[1] == name]
        three = [words if len(words) > 1 else words * 3 for words in columns]
        on_it = (str(sum(w == "yes" for w in words)) for words in zip(*three, strict=True))
        counts = states.ARROW.join(on_it)
        yield f"- `{name}`: {counts} of {len(three)} constructs"


def read(page: str) -> dict[tuple[str, str], str]:
    """What a page that `markdown` has written says."""
    return dict(read_grid(page, NAMES, builders()))


if __name__ == "__main__":
    typer.run(main)
