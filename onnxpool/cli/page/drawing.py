"""A piece of a graph as a drawing: nodes from top to bottom, the tensors that enter and leave it.

What is constant is told in the node that reads it. grandalf lays the boxes out (layers by
Sugiyama's method) when the page is written, so that the page holds no program.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import onnx
from onnx import NodeProto

from onnxpool.cli.page.markup import Element, element
from onnxpool.errors import ArgumentError
from onnxpool.model.bodies import with_bodies
from onnxpool.model.diff import Part
from onnxpool.model.size_names import in_words, size_names
from onnxpool.rewrites.graph.tensors import shape_of

MOST = 250
"""Boxes of a drawing that can still be read."""

_CHARACTER = 7.3
_LINE = 16
_MARGIN = 12
_LONGEST = 34
_TOLD = ("kernel_shape", "strides", "pads", "axes", "perm", "axis", "keepdims", "output_size")
"""Attributes that say what a node of a pooling does."""


@dataclasses.dataclass
class Box:
    """A node, or a tensor at the edge of the piece.

    Attributes:
        name: shown by the browser when pointed at.
        x, y: of its middle, once it is laid out.
    """

    lines: tuple[str, ...]
    name: str
    is_node: bool
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        return max(map(len, self.lines)) * _CHARACTER + 2 * _MARGIN

    @property
    def height(self) -> float:
        return len(self.lines) * _LINE + _MARGIN


@dataclasses.dataclass
class Arrow:
    """From box to box; `points` lie between, where it is led around others."""

    start: Box
    end: Box
    points: Sequence[tuple[float, float]] = ()


def require_layout() -> Any:
    """The library that lays drawings out.

    Raises:
        ArgumentError: it is not installed.
    """
    try:
        return importlib.import_module("grandalf.graphs"), importlib.import_module(
            "grandalf.layouts"
        )
    except ImportError as error:
        raise ArgumentError(
            f"the report's drawings need grandalf ({error}): pip install 'onnxpool[report]'"
        ) from error


def draw(part: Part, title: str) -> Element | None:
    """The drawing; None where it would have too many boxes."""
    boxes, arrows = _boxes(part)
    if not boxes or len(boxes) > MOST:
        return None
    _lay_out(boxes, arrows)
    return _svg(boxes, arrows, title)


def _boxes(part: Part) -> tuple[list[Box], list[Arrow]]:
    shapes = _Shapes(part)
    nodes = [node for node in part.nodes if node.op_type != "Constant"]
    made = {id(node): Box(_lines(node, shapes), _title(node, shapes), True) for node in nodes}
    producers = {name: made[id(node)] for node in nodes for name in node.output if name}
    given: dict[str, Box] = {}
    arrows = []
    for node in nodes:
        for name in dict.fromkeys(_read(node)):
            if name not in producers and not shapes.is_constant(name):
                given.setdefault(name, _tensor(name, shapes))
            if (start := producers.get(name) or given.get(name)) is not None:
                arrows.append(Arrow(start, made[id(node)]))
    taken = [_tensor(name, shapes) for name in part.given_on]
    arrows += [
        Arrow(producers[name], box)
        for name, box in zip(part.given_on, taken, strict=True)
        if name in producers
    ]
    return [*given.values(), *made.values(), *taken], arrows


def _read(node: NodeProto) -> Iterator[str]:
    return (name for each in with_bodies([node]) for name in each.input if name)


class _Shapes:
    """What is known of the tensors of a graph."""

    def __init__(self, part: Part) -> None:
        self._tensors: dict[str, Any] = {}
        self._names: Any = {}
        self._constants: dict[str, str] = {}
        if part.scope is None:
            return
        graph = part.scope.graph
        nodes = (t for node in graph.nodes for t in (*node.inputs, *node.outputs))
        self._tensors = {t.name: t for t in (*graph.inputs, *nodes) if t.name}
        self._names = size_names(part.scope)
        for tensor in getattr(part.scope.proto, "initializer", ()):
            self._constants[tensor.name] = "x".join(map(str, tensor.dims)) or "scalar"
        for node in part.scope.proto.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = self.of(node.output[0])

    def of(self, name: str) -> str:
        tensor = self._tensors.get(name)
        return in_words(shape_of(tensor), self._names) if tensor is not None else "?"

    def is_constant(self, name: str) -> bool:
        return name in self._constants

    def constants(self, node: NodeProto) -> list[str]:
        return [f"{n}: {self._constants[n]}" for n in node.input if n in self._constants]


def _lines(node: NodeProto, shapes: _Shapes) -> tuple[str, ...]:
    op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    told = [f"{a.name} {_value(a)}" for a in node.attribute if a.name in _TOLD]
    output = next((name for name in node.output if name), "")
    result = shapes.of(output)
    lines = (op, *told, f"→ {result}" if result not in ("", "?") else "")
    return tuple(_shortened(line) for line in lines if line)


def _value(attribute: onnx.AttributeProto) -> str:
    value = onnx.helper.get_attribute_value(attribute)
    return str(list(value)) if isinstance(value, Iterable) else str(value)


def _title(node: NodeProto, shapes: _Shapes) -> str:
    constants = shapes.constants(node)
    reads = f"; constants {', '.join(constants)}" if constants else ""
    return f"{node.name or node.op_type} gives {', '.join(filter(None, node.output))}{reads}"


def _tensor(name: str, shapes: _Shapes) -> Box:
    return Box((_shortened(name), shapes.of(name)), name, False)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _lay_out(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> None:
    """Give every box its place; parts that do not hang together stand side by side."""
    graphs, layouts = require_layout()
    vertices = {id(box): graphs.Vertex(box) for box in boxes}
    edges = []
    for box in boxes:
        vertices[id(box)].view = _Place(box.width, box.height)
    for arrow in arrows:
        edge = graphs.Edge(vertices[id(arrow.start)], vertices[id(arrow.end)], data=arrow)
        edge.view = _Path()
        edges.append(edge)
    graph = graphs.Graph(list(vertices.values()), edges)
    left = 0.0
    for part in graph.C:
        layout = layouts.SugiyamaLayout(part)
        layout.xspace, layout.yspace = 24, 34
        layout.init_all()
        layout.draw(3)
        inside = list(part.V())
        shift = left - min(v.view.xy[0] - v.view.w / 2 for v in inside)
        top = min(v.view.xy[1] - v.view.h / 2 for v in inside)
        for vertex in inside:
            vertex.data.x, vertex.data.y = vertex.view.xy[0] + shift, vertex.view.xy[1] - top
        for edge in part.E():
            edge.data.points = [(x + shift, y - top) for x, y in edge.view.points[1:-1]]
        left = max(v.data.x + v.data.width / 2 for v in inside) + 2 * _MARGIN


class _Place:
    """What the layout wants to know of a box, and where it puts it."""

    def __init__(self, width: float, height: float) -> None:
        self.w, self.h = width, height
        self.xy = (0.0, 0.0)


class _Path:
    """Where the layout leads an arrow."""

    def __init__(self) -> None:
        self.points: Sequence[tuple[float, float]] = ()

    def setpath(self, points: Sequence[tuple[float, float]]) -> None:
        self.points = points


def _svg(boxes: Sequence[Box], arrows: Sequence[Arrow], title: str) -> Element:
    xs = [x for box in boxes for x in (box.x - box.width / 2, box.x + box.width / 2)]
    ys = [y for box in boxes for y in (box.y - box.height / 2, box.y + box.height / 2)]
    points = [point for arrow in arrows for point in arrow.points]
    xs += [x for x, _ in points]
    ys += [y for _, y in points]
    left, top = min(xs) - _MARGIN, min(ys) - _MARGIN
    width, height = max(xs) + _MARGIN - left, max(ys) + _MARGIN - top
    return element(
        "svg",
        element("title", title),
        *map(_arrow, arrows),
        *map(_box, boxes),
        viewBox=f"{left:.0f} {top:.0f} {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        # Shrunk to fit, but not so far that it cannot be read: then it scrolls.
        style=f"min-width:{0.6 * width:.0f}px",
    )


def _box(box: Box) -> Element:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    frame = element(
        "rect",
        x=f"{left:.1f}",
        y=f"{top:.1f}",
        width=f"{box.width:.1f}",
        height=f"{box.height:.1f}",
        rx=4 if box.is_node else f"{box.height / 2:.1f}",
    )
    lines = (
        element("text", line, x=f"{box.x:.1f}", y=f"{top + _MARGIN / 2 + _LINE * (i + 0.75):.1f}")
        for i, line in enumerate(box.lines)
    )
    kind = "node" if box.is_node else "tensor"
    return element("g", element("title", box.name), frame, *lines, class_=kind)


def _arrow(arrow: Arrow) -> Element:
    """A line with a head, from under one box to the top of another."""
    start = (arrow.start.x, arrow.start.y + arrow.start.height / 2)
    end = (arrow.end.x, arrow.end.y - arrow.end.height / 2)
    way = [start, *arrow.points, end]
    path = f"M{start[0]:.1f} {start[1]:.1f}"
    for (x, y), (to_x, to_y) in itertools.pairwise(way):
        middle = (y + to_y) / 2
        path += f" C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
    head = f"M{end[0] - 4:.1f} {end[1] - 6:.1f} l4 6 l4 -6"
    return element("path", d=f"{path} {head}", class_="arrow")
