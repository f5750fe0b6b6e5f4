"""Nodes that put elements elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from onnxpool.ops.op import Array
from tests.rewrites.region.semantics.net import (
    Draw,
    Drawn,
    Net,
    Tensor,
    integers,
    often,
    on_any_axis,
    some_axes,
)

_FAR = [1 << 31, (1 << 31) - 1, (1 << 63) - 1, -(1 << 63), -(1 << 31)]


def identity(draw: Draw, net: Net, x: Tensor) -> str:
    return net("Identity", x)


def dropout(draw: Draw, net: Net, x: Tensor) -> str:
    ratio = draw(st.sampled_from([0.0, 0.3, 0.9]))
    if net.opset < 12:
        return net("Dropout", x, ratio=ratio)
    trains = draw(st.sampled_from([None, np.array(False)]))
    return net("Dropout", x, np.array(ratio, np.float32), trains)


def transpose(draw: Draw, net: Net, x: Tensor) -> str:
    if draw(st.booleans()):
        return net("Transpose", x)
    return net("Transpose", x, perm=draw(st.permutations(range(x.rank))))


def reshape(draw: Draw, net: Net, x: Tensor) -> str:
    target = list(_factors(draw, math.prod(x.shape)))
    if draw(st.booleans()):
        target[draw(st.integers(0, len(target) - 1))] = -1
    for axis in range(min(len(target), x.rank)):
        if target[axis] == x.shape[axis] and draw(st.booleans()):
            target[axis] = 0
    if not often(draw):
        target[0] = draw(st.sampled_from([-1, 0, 2, -2]))
    more = {"allowzero": draw(st.integers(0, 1))} if net.opset >= 14 else {}
    return net("Reshape", x, integers(target), **more)


def _factors(draw: Draw, count: int) -> list[int]:
    """Sizes whose product is `count`."""
    sizes: list[int] = []
    while count > 1 and len(sizes) < 4:
        size = draw(st.sampled_from([n for n in range(1, count + 1) if count % n == 0]))
        sizes.append(size)
        count //= size
    return draw(st.permutations([*sizes, count]))


def squeeze(draw: Draw, net: Net, x: Tensor) -> str:
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    if draw(st.booleans()) and often(draw):
        return net("Squeeze", x)
    pool = st.sampled_from(ones) if ones and often(draw) else st.integers(0, x.rank - 1)
    chosen = draw(st.lists(pool, max_size=x.rank, unique=True))
    return _with_axes(net, "Squeeze", x, _signed(draw, net, chosen, x.rank))


def unsqueeze(draw: Draw, net: Net, x: Tensor) -> str:
    more = draw(st.integers(1, 2))
    axes = draw(
        st.lists(st.integers(0, x.rank + more - 1), min_size=more, max_size=more, unique=True)
    )
    return _with_axes(net, "Unsqueeze", x, _signed(draw, net, axes, x.rank + more))


def _signed(draw: Draw, net: Net, axes: list[int], rank: int) -> list[int]:
    return [axis - rank * (net.opset >= 11 and draw(st.booleans())) for axis in axes]


def _with_axes(net: Net, op: str, x: Tensor, axes: list[int]) -> str:
    if net.opset < 13:
        return net(op, x, axes=axes)
    return net(op, x, integers(axes))


def flatten(draw: Draw, net: Net, x: Tensor) -> str:
    if draw(st.booleans()):
        return net("Flatten", x)
    return net("Flatten", x, axis=draw(st.integers(-x.rank if net.opset >= 11 else 0, x.rank)))


def gather(draw: Draw, net: Net, x: Tensor) -> str:
    axis = on_any_axis(draw, x.rank)
    shape = draw(st.lists(st.integers(1, 3), max_size=2))
    indices = _indices(draw, net, shape, x.shape[axis])
    return net(
        "Gather", x, indices, **({} if axis == 0 and draw(st.booleans()) else {"axis": axis})
    )


def _indices(draw: Draw, net: Net, shape: list[int], size: int) -> Array:
    """Mostly inside an axis; negative ones where the opset lets them count from the end."""
    least = -size if net.opset >= 11 else 0
    inside = st.integers(least, size - 1)
    values = inside if often(draw, 20) else st.integers(least - 1, size)
    count = math.prod(shape)
    found = draw(st.lists(values, min_size=count, max_size=count))
    return np.array(found, draw(st.sampled_from([np.int64, np.int32]))).reshape(shape)


def gather_nd(draw: Draw, net: Net, x: Tensor) -> str:
    batch = draw(st.integers(0, x.rank - 1)) if net.opset >= 12 else 0
    depth = draw(st.integers(1, x.rank - batch))
    lead = [*x.shape[:batch], *draw(st.lists(st.integers(1, 3), max_size=2))]
    if not often(draw, 12):
        lead = [n + 1 for n in lead]
    columns = [_indices(draw, net, lead, x.shape[batch + i]).astype(np.int64) for i in range(depth)]
    more = {"batch_dims": batch} if net.opset >= 12 and (batch or draw(st.booleans())) else {}
    return net("GatherND", x, np.stack(columns, axis=-1), **more)


def gather_elements(draw: Draw, net: Net, x: Tensor) -> str:
    axis = on_any_axis(draw, x.rank)
    same = draw(st.booleans())
    shape = [n if same else draw(st.integers(1, n)) for n in x.shape]
    shape[axis] = draw(st.integers(1, 4))
    if draw(st.booleans()):
        # The same in all slices: what a carried axis can have.
        alike = [1] * x.rank
        alike[axis] = shape[axis]
        indices = np.broadcast_to(_indices(draw, net, alike, x.shape[axis]), shape)
    else:
        indices = _indices(draw, net, shape, x.shape[axis])
    return net("GatherElements", x, indices, axis=axis)


def slice_(draw: Draw, net: Net, x: Tensor) -> str:
    some = draw(st.booleans())
    axes = some_axes(draw, x.rank) if some else list(range(draw(st.integers(1, x.rank))))
    if net.opset < 10:
        axes = [axis % x.rank for axis in axes]
    bound = st.one_of(st.integers(-8, 8), st.sampled_from(_FAR))
    starts, ends = ([draw(bound) for _ in axes] for _ in range(2))
    for i, axis in enumerate(axes):
        if draw(st.booleans()):
            starts[i], ends[i] = (
                draw(st.integers(0, x.shape[axis] - 1)),
                draw(st.sampled_from(_FAR)),
            )
    if net.opset < 10:
        return net("Slice", x, starts=starts, ends=ends, **({"axes": axes} if some else {}))
    step = st.sampled_from([1, 2, 3, -1, -2]) if often(draw, 12) else st.just(0)
    steps = [draw(step) for _ in axes] if draw(st.booleans()) else None
    return net(
        "Slice",
        x,
        integers(starts),
        integers(ends),
        integers(axes) if some else None,
        None if steps is None else integers(steps),
    )


def split(draw: Draw, net: Net, x: Tensor) -> str:
    axis = on_any_axis(draw, x.rank)
    size = x.shape[axis]
    more: dict[str, Any] = {} if axis == 0 and draw(st.booleans()) else {"axis": axis}
    outputs = draw(st.integers(1, 4))
    sizes: Array | None = None
    if draw(st.booleans()):
        chosen = _summands(draw, size + (not often(draw, 10)))
        outputs = len(chosen)
        if net.opset < 13:
            more["split"] = chosen
        else:
            sizes = integers(chosen)
    elif net.opset >= 18:
        more["num_outputs"] = outputs
    return draw(st.sampled_from(net.several("Split", outputs, x, sizes, **more)))


def _summands(draw: Draw, total: int) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=2)))
    return [end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True)]


def concat(draw: Draw, net: Net, x: Tensor) -> str:
    axis = on_any_axis(draw, x.rank)
    if net.opset < 11:
        axis %= x.rank
    parts: list[Tensor | Array] = [x] * draw(st.integers(1, 2))
    for _ in range(draw(st.integers(0, 2))):
        shape = list(x.shape)
        shape[axis] = draw(st.integers(1, 2))
        if not often(draw, 12):
            shape[0] += 1
        parts.insert(0 if draw(st.booleans()) else len(parts), _filled(draw, net, shape))
    return net("Concat", *parts, axis=axis)


def _filled(draw: Draw, net: Net, shape: list[int]) -> Array:
    """One number, or several different ones."""
    if draw(st.booleans()):
        return net.numbers(np.full(shape, draw(st.sampled_from([0.0, -np.inf, 2.5]))))
    return net.numbers(np.arange(math.prod(shape)).reshape(shape))


def expand(draw: Draw, net: Net, x: Tensor) -> str:
    fitting = [n if n > 1 else draw(st.sampled_from([1, 3])) for n in x.shape]
    target = [1 if draw(st.booleans()) else n for n in fitting]
    target = target[draw(st.integers(0, x.rank - 1)) :] if draw(st.booleans()) else target
    target = [*draw(st.lists(st.integers(1, 2), max_size=1)), *target]
    if not often(draw, 12):
        target[-1] = draw(st.sampled_from([-1, 7]))
    return net("Expand", x, integers(target[-5:]))


def tile(draw: Draw, net: Net, x: Tensor) -> str:
    repeats = [draw(st.sampled_from([1, 1, 2])) for _ in x.shape]
    return net("Tile", x, integers(repeats))


def pad(draw: Draw, net: Net, x: Tensor) -> str:
    modes = ["constant", "edge", "reflect", *["wrap"] * (net.opset >= 19)]
    mode = draw(st.sampled_from(modes))
    some = net.opset >= 18 and draw(st.booleans())
    axes = some_axes(draw, x.rank) if some else list(range(x.rank))
    pads = [draw(st.integers(*_bounds(draw, mode, x.shape[axis]))) for axis in [*axes, *axes]]
    more = {} if mode == "constant" and draw(st.booleans()) else {"mode": mode}
    value = draw(st.sampled_from([None, 0.0, 1.5, -np.inf]))
    if net.opset < 11:
        return net("Pad", x, pads=pads, **more, **({} if value is None else {"value": value}))
    number = None if value is None else net.numbers(value)
    return net("Pad", x, integers(pads), number, integers(axes) if some else None, **more)


def _bounds(draw: Draw, mode: str, size: int) -> tuple[int, int]:
    """What is padded: mostly a little, or nothing, so that the axis may be carried."""
    if draw(st.booleans()):
        return 0, 0
    if mode in ("reflect", "wrap"):
        return 0, size - (mode == "reflect")
    return (-1 if often(draw) else -size - 1), 2


def where(draw: Draw, net: Net, x: Tensor) -> str:
    shape = [n if draw(st.booleans()) else 1 for n in x.shape]
    shape = shape[draw(st.integers(0, x.rank - 1)) :]
    bits = draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
    condition = np.array(bits).reshape(shape)
    kind = draw(st.sampled_from(["number", "filled", "itself"]))
    other: Tensor | Array = x
    if kind == "number":
        other = net.numbers(draw(st.sampled_from([0.0, -np.inf, 1.0])))
    elif kind == "filled":
        other = _filled(draw, net, list(x.shape))
    branches = (x, other) if draw(st.booleans()) else (other, x)
    return net("Where", condition, *branches)


MOVES = {
    "Identity": Drawn(identity),
    "Dropout": Drawn(dropout),
    "Transpose": Drawn(transpose),
    "Reshape": Drawn(reshape),
    "Squeeze": Drawn(squeeze),
    "Unsqueeze": Drawn(unsqueeze, (1, 4)),
    "Flatten": Drawn(flatten),
    "Gather": Drawn(gather),
    "GatherND": Drawn(gather_nd, oldest=11),
    "GatherElements": Drawn(gather_elements, oldest=11),
    "Slice": Drawn(slice_),
    "Split": Drawn(split),
    "Concat": Drawn(concat),
    "Expand": Drawn(expand, oldest=8),
    "Tile": Drawn(tile),
    "Pad": Drawn(pad),
    "Where": Drawn(where, oldest=9),
}
