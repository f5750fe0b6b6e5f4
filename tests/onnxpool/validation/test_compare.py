"""validate: right and wrong models, the sizes that fail and where, and one line for a mistake."""

import contextlib
import inspect
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import onnxpool
from models import pyramid
from onnxpool.errors import ArgumentError, ModelError, SourceError
from onnxpool.inputs.values import DISTRIBUTIONS
from onnxpool.rewrites.graph.run import kernels_missing
from onnxpool.validation.compare import validate
from tests.onnxpool.conftest import Run
from tests.onnxpool.custom_op import needs_library

MODELS = Path(__file__).parents[3] / "models"
DYNAMIC = torch.export.Dim.DYNAMIC


class Pyramid(nn.Module):
    """Two levels; small enough to export in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.AdaptiveAvgPool2d(1)
        self.thirds = nn.AdaptiveAvgPool2d(3)

    def forward(self, x: Tensor) -> Tensor:
        levels = [pyramid.upsample(p(x), x.shape[-2:], True) for p in (self.whole, self.thirds)]
        return torch.cat([x, *levels], dim=1)


class Lambda(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def export(module: nn.Module, *shapes: tuple[int, ...], **dynamic: Any) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), tuple(map(torch.zeros, shapes)), dynamo=True, verbose=False, **dynamic
        )
    assert program is not None
    return program.model_proto


@pytest.fixture(scope="module")
def frozen_pyramid() -> onnx.ModelProto:
    """What torch's exporter makes of dynamic sizes: right at the traced size only."""
    return export(Pyramid(), (1, 2, 13, 13), dynamic_shapes=({2: DYNAMIC, 3: DYNAMIC},))


def model(
    *nodes: onnx.NodeProto,
    inputs: dict[str, list[Any]] | None = None,
    outputs: dict[str, list[Any] | None] | None = None,
    dtype: int = TensorProto.FLOAT,
    output_dtype: int | None = None,
    constants: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "main",
        [value(n, dtype, s) for n, s in (inputs or {"X": ["N", 3, "H", "W"]}).items()],
        [value(n, output_dtype or dtype, s) for n, s in (outputs or {"Y": None}).items()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), f"{op}_{outputs}", **attributes)


RELU = model(node("Relu", "X", "Y"))
FIXED_RELU = model(node("Relu", "X", "Y"), inputs={"X": [1, 3, 4, 4]})


def failing(validation: Any) -> set[str]:
    return {result.size for result in validation.failing}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ppm", "pyramid.py:ppm"),
        ("gem", "gem.py:gem"),
        ("adaptive_avg_2d", "adaptive.py:adaptive_avg_2d"),
    ],
)
def test_right_exports_are_right(name: str, source: str) -> None:
    found = onnxpool.validate(MODELS / f"{name}.onnx", f"{MODELS}/{source}")
    assert found.passed
    assert found.in_float64
    assert found.first_difference == ""
    (result,) = found.sizes
    assert result.label == "fixed"
    assert [a.distribution for a in result.accuracies] == list(DISTRIBUTIONS)
    # The factor allows 8; real exports stay near the error that PyTorch makes itself.
    assert all(a.units < 3 for a in result.accuracies)


def test_another_seed_builds_another_source() -> None:
    found = validate(MODELS / "ppm.onnx", f"{MODELS}/pyramid.py:ppm", seed=1)
    assert failing(found) == {"1x16x33x33"}


def test_a_frozen_export_fails_and_names_the_sizes(frozen_pyramid: onnx.ModelProto) -> None:
    found = validate(frozen_pyramid, Pyramid(), shapes=None)
    assert not found.passed
    classes = {result.label: result.outcome for result in found.sizes}
    assert classes["2 mod 3"] == "wrong"
    assert classes["equal 3"] in ("wrong", "fails")
    assert classes["0 mod 3"] in ("wrong", "fails")
    assert classes["non-square"] in ("wrong", "fails")
    assert {"1x2x3x3", "1x2x6x6", "1x2x8x8", "1x2x65x65"} <= failing(found)
    assert all(result.detail for result in found.failing)


