"""AdaptiveMaxPool: Y[…, i] = max(X[…, start(i):end(i)]), on each of the last k axes; and where."""

import dataclasses

import numpy as np
from onnx.defs import OpSchema

from onnxpool.ops.adaptive_pool import AdaptivePool, adaptive_schema
from onnxpool.ops.op import Array, kept
from onnxpool.ops.windows import windows


@dataclasses.dataclass(frozen=True)
class AdaptiveMaxPool(AdaptivePool):
    """Adaptive max pooling, as ``torch.nn.AdaptiveMaxPool{1,2,3}d(return_indices=True)``.

    The first of equal maxima wins. A NaN is greater than everything, and the last NaN wins
    (PyTorch ``AdaptiveMaxPoolKernel.cpp``: ``val > max || isnan(val)``).

    Outputs: Y; and, optional, Indices, int64, the position of each maximum in the flattened
    ``D1 x … x Dk`` plane.
    """

    schema = adaptive_schema(
        "AdaptiveMaxPool",
        "Maximum over PyTorch's adaptive windows of the last k axes.",
        OpSchema.FormalParameter(
            "Indices",
            "tensor(int64)",
            "position of each maximum in the flattened plane",
            param_option=OpSchema.FormalParameterOption.Optional,
        ),
    )

    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        x, *size = inputs
        self.output_shapes(x.shape)
        return maximum(x, self.sizes(size))


def maximum(x: Array, output_size: tuple[int, ...]) -> tuple[Array, Array]:
    """Adaptive max of `x` and its indices; axis by axis from the last one.

    The first maximum (the last NaN) of the first row (the last row) that holds it is the first
    (last) in the flattened plane too, so the indices separate as the values do.
    """
    k = len(output_size)
    plane = x.shape[-k:]
    indices = np.broadcast_to(np.arange(np.prod(plane)).reshape(plane), x.shape)
    for axis, size in reversed(list(enumerate(output_size, start=-k))):
        if not kept(size, x.shape[axis]):
            values, flat = np.moveaxis(x, axis, 0), np.moveaxis(indices, axis, 0)
            picks = [
                (slice(w.start, w.end), _first_maximum(values[w.start : w.end]))
                for w in windows(len(values), size)
            ]
            x, indices = (
                np.moveaxis(
                    np.concatenate([np.take_along_axis(a[w], at, 0) for w, at in picks]), 0, axis
                )
                for a in (values, flat)
            )
    return x, np.ascontiguousarray(indices, dtype=np.int64)


def _first_maximum(values: Array) -> Array:
    """Along axis 0: the position of the last NaN, or else of the first maximum; axis 0 is kept."""
    nan = np.isnan(values)
    last_nan = len(values) - 1 - nan[::-1].argmax(axis=0)
    first = np.where(nan, values.dtype.type(-np.inf), values).argmax(axis=0)
    return np.asarray(np.where(nan.any(axis=0), last_nan, first))[None]
