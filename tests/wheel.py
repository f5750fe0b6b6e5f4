"""An installed onnxpool, away from its checkout: python wheel.py MODELS, a folder of .onnx files.

It is what is tested of every wheel: the packages are those of the wheel, the library is in it, and
what it rewrites computes the same as standard ops, by the kernels and by the function bodies.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

import onnxpool
from onnxpool.ops import AdaptiveAveragePool, library_path, register


def main(models: Path) -> None:
    assert "site-packages" in onnxpool.__file__, onnxpool.__file__
    assert "site-packages" in str(library_path()), library_path()
    assert importlib.util.find_spec("torch") is None, "torch was installed"
    installed = {Path(file).parts[0] for file in importlib.metadata.files("onnxpool") or ()}
    assert not installed & {"rewrites", "ops", "tests", "models"}, installed
    for name in ("rewrites", "ops"):
        assert importlib.util.find_spec(name) is None, f"{name} was installed"
    check_kernel()
    paths = sorted(models.glob("*.onnx"))
    assert paths, f"{models} has no models"
    for path in paths:
        check(path)
    print(f"onnxpool {onnxpool.__version__}: {len(paths)} models are right")


def check(path: Path) -> None:
    before = onnxruntime.InferenceSession(path)
    (given,) = before.get_inputs()
    feed = {given.name: np.random.default_rng(0).uniform(0.1, 2, given.shape).astype(np.float32)}
    wanted = before.run(None, feed)
    standard = onnxpool.rewrite(path)
    assert standard.report.rewritten, path
    custom = onnxpool.rewrite(path, to="custom-op").serialize()
    for session in (
        onnxruntime.InferenceSession(standard.serialize()),
        onnxruntime.InferenceSession(custom),
        onnxpool.session(custom),
    ):
        compare(session, feed, wanted)


def check_kernel() -> None:
    """A session with the library runs what the reference computes."""
    op = AdaptiveAveragePool((4, 3))
    x = np.arange(2 * 3 * 9 * 7, dtype=np.float32).reshape(2, 3, 9, 7)
    node = helper.make_node(op.op_type(), ["x"], ["y"], domain="onnxpool", **op.attributes())
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "graph", inputs, outputs)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("onnxpool", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    register(options)
    (y,) = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})
    np.testing.assert_allclose(y, op.reference(x)[0], rtol=1e-6)


def compare(session: Any, feed: dict[str, Any], wanted: list[Any]) -> None:
    for found, y in zip(session.run(None, feed), wanted, strict=True):
        np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
