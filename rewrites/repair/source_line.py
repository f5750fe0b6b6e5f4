"""What a line of PyTorch source says of the pooling that it calls for.

    F.adaptive_avg_pool2d(x, 6)                     to a size: a number, or an attribute
    F.adaptive_max_pool2d(x, (h // 4, w // 4))      to a share of a length
    F.adaptive_avg_pool2d(x, size)                  to whatever `size` is
    F.interpolate(x, size, mode="area")             to whatever `size` is
    F.avg_pool2d(x, x.shape[2:])                    windows as long as the plane: to 1
    F.avg_pool2d(x, 2), F.avg_pool2d(x, self.k)     ordinary windows

An exporter notes the line of a module's `forward`. A call in a function that it calls is not on
it, and of a call over several lines only the first is there.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import enum
import re
from collections.abc import Iterator, Sequence

from onnxpool.ops.op import KEEP

_CALL = re.compile(r"^(?P<adaptive>adaptive_)?(?P<mode>avg|max)_pool[123]d$")
_MODULE = re.compile(r"^(?P<adaptive>Adaptive)?(?P<mode>Avg|Max)Pool[123]d$")
_NAMES = re.compile(r"(?:adaptive_)?(?:avg|max)_pool[123]d|(?:Adaptive)?(?:Avg|Max)Pool[123]d")

_OF_LISTS = ("append", "extend", "insert")


class Says(enum.Enum):
    """What pooling a line, or a class, says that it is."""

    NOTHING = enum.auto()
    ORDINARY = enum.auto()
    WHOLE = enum.auto()
    """Windows as long as the plane."""
    ADAPTIVE = enum.auto()
    """To a fixed size, or to one that follows the input."""
    FIXED = enum.auto()
    """Adaptive, to the same size always."""
    SHARE = enum.auto()
    """Adaptive, to a share of a length on one axis or more."""


@dataclasses.dataclass(frozen=True)
class Divided:
    """A size ``length // by``; 0 where the divisor is no number on the line.

    Attributes:
        own: whether the length is one of what is pooled, as the line has it.
    """

    length: str
    by: int
    own: bool = False


Size = int | Divided


@dataclasses.dataclass(frozen=True)
class Word:
    """Attributes:
    size: per pooled axis, or one for all of them, where it is on the line; KEEP for None.
    arguments: how many the call has.
    """

    says: Says
    size: tuple[Size, ...] = ()
    arguments: int = 0


def words(line: str, mode: str) -> list[Word]:
    """What the calls of pooling on a line say.

    Args:
        mode: "avg" or "max".
    """
    tree = _parsed(line)
    if tree is None:
        return [_by_name(name) for name in _NAMES.findall(line) if mode in name.lower()]
    loops = _numbers_gone_through(tree)
    found = (_word(call, mode, loops) for call in _calls(tree))
    return [word for word in found if word is not None]


def divided_sizes(line: str, axes: int) -> list[Word]:
    """The calls of whatever function, of two arguments, whose second is a share per axis."""
    pairs = [c for c in _calls(_parsed(line)) if len(c.args) == 2 and not c.keywords]
    found = [_adaptive(c.args[1], 2, frozenset(), c.args[0]) for c in pairs]
    return [w for w in found if w.says is Says.SHARE and len(w.size) == axes]


def means(line: str) -> int:
    """How many calls of `mean` are on a line."""
    return sum(_name(call.func) == "mean" for call in _calls(_parsed(line)))


def may_call_functions(line: str) -> bool:
    """Whether a line calls what may be a function of the source, which may pool unseen."""
    tree = _parsed(line)
    if tree is None:
        return True
    return any(_may_be_own(call.func) for call in _calls(tree))


def _may_be_own(function: ast.expr) -> bool:
    """Functions of torch, methods of tensors and lists, and Python's own are not."""
    name = _name(function)
    if _CALL.match(name) or _MODULE.match(name):
        return False
    if isinstance(function, ast.Name):
        return not hasattr(builtins, name)
    if not isinstance(function, ast.Attribute):
        return True
    root = function.value
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    return isinstance(root, ast.Name) and root.id == "self" and name not in _OF_LISTS


def _parsed(line: str) -> ast.Module | None:
    for text in (line, f"{line} pass", f"if True: pass\n{line}", f"if True: pass\n{line} pass"):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError):
            continue
    return None


def _calls(tree: ast.Module | None) -> list[ast.Call]:
    return [] if tree is None else [n for n in ast.walk(tree) if isinstance(n, ast.Call)]


def _by_name(name: str) -> Word:
    return Word(Says.ADAPTIVE if "adaptive" in name.lower() else Says.NOTHING)


def _numbers_gone_through(tree: ast.Module) -> frozenset[str]:
    """The names that a comprehension binds to numbers on the line, as in ``for o in (1, 2)``."""
    loops = (node for node in ast.walk(tree) if isinstance(node, ast.comprehension))
    return frozenset(
        loop.target.id
        for loop in loops
        if isinstance(loop.target, ast.Name)
        and isinstance(loop.iter, ast.Tuple | ast.List)
        and all(map(_is_number, loop.iter.elts))
    )


