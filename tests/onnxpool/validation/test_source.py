"""PyTorch sources: what is loaded, that it is the same every time, and one line for a mistake."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from onnxpool.errors import SourceError
from onnxpool.validation.source import is_source, load_source

MODELS = Path(__file__).parents[3] / "models"
PYRAMID = f"{MODELS / 'pyramid.py'}:ppm"

FILE = """
import torch
from torch import nn
from helper import CHANNELS

class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(CHANNELS, 2)

class Sized(nn.Module):
    def __init__(self, channels, *, bias):
        super().__init__()

instance = Head()
instance.train()
shapeless = Head()

def head(): return Head()
def fails(): raise RuntimeError("no\\nluck")
def leaves(): raise SystemExit(3)
def number(): return 3
VALUE = 3
EXAMPLES = {"head": (1, CHANNELS), "Head": [(1, 4), (2, 4)], "shapeless": "wrong"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("CHANNELS = 4\n")
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


@pytest.fixture(autouse=True)
def _forget_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "helper", raising=False)


def same(a: nn.Module, b: nn.Module) -> bool:
    states = a.state_dict(), b.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_builder_is_seeded_and_in_evaluation_mode() -> None:
    source = load_source(PYRAMID)
    torch.manual_seed(0)
    from models import pyramid

    assert same(source.module, pyramid.ppm())
    assert not source.module.training
    assert source.example_shapes == ((1, 16, 33, 33),)
    assert source.name == PYRAMID


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (load_source(PYRAMID, seed=seed).module for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


def test_the_random_state_of_the_caller_is_left_alone() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    load_source(PYRAMID)
    assert torch.equal(torch.rand(3), wanted)


def test_class_instance_and_function_give_the_same_module(file: Path) -> None:
    modules = [load_source(f"{file}:{name}").module for name in ("Head", "head", "instance")]
    assert same(modules[0], modules[1])
    assert same(modules[0], modules[2])
    assert not any(module.training for module in modules)


def test_examples_are_one_shape_or_several(file: Path) -> None:
    assert load_source(f"{file}:head").example_shapes == ((1, 4),)
    assert load_source(f"{file}:Head").example_shapes == ((1, 4), (2, 4))


def test_a_package_is_imported_from_the_current_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(file.parent))])
    before = list(sys.path)
    assert load_source("net:head").example_shapes == ((1, 4),)
    assert sys.path == before
    monkeypatch.delitem(sys.modules, "net")


def test_class_names_hold_no_path(file: Path) -> None:
    # Exporters write them into the model.
    assert str(file.parent) not in type(load_source(f"{file}:head").module).__module__


def test_a_program_of_torch_export(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "head.pt2"
    module = nn.Sequential(nn.Linear(4, 2)).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 4),)), path)
    source = load_source(str(path))
    assert source.example_shapes == ((1, 4),)
    assert torch.equal(source.module(torch.ones(1, 4)), module(torch.ones(1, 4)))


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_trained_weights(file: Path, suffix: str, wrap: bool) -> None:
    path = file.with_suffix(suffix)
    trained = load_source(f"{file}:head", seed=5).module
    state = trained.state_dict()
    torch.save({"state_dict": state, "epoch": 3} if wrap else state, path)
    assert same(load_source(f"{file}:head", weights=path).module, trained)


def test_safetensors_are_loaded_or_say_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file.with_suffix(".safetensors")
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(SourceError, match="pip install safetensors"):
        load_source(f"{file}:head", weights=path)
    # The package is no dependency; what is called of it is the one function below.
    trained = load_source(f"{file}:head", seed=5).module
    package = type(sys)("safetensors.torch")
    package.load_file = lambda _: trained.state_dict()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "safetensors", type(sys)("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", package)
    assert same(load_source(f"{file}:head", weights=path).module, trained)


