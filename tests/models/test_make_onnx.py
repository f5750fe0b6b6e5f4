"""The committed .onnx files are what their sources export to, and tell nothing of a machine."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from models import make_onnx
from tests.exports import quiet

FOLDER = Path(make_onnx.__file__).parent
COMMITTED = sorted(FOLDER.glob("*.onnx"))


def test_every_committed_file_has_a_source() -> None:
    assert [path.name for path in COMMITTED] == sorted(make_onnx.FILES)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_no_absolute_path_and_no_external_data(path: Path) -> None:
    content = path.read_bytes()
    assert len(content) < 200_000
    assert not re.search(rb"\.py\b|/(home|root|usr|opt|work|tmp|Users)/|[A-Z]:\\", content)
    model = onnx.load(path, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    keys = {entry.key for node in model.graph.node for entry in node.metadata_props}
    assert {"namespace", "pkg.torch.onnx.class_hierarchy"} <= keys


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_file_computes_what_its_source_computes(path: Path) -> None:
    build, shape = make_onnx.FILES[path.name]
    torch.manual_seed(0)
    module = build().eval()
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    session = ort.InferenceSession(path)
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    # float32: a few dozen roundings of values near 1.
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_file_is_reproducible(path: Path) -> None:
    if onnx.load(path).producer_version.split("+")[0] != torch.__version__.split("+")[0]:
        pytest.skip("made by another torch")
    with quiet():
        content = make_onnx.export(*make_onnx.FILES[path.name])
    assert content.SerializeToString(deterministic=True) == path.read_bytes()
