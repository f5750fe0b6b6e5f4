"""int8 builds: how errors are told, and that ONNX Runtime quantizes with what is set for it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxpool.rewrites.graph.run import Runner
from tests.runtimes.constructs import builders
from tests.runtimes.int8.__main__ import NAMES, markdown, percents, read, relative_error, summary
from tests.runtimes.int8.qdq import quantize_in_place

PAGE = Path(__file__).parents[2] / "docs" / "int8.md"


def test_the_committed_page_is_read_as_it_is_written() -> None:
    page = PAGE.read_text()
    found = read(page)
    assert markdown(found) == page
    assert set(found) == {(builder, name) for builder in builders() for name in NAMES}


def test_what_is_said_of_errors() -> None:
    assert percents("1.5 % → r → 0.024 %") == [1.5, None, 0.024]
    assert percents("–") == percents("NaN") == percents("not run") == [None]
    words = ["1 % → 2 % → 1.2 %", "1 % → 1 % → 1.3 %", "2 % → 1 % → 1 %", "r → 1 % → 1 %", "3 %"]
    found = {(builder, "qnn"): text for builder, text in zip(builders(), words, strict=False)}
    (line,) = (line for line in summary(found) if "`qnn`" in line)
    named = f"`{builders()[1]}` (1 → 1.3 %)"
    assert line == f"- `qnn`: of 4 constructs it loses less in 1, more in 1: {named}"


def test_an_error_is_relative_to_all_real_outputs() -> None:
    wanted = [np.array([3.0, 0.0]), np.array([4.0]), np.array([7])]
    found = [np.array([[3.0, 0.5]]), np.array([4.0]), np.array([0])]
    assert relative_error(found, wanted) == pytest.approx(0.1)


def test_a_pooling_alone_is_quantized(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,2,6,6] x) => (float[1,2,3,3] y)
        { y = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x) }""")
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    samples = list(np.random.default_rng(0).standard_normal((9, 1, 2, 6, 6)).astype(np.float32))
    quantize_in_place(path, samples[:8])
    found, wanted = (Runner(m)({"x": samples[8]}) for m in (onnx.load(path), model))
    assert 1e-4 < relative_error(found, wanted) < 0.05
