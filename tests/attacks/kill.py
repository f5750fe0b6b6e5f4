"""Runs that are killed at any moment: ``python -m tests.attacks.kill --moments 60``.

Whenever a run ends, and by whatever signal: what was there is there, or what was to be written is,
whole. No file is half written, and the next run leaves nothing of it behind.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from tests.attacks.sources import DATA, ROOT, SOURCES

COMMAND = (sys.executable, "-c", "from onnxpool.cli.start import main; main()")
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_MEGABYTES = 48
"""Of weights: they take a while to copy."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """A call, and the folder that it is made in.

    Attributes:
        make: puts into an empty folder what is there before.
        arguments: of the call.
    """

    name: str
    make: Callable[[Path], None]
    arguments: tuple[str, ...]


def _pool() -> onnx.ModelProto:
    return next(source for source in SOURCES if source.name == "bins").model()


def _in_place(folder: Path) -> None:
    onnx.save(_pool(), folder / "model.onnx")


def _over(folder: Path) -> None:
    onnx.save(_pool(), folder / "in.onnx")
    (folder / "out.onnx").write_bytes(b"what was there before")


def _external(folder: Path) -> None:
    """A model with weights beside it, to go to another folder."""
    model, count = _pool(), _MEGABYTES << 18
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[count])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=DATA)
    model.graph.initializer.append(weight)
    model.graph.node.add(op_type="Identity", input=["w"], output=["W"])
    model.graph.output.append(onnx.helper.make_tensor_value_info("W", TensorProto.FLOAT, [count]))
    for name in ("a", "b"):
        (folder / name).mkdir()
    (folder / "a" / "in.onnx").write_bytes(model.SerializeToString())
    (folder / "a" / DATA).write_bytes(np.random.default_rng(0).bytes(4 * count))


SCENES = (
    Scene("in place", _in_place, ("rewrite", "model.onnx", "model.onnx")),
    Scene("over", _over, ("rewrite", "in.onnx", "out.onnx")),
    Scene("external", _external, ("rewrite", "a/in.onnx", "b/out.onnx")),
)


@dataclasses.dataclass(frozen=True)
class Killed:
    """What came of one run.

    Attributes:
        moment: seconds after its start.
        written: whether the result was there.
        faults: what is wrong.
    """

    scene: str
    number: signal.Signals
    moment: float
    written: bool
    faults: tuple[str, ...]


def attack(scene: Scene, moments: int, seed: int = 0) -> Iterator[Killed]:
    """Kill a call at so many moments with each signal: all over it, and most where it writes."""
    rng = np.random.default_rng([seed, len(scene.name)])
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        before, after = home / "before", home / "after"
        before.mkdir()
        scene.make(before)
        shutil.copytree(before, after)
        start = time.monotonic()
        subprocess.run([*COMMAND, *scene.arguments], cwd=after, check=True, capture_output=True)
        length = time.monotonic() - start
        wanted, was = _contents(after), _contents(before)
        for number in SIGNALS:
            for index in range(moments):
                part = rng.uniform(0, 1.05) if index % 3 == 0 else rng.uniform(0.75, 1.05)
                place = home / "run"
                shutil.copytree(before, place)
                yield _kill(scene, place, number, part * length, was, wanted)
                shutil.rmtree(place)


def _contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _kill(
    scene: Scene,
    place: Path,
    number: signal.Signals,
    moment: float,
    was: dict[str, bytes],
    wanted: dict[str, bytes],
) -> Killed:
    process = subprocess.Popen(
        [*COMMAND, *scene.arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(moment)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    found = _contents(place)
    faults = [*_faults(found, was, wanted)]
    many = len(errors.splitlines()) > 1 or "Traceback" in errors
    if many and not _is_of_the_start(errors):
        faults.append(f"said {errors!r}")
    again = subprocess.run(
        [*COMMAND, *scene.arguments], cwd=place, capture_output=True, text=True, check=False
    )
    # In place, the second run finds nothing to rewrite, or what was there.
    if again.returncode or _contents(place) != wanted:
        left = sorted(_contents(place).keys() - wanted.keys())
        faults.append(f"the next run: status {again.returncode}, left {left}, {again.stderr!r}")
    return Killed(scene.name, number, moment, found == wanted, tuple(faults))


def _is_of_the_start(errors: str) -> bool:
    """Whether Ctrl-C came before `main` was called: Python says that itself, and hears nobody."""
    return errors.rstrip().endswith("KeyboardInterrupt") and ", in main" not in errors


def _faults(
    found: dict[str, bytes], was: dict[str, bytes], wanted: dict[str, bytes]
) -> Iterator[str]:
    for name, content in found.items():
        is_ours = Path(name).name.startswith(".onnxpool-")
        if not is_ours and content not in (was.get(name), wanted.get(name)):
            yield f"{name} is neither what it was nor what it was to be"
    yield from (f"{name} is lost" for name in was if name not in found)
    models = [name for name in wanted if name.endswith(".onnx")]
    if all(found.get(name) == wanted[name] for name in models) and found.keys() < wanted.keys():
        yield "the model is there, and its weights are not"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.kill", description=__doc__)
    parser.add_argument("--moments", type=int, default=60, help="for each call and signal")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faults = 0
    for scene in SCENES:
        counts: Counter[str] = Counter()
        for killed in attack(scene, arguments.moments, arguments.seed):
            what = "written" if killed.written else "not written"
            counts[f"{killed.number.name} {what}"] += 1
            for fault in killed.faults:
                faults += 1
                print(f"{killed.number.name} at {killed.moment:.3f} s, {scene.name}: {fault}")
        print(f"{scene.name}: {dict(counts)}", flush=True)
    print(f"{faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
