"""HTML and SVG as elements: a text in them is text, whatever a model calls its nodes."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from onnxpool.cli.text import visible

Element = ElementTree.Element
Child = Element | str | None


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """An element.

    Args:
        children: elements and texts; None is nothing.
        attributes: `class_` is class, `text_anchor` is text-anchor.
    """
    names = {name.removesuffix("_").replace("_", "-"): value for name, value in attributes.items()}
    made = Element(tag, {name: visible(str(value)) for name, value in names.items()})
    for child in children:
        if isinstance(child, str):
            _append_text(made, visible(child))
        elif child is not None:
            made.append(child)
    return made


def table(columns: Iterable[str], rows: Iterable[Element], caption: str) -> Element:
    """A table that scrolls by itself, by keyboard too, where the page is narrower than it is."""
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    whole = element("table", element("thead", head), element("tbody", *rows))
    return scrolling(whole, caption)


def row(*cells: Child, class_: str = "") -> Element:
    attributes = {"class_": class_} if class_ else {}
    return element("tr", *(element("td", cell) for cell in cells), **attributes)


def scrolling(content: Element, label: str) -> Element:
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=label)


def bar(share: float, kind: str = "") -> Element:
    """A bar that fills this share of its place."""
    width = f"width:{100 * min(1.0, max(0.0, share)):.1f}%"
    inside = element("span", style=width, class_=f"fill {kind}".strip())
    return element("span", inside, class_="bar", aria_hidden="true")


def document(head: Iterable[Element], body: Iterable[Element]) -> str:
    """A whole page."""
    html = element("html", element("head", *head), element("body", *body), lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(html, encoding="unicode", method="html")


def _append_text(to: Element, text: str) -> None:
    if len(to):
        to[-1].tail = (to[-1].tail or "") + text
    else:
        to.text = (to.text or "") + text
