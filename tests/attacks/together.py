"""Runs beside each other, on the same files: ``python -m tests.attacks.together --runs 64``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxpool
from tests.attacks.kill import COMMAND
from tests.attacks.sources import ROOT, SOURCES

_MODEL = "in.onnx"


def runs(number: int, folder: Path) -> list[str]:
    """Rewrite one model so many times at once, half of them to one file; what went wrong."""
    (folder / _MODEL).write_bytes(_source())
    outs = ["same.onnx" if index % 2 else f"{index}.onnx" for index in range(number)]
    processes = [
        subprocess.Popen(
            [*COMMAND, "rewrite", _MODEL, out],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for out in outs
    ]
    said = [process.communicate()[1] for process in processes]
    faults = [
        f"{out}: status {process.returncode}, {text!r}"
        for out, process, text in zip(outs, processes, said, strict=True)
        if process.returncode or text
    ]
    return faults + _differences(folder, set(outs))


def threads(number: int, folder: Path) -> list[str]:
    """As `runs`, by so many threads of this process, through the Python interface."""
    (folder / _MODEL).write_bytes(_source())
    outs = ["same.onnx" if index % 2 else f"{index}.onnx" for index in range(number)]

    def rewrite(out: str) -> str:
        result = onnxpool.rewrite(folder / _MODEL)
        result.save(folder / out)
        return "" if result.report.rewritten == 1 else f"{out}: {result.report.findings}"

    with ThreadPoolExecutor(number) as pool:
        faults = [fault for fault in pool.map(rewrite, outs) if fault]
    return faults + _differences(folder, set(outs))


def _source() -> bytes:
    return next(source for source in SOURCES if source.name == "bins").data


def _differences(folder: Path, outs: set[str]) -> list[str]:
    """What is not as one run alone leaves it."""
    result = onnxpool.rewrite(folder / _MODEL).serialize()
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    faults = [f"{out} is another" for out in outs if found.get(out) != result]
    left = found.keys() - outs - {_MODEL}
    return faults + [f"{name} was left behind" for name in sorted(left)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.together", description=__doc__)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--threads", type=int, default=8)
    arguments = parser.parse_args()
    found: dict[str, list[str]] = {}
    for name, attack, number in (
        ("threads", threads, arguments.threads),
        ("runs", runs, arguments.runs),
    ):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = attack(number, Path(folder))
        print(f"{number} {name}: {len(found[name])} faults", *found[name], sep="\n    ")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
