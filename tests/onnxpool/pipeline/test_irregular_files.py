"""Files that no checker likes and runtimes take: rewritten, or copied with a word."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper

import onnxpool
from onnxpool.errors import NoOpsetError
from tests.onnxpool.conftest import Run
from tests.onnxpool.pipeline.test_freeze_inputs import gem

LEFT = (
    "does not say its opset (no opset_import for the default domain); so what its ops do is not "
    "known, and it is left as it is"
)


@pytest.mark.parametrize("imported", [[], [helper.make_opsetid("ai.onnx.ml", 3)]])
def test_a_file_without_an_opset_is_copied(
    run: Run, tmp_path: Path, imported: list[onnx.OperatorSetIdProto]
) -> None:
    model = gem()
    del model.opset_import[:]
    model.opset_import.extend(imported)
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(model, source)
    status, printed, _ = run("rewrite", source, out)
    assert status == 0
    assert LEFT in " ".join(printed.split())
    assert "is a copy of" in printed
    assert out.read_bytes() == source.read_bytes()
    assert onnxpool.inspect(source).notes == (f"{source} {LEFT}",)
    with pytest.raises(NoOpsetError):
        onnxpool.rewrite(source, opset=17)


def test_initializers_of_ir_3_that_are_no_inputs_are_constant() -> None:
    model = gem(ir_version=3)
    del model.graph.input[1:]
    result = onnxpool.rewrite(model)
    assert [f.op for f in result.report.findings] == ["GeMPool"]
    x = np.random.default_rng(1).standard_normal((1, 8, 13, 13)).astype(np.float32)
    (found,) = ort.InferenceSession(result.serialize()).run(None, {"X": x})
    clamped = torch.from_numpy(x).double().clamp(min=1e-6)
    wanted = clamped.pow(2.5).mean((2, 3), keepdim=True).pow(1 / 2.5)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=0)
