"""Imports between the rooms of the packages run one way, wherever in a file they stand."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

FOLDERS = {"onnxpool": "onnxpool", "rewrites": "onnxpool.rewrites", "ops": "onnxpool.ops"}
"""The folders of the packages, and the names they are imported by."""

BELOW = {
    "__main__": ("cli",),
    "cli": ("onnxpool",),
    "onnxpool": ("exporters", "benchmark", "fleet"),
    "exporters": ("pipeline",),
    "pipeline": ("validation",),
    "benchmark": ("validation",),
    "fleet": ("pipeline",),
    "validation": ("targets", "runtime"),
    "targets": ("model", "inputs", "caffe"),
    "caffe": ("model",),
    "runtime": ("model",),
    "model": ("rewrites.find", "rewrites.plan", "rewrites.legalize", "rewrites.convert"),
    "inputs": ("rewrites.find", "rewrites.plan", "rewrites.legalize", "rewrites.convert"),
    "rewrites.find": ("rewrites.repair",),
    "rewrites.plan": ("rewrites.lift", "rewrites.lower"),
    "rewrites.repair": ("rewrites.lift",),
    "rewrites.lift": ("rewrites.region",),
    "rewrites.region": ("rewrites.graph",),
    "rewrites.legalize": ("rewrites.lower",),
    "rewrites.lower": ("rewrites.graph",),
    "rewrites.convert": ("rewrites.graph",),
    "rewrites.graph": ("ops", "workers", "steps", "plugins"),
    "ops": ("errors",),
    "workers": ("errors", "collecting"),
    "steps": ("errors",),
    "plugins": ("errors",),
    "errors": (),
    "collecting": (),
}
"""What stands next below each room. It may import that, and all that stands below that.

A room is a folder or a single module: of onnxpool/ (`onnxpool` is its `__init__`, the Python
interface), of rewrites/, or ops/ as a whole.
"""


def room_of(module: str) -> str:
    parts = module.split(".")[1:]
    if not parts:
        return "onnxpool"
    return ".".join(parts[: 2 if parts[0] == "rewrites" else 1])


def modules(root: Path) -> dict[str, Path]:
    """Every module of the packages in `root`, by the name that it is imported by."""
    found = {}
    for folder, name in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            # In onnxpool/, the other two are links.
            if folder != "onnxpool" or parts[0] not in FOLDERS:
                found[".".join((name, *(part for part in parts if part != "__init__")))] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """The line and the module of every import, those in functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield node.lineno, name if name in known else node.module


def allowed(room: str) -> set[str]:
    return {room}.union(*(allowed(lower) for lower in BELOW[room]))


def faults(root: Path) -> list[str]:
    """What runs against the order, in words."""
    known = modules(root)
    homeless = sorted({room_of(module) for module in known} - {*BELOW, "rewrites"})
    found = [f"{room} has no place in BELOW" for room in homeless]
    for module, path in known.items():
        below = allowed(room_of(module)) if room_of(module) in BELOW else set()
        for line, name in imported(path, known):
            if name.split(".")[0] == "onnxpool" and room_of(name) not in below:
                where = f"{path.relative_to(root)}:{line}"
                found.append(f"{where} imports {name}; {room_of(name)} is not below")
    return found


def test_imports_run_one_way() -> None:
    assert faults(CHECKOUT) == []


def test_the_order_names_the_rooms_there_are() -> None:
    rooms = {room_of(module) for module in modules(CHECKOUT)}
    assert rooms - {"rewrites"} == set(BELOW)


@pytest.mark.parametrize(
    ("file", "code", "fault"),
    [
        ("rewrites/lift/a.py", "from onnxpool.rewrites.repair import b", "a.py:1 imports"),
        ("rewrites/lift/a.py", "from onnxpool.rewrites import repair", "rewrites.repair is not"),
        ("rewrites/lower/a.py", "import onnxpool.rewrites.legalize.b", "legalize is not below"),
        ("rewrites/lift/a.py", "from onnxpool.rewrites import lower", "rewrites.lower is not"),
        ("onnxpool/inputs/a.py", "from onnxpool.model.b import c", "model is not below"),
        ("onnxpool/model/a.py", "def f():\n    import onnxpool.cli.app", "a.py:2 imports"),
        (
            "ops/a.py",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from onnxpool.model.b import c",
            "ops/a.py:3 imports onnxpool.model.b; model is not below",
        ),
        ("onnxpool/errors.py", "import onnxpool", "onnxpool is not below"),
        ("onnxpool/attic/a.py", "", "attic has no place"),
    ],
)
def test_an_upward_import_is_a_fault(tmp_path: Path, file: str, code: str, fault: str) -> None:
    for name in (
        "rewrites/repair/b.py",
        "rewrites/lower/__init__.py",
        "rewrites/repair/__init__.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    (found,) = faults(tmp_path)
    assert fault in found


def test_a_downward_import_is_none(tmp_path: Path) -> None:
    file = tmp_path / "onnxpool" / "cli" / "a.py"
    file.parent.mkdir(parents=True)
    file.write_text("import ast\nimport onnxpool.errors\nfrom onnxpool.rewrites.graph import b\n")
    assert faults(tmp_path) == []