def test_the_first_wrong_call_of_the_source_is_named(frozen_pyramid: onnx.ModelProto) -> None:
    found = validate(frozen_pyramid, Pyramid(), shapes=[(1, 2, 13, 13), (1, 2, 8, 8)])
    assert failing(found) == {"1x2x8x8"}
    assert "module thirds, adaptive_avg_pool2d" in found.first_difference
    assert "off by" in found.first_difference


def test_values_tell_what_sizes_do_not() -> None:
    # Right for positive values, so that the tensors of the calls are known.
    wrong = model(
        node("Mul", "X a", "doubled"),
        node("Relu", "doubled", "clipped"),
        node("Sqrt", "clipped", "Y"),
        inputs={"X": [1, 8]},
        constants={"a": np.float32(2)},
    )
    found = validate(wrong, Lambda(lambda x: (2 * x).abs().sqrt()))
    assert "the source, abs, node 'Relu_clipped' (Relu)" in found.first_difference


def test_where_nothing_is_right_the_first_difference_is_not_told(
    frozen_pyramid: onnx.ModelProto,
) -> None:
    found = validate(frozen_pyramid, Pyramid(), shapes=[(1, 2, 8, 8)])
    assert "no size and no distribution for which" in found.first_difference


def test_the_traced_size_is_looked_for() -> None:
    # Right at 1x3x256x256 and nowhere else.
    baked = model(
        node("Mul", "X w", "wide"), node("Relu", "wide", "Y"), constants={"w": np.float32(256)}
    )
    found = validate(baked, Lambda(lambda x: (x * x.shape[3]).relu()))
    outcomes = {result.size: result.outcome for result in found.sizes}
    assert [size for size, outcome in outcomes.items() if outcome == "right"] == ["1x3x256x256"]
    assert outcomes["1x3x257x257"] == outcomes["1x3x255x255"] == "wrong"
    assert "the source, mul, node 'Mul_wide' (Mul)" in found.first_difference


def test_a_right_dynamic_model_is_right_at_every_size() -> None:
    module = nn.AdaptiveMaxPool2d(1)
    found = validate(model(node("GlobalMaxPool", "X", "Y")), module)
    assert found.passed
    shapes = [result.shapes[0] for result in found.sizes]
    assert (1, 3, 1, 1) in shapes
    assert (1, 3, 65, 65) in shapes
    assert any(shape[2] != shape[3] for shape in shapes)
    assert any(shape[0] == 3 for shape in shapes)
    assert all(a.errors.max_abs == 0 for result in found.sizes for a in result.accuracies)


def test_a_program_is_a_reference(tmp_path: Path) -> None:
    path = tmp_path / "relu.pt2"
    program = torch.export.export(nn.ReLU(), (torch.zeros(1, 3, 4, 5),))
    torch.export.save(program, path)
    found = validate(RELU, path)
    # What was exported at a fixed size runs at that size only.
    outcomes = {result.size: result.outcome for result in found.sizes}
    assert outcomes["1x3x4x5"] == "right"
    assert found.passed
    assert "not accepted" in outcomes.values()


def two_layers(second: float = 2.0) -> onnx.ModelProto:
    return model(
        node("Mul", "X a", "first"),
        node("Add", "first b", "second"),
        node("Relu", "second", "third"),
        node("Mul", "third a", "Y"),
        inputs={"X": ["N", 4]},
        constants={"a": np.float32(3), "b": np.array([second], np.float32)},
    )


def test_the_first_node_that_differs_from_another_model_is_named() -> None:
    found = validate(two_layers(), two_layers(2.5))
    assert not found.passed
    assert not found.in_float64
    assert "node 'Add_second' (Add), tensor 'second'" in found.first_difference
    assert validate(two_layers(), two_layers()).passed


def test_models_whose_tensors_have_other_names() -> None:
    other = two_layers(2.5)
    for n in other.graph.node:
        for names in (n.input, n.output):
            renamed = [f"other_{name}" if name in ("first", "second") else name for name in names]
            names[:] = renamed
    found = validate(two_layers(), other)
    assert "(Relu), tensor 'third'" in found.first_difference


