"""Many models, on many machines: rewrite and compare all of a store, with Ray Data.

    rows = fleet.rewrite("s3://models/exported", "s3://models/mended", target="tensorrt")
    print(fleet.summary(rows))

A store is a folder, or whatever fsspec has a name for. Beside each result lies NAME.onnx.json with
what became of it; a model whose entry is of the same file and the same options is not done again.
It takes the extra `fleet`: pip install 'onnxpool[fleet]', and s3fs or the like for a store.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import io
import json
import posixpath
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from onnxpool.errors import ArgumentError, OnnxpoolError
from onnxpool.model.external_data import locations
from onnxpool.pipeline import rewrite as pipeline
from onnxpool.validation.compare import compare


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one model.

    Attributes:
        model: its path in the store.
        result: "written"; "wrong", where it is not what the model computes, and "failed", where it
            cannot be rewritten: neither is written.
        detail: what was rewritten, or why not.
        version: of the file that was read, and of the options.
    """

    model: str
    result: str
    detail: str
    version: str


def rewrite(
    source: str,
    out: str,
    *,
    workers: int | None = None,
    check: bool = True,
    **options: Any,
) -> list[Row]:
    """Rewrite every .onnx file of a store into another one.

    Args:
        source, out: folders, or URLs of fsspec such as s3://bucket/folder.
        workers: how many models at a time; None leaves that to Ray.
        check: whether each result is compared with its model, as by `onnxpool.compare`.
        options: of `onnxpool.rewrite`.

    Returns:
        A row for each model, those included that were done before.

    Raises:
        ArgumentError: Ray or fsspec is missing, or `source` holds no model.
    """
    fsspec, ray_data = _require("fsspec"), _require("ray.data")
    store, root = fsspec.core.url_to_fs(source)
    paths = sorted(posixpath.relpath(path, root) for path in store.glob(f"{root}/**/*.onnx"))
    if not paths:
        raise ArgumentError(f"{source} holds no .onnx file")
    one = _One(source, out, check, options)
    items = [{"model": path} for path in paths]
    # One block for each, so that a large model keeps no other waiting.
    data = ray_data.from_items(items, override_num_blocks=len(items))
    rows = data.map(one, concurrency=workers).take_all() if workers else data.map(one).take_all()
    return sorted((Row(**row) for row in rows), key=lambda row: row.model)


def summary(rows: Sequence[Row]) -> str:
    """A table of the rows, and how many became what."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "result", "detail")
    for row in rows:
        table.add_row(Text(row.model), row.result, Text(row.detail))
    text = io.StringIO()
    console = Console(file=text, width=120)
    console.print(table)
    counts = Counter(row.result for row in rows)
    console.print(", ".join(f"{n} {result}" for result, n in sorted(counts.items())))
    return text.getvalue()


@dataclasses.dataclass(frozen=True)
class _One:
    """What a worker does with one model."""

    source: str
    out: str
    check: bool
    options: Mapping[str, Any]

    def __call__(self, item: Mapping[str, Any]) -> dict[str, str]:
        path = str(item["model"])
        (store, root), (target, to) = self._stores()
        version = self._version(store, f"{root}/{path}")
        entry = f"{to}/{path}.json"
        if (done := _read(target, entry)) and done.get("version") == version:
            return done
        with tempfile.TemporaryDirectory(prefix="onnxpool-fleet-") as folder:
            result, detail = self._rewritten(store, f"{root}/{path}", Path(folder))
            if result == "written":
                _put(target, Path(folder) / "out", f"{to}/{posixpath.dirname(path)}")
        row = dataclasses.asdict(Row(path, result, detail, version))
        # The last thing that is written: a killed run is done again.
        target.makedirs(posixpath.dirname(entry), exist_ok=True)
        target.pipe_file(entry, json.dumps(row).encode())
        return row

    def _stores(self) -> Any:
        fsspec = _require("fsspec")
        return fsspec.core.url_to_fs(self.source), fsspec.core.url_to_fs(self.out)

    def _version(self, store: Any, path: str) -> str:
        """Another one where the file or the options are others."""
        said = sorted((name, repr(value)) for name, value in self.options.items())
        return f"{importlib.metadata.version('onnxpool')} {store.ukey(path)} {self.check} {said}"

    def _rewritten(self, store: Any, path: str, folder: Path) -> tuple[str, str]:
        """What becomes of a model; it is in `folder`/out where it is written."""
        model = folder / "in" / PurePosixPath(path).name
        result = folder / "out" / model.name
        model.parent.mkdir()
        result.parent.mkdir()
        try:
            store.get_file(path, str(model))
            _get_weights(store, posixpath.dirname(path), model)
            made = pipeline.rewrite(model, **self.options)
            made.save(result)
            if self.check:
                comparison = compare(result, model)
                if not comparison.passed:
                    return "wrong", comparison.first_difference or "it differs"
        except OnnxpoolError as error:
            return "failed", str(error).replace(str(folder), "")
        return "written", f"{made.report.rewritten} rewritten"


def _get_weights(store: Any, folder: str, model: Path) -> None:
    """Bring the external data of a model to its copy.

    What a file names outside of its folder is not fetched; the rewrite says what is wrong with it.
    """
    try:
        names = locations(onnx.load(model, load_external_data=False))
    except DecodeError:
        return
    for name in sorted(names):
        to = model.parent / name
        if not to.resolve().is_relative_to(model.parent.resolve()):
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(f"{folder}/{name}", str(to))


def _put(store: Any, folder: Path, to: str) -> None:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        there = f"{to}/{file.relative_to(folder).as_posix()}"
        store.makedirs(posixpath.dirname(there), exist_ok=True)
        store.put_file(str(file), there)


def _read(store: Any, path: str) -> dict[str, str] | None:
    try:
        found = json.loads(store.cat_file(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _require(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ArgumentError(
            f"onnxpool.fleet needs {name} ({error}): pip install 'onnxpool[fleet]'"
        ) from error
