"""The page of whole nets: each is right, or refused; and nets are what they are said to be."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxpool.rewrites.graph.run import Runner
from tests.runtimes.real_models import NETS, markdown, net, read

PAGE = Path(__file__).parents[2] / "docs" / "real_models.md"


def test_the_committed_page_is_read_as_it_is_written() -> None:
    page = PAGE.read_text()
    found = read(page)
    assert markdown(found) == page
    assert {name for _, name in found} == set(NETS)


def test_every_net_is_right_or_refused() -> None:
    for (runtime, name), verdict in read(PAGE.read_text()).items():
        kind = verdict.partition(":")[0].partition(",")[0]
        assert kind in ("right", "refused", "not run"), (runtime, name, verdict)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_a_net_depends_on_its_input(name: str) -> None:
    model = net(name)
    (x,) = model.graph.input
    assert not any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    run, rng = Runner(model), np.random.default_rng(0)
    shape = [d.dim_value for d in x.type.tensor_type.shape.dim]
    first, second = (
        run({x.name: rng.standard_normal(shape).astype(np.float32)})[0] for _ in range(2)
    )
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


def test_weights_are_the_same_each_time() -> None:
    model = net("squeezenet")
    again = net.__wrapped__("squeezenet")
    assert [onnx.numpy_helper.to_array(t).tobytes() for t in model.graph.initializer] == [
        onnx.numpy_helper.to_array(t).tobytes() for t in again.graph.initializer
    ]