def test_a_model_is_right_against_itself(frozen_pyramid: onnx.ModelProto) -> None:
    assert validate(frozen_pyramid, frozen_pyramid, shapes=[(1, 2, 13, 13)]).passed


def test_a_size_that_the_source_refuses_is_no_mismatch() -> None:
    source = Lambda(lambda x: nn.functional.pad(x, (0, 0, 2, 2), "reflect")[:, :, 2:-2].relu())
    found = validate(RELU, source)
    assert found.passed
    refused = [result for result in found.sizes if result.outcome == "not accepted"]
    assert "1x3x1x1" in [result.size for result in refused]
    assert all("Padding size" in result.detail for result in refused)


def test_a_source_that_runs_at_no_size() -> None:
    source = nn.Conv2d(5, 1, 1)
    with pytest.raises(SourceError, match=r"does not accept .* nor \d+ other sizes: .*channels"):
        validate(RELU, source)
    with pytest.raises(SourceError, match="does not accept 1x3x4x4: "):
        validate(FIXED_RELU, source)


def test_a_model_that_fails_where_the_source_works() -> None:
    reshape = model(
        node("Reshape", "X shape", "Y"), constants={"shape": np.array([1, 3, 6, 6], np.int64)}
    )
    found = validate(reshape, nn.Identity(), shapes=[(1, 3, 6, 6), (1, 3, 5, 5)])
    assert [result.outcome for result in found.sizes] == ["right", "fails"]
    assert found.sizes[1].detail.startswith("node 'Reshape_Y' (Reshape): ")


def test_a_random_source_is_said_to_be_so() -> None:
    with pytest.raises(SourceError, match=r"Lambda is random: .* differ at output 'Y'"):
        validate(FIXED_RELU, Lambda(lambda x: nn.functional.dropout(x, 0.5)))


def test_dropout_of_a_module_is_off() -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.ReLU()).train()
    assert validate(FIXED_RELU, module).passed
    assert module.training


def test_integers_must_be_equal() -> None:
    cast = model(
        node("Cast", "X", "Y", to=TensorProto.INT64),
        inputs={"X": [1, 8]},
        output_dtype=TensorProto.INT64,
    )
    assert validate(cast, Lambda(lambda x: x.long())).passed
    found = validate(cast, Lambda(lambda x: x.long() + torch.arange(8).eq(5)))
    assert found.sizes[0].detail == "1 of 8 values differ; they must be equal"


def test_another_shape_is_a_mismatch() -> None:
    found = validate(FIXED_RELU, Lambda(lambda x: x.relu().flatten(1)))
    assert found.sizes[0].detail == "shape [1, 3, 4, 4] instead of [1, 48]"


def test_the_tolerance_overrides_the_rule() -> None:
    nearly = Lambda(lambda x: x.relu() * 1.001)
    assert not validate(FIXED_RELU, nearly).passed
    assert validate(FIXED_RELU, nearly, tolerance=2e-3).passed
    assert not validate(FIXED_RELU, nearly, tolerance=1e-4).passed
    with pytest.raises(ArgumentError, match="tolerance is -1"):
        validate(FIXED_RELU, nearly, tolerance=-1)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_float_types(dtype: int) -> None:
    relu = model(node("Relu", "X", "Y"), inputs={"X": [1, 3, 4, 4]}, dtype=dtype)
    assert validate(relu, nn.ReLU()).passed
    assert not validate(relu, Lambda(lambda x: x.relu() * 1.05)).passed


def test_integer_inputs() -> None:
    cast = model(
        node("Cast", "X", "Y", to=TensorProto.FLOAT),
        dtype=TensorProto.UINT8,
        output_dtype=TensorProto.FLOAT,
    )
    found = validate(cast, Lambda(lambda x: x.float()))
    assert found.passed
    assert found.distributions == ("integers",)


def test_a_source_that_casts_to_float32_itself_is_its_own_reference() -> None:
    found = validate(FIXED_RELU, Lambda(lambda x: x.float().relu()))
    assert found.passed
    assert not found.in_float64


