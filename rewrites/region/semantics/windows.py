"""The positions that each window of a pool or a convolution reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpool.ops.windows import windows as adaptive_windows
from onnxpool.rewrites.region.semantics.call import Call
from onnxpool.rewrites.region.terms import (
    NOTHING,
    Ids,
    Impossible,
    NotUnderstood,
    check_size,
)

ATTRIBUTES = ("kernel_shape", "strides", "pads", "dilations", "auto_pad", "ceil_mode")


def sliding(call: Call, plane: Sequence[int], kernel: Sequence[int]) -> list[Ids]:
    """Per axis ``(windows, kernel)``: what they read, `NOTHING` where that is padding.

    Raises:
        NotUnderstood: runtimes differ: a window reaches beyond the padding for ceil_mode, or is
            longer than its axis, or has gaps and auto_pad.
        Impossible: no window of a Conv fits.
    """
    k = len(plane)
    strides = list(call.attributes.get("strides") or [1] * k)
    dilations = list(call.attributes.get("dilations") or [1] * k)
    if not len(kernel) == len(strides) == len(dilations) == k:
        raise Impossible(f"{call.op} of {len(kernel)} axes on a plane of {k}")
    pads = _pads(call, plane, kernel, strides, dilations)
    axes = zip(plane, kernel, strides, dilations, pads, strict=True)
    return [_along(call, *axis) for axis in axes]


def _along(
    call: Call, length: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]
) -> Ids:
    before, after = pads
    room = length + before + after - dilation * (kernel - 1) - 1
    if room < 0 and call.op == "Conv":
        raise Impossible(f"Conv with a window of {kernel} on an axis of {length}")
    if room < 0:
        # ONNX Runtime makes one window of what is there, none, or fails, as the stride has it.
        raise NotUnderstood(f"{call.op} with a window of {kernel} on an axis of {length}")
    if room % stride and call.attributes.get("ceil_mode", 0):
        raise NotUnderstood(f"{call.op} with ceil_mode, and windows beyond the end")
    starts = np.arange(room // stride + 1) * stride - before
    read = starts[:, None] + np.arange(kernel) * dilation
    return np.where((read >= 0) & (read < length), read, NOTHING).astype(np.int64)


def _pads(
    call: Call,
    plane: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    k = len(plane)
    auto = call.attributes.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        pads = list(call.attributes.get("pads") or [0] * 2 * k) if auto == "NOTSET" else [0] * 2 * k
        if len(pads) != 2 * k or min(pads) < 0:
            raise NotUnderstood(f"{call.op} with pads {pads}")
        return list(zip(pads[:k], pads[k:], strict=True))
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise NotUnderstood(f"{call.op} with auto_pad {auto}")
    if call.op != "Conv" and any(n != 1 for n in dilations):
        # ONNX Runtime pads as if the window had no gaps.
        raise NotUnderstood(f"{call.op} with auto_pad {auto} and dilations")
    found = []
    for length, size, stride, dilation in zip(plane, kernel, strides, dilations, strict=True):
        bins = -(-length // stride)
        total = (bins - 1) * stride + dilation * (size - 1) + 1 - length
        if total < 0:
            # ONNX Runtime cuts off what is too much, on a side that ONNX does not say.
            raise NotUnderstood(f"{call.op} with auto_pad {auto} and a window below its stride")
        less, more = total // 2, total - total // 2
        found.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return found


def adaptive(plane: Sequence[int], size: Sequence[int]) -> list[Ids]:
    """Per axis ``(bins, longest)``: the positions of adaptive windows, `NOTHING` at the end."""
    tables = []
    for length, bins in zip(plane, size, strict=True):
        ranges = adaptive_windows(length, bins)
        offsets = np.arange(max((w.length for w in ranges), default=0))
        starts = np.array([w.start for w in ranges])[:, None]
        lengths = np.array([w.length for w in ranges])[:, None]
        tables.append(np.where(offsets < lengths, starts + offsets, NOTHING).astype(np.int64))
    return tables


def gathered(ids: Ids, tables: Sequence[Ids]) -> Ids:
    """What the windows of the last axes read: ``(…, O1, …, Ok)`` to ``(…, O1, …, Ok, K1·…·Kk)``.

    Args:
        ids: ``(…, L1, …, Lk)``.
        tables: per axis ``(O, K)``.
    """
    k = len(tables)
    lead = ids.shape[: ids.ndim - k]
    counts, lengths = [t.shape[0] for t in tables], [t.shape[1] for t in tables]
    check_size(math.prod((*lead, *counts, *lengths)))
    inside: NDArray[np.bool_] = np.ones((1,) * 2 * k, bool)
    index: list[Any] = []
    for axis, table in enumerate(tables):
        shape = [1] * 2 * k
        shape[axis], shape[k + axis] = table.shape
        shaped = table.reshape(shape)
        index.append(np.maximum(shaped, 0))
        inside = inside & (shaped != NOTHING)
    read = np.where(inside, ids[(Ellipsis, *index)], NOTHING)
    return read.reshape((*lead, *counts, math.prod(lengths)))
