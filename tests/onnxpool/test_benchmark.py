"""bench: what is timed, how often and in which order, and what is made of the times.

No test looks at real times: the clock is one that the contenders themselves turn.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from rich.console import Console
from torch import nn

import onnxpool
from onnxpool import benchmark
from onnxpool.benchmark import FLOOR, TORCH_FLOOR, WARM_UP, Bench, Comparison, Timing
from onnxpool.cli import display
from onnxpool.errors import ArgumentError, ModelError, SourceError
from tests.onnxpool.conftest import Run

MODELS = Path(__file__).parents[2] / "models"


def model(op: str = "Relu", shape: tuple[Any, ...] = (1, 2, 4), dtype: int = 1) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("X", dtype, shape)
    y = helper.make_tensor_value_info("Y", dtype, None)
    graph = helper.make_graph([helper.make_node(op, ["X"], ["Y"])], "main", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


DYNAMIC = model(shape=("N", 2, "L"))


class Costs:
    """A clock, and contenders that take a given number of seconds in each of their runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def contender(self, name: str, *seconds: float) -> benchmark.Contender:
        spent = iter(seconds)

        def run() -> None:
            self.now += next(spent)
            self.ran.append(name)

        return lambda threads, inputs: run

    def in_turns(self, runs: int, **contenders: benchmark.Contender) -> tuple[Timing, ...]:
        return benchmark.in_turns(contenders, 1, [], runs, lambda: self.now, None)


def test_the_first_runs_do_not_count() -> None:
    costs = Costs()
    slow = [9.0] * (1 + WARM_UP)
    (timing,) = costs.in_turns(3, a=costs.contender("a", *slow, 0.5, 0.25, 1.0))
    assert timing.milliseconds == (500, 250, 1000)


def test_each_round_runs_all_of_them_in_changing_order() -> None:
    costs = Costs()
    names = ("a", "b", "c")
    runs = 12
    costs.in_turns(runs, **{n: costs.contender(n, *[1.0] * (1 + WARM_UP + runs)) for n in names})
    rounds = [tuple(costs.ran[i : i + 3]) for i in range(3, len(costs.ran), 3)]
    assert len(rounds) == WARM_UP + runs
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len(set(rounds)) > 1


def test_who_fails_has_a_reason_and_no_times() -> None:
    def broken(_threads: int, _inputs: Any) -> benchmark.Run:
        raise ValueError("no such\nthing")

    costs = Costs()
    good, bad = costs.in_turns(2, good=costs.contender("good", *[1.0] * 6), bad=broken)
    assert good.milliseconds == (1000, 1000)
    assert bad == Timing("bad", (), "ValueError: no such thing")


def test_ratios_medians_and_quartiles() -> None:
    first = Timing("first", (4.0, 2.0, 100.0, 1.0, 3.0))
    other = Timing("other", (1.0, 2.0, 1.5, 1.5, 1.5))
    assert first.median == 3
    assert first.quartiles == (2, 4)
    assert Comparison(1, "2x3", (first, other)).ratio(other) == 0.5


def test_each_size_and_number_of_threads_is_a_comparison() -> None:
    result = onnxpool.bench(
        [DYNAMIC, DYNAMIC], threads=(1, 2), shapes=[(1, 2, 3), (5, 2, 7)], runs=2
    )
    found = [(c.size, c.threads) for c in result.comparisons]
    assert found == [("1x2x3", 1), ("1x2x3", 2), ("5x2x7", 1), ("5x2x7", 2)]
    for comparison in result.comparisons:
        assert [t.name for t in comparison.timings] == ["model", "model (2)", FLOOR, TORCH_FLOOR]
        assert all(len(t.milliseconds) == 2 for t in comparison.timings)
    assert result.versions.keys() == {"onnxruntime", "torch"}
    assert result.provider == "CPUExecutionProvider"


def test_without_torch_there_is_one_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = onnxpool.bench([model()], runs=1)
    assert [t.name for t in result.comparisons[0].timings] == ["model", FLOOR]
    assert result.versions.keys() == {"onnxruntime"}


def test_json_holds_medians_and_ratios() -> None:
    timings = (Timing("a", (2.0, 2.0)), Timing("b", (1.0, 1.0)), Timing("c", (), "why"))
    facts = Bench("cpu", "p", {"onnxruntime": "1"}, 2, (Comparison(1, "1x2", timings),)).to_json()
    assert json.loads(json.dumps(facts)) == facts
    a, b, c = facts["comparisons"][0]["timings"]
    assert (a["ratio"], b["ratio"], b["median"]) == (1, 0.5, 1)
    assert b["quartiles"] == [1, 1]
    assert c == {"name": "c", "failure": "why"}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "float16", "bool"])
