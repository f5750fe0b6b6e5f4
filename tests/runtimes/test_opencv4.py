"""What OpenCV 4 takes and gets wrong: cured so that it is right there, or refused."""

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

import onnxpool
from onnxpool.errors import TargetError
from onnxpool.targets import find
from onnxpool.targets.running.process import Worker
from tests.runtimes import environments
from tests.runtimes.forms import Options, chain, floats, ints, one
from tests.runtimes.ops import rewritten, verdict
from tests.runtimes.pairs import pairs
from tests.runtimes.ranks import ranks
from tests.runtimes.registry import by_name

OPENCV = by_name("opencv4")

CURED = {
    "Softmax, ArgMax 1 keepdims 0 of 2 axes": "keepdims and Reshape",
    "LogSoftmax, ArgMin 1 keepdims 0 of 2 axes": "keepdims and Reshape",
    "ReduceMean [2, 3, 4] keepdims 1 of 5 axes": "two axes at a time",
    "ReduceMin [1, 2, 3] keepdims 0 of 4 axes": "two axes at a time",
    "ReduceL2 [1, 3, 4] keepdims 0 of 5 axes": "two axes at a time",
    "ReduceLogSum [1, 2, 3, 4] keepdims 1 of 5 axes": "two axes at a time",
    "ReduceSum [2, 3, 4] of 5 axes": "two axes at a time",
    "ReduceMax [0, 1] keepdims 0 of 2 axes": "two axes at a time",
    "ReduceL1 of one element of 4 axes": "on each element",
    "Softmax 1 opset 12 of 4 axes": "that of a matrix",
    "Pad reflect 1,1 on 2 of 3 axes": "one axis at a time",
    "Pad edge 1,0 on 1 of 2 axes": "one axis at a time",
    "Pad reflect everywhere of 5 axes": "one axis at a time",
    "Pad edge 1,1 on 1 of 4 axes": "one axis at a time",
    "MaxPool 2 uneven pads of 3 axes": "planes of one row",
    "AveragePool 3 SAME_UPPER of 3 axes": "planes of one row",
    "Conv SAME_LOWER of 4 axes": "explicit pads",
    "ConvTranspose pads of 3 axes": "planes of one row",
    "MaxPool 2 uneven pads ceil_mode of 4 axes": "pads at the end",
    "Conv by channel of 1x4, kernel [3, 3]": "Pad before it",
    "Resize linear half_pixel round_prefer_floor to 2 times of 3 axes": "MatMul",
    "Resize nearest half_pixel floor to 2 times of 4 axes": "MatMul",
    "Resize linear half_pixel by 1.5 of 4 axes": "MatMul",
    "Resize linear to one of 4 axes": "MatMul",
    "Concat 0 of x, c of 4 axes": "Pad and Add",
    "Unsqueeze 0, 2 of 2 axes": "Reshape",
    "Add of a vector and a number": "rows",
    "Expand of a vector": "rows",
    "Softmax of a vector": "along axis 0",
}

REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "MatMul of a vector": (ranks()["MatMul of a vector"], "of one axis for a column"),
    "ReduceProd": (one("ReduceProd", shape=(2, 4, 5, 6), axes=[1, 2, 3]), "may overflow"),
    "Pad that crops": (one("Pad", p=ints(0, 0, -1, 0, 0, 0, 0, 0)), "negative pads"),
    "ConvTranspose of volumes": (
        one("ConvTranspose", w=floats(2, 3, 2, 2, 2), shape=(1, 2, 4, 5, 6)),
        "does not run on volumes",
    ),
    "ConvTranspose with dilations": (
        one("ConvTranspose", w=floats(8, 3, 2, 2), dilations=[2, 2]),
        "gives a wrong shape",
    ),
    "comparison of a vector": (
        chain(
            {"h": floats()},
            ("ReduceMax", "x", "v", {"axes": [0], "keepdims": 0}),
            ("Greater", "v h", "t"),
            ("Cast", "t", "y", {"to": onnx.TensorProto.FLOAT}),
            shape=(3, 8),
        ),
        "of one axis for a column",
    ),
}

RIGHT: dict[str, Options] = {
    "Pad reflect 1,1 on 2 of 4 axes": {},
    "ReduceMean [2, 3] keepdims 1 of 4 axes": {},
    "Resize nearest asymmetric floor to 1.5 times of 4 axes": {},
    "Resize nearest half_pixel round_prefer_floor to 2 times of 4 axes": {},
    "Softmax, ArgMax 1 keepdims 0 of 4 axes": {},
}


@pytest.mark.parametrize("name", CURED)
def test_it_is_written_otherwise(name: str) -> None:
    model = ranks()[name]
    assert CURED[name] in " ".join(
        r.becomes for r in onnxpool.inspect(model, target="opencv4").refusals
    )
    result = onnxpool.rewrite(model, target="opencv4")
    assert not result.report.refusals
    assert CURED[name] in result.report.changes[0].form


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    model, reason = REFUSED[name]
    with pytest.raises(TargetError, match=reason):
        onnxpool.rewrite(model, target="opencv4")


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_stays(name: str) -> None:
    model = ranks()[name]
    assert not onnxpool.inspect(model, target="opencv4").refusals


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    python = environments.python_of(OPENCV, environments.default_folder())
    if python is None:
        pytest.skip("OpenCV 4 is not installed; python -m tests.runtimes install opencv4")
    worker = Worker("opencv4", OPENCV.driver_path, python, tmp_path_factory.mktemp("log"))
    assert worker.version == find("opencv4").tested
    yield worker
    worker.close()


@pytest.mark.parametrize("name", CURED)
def test_it_is_right_in_opencv(name: str, worker: Worker, tmp_path: Path) -> None:
    assert rewritten(worker, ranks()[name], "opencv4", tmp_path) == "right"


@pytest.mark.parametrize("name", [*CURED, *REFUSED])
def test_it_is_not_right_as_it_is(name: str, worker: Worker, tmp_path: Path) -> None:
    if "vector" not in name and name.startswith(("Concat", "Conv by channel")):
        pytest.skip("garbage may be right by chance")
    model = ranks()[name] if name in ranks() else REFUSED[name][0]
    assert verdict(worker, model, model, tmp_path) != "right"


@pytest.mark.parametrize("name", RIGHT)
def test_what_stays_is_right_in_opencv(name: str, worker: Worker, tmp_path: Path) -> None:
    assert verdict(worker, ranks()[name], ranks()[name], tmp_path) == "right"


@pytest.mark.parametrize(
    "name",
    [
        "BatchNormalization, Mul by channel of 1x8x12x12",
        "Pad reflect, Conv of 1x8x12x12",
        "Resize nearest, Slice of 1x8x12x12",
        "GlobalAveragePool, Conv by channel of 1x8x12x12",
        "Softmax 1, ArgMax 1 keepdims 0 of 3x8",
        "ArgMax 0 keepdims 0, Add by column of 3x8",
        "ReduceMean 1, Mul by number of 3x8",
        "Unsqueeze, Relu of 3x8",
    ],
)
def test_a_pair_is_right_in_opencv(name: str, worker: Worker, tmp_path: Path) -> None:
    assert rewritten(worker, pairs()[name], "opencv4", tmp_path) == "right"
