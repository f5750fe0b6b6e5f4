"""`onnxpool.session` and `onnxpool ops`, with the library and where it is missing or refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxpool
from onnxpool import runtime
from onnxpool.errors import LibraryError
from onnxpool.ops import DIALECT, DOMAIN, AdaptiveAveragePool, library
from onnxpool.rewrites.graph.run import kernels_missing
from tests.onnxpool.conftest import Run
from tests.onnxpool.custom_op import needs_library

MODELS = Path(__file__).parents[2] / "models"
X = np.random.default_rng(0).standard_normal((1, 8, 13, 13)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "prod.onnx"
    onnxpool.rewrite(MODELS / "adaptive_avg_2d.onnx", to="custom-op").save(path)
    return path


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(library, "NAMES", ("none.so",))
    kernels_missing.cache_clear()
    yield
    kernels_missing.cache_clear()


def test_ops_need_no_import_of_their_own() -> None:
    code = "import onnxpool; print(onnxpool.ops.register.__name__, onnxpool.ops.DOMAIN)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "register onnxpool\n"


@needs_library
def test_a_session_runs_the_kernels_with_the_options_given(model: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    session = onnxpool.session(model, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"input": X})
    np.testing.assert_allclose(y, AdaptiveAveragePool((6, 6)).reference(X)[0], rtol=1e-5, atol=1e-6)
    (node,) = onnx.load(tmp_path / "optimized.onnx").graph.node
    assert (node.domain, node.op_type) == (DOMAIN, "AdaptiveAveragePool")


@needs_library
def test_options_serve_for_several_sessions_and_a_model_may_be_bytes(model: Path) -> None:
    options = onnxruntime.SessionOptions()
    first = onnxpool.session(model, options)
    second = onnxpool.session(model.read_bytes(), options)
    for a, b in zip(first.run(None, {"input": X}), second.run(None, {"input": X}), strict=True):
        np.testing.assert_array_equal(a, b)


OTHER_FIRST = [
    ["AzureExecutionProvider", "CPUExecutionProvider"],
    [("AzureExecutionProvider", {}), "CPUExecutionProvider"],
]
"""The one provider beside the CPU's that every build of ONNX Runtime has."""


def runs_kernels(options: onnxruntime.SessionOptions) -> bool:
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    return any(node.domain == DOMAIN for node in nodes)


@needs_library
@pytest.mark.parametrize("providers", OTHER_FIRST)
def test_where_another_provider_comes_first_the_bodies_run(
    model: Path, tmp_path: Path, providers: list[object]
) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    with pytest.warns(UserWarning, match="AzureExecutionProvider comes first") as warned:
        session = onnxpool.session(model, options, providers=providers)
    # It points at the call.
    assert [w.filename for w in warned] == [__file__]
    assert not runs_kernels(options)
    (y,) = session.run(None, {"input": X})
    np.testing.assert_allclose(y, AdaptiveAveragePool((6, 6)).reference(X)[0], rtol=1e-5, atol=1e-6)


@needs_library
@pytest.mark.parametrize("library", [True, False])
@pytest.mark.parametrize("providers", [["CPUExecutionProvider"], *OTHER_FIRST])
def test_who_says_so_gets_it_so(
    model: Path, tmp_path: Path, providers: list[object], library: bool
) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxpool.session(model, options, library=library, providers=providers)
    assert runs_kernels(options) == library


@pytest.mark.usefixtures("no_library")
def test_a_missing_library_is_one_line_with_both_ways_out(model: Path) -> None:
    wanted = (
        r"^onnxpool was installed without its custom-op library.* on onnxpool again; or make an "
        r"onnxruntime\.InferenceSession, which runs the function bodies$"
    )
    with pytest.raises(LibraryError, match=wanted):
        onnxpool.session(model)
    (y,) = onnxruntime.InferenceSession(model).run(None, {"input": X})
    np.testing.assert_allclose(y, AdaptiveAveragePool((6, 6)).reference(X)[0], rtol=1e-5, atol=1e-6)


def test_a_library_that_the_runtime_refuses(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(library, "library_path", lambda: broken)
    wanted = (
        rf"^onnxruntime {onnxruntime.__version__} does not take the custom-op library {broken}: "
    )
    with pytest.raises(LibraryError, match=wanted):
        onnxpool.session(model)


@pytest.mark.usefixtures("no_library")
def test_where_there_is_no_library_none_is_registered(model: Path) -> None:
    options = onnxruntime.SessionOptions()
    assert not runtime.register_where_used(options, onnx.load(model))


def test_ops_lists_the_dialect(run: Run) -> None:
    status, out, _ = run("ops")
    lines = out.splitlines()
    assert status == 0
    assert [line.split()[0] for line in lines[1:6]] == [op.op_type() for op in DIALECT]
    assert lines[3].split()[:5] == ["GeMPool", "output_size,", "[epsilon]", "X,", "p"]
    assert "[Indices]" in lines[2]
    assert lines[-1].startswith("no library: " if kernels_missing() else "library: /")


@needs_library
def test_ops_library_prints_the_path_and_no_more(run: Run) -> None:
    status, out, err = run("ops", "--library")
    assert (status, out, err) == (0, f"{library.library_path()}\n", "")


@pytest.mark.usefixtures("no_library")
def test_ops_without_the_library(run: Run) -> None:
    status, out, err = run("ops", "--library")
    assert (status, out) == (2, "")
    assert err.startswith("onnxpool: onnxpool was installed without its custom-op library, ")
    assert len(err.splitlines()) == 1
    status, out, _ = run("ops")
    assert status == 0
    assert "no library: onnxpool was installed without its custom-op library, " in out
