"""Writes what the pages say of the code: python docs/make.py [targets] [constructs]

Each table stands between two comments, and is written anew there; all else in a page stays. The
constructs are exported, so that takes torch, onnxscript and a minute; the drawings take grandalf.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import onnx

import onnxpool
from onnxpool.cli.page.drawing import draw
from onnxpool.cli.page.markup import element
from onnxpool.model.diff import replacements
from onnxpool.pipeline.report import Report
from onnxpool.rewrites.lower import STRATEGIES
from onnxpool.targets import PLACES, TARGETS, Target
from onnxpool.validation.source import Source, load_source

if TYPE_CHECKING:
    import torch

DOCS = Path(__file__).parent
MODELS = DOCS.parent / "models"
BEGIN, END = "<!-- made by docs/make.py: {} -->", "<!-- end -->"

CONSTRUCTS = {
    "adaptive_average_pool": "adaptive.py:adaptive_avg_2d",
    "adaptive_max_pool": "adaptive.py:adaptive_max_2d",
    "gem_pool": "gem.py:gem",
    "pyramid_pool": "pyramid.py:ppm",
}
"""Per page, what it exports."""

_STYLE = """
svg { --text: #1d2129; --node: #e6effc; --tensor: #fff; --edge: #6d7686; }
@media (prefers-color-scheme: dark) {
  svg { --text: #e4e7ec; --node: #233450; --tensor: #14171c; --edge: #8993a3; }
}
text { fill: var(--text); font: 12px monospace; text-anchor: middle; }
.node rect { fill: var(--node); stroke: var(--edge); }
.tensor rect { fill: var(--tensor); stroke: var(--edge); stroke-dasharray: 4 3; }
.arrow { fill: none; stroke: var(--edge); }
"""


def filled(page: str, name: str, content: str) -> str:
    """`page` with `content` in the place of that name.

    Raises:
        ValueError: the page has no such place.
    """
    begin = BEGIN.format(name)
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"there is no {begin}")
    return pattern.sub(lambda _: f"{begin}\n\n{content}\n\n{END}", page)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(c) for c in row)} |" for row in cells)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def targets() -> str:
    """A table for each place where runtimes run, and below it what each does not take."""
    parts = []
    for place in PLACES:
        group = [target for target in TARGETS if target.runs_on == place]
        if group:
            columns = ("name", "runtime", "tested with", "on", "opset", "sizes", "averages")
            parts += [
                f"## {place[0].upper()}{place[1:]}",
                table(columns, [_target(t) for t in group]),
            ]
            parts += [_limits(target) for target in group if target.limits or target.faster]
    return "\n\n".join(parts)


def _target(target: Target) -> tuple[str, ...]:
    return (
        f"`{target.name}`",
        target.runtime,
        target.tested or "documented only",
        target.measured or "-",
        f"≤ {target.opset}",
        "any" if target.dynamic else "fixed",
        target.strategy,
    )


def _limits(target: Target) -> str:
    rows = [
        (", ".join(limit.ops), limit.reason, limit.cure.name if limit.cure else "-", limit.evidence)
        for limit in (*target.limits, *target.faster)
    ]
    return f"### {target.name}\n\n" + table(("op", "what happens", "gets instead", "known"), rows)


def construct(name: str) -> str:
    """What each exporter makes of a construct, and what that becomes; with the drawings."""
    path = f"{MODELS / CONSTRUCTS[name].split(':')[0]}:{CONSTRUCTS[name].split(':')[1]}"
    source = load_source(path, seed=0)
    rows = [_exported(words, source, export) for words, export in EXPORTS.items()]
    columns = ("exporter", "pooling in its graph", "wrong", "becomes", "nodes")
    static = _static(source)
    lowered = [(f"`{s}`", *_lowered(static, s)) for s in STRATEGIES]
    custom = onnxpool.rewrite(static, to="custom-op").report
    lowered.append(("`--to custom-op`", _form(custom), _nodes(custom)))
    _draw(name, static)
    shape = "x".join(map(str, (source.example_shapes or ((),))[0]))
    return "\n\n".join(
        (
            f"`models/{CONSTRUCTS[name]}`, on {shape}:",
            table(columns, rows),
            "The same with fixed sizes, by strategy:",
            table(("`--strategy`", "becomes", "nodes"), lowered),
            f"As exported:\n\n![the exported graph]({name}-before.svg)",
            f"As rewritten:\n\n![the rewritten graph]({name}-after.svg)",
        )
    )


def _exported(words: str, source: Source, export: Callable[[Source], onnx.ModelProto]) -> list[str]:
    try:
        model = export(source)
    except Exception as error:
        return [words, f"fails: {_reason(error)}", "-", "-", "-"]
    report = onnxpool.rewrite(model).report
    found = report.findings
    forms = "; ".join(dict.fromkeys(finding.form for finding in found)) or "not found"
    wrong = "; ".join(dict.fromkeys(finding.wrong for finding in found if finding.wrong))
    return [words, forms, wrong or "no", _form(report), _nodes(report)]


def _reason(error: BaseException) -> str:
    """The first sentence of what is at the bottom of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0].partition(". ")[0]


def _static(source: Source) -> onnx.ModelProto:
    """What torch's exporter writes; where it fails, what onnxpool's does."""
    try:
        return _dynamo(source, dynamic=False)
    except Exception:
        return onnxpool.export(source.module, _examples(source), to="custom-op").model


def _examples(source: Source) -> tuple[torch.Tensor, ...]:
    import torch

    return tuple(torch.randn(shape) for shape in source.example_shapes or ())


def _form(report: Report) -> str:
    return "; ".join(dict.fromkeys(f"{f.action}: {f.detail}" for f in report.findings)) or "-"


def _nodes(report: Report) -> str:
    return f"{report.before.nodes} → {report.after.nodes}"


def _lowered(model: onnx.ModelProto, strategy: str) -> tuple[str, str]:
    report = onnxpool.rewrite(model, strategy=strategy).report
    return _form(report), _nodes(report)


def _dynamo(source: Source, *, dynamic: bool) -> onnx.ModelProto:
    import torch

    examples = _examples(source)
    axes = dict.fromkeys(range(2, examples[0].ndim), torch.export.Dim.DYNAMIC)
    shapes = {"dynamic_shapes": (axes,)} if dynamic else {}
    with _quiet():
        program = torch.onnx.export(
            source.module.eval(), examples, dynamo=True, verbose=False, **shapes
        )
    assert program is not None
    return program.model_proto  # type: ignore[no-any-return]


def _torchscript(source: Source, *, dynamic: bool) -> onnx.ModelProto:
    import torch

    examples = _examples(source)
    axes = {"dynamic_axes": {"input": {2: "h", 3: "w"}}} if dynamic else {}
    file = io.BytesIO()
    with _quiet():
        torch.onnx.export(
            source.module.eval(), examples, file, dynamo=False, input_names=["input"], **axes
        )
    return onnx.load_from_string(file.getvalue())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


EXPORTS: dict[str, Callable[[Source], onnx.ModelProto]] = {
    "`dynamo=True`": lambda source: _dynamo(source, dynamic=False),
    "`dynamo=True`, dynamic H and W": lambda source: _dynamo(source, dynamic=True),
    "`dynamo=False`": lambda source: _torchscript(source, dynamic=False),
    "`dynamo=False`, dynamic H and W": lambda source: _torchscript(source, dynamic=True),
}


def _draw(name: str, model: onnx.ModelProto) -> None:
    """The first region that is replaced, before and after."""
    replaced, *_ = replacements(model, onnxpool.rewrite(model).model)
    for side in ("before", "after"):
        drawing = draw(getattr(replaced, side), side)
        assert drawing is not None, f"{name} cannot be drawn"
        style = element("style")
        style.text = _STYLE
        drawing.insert(0, style)
        drawing.set("xmlns", "http://www.w3.org/2000/svg")
        del drawing.attrib["style"]
        path = DOCS / "constructs" / f"{name}-{side}.svg"
        path.write_text(ElementTree.tostring(drawing, encoding="unicode") + "\n", encoding="utf-8")


def write(page: Path, name: str, content: str) -> None:
    page.write_text(filled(page.read_text(encoding="utf-8"), name, content), encoding="utf-8")


def main(wanted: Sequence[Any]) -> None:
    if not wanted or "targets" in wanted:
        write(DOCS / "targets.md", "targets", targets())
    if not wanted or "constructs" in wanted:
        for name in CONSTRUCTS:
            write(DOCS / "constructs" / f"{name}.md", "exporters", construct(name))


if __name__ == "__main__":
    main(sys.argv[1:])
