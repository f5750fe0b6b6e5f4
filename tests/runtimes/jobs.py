"""What there is to run: for each construct its models, written to files, and its values."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from onnxpool.targets import find
from tests.runtimes.constructs import (
    FORMS,
    STATES,
    Form,
    NotMade,
    Shape,
    State,
    Values,
    exported,
    exported_whole,
    rewritten,
    sizes_for,
    source_of,
)
from tests.runtimes.registry import TOOLCHAINS, Runtime

ROOT = Path(__file__).parents[2]
DEFAULT = "onnxruntime"
"""The target that gets what onnxpool writes where no target is named."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A model and the shapes of the inputs that it is to be run on."""

    model: str
    shapes: tuple[Shape, ...]


@dataclasses.dataclass(frozen=True)
class Job:
    """One cell of the matrix, or where it is for no target in particular, one for each runtime.

    Attributes:
        target: empty for a model as it was exported.
        not_made: why there is no model; empty where there is.
    """

    builder: str
    form: Form
    state: State
    target: str
    runs: tuple[Run, ...] = ()
    not_made: str = ""


def prepare(
    builder: str,
    targets: Sequence[str],
    folder: Path,
    states: Sequence[State] = STATES,
    forms: Sequence[Form] = FORMS,
) -> list[Job]:
    """Export and rewrite a construct, unless that has been done with the same code.

    Args:
        folder: gets the models, the values, and an index of them.
        states, forms: of the models that are wanted.
    """
    torch.set_num_threads(1)
    place = folder / builder.replace(":", ".")
    index = place / "index.json"
    code = _stamp("onnxpool", "rewrites", "ops", "models")
    stamp = " ".join((code, *targets, *states, *forms))
    if index.exists():
        known = json.loads(index.read_text())
        if known["stamp"] == stamp:
            return [_job_from_json(job) for job in known["jobs"]]
    place.mkdir(parents=True, exist_ok=True)
    jobs = list(_prepare(builder, targets, place, states, forms))
    facts = {"stamp": stamp, "jobs": [dataclasses.asdict(job) for job in jobs]}
    index.write_text(json.dumps(facts, indent=1))
    return jobs


def jobs_of(runtime: Runtime, made: Sequence[Job]) -> Iterator[Job]:
    """The jobs of a runtime; where it is a toolchain, those of static sizes, and the default."""
    states: dict[str, State] = {"": "exported", runtime.target: "rewritten"}
    if runtime.toolchain:
        states[DEFAULT] = "default"
    for job in made:
        if job.target in states and (job.form == "static" or not runtime.toolchain):
            yield dataclasses.replace(job, state=states[job.target])


def values_path(model: Path | str, shape: Shape) -> Path:
    """Where the values of a shape are, beside the models."""
    return Path(model).parent / f"{'x'.join(map(str, shape))}.npz"


def _prepare(
    builder: str,
    targets: Sequence[str],
    place: Path,
    states: Sequence[State],
    forms: Sequence[Form],
) -> Iterator[Job]:
    source = source_of(builder)
    shapes: set[Shape] = set()
    for form in forms:
        jobs = [_exported_job(builder, form, place)] if "exported" in states else []
        if "rewritten" in states:
            own = [t for t in targets if form == "static" or t not in TOOLCHAINS]
            jobs += _rewritten_jobs(builder, form, own, place)
        for job in jobs:
            shapes.update(shape for run in job.runs for shape in run.shapes)
            yield job
    for shape in shapes:
        _save(Values.of(source, shape), values_path(place / "any", shape))


def _exported_job(builder: str, form: Form, place: Path) -> Job:
    job = Job(builder, form, "exported", "")
    source = source_of(builder)
    try:
        path = place / f"{form}.onnx"
        model = _kept(path, lambda: exported(source, form), "models")
    except NotMade as error:
        return dataclasses.replace(job, not_made=str(error))
    return dataclasses.replace(job, runs=(Run(str(path), tuple(sizes_for(model, source))),))


