"""Concurrent calls, and threads inside of one: always the same bits."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op, PyramidPool
from onnxpool.ops.op import Array
from tests.ops.kernels.runtime import model, node, run, session

RNG = np.random.default_rng(0)

# Large enough to be divided among threads, in pieces that are no multiple of anything.
WORK: tuple[tuple[Op, int, tuple[int, ...]], ...] = (
    (AdaptiveAveragePool((6, 6)), 1, (5, 61, 33, 35)),
    (AdaptiveAveragePool((70,)), 1, (3, 41, 3001)),
    (AdaptiveAveragePool((2, 3, 4)), 1, (3, 31, 9, 20, 21)),
    (AdaptiveAveragePool((5, 3)), 1, (1, 1, 900, 701)),
    (AdaptiveMaxPool((6, 6)), 2, (5, 61, 33, 35)),
    (AdaptiveMaxPool((5, 3)), 1, (1, 1, 900, 701)),
    (GeMPool((6, 6), 1e-6), 1, (5, 61, 33, 35)),
    (PyramidPool((1, 1, 6, 6), 2), 2, (5, 61, 33, 35)),
)


def inputs(op: Op, shape: Sequence[int]) -> list[Array]:
    x = RNG.random(shape).astype(np.float32)
    return [x, np.array([2.87], np.float32)] if isinstance(op, GeMPool) else [x]


@pytest.mark.parametrize(("op", "outputs", "shape"), WORK, ids=str)
def test_the_number_of_threads_does_not_change_bits(
    op: Op, outputs: int, shape: tuple[int, ...]
) -> None:
    given = inputs(op, shape)
    one = run(op, *given, outputs=outputs, threads=1)
    for threads in (2, 3, 7):
        for y, expected in zip(run(op, *given, outputs=outputs, threads=threads), one, strict=True):
            assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("op", "outputs", "shape"), WORK[::2], ids=str)
def test_64_concurrent_runs_of_one_session(
    op: Op, outputs: int, shape: tuple[int, ...], threads: int
) -> None:
    batches = [inputs(op, shape) for _ in range(4)]
    names = [f"x{i}" for i in range(len(batches[0]))]
    made = model(node(op, names, outputs), dict(zip(names, batches[0], strict=True)))
    shared = session(made, threads)

    def once(index: int) -> list[bytes]:
        feeds = dict(zip(names, batches[index % 4], strict=True))
        return [y.tobytes() for y in shared.run(None, feeds)]

    expected = [once(i) for i in range(4)]
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(once, range(64)))
    assert found == [expected[i % 4] for i in range(64)]
