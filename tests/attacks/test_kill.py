"""A few moments of each; `python -m tests.attacks.kill` tries 60."""

import signal
import sys

import pytest

from tests.attacks.kill import SCENES, SIGNALS, Scene, _faults, attack

MOMENTS = 3


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name.replace(" ", "_"))
def test_a_run_that_is_killed_loses_nothing(scene: Scene) -> None:
    runs = list(attack(scene, MOMENTS))
    assert [fault for run in runs for fault in run.faults] == []
    assert [run.number for run in runs] == [s for s in SIGNALS for _ in range(MOMENTS)]
    assert signal.SIGKILL in SIGNALS


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"in.onnx": b"in", "out.onnx": b"ne"}, "out.onnx is neither"),
        ({"in.onnx": b"", "out.onnx": b"new"}, "in.onnx is neither"),
        ({"out.onnx": b"new"}, "in.onnx is lost"),
        ({"in.onnx": b"in", "out.onnx": b"new"}, "its weights are not"),
        ({"in.onnx": b"in", "out.onnx": b"old", "w.bin": b"w"}, ""),
        ({"in.onnx": b"in", "out.onnx": b"old", ".onnxpool-1.tmp": b"x"}, ""),
    ],
)
def test_what_is_a_fault(found: dict[str, bytes], fault: str) -> None:
    was = {"in.onnx": b"in", "out.onnx": b"old"}
    wanted = {"in.onnx": b"in", "out.onnx": b"new", "w.bin": b"w"}
    assert fault in "; ".join(_faults(found, was, wanted))
    assert bool(fault) == bool(list(_faults(found, was, wanted)))