def _word(call: ast.Call, mode: str, numbers: frozenset[str]) -> Word | None:
    name = _name(call.func)
    if name == "interpolate" and mode == "avg":
        return _area(call, numbers)
    function, module = _CALL.match(name), _MODULE.match(name)
    match = function or module
    if match is None or match["mode"].lower() != mode:
        return None
    keyword = "output_size" if match["adaptive"] else "kernel_size"
    size = _argument(call, 1 if function else 0, keyword)
    arguments = len(call.args) + len(call.keywords)
    if size is None:
        return Word(Says.ADAPTIVE if match["adaptive"] else Says.NOTHING, (), arguments)
    if not match["adaptive"]:
        return _ordinary(size, arguments)
    return _adaptive(size, arguments, numbers, _argument(call, 0, "input") if function else None)


def _area(call: ast.Call, numbers: frozenset[str]) -> Word | None:
    """torch's area interpolation, which calls adaptive average pooling."""
    mode = _argument(call, 3, "mode")
    if not isinstance(mode, ast.Constant) or mode.value != "area":
        return None
    size = _argument(call, 1, "size")
    x = _argument(call, 0, "input")
    return Word(Says.ADAPTIVE) if size is None else _adaptive(size, 2, numbers, x)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    named = next((k.value for k in call.keywords if k.arg == keyword), None)
    if named is None and len(call.args) > position:
        return call.args[position]
    return named


def _adaptive(size: ast.expr, arguments: int, numbers: frozenset[str], x: ast.expr | None) -> Word:
    parts = size.elts if isinstance(size, ast.Tuple | ast.List) else [size]
    sizes = [_size(part, x) for part in parts]
    known = tuple(s for s in sizes if s is not None)
    if len(known) == len(sizes):
        lengths = [s.length for s in known if isinstance(s, Divided)]
        if not lengths:
            return Word(Says.FIXED, known, arguments)
        if len(set(lengths)) == len(lengths):
            return Word(Says.SHARE, known, arguments)
        return Word(Says.ADAPTIVE, (), arguments)
    fixed = all(
        isinstance(s, int) or _is_attribute(p) or (isinstance(p, ast.Name) and p.id in numbers)
        for s, p in zip(sizes, parts, strict=True)
    )
    return Word(Says.FIXED if fixed else Says.ADAPTIVE, (), arguments)


def _ordinary(kernel: ast.expr, arguments: int) -> Word:
    if _reads_shape(kernel):
        return Word(Says.WHOLE if _is_plain(kernel) else Says.NOTHING, (), arguments)
    parts = kernel.elts if isinstance(kernel, ast.Tuple | ast.List) else [kernel]
    known = all(_is_number(part) or _is_attribute(part) for part in parts)
    return Word(Says.ORDINARY if known else Says.NOTHING, (), arguments)


def _size(part: ast.expr, x: ast.expr | None) -> Size | None:
    """A number, None, or ``length // number``; None where it is another expression."""
    if _is_number(part):
        return int(ast.literal_eval(part))
    if isinstance(part, ast.Constant) and part.value is None:
        return KEEP
    if isinstance(part, ast.BinOp) and isinstance(part.op, ast.FloorDiv) and _is_plain(part.left):
        by = ast.literal_eval(part.right) if _is_number(part.right) else 0
        named = by or isinstance(part.right, ast.Name | ast.Attribute)
        own = x is not None and _is_length_of(part.left, x)
        return Divided(ast.unparse(part.left), by, own) if named else None
    return None


def _is_length_of(part: ast.expr, x: ast.expr) -> bool:
    """Such as ``x.shape[2]``, ``x.size(2)`` or ``x.size()[2]``."""
    if isinstance(part, ast.Subscript):
        part = part.value
    if isinstance(part, ast.Call):
        part = part.func
    if not isinstance(part, ast.Attribute) or part.attr not in ("shape", "size"):
        return False
    return ast.unparse(part.value) == ast.unparse(x)


def _is_number(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and type(part.value) is int and part.value > 0


def _is_attribute(part: ast.expr) -> bool:
    """Such as ``self.bins`` or ``self.bins[i]``: what does not come from a tensor."""
    while isinstance(part, ast.Subscript):
        part = part.value
    return isinstance(part, ast.Attribute) and not _reads_shape(part)


def _reads_shape(part: ast.expr) -> bool:
    inner = ast.walk(part)
    return any(isinstance(node, ast.Attribute) and node.attr in ("shape", "size") for node in inner)


def _is_plain(part: ast.expr) -> bool:
    """Whether nothing is calculated in it."""
    return not any(_calculates(node) for node in ast.walk(part))


def _calculates(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _name(node.func) != "size"
    return isinstance(node, ast.BinOp)


def innermost_class(modules: Sequence[str]) -> str:
    """The class that pools; empty where no class is noted."""
    classes = [name for name in modules if not name.startswith(("aten.", "<built-in"))]
    return classes[-1] if classes else ""


def of_class(modules: Sequence[str], mode: str) -> Iterator[Word]:
    """What the class around a pool says: torch's modules pool to one size, or by one window."""
    match = _MODULE.match(innermost_class(modules).split(".")[-1])
    if match is not None and match["mode"].lower() == mode:
        yield Word(Says.FIXED if match["adaptive"] else Says.ORDINARY)
