"""Indices of maxima: of several equal ones, which?"""

from __future__ import annotations

from collections.abc import Iterator

from tests.lookalikes.lookalike import Lookalike, lookalike


def graphs() -> Iterator[Lookalike]:
    yield from _arguments()
    yield from _pools()
    yield from _top()
    yield from _planes()


def _arguments() -> Iterator[Lookalike]:
    for op in ("ArgMax", "ArgMin"):
        for axis in (-1, 1, 2):
            for keep in (0, 1):
                for last in (0, 1):
                    yield lookalike(
                        f"{op} axis {axis}, keepdims {keep}, select_last_index {last}",
                        f"Y = {op}<axis={axis}, keepdims={keep}, select_last_index={last}>(X)",
                        (2, 3, 6),
                    )
    for name, dims in {"open": ("N", 3, "L"), "a matrix": (4, 9), "a plane": (1, 2, 4, 5)}.items():
        for last in (0, 1):
            yield lookalike(
                f"ArgMax of {name}, select_last_index {last}",
                f"Y = ArgMax<axis=-1, select_last_index={last}>(X)",
                dims,
            )
    yield lookalike(
        "maximum and its last index",
        "Y = ReduceMax<axes=[2]>(X)\nZ = ArgMax<axis=2, select_last_index=1>(X)",
        (2, 3, 6),
        out=("Y", "Z"),
    )
    yield lookalike(
        "maximum and its index",
        "Y = ReduceMax<axes=[2]>(X)\nZ = ArgMax<axis=2>(X)",
        (2, 3, 6),
        out=("Y", "Z"),
    )
    yield lookalike(
        "ArgMax, reversed",
        "r = Slice(X, s, e, a, d)\ni = ArgMax<axis=2>(r)\nY = Sub(five, i)",
        (2, 3, 6),
        s=[-1],
        e=[-100],
        a=[2],
        d=[-1],
        five=5,
    )
    yield lookalike("ArgMin of the negative", "n = Neg(X)\nY = ArgMin<axis=2>(n)", (2, 3, 6))
    yield lookalike(
        "the element at the last index",
        "i = ArgMax<axis=2, select_last_index=1>(X)\nY = GatherElements<axis=2>(X, i)",
        (2, 3, 6),
    )
    yield lookalike("ArgMax as a float", "i = ArgMax<axis=2>(X)\nY = Cast<to=1>(i)", (2, 3, 6))
    yield lookalike("ArgMax + 1", "i = ArgMax<axis=2>(X)\nY = Add(i, one)", (2, 3, 6), one=1)


def _pools() -> Iterator[Lookalike]:
    attributes = {
        "": "",
        ", storage_order 1": ", storage_order=1",
        ", padded": ", pads=[1, 1, 1, 1]",
        ", padded, storage_order 1": ", pads=[1, 1, 1, 1], storage_order=1",
        ", dilated": ", dilations=[2, 1]",
        ", dilated, storage_order 1": ", dilations=[2, 1], storage_order=1",
        ", ceil_mode, storage_order 1": ", ceil_mode=1, storage_order=1",
    }
    for name, more in attributes.items():
        for kernel, stride in (((2, 2), (2, 2)), ((4, 6), (1, 1)), ((3, 2), (1, 2))):
            if "dilated" in name and kernel == (4, 6):
                continue
            yield lookalike(
                f"MaxPool {kernel} by {stride}{name}",
                f"Y, Z = MaxPool<kernel_shape={list(kernel)}, strides={list(stride)}{more}>(X)",
                (2, 3, 4, 6),
                out=("Y", "Z"),
            )
    yield lookalike(
        "only the indices",
        "y, Z = MaxPool<kernel_shape=[2, 2], strides=[2, 2], storage_order=1>(X)",
        (1, 3, 4, 6),
        out=("Z",),
    )
    yield lookalike(
        "indices within a plane, storage_order 1",
        "y, i = MaxPool<kernel_shape=[4, 6], storage_order=1>(X)\nZ = Mod(i, n)",
        (2, 3, 4, 6),
        out=("Z",),
        n=24,
    )
    yield lookalike(
        "torch's way to indices, another storage_order",
        "Y, i = MaxPool<kernel_shape=[2, 2], strides=[2, 2], storage_order=1>(X)\n"
        "y, j = MaxPool<kernel_shape=[1, 1]>(X)\nk = Slice(j, s, e, a)\nZ = Sub(i, k)",
        (1, 3, 4, 6),
        out=("Y", "Z"),
        s=[0, 0],
        e=[1, 1],
        a=[2, 3],
    )
    yield lookalike(
        "torch's way to indices",
        "Y, i = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(X)\n"
        "y, j = MaxPool<kernel_shape=[1, 1], strides=[2, 2]>(X)\nk = Slice(j, s, e, a)\n"
        "Z = Sub(i, k)",
        (1, 3, 4, 6),
        out=("Y", "Z"),
        s=[0, 0],
        e=[1, 1],
        a=[2, 3],
    )


def _top() -> Iterator[Lookalike]:
    for largest in (0, 1):
        for ordered in (0, 1):
            for k in (1, 2):
                yield lookalike(
                    f"TopK {k}, largest {largest}, sorted {ordered}",
                    f"Y, Z = TopK<axis=2, largest={largest}, sorted={ordered}>(X, k)",
                    (2, 3, 6),
                    out=("Y", "Z") if ordered or k == 1 else ("Y",),
                    k=[k],
                )
    yield lookalike(
        "second of two",
        "v, i = TopK<axis=2>(X, k)\nY = Gather<axis=2>(v, one)",
        (2, 3, 6),
        k=[2],
        one=[1],
    )
    yield lookalike(
        "mean of the two greatest",
        "v, i = TopK<axis=2>(X, k)\nY = ReduceMean<axes=[2]>(v)",
        (2, 3, 6),
        k=[2],
    )


def _planes() -> Iterator[Lookalike]:
    for last in (0, 1):
        yield lookalike(
            f"plane and index, select_last_index {last}",
            "Y = ReduceMax<axes=[2, 3]>(X)\nr = Reshape(X, flat)\n"
            f"i = ArgMax<axis=2, select_last_index={last}>(r)\nZ = Unsqueeze(i, a)",
            (2, 3, 4, 5),
            out=("Y", "Z"),
            flat=[2, 3, -1],
            a=[3],
        )
        yield lookalike(
            f"index along the columns, select_last_index {last}",
            "t = Transpose<perm=[0, 1, 3, 2]>(X)\nr = Reshape(t, flat)\n"
            f"Y = ArgMax<axis=2, select_last_index={last}>(r)",
            (2, 3, 4, 5),
            flat=[2, 3, -1],
        )
    yield lookalike("maximum", "Y = GlobalMaxPool(X)", (2, 3, 4, 5), found=True)
    yield lookalike(
        "pool with indices",
        "Y, Z = MaxPool<kernel_shape=[2, 3], strides=[2, 3]>(X)",
        (2, 3, 4, 6),
        out=("Y", "Z"),
    )
