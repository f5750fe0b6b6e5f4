"""AdaptiveAveragePool: Y[…, i] = mean(X[…, start(i):end(i)]), on each of the last k axes."""

import dataclasses

import numpy as np

from onnxpool.ops.adaptive_pool import AdaptivePool, adaptive_schema
from onnxpool.ops.op import Array, kept
from onnxpool.ops.windows import windows


@dataclasses.dataclass(frozen=True)
class AdaptiveAveragePool(AdaptivePool):
    """Adaptive average pooling, as ``torch.nn.AdaptiveAvgPool{1,2,3}d``."""

    schema = adaptive_schema(
        "AdaptiveAveragePool", "Average over PyTorch's adaptive windows of the last k axes."
    )

    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        x, *size = inputs
        self.output_shapes(x.shape)
        return (average(x.astype(np.float64), self.sizes(size)).astype(x.dtype),)


def average(x: Array, output_size: tuple[int, ...]) -> Array:
    """Adaptive average of float64 `x`; axis by axis, because a window is a product of ranges."""
    for axis, size in enumerate(output_size, start=-len(output_size)):
        if not kept(size, x.shape[axis]):
            moved = np.moveaxis(x, axis, 0)
            with np.errstate(invalid="ignore"):  # inf - inf
                bins = [moved[w.start : w.end].mean(axis=0) for w in windows(len(moved), size)]
            x = np.moveaxis(np.stack(bins), 0, axis)
    return x
