"""The one door: what a run costs is known first, and what is too large is refused."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from onnxpool.errors import ArgumentError
from onnxpool.rewrites.graph import cost, limits, resident, worker
from onnxpool.rewrites.graph.infer import infer_shapes
from onnxpool.rewrites.graph.run import RunError, Runner, TooLarge
from tests.rewrites.graph.bombs import BOMBS, OPSET, N, constant, model

X = np.random.default_rng(0).normal(size=(1, 4, 13, 13)).astype(np.float32)


def _piece(nodes: Sequence[NodeProto], constants: Sequence[TensorProto] = ()) -> onnx.ModelProto:
    return model(nodes, constants)


def _all_outputs(piece: onnx.ModelProto) -> onnx.ModelProto:
    """With every tensor as an output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(piece)
    del copy.graph.output[:]
    names = [name for node in piece.graph.node for name in node.output]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy


PIECES = {
    "sizes": (
        [
            N("Shape", ["X"], ["s"]),
            N("Slice", ["s", "two", "four"], ["hw"]),
            N("Div", ["hw", "two"], ["half"]),
            N("Concat", ["nc", "half"], ["to"], axis=0),
            N("Resize", ["X", "", "", "to"], ["r"], mode="linear"),
            N("ReduceMean", ["r"], ["Y"], axes=[2, 3]),
        ],
        [constant("two", [2]), constant("four", [4]), constant("nc", [1, 4])],
    ),
    "range": (
        [
            N("Size", ["X"], ["n"]),
            N("Range", ["zero", "n", "one"], ["r"]),
            N("Cast", ["r"], ["Y"], to=TensorProto.FLOAT),
        ],
        [constant("zero", 0), constant("one", 1)],
    ),
    "half_by_floats": (
        [
            N("Shape", ["X"], ["s"]),
            N("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
            N("Mul", ["f", "half"], ["h"]),
            N("Ceil", ["h"], ["c"]),
            N("Cast", ["c"], ["i"], to=TensorProto.INT64),
            N("Expand", ["one", "i"], ["Y"]),
        ],
        [constant("half", 0.5, np.float32), constant("one", [[[[1]]]], np.float32)],
    ),
    "one_hot": (
        [N("ArgMax", ["X"], ["i"], axis=3), N("OneHot", ["i", "d", "v"], ["Y"], axis=1)],
        [constant("d", 13), constant("v", [0, 1], np.float32)],
    ),
    "pads": (
        [N("Pad", ["X", "p"], ["q"]), N("AveragePool", ["q"], ["Y"], kernel_shape=[3, 3])],
        [constant("p", [0, 0, 1, 2, 0, 0, 3, 4])],
    ),
}


@pytest.mark.parametrize("name", PIECES)
def test_what_a_piece_makes_is_known_beforehand(name: str) -> None:
    piece = _piece(*PIECES[name])
    found = cost.cost(piece, {"X": X})
    assert found is not None
    made = Runner(_all_outputs(piece))({"X": X})
    assert found.made == sum(y.size for y in made)
    assert found.operations >= found.made


def test_products_are_counted() -> None:
    piece = _piece([N("MatMul", ["X", "X"], ["Y"])])
    found = cost.cost(piece, {"X": X})
    assert found is not None
    assert found.operations >= 4 * 13**3


def test_what_is_known_and_small_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_Worker", None)
    Runner(_piece(*PIECES["sizes"]))({"X": X})


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("constant_of_shape", "4,000,000,"),
        ("tile", "8,100,000,"),
        ("pad", "100,000,000,"),
    ],
)
def test_the_refusal_has_the_number(name: str, number: str) -> None:
    with pytest.raises(TooLarge, match=f"too large to try: {number}.* elements, at most"):
        Runner(BOMBS[name]())({"X": X})


def test_a_large_input_may_be_made_much_of() -> None:
    x = np.zeros((1, 4, 512, 512), np.float32)
    size = constant("n", [16, 4, 512, 512])
    piece = model([N("Expand", ["X", "n"], ["Y"])], [size], shape=x.shape)
    (y,) = Runner(piece)({"X": x})
    assert y.shape == (16, 4, 512, 512)


