"""Write the JSON Schema of what each command writes with --json.

    python docs/schemas/make.py

The types are those of the dataclasses that hold the facts, so that a key is described once. The
number in the file names is `schema` in the output (onnxpool.cli.outcome.SCHEMA): it grows when a
key goes or gets another meaning, and then the files of before stay beside the new ones.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpool.benchmark import Bench
from onnxpool.cli.outcome import SCHEMA, Outcome
from onnxpool.model.diff import Diff
from onnxpool.ops.op import Array
from onnxpool.pipeline.report import Report
from onnxpool.rewrites.region import size
from onnxpool.targets.target import Place, Target
from onnxpool.validation.accuracy import Accuracy
from onnxpool.validation.compare import Validation

Schema = dict[str, Any]

FOLDER = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_STAMP: Schema = {
    "schema": {"const": SCHEMA, "description": "Version of this schema."},
    "onnxpool": {"type": "string", "description": "Version of onnxpool."},
}


def of_type(hint: Any, defs: Schema) -> Schema:
    """The schema of a type; dataclasses go to `defs`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        # What is not finite has no number in JSON, and is null.
        return {"type": ["number", "null"] if hint is float else _PLAIN[hint]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [of_type(arg, defs) for arg in args]}
    if origin is tuple and args[-1] is not Ellipsis:
        items = [of_type(arg, defs) for arg in args]
        return {"type": "array", "prefixItems": items, "minItems": len(args), "maxItems": len(args)}
    if origin in (tuple, list):
        return {"type": "array", "items": of_type(args[0], defs)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": of_type(args[1], defs)}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in defs:
            defs[hint.__name__] = {}
            defs[hint.__name__] = of_dataclass(hint, defs)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    raise TypeError(f"no schema is known for {hint}")


def of_dataclass(kind: type, defs: Schema, **more: Schema) -> Schema:
    """An object with every field, and those in `more`."""
    names = {**vars(size), "Array": Array}
    hints = typing.get_type_hints(kind, localns=names)
    fields = [field.name for field in dataclasses.fields(kind)]
    told = described(kind)
    properties = {
        name: {
            **of_type(hints[name], defs),
            **({"description": told[name]} if name in told else {}),
        }
        for name in fields
    }
    properties |= more
    first_line = (inspect.getdoc(kind) or "").partition("\n")[0]
    return {"description": first_line, **_object(properties)}


def described(kind: type) -> dict[str, str]:
    """What the docstring says of each attribute."""
    found: dict[str, str] = {}
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    names: list[str] = []
    for line in text.splitlines():
        name, colon, words = line.strip().partition(":")
        if colon and line.startswith("    ") and not line.startswith("     "):
            names = name.split(", ")
            found |= dict.fromkeys(names, words.strip())
        elif names:
            found |= {n: f"{found[n]} {line.strip()}".strip() for n in names}
    return found


def outcome() -> Schema:
    """What `rewrite`, `inspect` and `export` write of each model: its report and its outcome."""
    defs: Schema = {}
    report = of_dataclass(Report, defs, rewritten={"type": "integer"})
    whole = of_dataclass(Outcome, defs)
    for name in ("report", "traceback"):
        whole["properties"].pop(name)
    properties = {**_STAMP, **report["properties"], **whole["properties"]}
    # A report is in there, key by key, and no object of its own.
    defs.pop("Report", None)
    item = {**whole, "properties": properties, "required": list(properties)}
    return {"type": "array", "items": item, "$defs": defs}


def validation() -> Schema:
    defs: Schema = {}
    accuracy = of_dataclass(Accuracy, defs, size={"type": "string"})
    more = {
        "passed": {"type": "boolean"},
        "failing": {"type": "array", "items": {"type": "string"}},
        "worst_outputs": {"type": "object", "additionalProperties": accuracy},
    }
    return {**of_dataclass(Validation, defs, **_STAMP, **more), "$defs": defs}


def difference() -> Schema:
    defs: Schema = {}
    return {**of_dataclass(Diff, defs, **_STAMP, same={"type": "boolean"}), "$defs": defs}


def bench() -> Schema:
    """Of a timing there are the times and what follows from them, or why there are none."""
    defs: Schema = {}
    whole = of_dataclass(Bench, defs, **_STAMP)
    number = {"type": "number"}
    times = {
        "name": {"type": "string"},
        "median": number,
        "quartiles": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        "ratio": number,
        "milliseconds": {"type": "array", "items": number},
    }
    failure = {"name": {"type": "string"}, "failure": {"type": "string"}}
    defs["Timing"] = {"anyOf": [_object(times), _object(failure)]}
    return {**whole, "$defs": defs}


def targets() -> Schema:
    """A list of the targets that are asked for."""
    text, flag = {"type": "string"}, {"type": "boolean"}
    texts = {"type": "array", "items": text}
    evidence = {"enum": ["measured", "documented"]}
    limit = _object(
        {
            "ops": texts,
            "reason": text,
            "becomes": {"type": ["string", "null"]},
            "evidence": evidence,
            "before": {"type": ["integer", "null"]},
        }
    )
    told = described(Target)
    of_kind: dict[str, Schema] = {
        "str": text,
        "bool": flag,
        "int": {"type": "integer"},
        "tuple[Limit, ...]": {"type": "array", "items": limit},
        "frozenset[str]": texts,
        "tuple[str, ...]": texts,
        "Place": of_type(Place, {}),
    }
    properties = {
        field.name: {**of_kind[str(field.type)], "description": told[field.name]}
        for field in dataclasses.fields(Target)
    }
    return {"type": "array", "items": _object({**_STAMP, **properties, "evidence": evidence})}


def _object(properties: Schema) -> Schema:
    """An object with all of these; a later version may add to them."""
    return {"type": "object", "properties": properties, "required": list(properties)}


SCHEMAS = {
    "outcomes": (outcome, "rewrite, inspect and export"),
    "comparison": (validation, "validate and compare"),
    "diff": (difference, "diff"),
    "bench": (bench, "bench"),
    "targets": (targets, "targets"),
}
"""By the name of its file: what makes it, and the commands that write it."""


def text(name: str) -> str:
    """One of SCHEMAS, as it stands in its file."""
    make, commands = SCHEMAS[name]
    head = {"$schema": DIALECT, "$id": file(name).name, "title": f"onnxpool {commands} --json"}
    return json.dumps({**head, **make()}, indent=2) + "\n"


def file(name: str) -> Path:
    return FOLDER / f"{name}-{SCHEMA}.schema.json"


def main() -> None:
    for name in SCHEMAS:
        file(name).write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