def test_a_symbol_shared_by_inputs_has_one_value() -> None:
    add = model(node("Add", "X Z", "Y"), inputs={"X": ["N", "L"], "Z": ["N", "L"]})
    found = validate(add, Sum())
    assert found.passed
    assert all(result.shapes[0] == result.shapes[1] for result in found.sizes)


def custom_op() -> onnx.ModelProto:
    pool = model(
        helper.make_node(
            "AdaptiveAveragePool", ["X"], ["Y"], "pool", domain="onnxpool", output_size=[3, 2]
        )
    )
    pool.opset_import.append(helper.make_opsetid("onnxpool", 1))
    return pool


def test_a_custom_op_without_a_body_needs_the_library() -> None:
    message = r"onnxpool::AdaptiveAveragePool \(node 'pool'\) without a function body"
    with pytest.raises(ModelError, match=message):
        validate(custom_op(), nn.AdaptiveAvgPool2d((3, 2)), library=False)


@needs_library
def test_kernels_are_validated() -> None:
    found = validate(custom_op(), nn.AdaptiveAvgPool2d((3, 2)))
    assert found.passed
    assert found.kernels


@pytest.mark.parametrize("library", [True, False])
def test_a_body_is_validated_in_place_of_the_kernel(library: bool) -> None:
    pool = onnxpool.rewrite(custom_op(), to="custom-op").model
    found = validate(pool, nn.AdaptiveAvgPool2d((3, 2)), library=library)
    assert found.passed
    assert found.kernels == (library and not kernels_missing())


def bad_calls() -> dict[str, tuple[Callable[[], Any], str]]:
    relu = nn.ReLU()
    shapeless = model(node("Relu", "X", "Y"), inputs={"X": [None, None, None, None]})
    rankless = model(node("Relu", "X", "Y"))
    rankless.graph.input[0].type.tensor_type.ClearField("shape")
    text = model(node("Identity", "X", "Y"), dtype=TensorProto.STRING)
    half = model(node("Identity", "X", "Y"), dtype=TensorProto.BFLOAT16)
    refused = model(node("Relu", "X", "Y"), dtype=TensorProto.INT64)
    return {
        "rank": (lambda: validate(RELU, relu, shapes=[(1, 3, 4)]), "1x3x4 does not fit input 'X'"),
        "size": (lambda: validate(RELU, relu, shapes=[(1, 4, 4, 4)]), "which is Nx3xHxW"),
        "inputs of a module": (lambda: validate(RELU, Sum()), "the model has 1 inputs, and Sum"),
        "number of shapes": (
            lambda: validate(
                model(node("Add", "X Z", "Y"), inputs={"X": [1], "Z": [1]}), Sum(), shapes=[(1,)]
            ),
            r"has 2 inputs \(X, Z\), and 1 shapes are given",
        ),
        "outputs": (
            lambda: validate(RELU, Lambda(lambda x: (x, x))),
            r"has 1 outputs \(Y\), Lambda returns 2",
        ),
        "inputs of a model": (
            lambda: validate(RELU, model(node("Add", "X Z", "Y"), inputs={"X": [1], "Z": [1]})),
            "has 1 inputs, the model has 2",
        ),
        "rank of a model": (
            lambda: validate(RELU, model(node("Relu", "X", "Y"), inputs={"X": [1, 3]})),
            "has rank 4, input 'X' of the model has rank 2",
        ),
        "channels": (lambda: validate(shapeless, relu), "how many channels"),
        "no rank": (lambda: validate(rankless, relu), "no known rank"),
        "strings": (lambda: validate(text, relu), "'X' is of type STRING"),
        "bfloat16": (lambda: validate(half, relu), "'X' is of type BFLOAT16"),
        "refused by the runtime": (lambda: validate(refused, relu), "refused by ONNX Runtime"),
        "weights of a model": (lambda: validate(RELU, RELU, weights="w.pt"), "PyTorch source"),
        "weights of a module": (lambda: validate(RELU, relu, weights="w.pt"), "its own"),
        "no model": (lambda: validate("nowhere.onnx", relu), "nowhere.onnx: no such file"),
        "no reference": (lambda: validate(RELU, "nowhere.onnx"), "nowhere.onnx: no such file"),
        "no source": (lambda: validate(RELU, "nowhere.py:x"), "nowhere.py: no such file"),
    }


