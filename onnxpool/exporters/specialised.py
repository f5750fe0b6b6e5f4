"""What an exporter took for granted about sizes that were to be dynamic."""

from __future__ import annotations

import logging
import math
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

Axis = tuple[str, int]
"""The name of an input, and the number of one of its axes."""

_SIZE = re.compile(r"L\['(\w+)'\]\.size\(\)\[(\d+)\]")
_COMPARISON = re.compile(r"(.+) (==|!=|<=|>=|<|>) (.+)")
_PLAIN = re.compile(rf"{_SIZE.pattern} == (\d+|{_SIZE.pattern})")
_BY_A_NUMBER = re.compile(r" % \d+\)")
_SAMPLES = 500
_FAR = 4096
"""Sizes beyond are not tried."""


class Assumption(NamedTuple):
    """A condition on sizes that an exporter relied on, and whether the source needs it.

    Attributes:
        words: the condition, such as "(x.shape[2] // 6) == 2".
        note: what the report says of it where no size tells.
        broken_by: sizes for which it does not hold, the axes not named being as they were traced.
    """

    words: str
    note: str
    broken_by: Sequence[Mapping[Axis, int]]


class Traced(NamedTuple):
    """What an exporter says of the sizes of a model that it wrote.

    Attributes:
        notes: one line about each axis that is not free.
        assumptions: what may be wrong where it does not hold.
        lines: of the module, at which a size became a number while it was to be dynamic.
        inputs: the names of the inputs in notes and assumptions, in order.
    """

    notes: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    lines: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


