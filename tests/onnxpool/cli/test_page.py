"""`report` and `rewrite --report`: one page, which says all, loads nothing and runs nothing."""

import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from onnxpool.cli.page.drawing import MOST, draw
from onnxpool.model.diff import Part, replacements
from onnxpool.model.file import ModelFile
from tests.onnxpool.cli.conftest import PYRAMID, relu
from tests.onnxpool.conftest import Run

HOSTILE = "\"><script src='http://evil.example/x.js'></script><img src=x onerror=alert(1)>\x1b[2J&"
VOID = {"meta"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section"),
    *("h1", "h2", "h3", "p", "a", "span", "code", "ul", "li", "details", "summary", "div"),
    *("figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "footer"),
    *("svg", "g", "rect", "text", "path"),
}


class Page(HTMLParser):
    """The page as a browser reads it.

    Attributes:
        texts: what is read, by the innermost element around it.
        opened: every element, with its attributes.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1], data))

    def all(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def read(path: Path) -> Page:
    """The page, once it is seen that nothing in it loads, runs or leads away."""
    page = Page(path.read_text("utf-8"))
    assert {tag for tag, _ in page.opened} <= TAGS
    for tag, attributes in page.opened:
        assert not {"src", "srcset", "onclick", "onerror", "onload", "action"} & set(attributes)
        if tag != "text":
            assert (attributes.get("href") or "#").startswith("#")
    (style,) = page.all("style")
    assert "url(" not in style
    assert "@import" not in style
    policies = [a["content"] for _, a in page.opened if a.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    ids = [a["id"] for _, a in page.opened if "id" in a]
    links = [str(a["href"])[1:] for tag, a in page.opened if tag == "a"]
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    return page


def renamed(model: ModelProto, name: str) -> ModelProto:
    """With `name` in the names of all nodes and tensors."""
    for tensor in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        tensor.name += name
    for node in model.graph.node:
        node.name += name
        for names in (node.input, node.output):
            names[:] = [each and each + name for each in names]
    del model.graph.value_info[:]
    return model


def test_of_a_rewrite(run: Run, tmp_path: Path) -> None:
    out, file = tmp_path / "out.onnx", tmp_path / "page.html"
    status, _, errors = run("rewrite", PYRAMID, out, "--report", file)
    assert (status, errors) == (0, "")
    page = read(file)
    words = " ".join(text for _, text in page.texts)
    assert "PyramidPool" in words
    assert "right at 1 size" in words
    cells = page.all("span")
    # Of the region: before → after, as in the terminal.
    assert any(" → " in cell and "e-0" in cell for cell in (*cells, *page.all("td")))
    for runtime in ("onnxruntime", "ncnn", "tensorrt"):
        assert runtime in page.all("td")
    assert any("GatherND" in text for tag, text in page.texts if tag in ("span", "summary", "li"))


def test_the_drawings_have_every_node_and_its_arrows(run: Run, tmp_path: Path) -> None:
    out, file = tmp_path / "out.onnx", tmp_path / "page.html"
    assert run("rewrite", PYRAMID, out)[0] == 0
    assert run("report", PYRAMID, out, "-o", file) == (0, "", "")
    page = read(file)
    sides = [side for each in replacements(PYRAMID, out) for side in (each.before, each.after)]
    nodes = [node for side in sides for node in side.nodes]
    boxes = [a for tag, a in page.opened if tag == "g" and a["class"] == "node"]
    # Of the pools, and of four Resizes, each of which is two MatMuls.
    assert len(boxes) == len(nodes) == 13 + 4 * 3
    drawn = page.all("text")
    for node in nodes:
        assert drawn.count(node.op_type) == sum(n.op_type == node.op_type for n in nodes)
    # Each node reads one tensor that is no constant; a side gives three on of the pools, else one.
    assert len([a for tag, a in page.opened if tag == "path"]) == len(nodes) + 3 + 3 + 4 * 2
    titles = page.all("title")
    assert any(title.startswith("node_GatherND") for title in titles)


def test_boxes_do_not_overlap(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert run("rewrite", PYRAMID, out)[0] == 0
    for replaced in replacements(PYRAMID, out):
        for part in (replaced.before, replaced.after):
            svg = draw(part, "title")
            assert svg is not None
            rects = [
                tuple(float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
                for rect in svg.iter("rect")
            ]
            for i, (x, y, width, height) in enumerate(rects):
                for other in rects[:i]:
                    apart = (
                        x + width <= other[0]
                        or other[0] + other[2] <= x
                        or y + height <= other[1]
                        or other[1] + other[3] <= y
                    )
                    assert apart, (rects[i], other)


def test_the_same_page_every_time(run: Run, tmp_path: Path) -> None:
    out, files = tmp_path / "out.onnx", [tmp_path / name for name in ("a.html", "b.html")]
    assert run("rewrite", PYRAMID, out)[0] == 0
    for file in files:
        assert run("report", PYRAMID, out, "-o", file)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_names_are_text(run: Run, tmp_path: Path) -> None:
    model, out, file = (tmp_path / name for name in ("in.onnx", "out.onnx", "page.html"))
    onnx.save(renamed(onnx.load(PYRAMID), HOSTILE), model)
    assert run("rewrite", model, out, "--report", file)[0] == 0
    page = read(file)
    shown = HOSTILE.replace("\x1b", "\\x1b")
    assert any(shown in text for _, text in page.texts)
    assert "\x1b" not in file.read_text("utf-8")


def test_what_the_source_says_of_both(run: Run, tmp_path: Path) -> None:
    source = f"{PYRAMID.parent / 'pyramid.py'}:ppm"
    out, file = tmp_path / "out.onnx", tmp_path / "page.html"
    assert run("rewrite", PYRAMID, out, "--reference", source, "--report", file, "-q")[0] == 0
    headings = read(file).all("h3")
    assert headings == [f"{PYRAMID} against {source}", f"{out} against {source}"]


def test_times_of_bench(run: Run, tmp_path: Path) -> None:
    out, times, file = (tmp_path / name for name in ("out.onnx", "times.json", "page.html"))
    assert run("rewrite", PYRAMID, out)[0] == 0
    assert run("bench", PYRAMID, out, "--runs", "3", "--json", times)[0] == 0
    assert run("report", PYRAMID, out, "-o", file, "--bench-json", times)[0] == 0
    (comparison,) = json.loads(times.read_text())["comparisons"]
    page = read(file)
    for timing in comparison["timings"]:
        assert timing["name"] in page.all("td")
        assert f"{timing['median']:.3g}" in page.all("td")
    # Of the same times, however they come.
    assert run("report", PYRAMID, out, "-o", file, "--bench")[0] == 0
    assert "floor: ReduceSum of the input" in read(file).all("td")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"comparisons": [{"threads": 1, "size": "", "timings": [{"median": 1}]}]}']
)
def test_other_json_is_no_bench(run: Run, tmp_path: Path, text: str) -> None:
    out, times, file = (tmp_path / name for name in ("out.onnx", "times.json", "page.html"))
    shutil.copy(PYRAMID, out)
    times.write_text(text)
    status, _, errors = run("report", PYRAMID, out, "-o", file, "--bench-json", times)
    assert status == 2
    assert errors.startswith(f"onnxpool: {times} is not what `onnxpool bench --json` writes")
    assert errors.count("\n") == 1
    assert not file.exists()


def test_nothing_to_tell(run: Run, tmp_path: Path) -> None:
    model, out, file = (tmp_path / name for name in ("in.onnx", "out.onnx", "page.html"))
    model.write_bytes(relu())
    assert run("rewrite", model, out, "--report", file)[0] == 0
    page = read(file)
    assert "There is no pooling in this model." in page.all("p")
    assert "Before and after" not in page.all("h2")


def test_models_that_do_not_compare(run: Run, tmp_path: Path) -> None:
    model, file = tmp_path / "in.onnx", tmp_path / "page.html"
    model.write_bytes(relu())
    assert run("report", model, PYRAMID, "-o", file)[0] == 0
    failures = [a for tag, a in read(file).opened if tag == "p" and a.get("class") == "bad"]
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "in.onnx", "in.onnx", "-o", "a.html"], "wants IN and OUT in two files"),
        (["report", "in.onnx", "b.onnx", "-o", "in.onnx"], "would overwrite in.onnx"),
        (["report", "in.onnx", "-", "-o", "a.html"], "- is none"),
        (["report", "in.onnx", "b.onnx", "-o", "none/a.html"], "there is no folder"),
        (["report", "in.onnx", "none.onnx", "-o", "a.html"], "none.onnx"),
        (
            ["report", "in.onnx", "b.onnx", "-o", "a.html", "--bench", "--bench-json", "t.json"],
            "give one",
        ),
        (["rewrite", "in.onnx", "in.onnx", "--report", "a.html"], "is the model itself"),
        (["rewrite", "in.onnx", "c.onnx", "--report", "c.onnx"], "would overwrite c.onnx"),
        (["rewrite", "in.onnx", "b.onnx", "out/", "--report", "a.html"], "is about one model"),
    ],
)
def test_calls_that_cannot_be_followed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(relu())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    status, _, errors = run(*arguments)
    assert (status, errors.count("\n")) == (2, 1), errors
    assert words in errors
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_the_library_that_draws(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grandalf.graphs", None)
    out, file = tmp_path / "out.onnx", tmp_path / "page.html"
    status, _, errors = run("rewrite", PYRAMID, out, "--report", file)
    assert status == 2
    assert "pip install 'onnxpool[report]'" in errors
    assert list(tmp_path.iterdir()) == []


def chain(length: int) -> ModelFile:
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(length)]
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("t0", f"t{length}")
    ]
    graph = helper.make_graph(nodes, "main", info[:1], info[1:])
    return ModelFile.of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))


def whole(file: ModelFile) -> Part:
    nodes: tuple[NodeProto, ...] = tuple(file.main.proto.node)
    return Part(file.main, nodes, tuple(y.name for y in file.main.graph.outputs))


def test_as_many_boxes_as_can_be_read() -> None:
    # The input and the output are boxes, too.
    drawing = draw(whole(chain(MOST - 2)), "title")
    assert drawing is not None
    assert len(list(drawing.iter("rect"))) == MOST
    assert draw(whole(chain(MOST - 1)), "title") is None