def test_a_loop_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(BOMBS["endless_loop"]())
    with limits.within(seconds=1), pytest.raises(TooLarge, match="more than 1 s"):
        runner({"X": X})
    # Another worker takes the place of the one that was ended.
    with limits.within(seconds=1), pytest.raises(TooLarge, match="more than 1 s"):
        runner({"X": X})


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that keeps no process within its memory, as macOS and Windows do not."""
    worker._end()
    monkeypatch.setattr(limits, "KEPT_BY_SYSTEM", False)
    yield
    worker._end()


def test_what_is_not_known_ends_with_the_memory() -> None:
    _takes_too_much()


@pytest.mark.usefixtures("_watched")
def test_a_watchdog_sees_the_memory_where_the_system_does_not() -> None:
    _takes_too_much()


@pytest.mark.usefixtures("_watched")
def test_a_watchdog_sees_the_time_where_the_system_does_not() -> None:
    with limits.within(seconds=1), pytest.raises(TooLarge, match="more than 1 s"):
        Runner(BOMBS["endless_loop"]())({"X": X})


@pytest.mark.usefixtures("_watched")
@pytest.mark.parametrize("name", ["range", "constant_of_shape"])
def test_shapes_of_bombs_are_inferred_in_a_worker_there(name: str) -> None:
    with limits.within() as allowed:
        shapes = {v.name for v in infer_shapes(BOMBS[name]()).graph.value_info}
    assert "p" in shapes
    assert allowed.follows_values == (name != "range")


@pytest.mark.usefixtures("_watched")
def test_what_is_found_does_not_depend_on_who_watches() -> None:
    piece = _piece(*PIECES["pads"])
    (here,) = Runner(piece)({"X": X})
    (there,) = Runner(piece)._remote.run({"X": X}, 20, 1 << 30)
    np.testing.assert_array_equal(here, there)
    graph = infer_shapes(piece).graph
    assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, 4, 15, 17]


def test_what_a_function_in_a_worker_raises_is_told() -> None:
    with pytest.raises(RunError, match="ValueError"):
        worker.apart(int, ("x",), 20, 1 << 30)


@pytest.mark.skipif(sys.platform == "win32", reason="has no ps")
def test_every_way_to_ask_for_memory_tells_the_same() -> None:
    found = resident.resident(os.getpid())
    told = resident._of_ps(os.getpid())
    assert found is not None
    assert told is not None
    assert found == pytest.approx(told, rel=0.1)
    assert resident.resident(1 << 30) is None
    assert resident._of_ps(1 << 30) is None


def _takes_too_much() -> None:
    piece = _piece(
        [
            N("NonZero", ["X"], ["i"]),
            N("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            N("Reshape", ["f", "flat"], ["v"]),
            N("Einsum", ["v", "v", "v"], ["Y"], equation="a,b,c->abc"),
        ],
        [constant("flat", [-1])],
    )
    assert cost.cost(piece, {"X": X}) is None
    with pytest.raises(TooLarge, match="MiB of memory"):
        Runner(piece)({"X": X})


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_worker_that_is_killed_is_one_line_and_the_next_run_has_another() -> None:
    runner = Runner(BOMBS["endless_loop"]())
    with limits.within(seconds=30):
        done: list[BaseException] = []

        def run() -> None:
            try:
                runner({"X": X})
            except RunError as error:
                done.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(1)
        assert worker._worker is not None
        os.kill(worker._worker._process.pid, signal.SIGKILL)
        thread.join(20)
    assert "its process ended" in str(done[0])
    unknown = _piece([N("NonZero", ["X"], ["i"]), N("Cast", ["i"], ["Y"], to=1)])
    (y,) = Runner(unknown)({"X": X})
    assert y.shape == (4, X.size)


def test_a_worker_gives_what_this_process_does() -> None:
    piece = _piece(*PIECES["pads"])
    (here,) = Runner(piece)({"X": X})
    runner = Runner(piece)
    (there,) = runner._remote.run({"X": X}, 20, 1 << 30)
    np.testing.assert_array_equal(here, there)


def test_what_a_worker_is_refused_is_told() -> None:
    piece = _piece([N("LSTM", ["X"], ["Y"], hidden_size=3)])
    with pytest.raises(RunError, match="LSTM"):
        Runner(piece)({"X": X})


def test_threads_share_a_worker() -> None:
    unknown = _piece([N("NonZero", ["X"], ["i"]), N("Cast", ["i"], ["Y"], to=1)])
    shapes: list[tuple[int, ...]] = []
    runners = [Runner(unknown) for _ in range(6)]
    threads = [
        threading.Thread(target=lambda r=r: shapes.append(r({"X": X})[0].shape)) for r in runners
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [(4, X.size)] * 6


@pytest.mark.parametrize(("seconds", "memory"), [(0, None), (None, -1)])
def test_a_limit_is_above_zero(seconds: float | None, memory: int | None) -> None:
    with pytest.raises(ArgumentError, match="wanted more than 0"), limits.within(seconds, memory):
        pass


def test_large_constants_add_up() -> None:
    with limits.within() as allowed:
        assert all(allowed.has_room_for(1 << 24) for _ in range(4))
        assert not allowed.has_room_for(1 << 24)
        assert allowed.has_room_for(10)


def test_a_graph_without_a_node_costs_what_it_is_given() -> None:
    graph = helper.make_graph([], "none", [], [])
    empty = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    assert cost.cost(empty, {"X": X}) == cost.Cost(X.size, 0, X.nbytes, 0)