@pytest.mark.parametrize("name", bad_calls())
def test_bad_calls(name: str) -> None:
    call, message = bad_calls()[name]
    with pytest.raises((ArgumentError, ModelError, SourceError), match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert error.value.exit_status == 2


def test_weights_are_loaded(tmp_path: Path) -> None:
    file, weights = tmp_path / "net.py", tmp_path / "net.pt"
    file.write_text("from torch import nn\ndef net(): return nn.Conv2d(3, 2, 1)\n")
    torch.manual_seed(5)
    trained = nn.Conv2d(3, 2, 1)
    torch.save(trained.state_dict(), weights)
    exported = export(trained, (1, 3, 4, 4))
    assert not validate(exported, f"{file}:net").passed
    assert validate(exported, f"{file}:net", weights=weights).passed


def test_progress_counts_the_sizes() -> None:
    seen: list[tuple[int, int]] = []
    found = validate(RELU, nn.ReLU(), progress=lambda *counts: seen.append(counts))
    assert seen == [(i, len(found.sizes)) for i in range(len(found.sizes))]


def test_a_model_reference_needs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "relu.onnx"
    onnx.save(RELU, path)
    code = (
        "import sys, onnxpool; sys.modules['torch'] = None; "
        f"assert onnxpool.validate({str(path)!r}, {str(path)!r}).passed; "
        f"onnxpool.validate({str(path)!r}, 'a.py:b')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "SourceError" in done.stderr
    assert "pip install torch onnxscript" in done.stderr


def test_command_line_of_a_right_model(run: Run) -> None:
    status, text, errors = run("validate", MODELS / "gem.onnx", f"{MODELS}/gem.py:gem")
    assert (status, errors) == (0, "")
    assert "right at 1 size" in text


def test_command_line_of_a_wrong_model(
    run: Run, tmp_path: Path, frozen_pyramid: onnx.ModelProto
) -> None:
    path, source, facts = (tmp_path / name for name in ("m.onnx", "source.py", "facts.json"))
    onnx.save(frozen_pyramid, path)
    source.write_text(
        "import torch\nfrom torch import Tensor, nn\nfrom models import pyramid\n"
        f"{inspect.getsource(Pyramid)}\nEXAMPLES = {{'Pyramid': (1, 2, 13, 13)}}\n"
    )
    status, text, _ = run("validate", path, f"{source}:Pyramid", "--json", facts)
    told = json.loads(facts.read_text("utf-8"))
    assert status == 1
    assert "first difference: " in text
    assert not told["passed"]
    verdict = text[text.index("wrong at ") :]
    assert "1x2x8x8" in told["failing"]
    assert all(size in verdict for size in told["failing"])


def test_command_line_options(run: Run) -> None:
    source = f"{MODELS}/gem.py:gem"
    status, text, _ = run(
        "validate",
        MODELS / "gem.onnx",
        source,
        "--shape",
        "1x8x13x13",
        "--tolerance",
        "1e-3",
        "--json",
        "-",
    )
    assert status == 0
    told = json.loads(text)
    assert told["sizes"][0]["label"] == "as given"
    assert told["rule"].startswith("error at most 0.001")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "1x8xa"], "'1x8xa' is no shape"),
        (["--shape", "1x8x13"], "does not fit input"),
        (["--weights", "nowhere.pt"], "nowhere.pt: no such file"),
        (["--json", "nowhere/facts.json"], "cannot be written"),
    ],
)
def test_mistakes_are_one_line(run: Run, arguments: list[str], message: str) -> None:
    status, _, errors = run("validate", MODELS / "gem.onnx", f"{MODELS}/gem.py:gem", *arguments)
    assert status == 2
    assert message in errors
    assert errors.count("\n") == 1
