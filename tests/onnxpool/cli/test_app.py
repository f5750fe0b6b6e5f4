"""The command line: what it prints, where it writes, and one line for every mistake."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnxpool.conftest import Run

MODELS = Path(__file__).parents[3] / "models"
PYRAMID = MODELS / "ppm.onnx"


def relu(opset: int = 17, nodes: Sequence[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    relu = helper.make_node("Relu", ["X"], ["Y"])
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "XY"]
    graph = helper.make_graph([relu] if nodes is None else nodes, "main", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def with_external_data(location: str) -> onnx.ModelProto:
    model = relu(nodes=[helper.make_node("Add", ["X", "weight"], ["Y"])])
    tensor = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[1, 2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model.graph.initializer.append(tensor)
    return model


def test_rewrite_says_what_it_did(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    status, text, errors = run("rewrite", PYRAMID, out)
    assert (status, errors) == (0, "")
    assert "PyramidPool" in text
    assert "gone: AveragePool, GatherND, Resize, Transpose" in text
    assert "GatherND" not in {node.op_type for node in onnx.load(out).graph.node}


def test_nothing_to_rewrite_is_said_and_copied_byte_for_byte(run: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    source.write_bytes(relu().SerializeToString())
    status, text, _ = run("rewrite", source, out)
    assert status == 0
    assert "nothing to rewrite" in text
    assert out.read_bytes() == source.read_bytes()


def test_inspect_writes_nothing_and_names_the_form(run: Run) -> None:
    status, text, _ = run("inspect", PYRAMID)
    assert status == 0
    assert "GatherND" in text
    assert "rewritable" in text


def test_json_to_stdout_holds_the_facts_of_the_table(run: Run, tmp_path: Path) -> None:
    status, text, table = run("rewrite", PYRAMID, tmp_path / "out.onnx", "--json", "-")
    (facts,) = json.loads(text)
    assert status == 0
    assert "PyramidPool" in table
    assert facts["rewritten"] == 1
    (finding,) = [f for f in facts["findings"] if f["action"] == "rewritten"]
    assert finding["op"] == "PyramidPool"
    assert finding["error_after"] < 1e-6
    assert facts["after"]["nodes"] == sum(facts["after"]["ops"].values())


def test_many_models_go_to_a_folder(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, text, _ = run("rewrite", MODELS, out, "--json", tmp_path / "report.json")
    names = sorted(path.name for path in MODELS.glob("*.onnx"))
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == names
    assert len(json.loads((tmp_path / "report.json").read_text("utf-8"))) == len(names)
    assert all(name in text for name in names)


def test_a_bad_model_among_many_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    status, _, errors = run("rewrite", bad, PYRAMID, tmp_path / "out")
    assert status == 2
    assert "bad.onnx" in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PYRAMID.name]


BAD_MODELS: dict[str, tuple[bytes, str]] = {
    "not a protobuf": (b"no model", "is not an ONNX model"),
    "empty": (b"", "is empty"),
    "truncated": (PYRAMID.read_bytes()[:-100], "truncated"),
    "empty graph": (relu(nodes=[]).SerializeToString(), "no nodes"),
    "invalid": (
        relu(nodes=[helper.make_node("Relu", ["X", "X"], ["Y"])]).SerializeToString(),
        "not a valid model",
    ),
    "unknown opset": (relu(opset=99).SerializeToString(), "opset 99"),
    "missing external data": (
        with_external_data("weights.bin").SerializeToString(),
        "weights.bin",
    ),
    "external data elsewhere": (
        with_external_data("../../etc/passwd").SerializeToString(),
        "../../etc/passwd",
    ),
    "absolute external data": (
        with_external_data("/etc/passwd").SerializeToString(),
        "/etc/passwd",
    ),
}


@pytest.mark.parametrize("command", ["rewrite", "inspect"])
@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_one_line(run: Run, tmp_path: Path, name: str, command: str) -> None:
    data, message = BAD_MODELS[name]
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    source.write_bytes(data)
    targets = [out] if command == "rewrite" else []
    check_refusal(run(command, source, *targets), message)
    assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]


def check_refusal(result: tuple[int, str, str], *parts: str) -> None:
    status, out, errors = result
    assert (status, out) == (2, "")
    assert errors.startswith("onnxpool: ")
    assert errors.count("\n") == 1
    for part in parts:
        assert part in errors


def test_no_such_file(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    check_refusal(run("rewrite", missing, tmp_path / "out.onnx"), str(missing))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["rewrite", PYRAMID, "out.onnx", "--strategy", "fast"], ["fast", "matmul"]),
        (["rewrite", PYRAMID, "out.onnx", "--check", "some"], ["some", "regions"]),
        (["rewrite", PYRAMID], ["IN and OUT"]),
        (["rewrite", PYRAMID, "no/such/folder/out.onnx"], ["no/such/folder"]),
        (["rewrite", PYRAMID, "--sideways"], ["--sideways"]),
        (["rewritten"], ["rewritten"]),
        (["inspect"], ["IN"]),
    ],
    ids=lambda value: " ".join(map(str, value[2:])) if isinstance(value, list) else None,
)
def test_a_bad_call_is_one_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str | Path],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(run(*arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_place_for_one_model(run: Run, tmp_path: Path) -> None:
    check_refusal(run("rewrite", PYRAMID, tmp_path), "is a folder", str(tmp_path / "ppm.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_place_for_many_models(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(b"mine")
    check_refusal(run("rewrite", MODELS, target), "is a file")
    assert target.read_bytes() == b"mine"


def test_two_models_of_one_name(run: Run, tmp_path: Path) -> None:
    check_refusal(run("rewrite", PYRAMID, PYRAMID, tmp_path / "out"), "same name")


def test_a_folder_without_models(run: Run, tmp_path: Path) -> None:
    check_refusal(run("rewrite", tmp_path, tmp_path / "out"), "no .onnx file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    check_refusal(run("rewrite", PYRAMID, tmp_path / "out.onnx"), "cannot be written")


def test_the_installed_command_starts_without_torch_and_onnxruntime() -> None:
    code = (
        "import sys, onnxpool.cli.app; "
        "sys.exit(sorted({'torch', 'onnxruntime', 'onnx_graphsurgeon'} & set(sys.modules)) != [])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_failed_check_writes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxpool.rewrites.graph import builder

    # What a defect in a lowering would do: every averaging matrix is a little off.
    constant = builder.Builder.constant
    monkeypatch.setattr(
        builder.Builder,
        "constant",
        lambda self, name, values: constant(
            self, name, values * np.float32(1.01) if values.dtype == np.float32 else values
        ),
    )
    status, _, errors = run("rewrite", PYRAMID, tmp_path / "out.onnx")
    assert status == 1
    assert "is off: " in errors
    assert list(tmp_path.iterdir()) == []


def test_a_reference_is_validated_before_the_result_is_written(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    source = f"{MODELS / 'pyramid.py'}:ppm"
    status, text, errors = run("rewrite", PYRAMID, out, "--reference", source)
    assert (status, errors) == (0, "")
    assert "right at 1 size" in text
    assert out.exists()


def test_a_reference_says_what_was_frozen(run: Run, tmp_path: Path) -> None:
    """As the export of a pool to 6x6 at 12x12 is: nothing in it says 6."""
    source = tmp_path / "bins.py"
    source.write_text(
        "from torch import nn\n\ndef bins():\n    return nn.Sequential(nn.AdaptiveAvgPool2d(6))\n"
    )
    frozen, out = tmp_path / "frozen.onnx", tmp_path / "out.onnx"
    pool = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    open_ = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, f"{name}h", f"{name}w"])
        for name in "xy"
    ]
    graph = helper.make_graph([pool], "bins", open_[:1], open_[1:])
    imports = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), frozen)
    status, text, errors = run("rewrite", frozen, out, "--reference", f"{source}:bins")
    assert (status, errors) == (0, "")
    assert "the reference pools it to 6x6" in " ".join(text.split())
    assert "right" in text
    assert out.exists()


def test_a_wrong_reference_writes_nothing(run: Run, tmp_path: Path) -> None:
    source = f"{MODELS / 'pyramid.py'}:ppm"
    arguments = ("rewrite", PYRAMID, tmp_path / "out.onnx", "--reference", source, "--seed", "1")
    status, text, errors = run(*arguments)
    assert status == 1
    assert "wrong" in text
    assert "nothing written" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_reference_goes_with_one_model(run: Run, tmp_path: Path) -> None:
    check_refusal(run("rewrite", MODELS, tmp_path / "out", "--reference", "a.py:b"), "one model")
