"""The exit status: 0 done, 1 a check failed, 2 unusable, 3 written and something is left."""

import json
from pathlib import Path

import onnx
import pytest
from onnx import helper

from tests.onnxpool.cli.conftest import PYRAMID, Shell, check_one_line, files, relu

value = helper.make_tensor_value_info


def frozen(metadata: bool) -> onnx.ModelProto:
    """A pool that was adaptive before it was exported, if its metadata says so."""
    node = helper.make_node(
        "AveragePool", ["X"], ["Y"], "pool", kernel_shape=[11, 11], strides=[11, 11]
    )
    if metadata:
        entries = {
            "pkg.torch.onnx.class_hierarchy": "['torch.nn.modules.pooling.AdaptiveAvgPool2d', "
            "'aten.avg_pool2d.default']",
        }
        for key, text in entries.items():
            node.metadata_props.add(key=key, value=text)
    graph = helper.make_graph(
        [node], "g", [value("X", 1, [1, 8, "H", "W"])], [value("Y", 1, [1, 8, "h", "w"])]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    onnx.save(frozen(metadata=True), tmp_path / "wrong.onnx")
    return tmp_path / "wrong.onnx"


def last_line(text: bytes) -> str:
    return text.decode().splitlines()[-1]


def test_a_model_that_stays_wrong_is_written_and_said_last(
    shell: Shell, tmp_path: Path, wrong: Path
) -> None:
    result = shell("rewrite", wrong, "out.onnx")
    assert (result.returncode, result.stderr) == (3, b"")
    assert last_line(result.stdout) == "1 error left in out.onnx (--fail-on error)"
    assert (tmp_path / "out.onnx").read_bytes() == wrong.read_bytes()


@pytest.mark.parametrize(
    ("fail_on", "statuses"),
    [("never", (0, 0)), ("error", (3, 1)), ("warning", (3, 1)), ("note", (3, 1))],
)
def test_fail_on_moves_the_bar(
    shell: Shell, wrong: Path, fail_on: str, statuses: tuple[int, int]
) -> None:
    assert shell("rewrite", wrong, "o.onnx", "--fail-on", fail_on).returncode == statuses[0]
    assert shell("inspect", wrong, "--fail-on", fail_on).returncode == statuses[1]


def test_inspect_fails_only_where_it_is_told(shell: Shell, wrong: Path) -> None:
    assert shell("inspect", wrong).returncode == 0


def test_what_is_repaired_is_not_left(shell: Shell, wrong: Path) -> None:
    result = shell("rewrite", wrong, "out.onnx", "--output-size", "pool=3x3")
    assert result.returncode == 0
    assert shell("inspect", wrong, "--fail-on", "error").returncode == 1


def test_a_right_model_passes(shell: Shell) -> None:
    assert shell("rewrite", PYRAMID, "out.onnx", "--fail-on", "warning").returncode == 0


def test_many_models_have_the_worst_status(shell: Shell, tmp_path: Path, wrong: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "good.onnx").write_bytes(relu())
    assert shell("rewrite", "good.onnx", wrong, "out").returncode == 3
    result = shell("rewrite", "good.onnx", wrong, "bad.onnx", "out", "--json", "all.json")
    assert result.returncode == 2
    facts = json.loads((tmp_path / "all.json").read_text())
    assert [each["exit_status"] for each in facts] == [0, 3, 2]
    assert files(tmp_path / "out") == ["good.onnx", "wrong.onnx"]


def test_validate(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "relu.onnx").write_bytes(relu())
    other = onnx.load_from_string(relu())
    other.graph.node[0].op_type = "Neg"
    onnx.save(other, tmp_path / "neg.onnx")
    for fail_on, status in (("error", 1), ("warning", 1), ("note", 1), ("never", 0)):
        arguments = ("validate", "neg.onnx", "relu.onnx", "--fail-on", fail_on)
        assert shell(*arguments).returncode == status
        same = shell("validate", "relu.onnx", "relu.onnx", "--fail-on", fail_on, "--json", "-")
        assert same.returncode == 0
        assert {"schema", "onnxpool", "passed"} <= json.loads(same.stdout).keys()


def test_a_copy_is_said_only_where_the_bytes_are_equal(shell: Shell, tmp_path: Path) -> None:
    model = onnx.load_from_string(relu())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, tmp_path / "in.onnx")
    copy = shell("rewrite", "in.onnx", "copy.onnx")
    assert last_line(copy.stdout) == "nothing to rewrite: copy.onnx is a copy of in.onnx"
    assert (tmp_path / "copy.onnx").read_bytes() == (tmp_path / "in.onnx").read_bytes()
    fixed = shell("rewrite", "in.onnx", "fixed.onnx", "--input-shape", "X=1x2")
    assert b"a copy" not in fixed.stdout
    assert b"fixed: X Nx2 " in fixed.stdout
    assert (tmp_path / "fixed.onnx").read_bytes() != (tmp_path / "in.onnx").read_bytes()


