"""What another package adds by entry points: found, named, checked, or refused in a line."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from onnxpool.ops import AdaptiveAveragePool
from tests.onnxpool.cli.conftest import PYRAMID, Shell, check_one_line, environment, shell

__all__ = ["shell"]  # A fixture.

TOY = """
from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.lower.adaptive_average_pool import lower_average_pool
from onnxpool.targets import Limit, Target

TARGET = Target(
    name="toy",
    runtime="a runtime for this test",
    tested="1.0",
    runs_on="phone",
    opset=17,
    limits=(Limit(("GatherND",), "does not know it"), Limit(("Sigmoid",), "does not know it")),
)


def average(builder, op, inputs, outputs, strategy):
    results, _ = lower_average_pool(builder, op, inputs, outputs, "slice")
    return results, "toy form"


def twice(builder, op, inputs, outputs, strategy):
    (y,), _ = lower_average_pool(builder, op, inputs, outputs, "slice")
    return [builder.elementwise("Add", y, y)], "twice"


def broken(builder, op, inputs, outputs, strategy):
    return 1 / 0


BROKEN = {"AdaptiveAveragePool": broken}
LOWERINGS = {"AdaptiveAveragePool": average}
WRONG = {"AdaptiveAveragePool": twice}


class Exporter:
    DOMAIN = "toy"
    OWNER = "Toy"

    @staticmethod
    def applies(node):
        return node.domain == "toy" and node.op == "Pool"

    @staticmethod
    def meaning(node, opset):
        return AdaptiveAveragePool((node.attrs["to"],) * 2), ()
"""

POINTS = """
[onnxpool.targets]
toy = toy_pool:TARGET

[onnxpool.strategies]
toy = toy_pool:LOWERINGS
wrong = toy_pool:WRONG
broken = toy_pool:BROKEN

[onnxpool.constructs]
toy = toy_pool:Exporter
"""


def install(folder: Path, points: str = POINTS) -> dict[str, str]:
    """Put the package there, as pip would; the environment that sees it."""
    (folder / "toy_pool.py").write_text(TOY)
    metadata = folder / "toy_pool-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-pool\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(points)
    path = environment()["PYTHONPATH"]
    return {"PYTHONPATH": f"{folder}:{path}"}


@pytest.fixture
def toy(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "site"
    folder.mkdir()
    return install(folder)


def toy_model(path: Path) -> None:
    """x → toy::Pool<to=4> → y."""
    node = helper.make_node("Pool", ["x"], ["y"], "pool", domain="toy", to=4)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "main",
        [value("x", TensorProto.FLOAT, [1, 3, 9, 7])],
        [value("y", TensorProto.FLOAT, [1, 3, 4, 4])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("toy", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)


def test_a_target(shell: Shell, tmp_path: Path, toy: dict[str, str]) -> None:
    assert b"a runtime for this test" in shell("targets", "toy", env=toy).stdout
    told = shell("inspect", PYRAMID, "--target", "toy", env=toy).stdout
    assert b"toy would not take GatherND" in told
    done = shell("rewrite", PYRAMID, "out.onnx", "--target", "toy", env=toy)
    assert done.returncode == 0, done.stderr
    assert onnx.load(tmp_path / "out.onnx").opset_import[0].version == 17
    check_one_line(shell("targets", "toy"), 2, "there is no target 'toy'")


def test_a_strategy(shell: Shell, tmp_path: Path, toy: dict[str, str]) -> None:
    model = PYRAMID.with_name("adaptive_avg_2d.onnx")
    done = shell("rewrite", model, "out.onnx", "--strategy", "toy", env=toy)
    assert done.returncode == 0, done.stderr
    assert b"toy form" in done.stdout
    # What it has no function for is lowered as ever.
    done = shell("rewrite", PYRAMID, "pyramid.onnx", "--strategy", "toy", env=toy)
    assert done.returncode == 0, done.stderr
    assert b"shared matmul" in done.stdout
    refused = shell("rewrite", model, "out.onnx", "--strategy", "toy")
    check_one_line(refused, 2, "unknown strategy 'toy'; use auto or matmul or slice or pool")


def test_a_wrong_strategy_is_refused_by_the_check(
    shell: Shell, tmp_path: Path, toy: dict[str, str]
) -> None:
    model = PYRAMID.with_name("adaptive_avg_2d.onnx")
    done = shell("rewrite", model, "out.onnx", "--strategy", "wrong", env=toy)
    check_one_line(done, 1, "nothing was written")
    assert not (tmp_path / "out.onnx").exists()


def test_one_that_fails_is_named(shell: Shell, tmp_path: Path, toy: dict[str, str]) -> None:
    model = PYRAMID.with_name("adaptive_avg_2d.onnx")
    done = shell("rewrite", model, "out.onnx", "--strategy", "broken", env=toy)
    words = "the plug-in 'broken' (onnxpool.strategies) of toy-pool 1.0 fails (ZeroDivisionError"
    check_one_line(done, 2, words)
    assert not (tmp_path / "out.onnx").exists()


def test_a_construct(shell: Shell, tmp_path: Path, toy: dict[str, str]) -> None:
    toy_model(tmp_path / "in.onnx")
    done = shell("rewrite", "in.onnx", "out.onnx", env=toy)
    assert done.returncode == 0, done.stderr
    assert b"an op of Toy's own" in done.stdout
    session = onnxruntime.InferenceSession(tmp_path / "out.onnx")
    x = np.random.default_rng(0).standard_normal((1, 3, 9, 7)).astype(np.float32)
    wanted = AdaptiveAveragePool((4, 4)).reference(x)[0]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-5, atol=1e-6)
    # Nobody else knows what it is.
    without = shell("inspect", "in.onnx")
    assert b"AdaptiveAveragePool" not in without.stdout


def test_version_names_them(shell: Shell, toy: dict[str, str]) -> None:
    lines = shell("--version", env=toy).stdout.decode().splitlines()
    assert "the plug-in 'toy' (onnxpool.targets) of toy-pool 1.0" in lines
    assert len([line for line in lines if "plug-in" in line]) == 5


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ("[onnxpool.targets]\nt = toy_pool:NONE", "cannot be loaded (AttributeError"),
        ("[onnxpool.targets]\nt = nowhere", "cannot be loaded (ModuleNotFoundError"),
        ("[onnxpool.targets]\nt = toy_pool:Exporter", "is of type type, wanted a Target"),
        ("[onnxpool.targets]\nt = toy_pool:TARGET\nu = toy_pool:TARGET", "the name of another"),
        ("[onnxpool.strategies]\npool = toy_pool:LOWERINGS", "has the name of a strategy"),
        ("[onnxpool.strategies]\nt = toy_pool:TARGET", "is no dict from some of Adaptive"),
        ("[onnxpool.constructs]\nt = toy_pool:TARGET", "has no DOMAIN and no OWNER and no appl"),
    ],
    ids=range(7),
)
def test_one_that_cannot_be_used_is_one_line(
    shell: Shell, tmp_path: Path, points: str, words: str
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    done = shell(*("rewrite", PYRAMID, "out.onnx", "--target", "ncnn"), env=install(folder, points))
    check_one_line(done, 2, words, "of toy-pool 1.0", "mend that package or uninstall it")
    assert not (tmp_path / "out.onnx").exists()