def _rewritten_jobs(builder: str, form: Form, targets: Sequence[str], place: Path) -> Iterator[Job]:
    source = source_of(builder)
    try:
        model = _rewritable(builder, form, place)
    except NotMade as error:
        for target in targets:
            yield Job(builder, form, "rewritten", target, not_made=str(error))
        return
    sizes = sizes_for(model, source)
    for target in targets:
        job = Job(builder, form, "rewritten", target)
        groups = [sizes] if find(target).dynamic else [[size] for size in sizes]
        try:
            runs = tuple(_rewritten_run(model, form, target, group, place) for group in groups)
        except NotMade as error:
            yield dataclasses.replace(job, not_made=str(error))
        else:
            yield dataclasses.replace(job, runs=runs)


def _rewritable(builder: str, form: Form, place: Path) -> onnx.ModelProto:
    """What the rewrite for a target starts from: a static plain export, or `onnxpool.export`.

    Raises:
        NotMade: it cannot be exported.
    """
    source = source_of(builder)
    if form == "static":
        try:
            return _kept(place / f"{form}.onnx", lambda: exported(source, form), "models")
        except NotMade:
            pass
    rooms = ("models", "onnxpool/exporters", "rewrites/graph", "rewrites/lower", "ops")
    return _kept(place / f"{form}.whole.onnx", lambda: exported_whole(source, form), *rooms)


def _rewritten_run(
    model: onnx.ModelProto, form: Form, target: str, sizes: Sequence[Shape], place: Path
) -> Run:
    fixed = form == "dynamic" and not find(target).dynamic
    name = f"{form}.{target}"
    if fixed:
        name += f".{'x'.join(map(str, sizes[0]))}"
    result = rewritten(model, target, sizes[0] if fixed else None)
    return Run(_write(result, place / f"{name}.onnx"), tuple(sizes))


def _kept(path: Path, make: Callable[[], onnx.ModelProto], *rooms: str) -> onnx.ModelProto:
    """A model that is made once for the same code in `rooms`.

    Raises:
        NotMade: it was not, and is not made.
    """
    note = path.with_suffix(".json")
    stamp = _stamp(*rooms)
    known = json.loads(note.read_text()) if note.exists() else {}
    if known.get("stamp") != stamp:
        known = {"stamp": stamp, "not_made": ""}
        try:
            _write(make(), path)
        except NotMade as error:
            known["not_made"] = str(error)
        note.write_text(json.dumps(known))
    if known["not_made"]:
        raise NotMade(known["not_made"])
    return onnx.load(path)


def _write(model: onnx.ModelProto, path: Path) -> str:
    path.write_bytes(model.SerializeToString(deterministic=True))
    return str(path)


def _save(values: Values, path: Path) -> None:
    arrays: dict[str, Any] = {f"input {d}": x for d, x in values.inputs.items()}
    arrays["sums"] = np.array(values.sums)
    kinds = {"source": values.source, "half": values.half, "exact": values.exact}
    for kind, by_distribution in kinds.items():
        for distribution, outputs in by_distribution.items():
            arrays |= {f"{kind} {distribution} {k}": y for k, y in enumerate(outputs)}
    np.savez(path, **arrays)


def load_values(path: Path, shape: Shape) -> Values:
    """Read what `prepare` has written."""
    inputs: dict[str, np.ndarray] = {}
    outputs: dict[str, dict[str, list[np.ndarray]]] = {"source": {}, "half": {}, "exact": {}}
    sums = 0
    with np.load(path) as arrays:
        for name, array in arrays.items():
            kind, _, rest = name.partition(" ")
            if name == "sums":
                sums = int(array)
            elif kind == "input":
                inputs[rest] = array
            else:
                outputs[kind].setdefault(rest.rpartition(" ")[0], []).append(array)
    return Values(shape, sums, inputs, **outputs)


def _job_from_json(facts: dict[str, Any]) -> Job:
    runs = tuple(
        Run(run["model"], tuple(tuple(shape) for shape in run["shapes"])) for run in facts["runs"]
    )
    return Job(**{**facts, "runs": runs})


@functools.cache
def _stamp(*rooms: str) -> str:
    """Of the code in folders of the checkout, and of what else models depend on."""
    digest = hashlib.sha256(torch.__version__.encode())
    digest.update(Path(__file__).with_name("constructs.py").read_bytes())
    for path in (p for room in rooms for p in sorted((ROOT / room).glob("**/*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