@pytest.mark.parametrize("declared", [-1, 0, "N", None])
def test_open_sizes_in_every_spelling_are_fixed(
    shell: Shell, tmp_path: Path, declared: int | str | None
) -> None:
    nodes = [
        helper.make_node("Shape", ["X"], ["s"]),
        helper.make_node("Cast", ["s"], ["Y"], to=1),
    ]
    graph = helper.make_graph(nodes, "g", [value("X", 1, [declared, 3])], [value("Y", 1, [2])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "in.onnx").write_bytes(model.SerializeToString())
    result = shell("rewrite", "in.onnx", "out.onnx", "--input-shape", "X=5x3", "--json", "f.json")
    assert (result.returncode, result.stderr) == (0, b"")
    (facts,) = json.loads((tmp_path / "f.json").read_text())
    name = declared if isinstance(declared, str) else "?"
    assert facts["fixed"] == {"X": f"{name}x3 → 5x3"}
    assert "Shape" in facts["folded"]
    assert b"folded: " in result.stdout
    x = onnx.load(tmp_path / "out.onnx").graph.input[0]
    assert [dim.dim_value for dim in x.type.tensor_type.shape.dim] == [5, 3]
    wrong = shell("rewrite", "out.onnx", "no.onnx", "--input-shape", "X=6x3")
    check_one_line(wrong, 2, "fixed at 5")


def test_the_result_is_loaded_before_it_is_written(shell: Shell, tmp_path: Path) -> None:
    """With 7 columns the branch that is not taken is no model: it adds 8 to them."""
    choice = helper.make_node(
        "If",
        ["flag"],
        ["Y"],
        then_branch=helper.make_graph(
            [helper.make_node("Relu", ["X"], ["t"])], "t", [], [value("t", 1, None)]
        ),
        else_branch=helper.make_graph(
            [helper.make_node("Add", ["X", "eight"], ["e"])], "e", [], [value("e", 1, None)]
        ),
    )
    graph = helper.make_graph(
        [choice],
        "g",
        [value("X", 1, ["N"]), value("flag", onnx.TensorProto.BOOL, [])],
        [value("Y", 1, None)],
        [helper.make_tensor("eight", 1, [8], [0.0] * 8)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "in.onnx").write_bytes(model.SerializeToString())
    result = shell("rewrite", "in.onnx", "out.onnx", "--input-shape", "X=7")
    check_one_line(result, 1, "ONNX Runtime loads the model as it came, and not the result")
    assert files(tmp_path) == ["in.onnx"]
    assert shell("rewrite", "in.onnx", "out.onnx", "--input-shape", "X=8").returncode == 0


def test_a_model_that_no_runtime_loads_is_said(shell: Shell, tmp_path: Path) -> None:
    model = onnx.load(PYRAMID)
    model.graph.node.append(helper.make_node("Strange", ["x"], ["strange"], domain="com.example"))
    model.graph.node[-1].input[0] = model.graph.input[0].name
    model.opset_import.add(domain="com.example", version=1)
    onnx.save(model, tmp_path / "in.onnx")
    result = shell("rewrite", "in.onnx", "out.onnx")
    assert result.returncode == 0
    text = " ".join(result.stdout.decode().split())
    assert "note: ONNX Runtime loads neither the model as it came nor the result" in text
