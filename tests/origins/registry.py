"""The frameworks whose exports are tried, and the environments they live in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.runtimes.registry import Environment

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Origin:
    """A framework with its exporter.

    Attributes:
        maker: the file in makers/, without its ending.
        kept: whether its models are in exports/, since its environment is too large for a test.
    """

    name: str
    maker: str
    environment: Environment
    kept: bool = False

    @property
    def maker_path(self) -> Path:
        return HERE / "makers" / f"{self.maker}.py"

    @property
    def archive(self) -> Path:
        """Where its models are, if they are kept."""
        return HERE / "exports" / f"{self.name}.zip"


TENSORFLOW = Environment(
    "tensorflow", 1600, ("tensorflow-cpu==2.21.0", "tf2onnx==1.17.0", "onnx==1.23.2")
)
PADDLE = Environment(
    "paddle",
    900,
    # paddle2onnx folds constants by the last three, and needs two more that it does not name.
    (
        "paddlepaddle==3.3.1",
        "paddle2onnx==2.1.0",
        "packaging",
        "setuptools",
        "onnx-graphsurgeon==0.6.1",
        "onnxruntime==1.32.0",
        "sympy",
    ),
)
TORCH = {
    "2.1": Environment(
        "torch-2.1",
        4900,
        ("torch==2.1.2", "numpy<2", "onnx==1.15.0", "onnxscript==0.1.0.dev20231010", "packaging"),
    ),
    "2.4": Environment(
        "torch-2.4",
        5600,
        ("torch==2.4.1", "numpy<2", "onnx==1.16.2", "onnxscript==0.1.0.dev20240801", "packaging"),
    ),
    "2.6": Environment(
        "torch-2.6",
        5700,
        ("torch==2.6.0", "numpy<2", "onnx==1.17.0", "onnxscript==0.2.5", "packaging"),
    ),
}

ORIGINS = (
    Origin("tensorflow", "tensorflow_models", TENSORFLOW),
    Origin("paddle", "paddle_models", PADDLE),
    *(Origin(f"torch-{v}", "torch_models", each, kept=True) for v, each in TORCH.items()),
)
