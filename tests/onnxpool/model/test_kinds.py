"""Models in memory: each kind is taken, and comes back as the kind that it was."""

import contextlib
import io
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from torch import Tensor, nn

import onnxpool
from onnxpool.errors import ArgumentError, ExternalDataError
from onnxpool.model import kinds

MODELS = Path(__file__).parents[3] / "models"
FILE = MODELS / "adaptive_avg_2d.onnx"
SOURCE = f"{MODELS}/adaptive.py:adaptive_avg_2d"


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.conv(x), (2, 3))


@pytest.fixture(scope="module")
def program() -> torch.onnx.ONNXProgram:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        x = torch.zeros(1, 3, 7, 8)
        made = torch.onnx.export(Head().eval(), (x,), dynamo=True, verbose=False)
    assert made is not None
    return made


KINDS: dict[str, tuple[Callable[[], Any], type]] = {
    "a path": (lambda: FILE, onnx.ModelProto),
    "its name": (lambda: str(FILE), onnx.ModelProto),
    "bytes": (FILE.read_bytes, bytes),
    "a ModelProto": (lambda: onnx.load(FILE), onnx.ModelProto),
    "an onnx_ir.Model": (lambda: onnx_ir.load(FILE), onnx_ir.Model),
}


def as_proto(model: Any) -> onnx.ModelProto:
    """By onnx or onnx_ir itself."""
    if isinstance(model, str | Path):
        return onnx.load(model)
    if isinstance(model, bytes):
        return onnx.load_from_string(model)
    return onnx_ir.to_proto(model) if isinstance(model, onnx_ir.Model) else model


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_taken_and_given_back(name: str) -> None:
    make, kind = KINDS[name]
    given = make()
    result = onnxpool.rewrite(given)
    assert result.report.rewritten == 1
    back = result.as_given()
    assert type(back) is kind
    ops = [node.op_type for node in as_proto(back).graph.node]
    assert "GatherND" not in ops
    assert ops == [node.op_type for node in result.model.graph.node]
    # What came is as it was.
    assert "GatherND" in [n.op_type for n in as_proto(make()).graph.node]
    if not isinstance(given, str | Path):
        assert as_proto(given) == as_proto(make())


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_inspected_validated_and_compared(name: str) -> None:
    given = KINDS[name][0]()
    (finding,) = onnxpool.inspect(given).findings
    assert finding.op == "AdaptiveAveragePool"
    assert onnxpool.validate(given, SOURCE).passed
    assert onnxpool.validate(FILE, given).passed
    assert onnxpool.compare(given, FILE).passed
    assert onnxpool.compare(SOURCE, given).reference == SOURCE
    assert onnxpool.diff(given, FILE).same


def test_a_program_comes_back_and_runs(program: torch.onnx.ONNXProgram) -> None:
    before = program.model_proto
    result = onnxpool.rewrite(program)
    back = result.as_given()
    assert type(back) is torch.onnx.ONNXProgram
    assert program.model_proto == before
    assert "GatherND" not in [node.op_type for node in back.model_proto.graph.node]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 7, 8), np.float32))
    # torch runs both in ONNX Runtime: sums of 12 values and 3 products, in another order.
    torch.testing.assert_close(back(x)[0], program(x)[0], rtol=1e-5, atol=1e-6)
    assert back.exported_program is program.exported_program


def test_a_program_is_compared_with_its_source(program: torch.onnx.ONNXProgram) -> None:
    exported = program.exported_program
    assert exported is not None
    assert onnxpool.validate(program, exported.module()).passed
    assert onnxpool.compare(program, onnxpool.rewrite(program).as_given()).passed


def test_external_weights_of_onnx_ir_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx_ir.save(onnx_ir.load(MODELS / "ppm.onnx"), path, external_data="weights.bin")
    model = onnx_ir.load(path)
    assert any(
        isinstance(value.const_value, onnx_ir.ExternalTensor)
        for value in model.graph.initializers.values()
    )
    back = onnxpool.rewrite(model).as_given()
    assert onnxpool.compare(back, MODELS / "ppm.onnx").passed


def test_weights_that_no_proto_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_LARGEST", 100)
    with pytest.raises(ExternalDataError, match="more than 2 GiB, which a ModelProto cannot hold"):
        onnxpool.inspect(onnx_ir.load(FILE))


@pytest.mark.parametrize("call", ["rewrite", "inspect"])
def test_what_is_no_model(call: str) -> None:
    with pytest.raises(ArgumentError, match="a value of type list is no model; wanted a path"):
        getattr(onnxpool, call)([1, 2])


def test_no_package_is_imported_for_a_path() -> None:
    code = (
        "import sys, onnxpool\n"
        f"onnxpool.rewrite({str(FILE)!r}).as_given()\n"
        "sys.exit(','.join({'torch', 'onnx_ir'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
