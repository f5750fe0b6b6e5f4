"""docs/pairs.md: its code writes pairs, by which a right model passes and a wrong one does not.

What needs TensorFlow or Paddle is run by their environments: ``pytest -m origins``.
"""

import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxpool
from tests.origins import make
from tests.origins.registry import ORIGINS

PAGE = Path(__file__).parents[2] / "docs" / "pairs.md"
MEAN = """<ir_version: 8, opset_import: ["" : 13]> g (float[N,C,H,W] x) => (float[N,C] y)
    { y = ReduceMean<axes = [2, 3], keepdims = 0>(x) }"""

KERAS = """
import tensorflow as tf
keras = tf.keras
keras.utils.set_random_seed(0)
x = keras.Input((None, None, 3))
y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
model = keras.Model(x, y)
"""
SAVED = f"""{KERAS}
import tf2onnx
call = tf.function(lambda x: model(x, training=False))
signature = [tf.TensorSpec((None, None, None, 3), tf.float32, name="x")]
tf2onnx.convert.from_function(call, signature, opset=17, output_path="model.onnx")
module = tf.Module()
module.model, module.call = model, call
tf.saved_model.save(module, "saved", signatures=call.get_concrete_function(signature[0]))
shapes = [(2, 9, 12, 3), (1, 7, 7, 3)]
"""
TF_1 = """
import tensorflow as tf
import tf2onnx
graph = tf.Graph()
with graph.as_default():
    x = tf.compat.v1.placeholder(tf.float32, (None, 12, 18, 3), name="x")
    tf.identity(tf.nn.avg_pool2d(x, (6, 6), (6, 6), "SAME"), name="y")
tf2onnx.convert.from_graph_def(
    graph.as_graph_def(), input_names=["x:0"], output_names=["y:0"], output_path="model.onnx"
)
shapes = [(2, 12, 18, 3), (1, 12, 18, 3)]
"""
PADDLE = """
import os
os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
import paddle
paddle.seed(0)
network = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 1), paddle.nn.AdaptiveAvgPool2D({bins}))
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_pairs_of_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(parser.parse_model(MEAN), "model.onnx")
    page: dict[str, object] = {}
    exec(compile(blocks()[0], str(PAGE), "exec"), page)
    write_pairs, shapes = page["write_pairs"], [(1, 3, 33, 33), (2, 3, 40, 57)]
    assert callable(write_pairs)
    write_pairs("model.onnx", lambda x: x.mean((2, 3)), shapes)
    assert onnxpool.validate("model.onnx", "pairs.npz").passed
    write_pairs("model.onnx", lambda x: [np.median(x, (2, 3))], shapes)
    assert not onnxpool.validate("model.onnx", "pairs.npz").passed


@pytest.mark.origins
@pytest.mark.parametrize(
    ("origin", "block", "given", "right"),
    [
        pytest.param("tensorflow", 1, KERAS, True, id="keras"),
        pytest.param("tensorflow", 2, SAVED, True, id="saved"),
        pytest.param("tensorflow", 3, TF_1, True, id="tf1"),
        pytest.param("paddle", 4, PADDLE.format(bins=3), True, id="paddle"),
        pytest.param("paddle", 4, PADDLE.format(bins=6), False, id="paddle, inexact"),
    ],
)
def test_pairs_of_a_framework(
    origin: str, block: int, given: str, right: bool, tmp_path: Path
) -> None:
    (chosen,) = (each for each in ORIGINS if each.name == origin)
    python = make.python_of(chosen, make.default_folder())
    if python is None:
        pytest.skip(f"{origin} is not installed; python -m tests.origins install")
    parts = blocks()
    program = tmp_path / "program.py"
    program.write_text("\n".join([given, parts[0], parts[block]]))
    done = subprocess.run(
        [str(python), program.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    model, pairs = tmp_path / "model.onnx", tmp_path / "pairs.npz"
    assert onnxpool.validate(model, pairs).passed == right
    result = onnxpool.rewrite(model, restore={"*": ()})
    result.save(tmp_path / "out.onnx")
    assert onnxpool.validate(tmp_path / "out.onnx", pairs).passed