BAD_STATES: dict[str, tuple[Any, str]] = {
    "missing": ({"linear.weight": torch.zeros(2, 4)}, "the file lacks 'linear.bias'"),
    "unexpected": (
        {"linear.weight": torch.zeros(2, 4), "linear.bias": torch.zeros(2), "more": torch.zeros(1)},
        "the module has no 'more'",
    ),
    "shape": (
        {"linear.weight": torch.zeros(3, 4), "linear.bias": torch.zeros(2)},
        r"'linear.weight' has shape \[3, 4\] in the file and \[2, 4\] in the module",
    ),
    "no dict": (torch.zeros(1), "no state dict"),
    "whole module": (nn.Linear(1, 1), "save module.state_dict"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_weights_that_do_not_fit(file: Path, name: str) -> None:
    state, message = BAD_STATES[name]
    path = file.with_suffix(".pt")
    torch.save(state, path)
    with pytest.raises(SourceError, match=message) as error:
        load_source(f"{file}:head", weights=path)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_there_or_damaged(file: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        load_source(f"{file}:head", weights=file.with_suffix(".pt"))
    file.with_suffix(".pt").write_bytes(b"no weights")
    with pytest.raises(SourceError, match=r"net\.pt"):
        load_source(f"{file}:head", weights=file.with_suffix(".pt"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("haed", "did you mean 'head'"),
        ("zzz", "it has head, Head, shapeless"),
        ("Sized", "needs the arguments channels, bias"),
        ("fails", "cannot be built: RuntimeError: no luck"),
        ("leaves", "cannot be built: SystemExit: 3"),
        ("number", "builds a value of type int"),
        ("VALUE", "is of type int"),
        ("shapeless", r"EXAMPLES\['shapeless'\]"),
        ("", "wanted file.py:name"),
    ],
)
def test_a_name_that_is_no_module(file: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as error:
        load_source(f"{file}:{name}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.py:head", "nowhere.py: no such file"),
        ("nowhere.pt2", "nowhere.pt2: no such file"),
        ("no_such_package.mod:head", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("nowhere.py", "wanted file.py:name"),
        (":head", "wanted file.py:name"),
        (".mod:head", "cannot be imported: TypeError"),
    ],
)
def test_a_place_that_is_not_there(spec: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load_source(spec)


@pytest.mark.parametrize("code", ["def f(:", "import no_such_package", "1 / 0", "exit(1)"])
def test_a_file_that_cannot_be_imported(tmp_path: Path, code: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(code)
    with pytest.raises(SourceError, match=r"bad\.py cannot be imported: \w+: ") as error:
        load_source(f"{path}:head")
    assert "\n" not in str(error.value)


def test_a_damaged_program(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt2"
    path.write_bytes(b"no archive")
    with pytest.raises(SourceError, match="truncated"):
        load_source(str(path))


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SourceError, match="pip install torch onnxscript"):
        load_source(PYRAMID)


@pytest.mark.parametrize("spec", ["a.py:b", "a.b:c", "a.pt2", "a.py", "C:\\a.py:b"])
def test_sources_are_told_from_models(spec: str) -> None:
    assert is_source(spec)
    assert not is_source("a.onnx")
    assert not is_source("C:\\a.onnx")


WRAPPED: dict[str, Any] = {
    "DistributedDataParallel": lambda state: prefixed("module.", state),
    "compiled, then wrapped": lambda state: prefixed("module._orig_mod.", state),
    "timm": lambda state: {"epoch": 3, "model": state, "optimizer": {"state": {}}},
    "the tutorials": lambda state: {"model_state_dict": state, "loss": 0.5},
    "Lightning": lambda state: {"state_dict": prefixed("model.", state), "hyper_parameters": {}},
    "nested": lambda state: {"model": {"state_dict": prefixed("module.", state)}},
}


def prefixed(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize("name", WRAPPED)
def test_checkpoints_of_training_scripts(file: Path, name: str) -> None:
    path = file.with_suffix(".pt")
    trained = load_source(f"{file}:head", seed=5).module
    torch.save(WRAPPED[name](trained.state_dict()), path)
    assert same(load_source(f"{file}:head", weights=path).module, trained)


def test_a_module_that_has_such_names_itself(file: Path) -> None:
    (file.parent / "wrapped.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.model = nn.Linear(2, 2)\n"
    )
    path, spec = file.with_suffix(".pt"), f"{file.parent / 'wrapped.py'}:Net"
    trained = load_source(spec, seed=5).module
    torch.save({"model": trained.state_dict()}, path)
    assert same(load_source(spec, weights=path).module, trained)
    torch.save(prefixed("module.", trained.state_dict()), path)
    assert same(load_source(spec, weights=path).module, trained)


def test_a_prefix_that_only_some_have_is_left(file: Path) -> None:
    path = file.with_suffix(".pt")
    state = load_source(f"{file}:head").module.state_dict()
    torch.save({**prefixed("module.", state), "extra": torch.zeros(1)}, path)
    with pytest.raises(SourceError, match=r"the file lacks 'linear\.weight'"):
        load_source(f"{file}:head", weights=path)
