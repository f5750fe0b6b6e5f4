"""Graphs in which what is between X and Y is read elsewhere too, or is an output itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins, plane_bins

_OPS = ("ReduceMean", "ReduceMax")


def graphs() -> Iterator[Lookalike]:
    yield from _inside_bins()
    yield from _inside_powers()
    yield from _pyramids()
    yield from _chains()


def _inside_bins() -> Iterator[Lookalike]:
    x = (1, 2, 7, 8)
    for op in _OPS:
        text, constants = plane_bins(adaptive(7, 3), adaptive(8, 5), op)
        for name, outputs in {
            "the rows": ("Y", "rows"),
            "one slice": ("Y", "rows_t1"),
            "one window": ("Y", "Y_r2"),
            "all of one axis": ("Y", "rows_r0", "rows_r1", "rows_r2"),
            "only the rows and a window": ("rows", "Y_r4"),
        }.items():
            yield lookalike(
                f"{op} of bins, {name} too", text, x, out=outputs, found=True, **constants
            )
        for name, more in {
            "rows": "Z = Relu(rows)",
            "slice": "Z = ReduceMax<axes=[2, 3]>(rows_t1)",
            "window": "Z = Mul(Y_r2, Y_r2)",
            "row exchanged": "Z = Concat<axis=2>(rows_r1, rows_r0, rows_r2)",
        }.items():
            yield lookalike(
                f"{op} of bins, a {name} read elsewhere",
                f"{text}\n{more}",
                x,
                out=("Y", "Z"),
                **constants,
            )
        yield lookalike(
            f"{op} of bins, X read elsewhere",
            f"{text}\nZ = Relu(X)",
            x,
            out=("Y", "Z"),
            **constants,
        )
        line, values = bins(adaptive(7, 4), 2, op)
        yield lookalike(
            f"{op} of bins, minus a window",
            line.replace("Y = ", "m = ") + "\nY = Sub(m, Y_r0)",
            (1, 2, 7),
            **values,
        )
        yield lookalike(
            f"{op} of bins, plus the global one",
            line.replace("Y = ", "m = ") + f"\ng = {op}<axes=[2]>(X)\nY = Add(m, g)",
            (1, 2, 7),
            **values,
        )


def _inside_powers() -> Iterator[Lookalike]:
    gem = "a = Clip(X, lo)\nb = Pow(a, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)"
    constants: dict[str, Any] = {"lo": 1e-6, "p": 3.0, "q": 1 / 3}
    for name, outputs in {
        "the mean": ("Y", "m"),
        "the powers": ("Y", "b"),
        "the clamped": ("Y", "a"),
        "everything": ("Y", "m", "b", "a"),
    }.items():
        yield lookalike(f"GeM, {name} too", gem, (1, 3, 6, 5), out=outputs, **constants)
    yield lookalike(
        "GeM less its mean",
        gem.replace("Y =", "r =") + "\nY = Sub(r, m)",
        (1, 3, 6, 5),
        **constants,
    )
    for name, more in {
        "two roots of one mean": "Z = Pow(m, h)",
        "a mean of the clamped": "Z = ReduceMean<axes=[2, 3]>(a)",
        "a maximum of the powers": "Z = ReduceMax<axes=[2, 3]>(b)",
    }.items():
        values = constants | ({"h": 0.5} if "h)" in more else {})
        yield lookalike(f"GeM, {name}", f"{gem}\n{more}", (1, 3, 6, 5), out=("Y", "Z"), **values)
    spread = (
        "u = ReduceMean<axes=[2, 3]>(X)\nd = Sub(X, u)\nq = Mul(d, d)\n"
        "v = ReduceMean<axes=[2, 3]>(q)"
    )
    yield lookalike("mean and variance", spread, (1, 3, 6, 5), out=("u", "v"))
    yield lookalike(
        "mean and standard deviation, together",
        f"{spread}\nw = Add(v, e)\ns = Sqrt(w)\nY = Concat<axis=1>(u, s)",
        (1, 3, 6, 5),
        e=1e-6,
    )


def _pyramids() -> Iterator[Lookalike]:
    x = (1, 2, 12, 12)
    pool = "{} = {}<kernel_shape=[{}, {}], strides=[{}, {}]{}>({})"

    def level(y: str, op: str, k: int, x: str = "X", s: int = 0, more: str = "") -> str:
        return pool.format(y, op, k, k, s or k, s or k, more, x)

    for op in ("AveragePool", "MaxPool"):
        levels = [level("A", op, 12), level("B", op, 6), level("C", op, 4), level("D", op, 2)]
        right = "\n".join(levels)
        yield lookalike(f"{op}, pyramid", right, x, out=("A", "B", "C", "D"))
        for name, wrong in {
            "one of a stride": level("B", op, 6, s=3),
            "one padded": level("B", op, 6, more=", pads=[1, 1, 1, 1]"),
            "one short": level("B", op, 5),
            "one of ceil_mode": level("B", op, 5, more=", ceil_mode=1"),
            "one of a level": level("B", op, 2, x="D"),
            "one scaled": level("b", op, 6) + "\nB = Mul(b, c)",
        }.items():
            text = "\n".join([levels[3], levels[0], wrong, levels[2]])
            values: dict[str, Any] = {"c": 1.0001} if "c)" in wrong else {}
            yield lookalike(f"{op}, pyramid, {name}", text, x, out=("A", "B", "C", "D"), **values)
        yield lookalike(
            f"{op}, pyramid, all of it in one",
            f"{right}\n"
            + "\n".join(f"{n}1 = Reshape({n}, s)" for n in "ABCD")
            + "\nY = Concat<axis=2>(A1, B1, C1, D1)",
            x,
            s=[1, 2, -1],
        )
    for op in _OPS:
        one, a = bins(adaptive(13, 4), 2, op, y="A")
        two, b = bins(adaptive(13, 6), 2, op, y="B")
        yield lookalike(
            f"{op}, pyramid of bins",
            f"{one}\n{two}",
            (1, 2, 13),
            out=("A", "B"),
            found=True,
            **a,
            **b,
        )
        spans = adaptive(13, 6)
        spans[3] = (spans[3][0], spans[3][1] + 1)
        three, c = bins(spans, 2, op, y="B")
        yield lookalike(
            f"{op}, pyramid of bins, one wrong window",
            f"{one}\n{three}",
            (1, 2, 13),
            out=("A", "B"),
            **a,
            **c,
        )
    yield lookalike(
        "a mean and a maximum of one map",
        "A = GlobalAveragePool(X)\nB = GlobalMaxPool(X)\nY = Add(A, B)",
        x,
    )


def _chains() -> Iterator[Lookalike]:
    x = (1, 2, 12, 12)
    for first, second in (
        ("AveragePool", "AveragePool"),
        ("AveragePool", "MaxPool"),
        ("MaxPool", "AveragePool"),
        ("MaxPool", "MaxPool"),
    ):
        for k, s in ((2, 2), (3, 2), (2, 1)):
            yield lookalike(
                f"{first} then {second}, {k} by {s}",
                f"a = {first}<kernel_shape=[{k}, {k}], strides=[{s}, {s}]>(X)\n"
                f"Y = {second}<kernel_shape=[2, 2], strides=[2, 2]>(a)",
                x,
            )
    one, a = bins(adaptive(7, 4), 2, y="m")
    two, b = bins(adaptive(4, 3), 2, x="m", y="Y")
    yield lookalike("bins of bins", f"{one}\n{two}", (1, 2, 7), **a, **b)
    yield lookalike(
        "mean of maxima",
        "w = ReduceMax<axes=[3]>(X)\nY = ReduceMean<axes=[2]>(w)",
        x,
    )
    yield lookalike(
        "maximum of means",
        "w = ReduceMean<axes=[3]>(X)\nY = ReduceMax<axes=[2]>(w)",
        x,
    )
