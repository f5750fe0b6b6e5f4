"""Processes that may die: every task has a result, or a reason why it has none."""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxpool import workers
from onnxpool.workers import Died, Workers, number_by_default


def do(task: tuple[str, int]) -> object:
    kind, number = task
    if kind == "crash":
        ctypes.string_at(0)
    if kind == "signal":
        os.kill(os.getpid(), number)
    if kind == "exit":
        os._exit(number)
    if kind == "raise":
        raise MemoryError
    if kind == "sleep":
        time.sleep(number)
    if kind == "print":
        print("between the lines", flush=True)
        os.write(2, b"of the others")
    return b"x" * number if kind == "large" else os.getpid() if kind == "pid" else number


def results(*tasks: tuple[str, int], number: int = 2, limit: float | None = None) -> list[object]:
    with Workers(do, number, time_limit=limit) as pool:
        found = dict(pool.map(tasks))
    return [found[task] for task in tasks]


def test_a_task_that_kills_its_worker_costs_nothing_else() -> None:
    deaths = [("crash", 0), ("signal", signal.SIGKILL), ("exit", 3), ("raise", 0)]
    found = results(*deaths, *(("same", n) for n in range(5)))
    assert found[4:] == [0, 1, 2, 3, 4]
    assert [died.reason for died in found[:4] if isinstance(died, Died)] == [
        "its process was ended by SIGSEGV",
        "its process was ended by SIGKILL; out of memory?",
        "its process ended with status 3",
        "its process ended with status 1",
    ]


def test_a_task_that_takes_too_long_costs_nothing_else() -> None:
    slow, *others = results(("sleep", 1000), *(("same", n) for n in range(3)), limit=10)
    assert isinstance(slow, Died)
    assert slow.reason == "it took more than 10 s"
    assert 10 <= slow.seconds < 20
    assert others == [0, 1, 2]


def test_results_may_be_large() -> None:
    (found,) = results(("large", 1 << 24))
    assert found == b"x" * (1 << 24)


def test_workers_are_reused_and_another_takes_the_place_of_an_idle_one_that_died() -> None:
    pids = []
    with Workers(do, 1) as pool:
        for _, pid in pool.map([("pid", n) for n in range(4)]):
            assert isinstance(pid, int)
            pids.append(pid)
            if len(pids) == 2:
                os.kill(pid, signal.SIGKILL)
                time.sleep(0.5)
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_what_workers_print_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    assert results(("print", 1)) == [1]
    assert capfd.readouterr() == ("", "")


def test_none_is_left_behind() -> None:
    with Workers(do, 2) as pool:
        _, pid = next(pool.map([("pid", 0), ("sleep", 1000)]))
        assert isinstance(pid, int)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("limits", "free", "number"),
    [
        ({}, 64, 4),
        ({}, 3, 2),
        ({}, 0, 1),
        ({"cpu.max": "200000 100000"}, 64, 2),
        ({"cpu.max": "50000 100000"}, 64, 1),
        ({"cpu.max": "max 100000"}, 64, 4),
        ({"memory.max": f"{5 << 30}", "memory.current": f"{1 << 30}"}, 64, 3),
        ({"memory.max": "max", "memory.current": f"{1 << 30}"}, 64, 4),
    ],
)
def test_the_number_by_default(
    monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], free: int, number: int
) -> None:
    texts = {"/proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {free << 20} kB\n"}
    texts |= {f"/sys/fs/cgroup/mine/{name}": text for name, text in limits.items()}
    texts["/proc/self/cgroup"] = "1:cpu:/\n0::/mine"
    read: Callable[[Path], str] = lambda path: texts.get(str(path), "")  # noqa: E731
    monkeypatch.setattr(workers, "_text", read)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5, 7})
    assert number_by_default(1 << 30) == number
