"""The JSON Schemas of docs/: as the code makes them, and true of what the commands write."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onnxpool.cli.outcome import SCHEMA
from tests.onnxpool.conftest import Run

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "models"
SCHEMAS = ROOT / "docs" / "schemas"
FROZEN = MODELS / "ppm.onnx"

WRITTEN: dict[str, list[list[str | Path]]] = {
    "outcomes": [
        ["inspect", FROZEN, "nowhere.onnx", "--target", "ncnn"],
        ["rewrite", FROZEN, "out.onnx", "--target", "tract"],
        ["rewrite", MODELS / "gem.onnx", "out.onnx", "--to", "custom-op"],
        ["export", f"{MODELS}/gem.py:gem", "out.onnx"],
    ],
    "comparison": [
        ["validate", FROZEN, f"{MODELS}/pyramid.py:ppm"],
        ["compare", FROZEN, f"{MODELS}/pyramid.py:ppm", "--seed", "1"],
        ["compare", FROZEN, FROZEN],
    ],
    "diff": [["diff", FROZEN, MODELS / "gem.onnx"], ["diff", FROZEN, FROZEN]],
    "bench": [["bench", MODELS / "gem.onnx", "--runs", "2"]],
    "targets": [["targets"], ["targets", "ncnn"]],
}


def strict(schema: Any) -> Any:
    """The same without room for keys that it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: strict(value) for key, value in schema.items()}, **closed}


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_schemas", SCHEMAS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_what_the_code_says() -> None:
    make = maker()
    wanted = {make.file(name).name: make.text(name) for name in make.SCHEMAS}
    found = {path.name: path.read_text("utf-8") for path in SCHEMAS.glob(f"*-{SCHEMA}.schema.json")}
    assert found == wanted, "run python docs/schemas/make.py"
    assert set(make.SCHEMAS) == set(WRITTEN)


@pytest.fixture
def facts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str | Path]], Any]:
    monkeypatch.chdir(tmp_path)

    def call(arguments: list[str | Path]) -> Any:
        run(*arguments, "--json", "facts.json")
        return json.loads(Path("facts.json").read_text("utf-8"))

    return call


@pytest.mark.parametrize("name", WRITTEN)
def test_they_are_true_of_what_is_written(
    facts: Callable[[list[str | Path]], Any], name: str
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((SCHEMAS / f"{name}-{SCHEMA}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(strict(schema))
    for arguments in WRITTEN[name]:
        told = facts(arguments)
        judge.validate(told)
        one = told[0] if isinstance(told, list) else told
        assert one["schema"] == SCHEMA
        # Every key is described, and every described key is there.
        for key in list(one):
            value = one.pop(key)
            assert not judge.is_valid(told), key
            one[key] = value
        one["unknown"] = 1
        assert not judge.is_valid(told)


def test_the_page_names_every_schema() -> None:
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    for path in SCHEMAS.glob("*.schema.json"):
        assert f"(schemas/{path.name})" in page
