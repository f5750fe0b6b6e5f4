"""What torch.export took for granted about sizes that were to be dynamic."""

from __future__ import annotations

import logging
import math
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def relied_on(program: ExportedProgram) -> dict[Axis, str]:
    """The axes whose traced size torch.export relied on, each with a condition on it.

    Its guards hold for the traced sizes, and are dropped on export.
    """
    bounds = {
        (x.name, axis): _bounds(program, size)
        for x in program.graph.nodes
        if x.op == "placeholder" and hasattr(x.meta.get("val"), "shape")
        for axis, size in enumerate(x.meta["val"].shape)
        if _is_free(size)
    }
    axes: dict[Axis, str] = {}
    for guard in getattr(program, "_guards_code", ()):
        for condition in guard.split(" and "):
            found = {(name, int(axis)) for name, axis in _SIZE.findall(condition)} & set(bounds)
            if found and _is_about_values(condition) and not _holds(condition, bounds):
                words = _SIZE.sub(r"\1.shape[\2]", condition)
                axes.update({axis: axes.get(axis, words) for axis in found})
    return axes


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


def _holds(condition: str, bounds: Mapping[Axis, tuple[int, int]]) -> bool:
    """Whether `condition`, Python as torch.export writes it, is true of random sizes in bounds."""
    draw = random.Random(0)
    code = compile(_SIZE.sub(r"size['\1', \2]", condition), "guard", "eval")
    for _ in range(_SAMPLES):
        size = {
            axis: draw.randint(low, min(high, low + 63)) for axis, (low, high) in bounds.items()
        }
        try:
            if not eval(code, {"math": math, "max": _max, "size": size}):
                return False
        except (ArithmeticError, LookupError, NameError):
            return False
    return True


def _max(least: int, size: int) -> int:
    """Strides are written max(1, size); that differs from the size only where nothing is left."""
    return size if least == 1 else max(least, size)


def assumptions(
    program: ExportedProgram,
    dynamic_shapes: Any,
    specialisations: Specialisations,
    pinned: Mapping[Axis, str],
) -> tuple[str, ...]:
    """One line about each axis that is not free.

    Args:
        dynamic_shapes: what was asked for: for each input, or each name of one, a dict by axis.
        pinned: axes that were made static because of a condition.
    """
    notes = []
    for x, axes in asked(program, dynamic_shapes):
        seen: dict[Any, int] = {}
        for axis in axes:
            size = x.meta["val"].shape[axis]
            if not _is_free(size):
                size = int(size)
                why = _why_static((x.name, axis), size, specialisations, pinned)
                notes.append(f"axis {axis} of {x.name} is static ({size}): {why}")
            elif size.node.expr in seen:
                notes.append(f"axes {seen[size.node.expr]} and {axis} of {x.name} must be equal")
            else:
                seen[size.node.expr] = axis
                notes += _bounded(program, x.name, axis, size)
    conditions = dict.fromkeys(relied_on(program).values())
    return (*notes, *(f"right only where {_shortened(condition)}" for condition in conditions))


def asked(
    program: ExportedProgram, dynamic_shapes: Any
) -> Iterator[tuple[Node, Mapping[int, Any]]]:
    shapes = dynamic_shapes.values() if isinstance(dynamic_shapes, Mapping) else dynamic_shapes
    names = set(program.graph_signature.user_inputs)
    inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    for x, axes in zip(inputs, shapes or (), strict=False):
        if isinstance(axes, Mapping) and hasattr(x.meta.get("val"), "shape"):
            yield x, axes


def _why_static(
    axis: Axis, size: int, specialisations: Specialisations, pinned: Mapping[Axis, str]
) -> str:
    if axis in pinned:
        return f"the export would be right only where {_shortened(pinned[axis])}"
    if size in (0, 1):
        return f"torch.export takes a size of {size} for a constant; trace with another"
    return f"{specialisations.lines.get(axis, 'the module')} needs it as a number"


def _shortened(condition: str) -> str:
    return condition if len(condition) <= 80 else f"{condition[:80]}…"


def _bounds(program: ExportedProgram, size: Any) -> tuple[int, int]:
    """The least and the greatest size that torch.export found; never less than 2."""
    bounds = program.range_constraints.get(size.node.expr)
    if bounds is None:
        return 2, sys.maxsize
    # Its infinity has no int.
    upper = int(bounds.upper) if bounds.upper < sys.maxsize - 1 else sys.maxsize
    return int(bounds.lower), upper


def _bounded(program: ExportedProgram, name: str, axis: int, size: Any) -> Iterable[str]:
    lower, upper = _bounds(program, size)
    words = [f"at least {lower}"] * (lower > 2) + [f"at most {upper}"] * (upper < sys.maxsize)
    if words:
        yield f"axis {axis} of {name} is {' and '.join(words)}"