@pytest.mark.parametrize("size", [0, 1, 3, 5000])
def test_the_floor_reads_the_input(dtype: str, size: int) -> None:
    x = np.ones(size, dtype)
    rows = benchmark._rows(x)
    assert rows.ndim == 2
    left_out = x.nbytes - rows.nbytes
    assert 0 <= left_out < max(4, rows.itemsize * rows.shape[1])
    answer: Any = benchmark.sum_of_inputs(1, [x])()
    (sums,) = answer
    (total,) = cast("list[Any]", benchmark.sum_in_pytorch(1, [x])())
    assert total.item() == size
    if x.dtype == rows.dtype:
        assert sums.sum() == rows.size


def test_a_module_is_timed_in_torch_with_its_own_threads() -> None:
    seen = []

    class Watched(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert torch.is_inference_mode_enabled()
            assert not self.training
            seen.append((torch.get_num_threads(), tuple(x.shape)))
            return x

    before = torch.get_num_threads()
    module = Watched().eval()
    result = onnxpool.bench([model()], torch=module, threads=(before + 1,), runs=1)
    assert set(seen) == {(before + 1, (1, 2, 4))}
    assert torch.get_num_threads() == before
    assert result.comparisons[0].timings[1].name == "Watched in PyTorch"
    assert "torch" in result.versions


def test_examples_of_the_source_give_sizes_that_the_model_leaves_free() -> None:
    pytest.importorskip("onnxscript")
    file = model("GlobalAveragePool", ("N", 16, "H", "W"))
    result = onnxpool.bench([file], torch=f"{MODELS}/pyramid.py:ppm", runs=1)
    assert result.comparisons[0].size == "1x16x33x33"


def test_a_module_that_does_not_run_is_a_note_and_no_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = onnxpool.bench([model()], torch=nn.Conv2d(5, 5, 3), runs=1)
    display.show_bench(result, Console(width=200))
    assert "Conv2d in PyTorch does not run: RuntimeError" in capsys.readouterr().out


def test_openvino_is_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ArgumentError, match=r"--openvino needs OpenVINO .*pip install openvino"):
        onnxpool.bench([model()], openvino=True)


def test_openvino_runs_the_model_at_the_size() -> None:
    pytest.importorskip("openvino")
    result = onnxpool.bench([DYNAMIC], shapes=[(1, 2, 3)], openvino=True, runs=1)
    timing = result.comparisons[0].timings[1]
    assert (timing.name, timing.failure) == ("model in OpenVINO", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "there is no model to time"),
        ({"models": [model()], "runs": 0}, "number of runs is 0, wanted 1 or more"),
        ({"models": [model()], "threads": (2, 0)}, "number of threads is 0, wanted 1 or more"),
        (
            {"models": [model()], "provider": "Abacus"},
            "no provider 'Abacus'; it has .*CPUExecutionProvider",
        ),
        ({"models": [DYNAMIC]}, "input 'X' is Nx2xL, and L may be anything; give a size"),
        ({"models": [DYNAMIC], "shapes": [(1, 3, 4)]}, "1x3x4 does not fit input 'X'"),
        (
            {"models": [model(), model(dtype=TensorProto.DOUBLE)]},
            r"model \(2\) takes X \(float64\), and model takes X \(float32\)",
        ),
    ],
)
def test_what_cannot_be_timed_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        onnxpool.bench(**arguments)


def test_a_model_that_does_not_run_at_the_size_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"model \(2\) does not run at 1x2x3: .* dimensions"):
        onnxpool.bench([DYNAMIC, model()], shapes=[(1, 2, 3)])


def test_a_source_that_is_not_there_is_said() -> None:
    with pytest.raises(SourceError, match="no such file"):
        onnxpool.bench([model()], torch="missing.py:net")


def test_the_command_prints_a_table(run: Run) -> None:
    file = MODELS / "gem.onnx"
    status, text, errors = run(
        "bench", file, file, "--runs", "2", "--threads", "1", "--threads", "2"
    )
    assert (status, errors) == (0, "")
    assert "median of 2, in turns" in text
    assert "1 thread" in text
    assert "2 threads" in text
    assert f"{file} (2)" in text
    assert FLOOR in text
    assert TORCH_FLOOR in text
    assert "cores, CPUExecutionProvider; median" in text


def test_the_command_prints_json_alone(run: Run) -> None:
    file = MODELS / "gem.onnx"
    status, text, _ = run("bench", file, "--runs", "1", "--no-floor", "--json", "-")
    facts = json.loads(text)
    assert status == 0
    assert [t["name"] for t in facts["comparisons"][0]["timings"]] == [str(file)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.onnx",), "missing.onnx: no such file"),
        ((MODELS / "gem.onnx", "--shape", "axb"), "'axb' is no shape"),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: tuple[Any, ...], message: str) -> None:
    status, text, errors = run("bench", *arguments)
    assert (status, text) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1