class Specialisations(logging.Filter):
    """While entered, notes where the code of a module turned a size into a number.

    torch.export keeps this to its log, which names the symbol; the line of the module is on the
    stack. `lines` maps an input's name and axis to a line such as "gem.py:46".
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Axis, str] = {}
        self._sources: dict[str, Axis] = {}
        self._log = logging.getLogger("torch.fx.experimental.symbolic_shapes")

    def __enter__(self) -> Specialisations:
        self._level = self._log.level
        self._log.setLevel(logging.INFO)
        self._log.addFilter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeFilter(self)
        self._log.setLevel(self._level)

    def filter(self, record: logging.LogRecord) -> bool:
        """Read the record and hold it back."""
        message = str(record.msg)
        if message.startswith("create_symbol") and isinstance(record.args, tuple):
            symbol, _, source, *_ = record.args
            if size := _SIZE.fullmatch(str(source)):
                self._sources[str(symbol)] = (size[1], int(size[2]))
        elif message.startswith("set_replacement") and isinstance(record.args, tuple):
            axis = self._sources.get(str(record.args[0]))
            if axis is not None and (line := line_of_module()):
                self.lines.setdefault(axis, line)
        return False


def line_of_module() -> str | None:
    """The innermost line on the stack that is neither torch's nor this tool's."""
    import torch

    library = str(Path(logging.__file__).parents[1])
    skipped = ("<", str(Path(torch.__file__).parent), str(Path(__file__).parent))
    frame: Any = sys._getframe()
    while frame is not None:
        file = frame.f_code.co_filename
        installed = "site-packages" in file
        if not file.startswith(skipped) and (installed or not file.startswith(library)):
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def traced(
    program: ExportedProgram, dynamic_shapes: Any, specialisations: Specialisations
) -> Traced:
    """What torch.export says of the sizes of a program.

    Args:
        dynamic_shapes: what was asked for: for each input, or each name of one, a dict by axis.
    """
    return Traced(
        _notes(program, dynamic_shapes, specialisations),
        _assumptions(program),
        inputs=tuple(x.name for x in _inputs(program) if hasattr(x.meta.get("val"), "shape")),
    )


def _assumptions(program: ExportedProgram) -> tuple[Assumption, ...]:
    """The conditions that torch.export relied on.

    Its guards hold for the traced sizes, and are dropped on export. Many are needless: they tell
    memory layouts apart, or are true of all sizes that the module takes.
    """
    sizes = _free_sizes(program)
    bounds = {axis: _bounds(program, size) for axis, size in sizes.items()}
    traced = {axis: int(size.node.hint) for axis, size in sizes.items()}
    found = []
    for guard in getattr(program, "_guards_code", ()):
        for condition in guard.split(" and "):
            axes = {(name, int(axis)) for name, axis in _SIZE.findall(condition)} & set(bounds)
            if axes and _is_about_values(condition):
                words = _SIZE.sub(r"\1.shape[\2]", condition)
                broken_by = _broken_by(condition, axes, traced, bounds)
                note = f"right only where {shortened(words)}"
                found.append(Assumption(words, note, broken_by))
    found += [_bound(axis, *bounds[axis]) for axis in sizes]
    return tuple({a.words: a for a in found if a.broken_by}.values())


def _free_sizes(program: ExportedProgram) -> dict[Axis, Any]:
    return {
        (x.name, axis): size
        for x in program.graph.nodes
        if x.op == "placeholder" and hasattr(x.meta.get("val"), "shape")
        for axis, size in enumerate(x.meta["val"].shape)
        if _is_free(size)
    }


def _bound(axis: Axis, lower: int, upper: int) -> Assumption:
    """That a size is in the bounds that torch.export found for it."""
    name, number = axis
    beyond = [size for size in (lower - 1, upper + 1) if 2 <= size <= _FAR]
    bounds = [f"at least {lower}"] * (lower > 2) + [f"at most {upper}"] * (upper < sys.maxsize)
    words = f"{name}.shape[{number}] is {' and '.join(bounds)}"
    note = f"axis {number} of {name} is {' and '.join(bounds)}"
    return Assumption(words, note, [{axis: size} for size in beyond])


def _is_free(size: Any) -> bool:
    return not isinstance(size, int) and bool(size.node.expr.free_symbols)


def _is_about_values(condition: str) -> bool:
    """Whether other values may be right where `condition` does not hold.

    A comparison with a number from above or below is a bound, which `assumptions` reports; that a
    size is not some number is about memory layout, if it is not about a remainder.
    """
    if _PLAIN.fullmatch(condition):
        # The shape of the input says so.
        return False
    comparison = _COMPARISON.fullmatch(condition)
    if comparison is None or comparison[2] == "==" or _SIZE.search(comparison[3]):
        return True
    return comparison[2] == "!=" and _BY_A_NUMBER.search(comparison[1]) is not None


def _broken_by(
    condition: str,
    axes: Iterable[Axis],
    traced: Mapping[Axis, int],
    bounds: Mapping[Axis, tuple[int, int]],
) -> list[dict[Axis, int]]:
    """Sizes for which `condition`, Python as torch.export writes it, does not hold.

    One axis moves and the others stay, where that breaks it; else all are drawn within bounds.
    """
    code = compile(_SIZE.sub(r"size['\1', \2]", condition), "guard", "eval")

    def holds(sizes: Mapping[Axis, int]) -> bool:
        try:
            return bool(eval(code, {"math": math, "max": _max, "size": {**traced, **sizes}}))
        except (ArithmeticError, LookupError, NameError):
            return False

    broken: list[dict[Axis, int]] = []
    for axis in sorted(axes):
        low, high = bounds[axis]
        lengths = range(max(low, 2), min(high, 2 * traced[axis] + 64) + 1)
        broken += _spread([{axis: n} for n in lengths if not holds({axis: n})], traced[axis] - low)
    if broken:
        return broken
    draw = random.Random(0)
    for _ in range(_SAMPLES):
        drawn = {a: draw.randint(low, min(high, low + 63)) for a, (low, high) in bounds.items()}
        if not holds(drawn):
            broken.append({axis: drawn[axis] for axis in axes})
    return broken[:4]


def _spread(sizes: list[dict[Axis, int]], middle: int) -> list[dict[Axis, int]]:
    """A few of them: the ends, and those beside the one that was traced."""
    picked = {0, middle - 1, middle, len(sizes) // 2, len(sizes) - 1}
    return [size for i, size in enumerate(sizes) if i in picked]


def _max(least: int, size: int) -> int:
    """Strides are written max(1, size); that differs from the size only where nothing is left."""
    return size if least == 1 else max(least, size)


def _notes(
    program: ExportedProgram, dynamic_shapes: Any, specialisations: Specialisations
) -> tuple[str, ...]:
    """One line about each axis that torch.export made static, or equal to another."""
    found = []
    for x, axes in _asked(program, dynamic_shapes):
        seen: dict[Any, int] = {}
        for axis in axes:
            size = x.meta["val"].shape[axis]
            if not _is_free(size):
                why = _why_static((x.name, axis), int(size), specialisations)
                found.append(static(x.name, axis, int(size), why))
            elif size.node.expr in seen:
                found.append(f"axes {seen[size.node.expr]} and {axis} of {x.name} must be equal")
            else:
                seen[size.node.expr] = axis
    return tuple(found)


def static(name: str, axis: int, size: int, why: str) -> str:
    return f"axis {axis} of {name} is static ({size}): {why}"


def declared(program: ExportedProgram, dynamic_shapes: Any) -> Any:
    """`dynamic_shapes` as the program has it: axes that are not free left out, equal ones of one
    name."""
    if not isinstance(dynamic_shapes, tuple | list | Mapping):
        return dynamic_shapes
    names: dict[Any, Any] = {}
    found = {}
    for x, axes in _asked(program, dynamic_shapes):
        sizes = {axis: x.meta["val"].shape[axis] for axis in axes}
        found[x.name] = {
            axis: names.setdefault(sizes[axis].node.expr, dim)
            for axis, dim in axes.items()
            if _is_free(sizes[axis])
        }
    # What is nested stays as it was asked for.
    return tuple(found.values()) if len(found) == len(dynamic_shapes) else dynamic_shapes


def _asked(
    program: ExportedProgram, dynamic_shapes: Any
) -> Iterator[tuple[Node, Mapping[int, Any]]]:
    shapes = dynamic_shapes.values() if isinstance(dynamic_shapes, Mapping) else dynamic_shapes
    for x, axes in zip(_inputs(program), shapes or (), strict=False):
        if isinstance(axes, Mapping) and hasattr(x.meta.get("val"), "shape"):
            yield x, axes


def _inputs(program: ExportedProgram) -> list[Node]:
    names = set(program.graph_signature.user_inputs)
    return [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]


def _why_static(axis: Axis, size: int, specialisations: Specialisations) -> str:
    if size in (0, 1):
        return f"torch.export takes a size of {size} for a constant; trace with another"
    return f"{specialisations.lines.get(axis, 'the module')} needs it as a number"


def shortened(condition: str) -> str:
    return condition if len(condition) <= 80 else f"{condition[:80]}…"


def _bounds(program: ExportedProgram, size: Any) -> tuple[int, int]:
    """The least and the greatest size that torch.export found; never less than 2."""
    bounds = program.range_constraints.get(size.node.expr)
    if bounds is None:
        return 2, sys.maxsize
    # Its infinity has no int.
    upper = int(bounds.upper) if bounds.upper < sys.maxsize - 1 else sys.maxsize
    return int(bounds.lower), upper
