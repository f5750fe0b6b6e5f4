"""Pools that no exporter writes this way."""

import numpy as np

from tests.exports.case import average, maximum
from tests.exports.graph import HandWritten
from tests.exports.spellings import (
    HALVING,
    averaging,
    depthwise,
    kronecker,
    per_bin,
    phases,
    reshaped_mean,
    separable,
    two_matmuls,
    unrolled,
)

SMALL = (1, 4, 7, 7)

HAND_WRITTEN: tuple[HandWritten, ...] = (
    HandWritten("unrolled_mean", (1, 2, 34, 34), (average(1, 1),), unrolled),
    HandWritten(
        "separable_mean",
        (1, 4, 13, 7),
        (average(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "ReduceMean")[-1],),
    ),
    HandWritten(
        "separable_average_pool",
        (1, 4, 13, 7),
        (average(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "AveragePool")[-1],),
    ),
    HandWritten(
        "separable_mean_1d",
        (1, 4, 7),
        (average(4),),
        lambda g, s: (separable(g, s, (4,), "ReduceMean")[-1],),
    ),
    HandWritten(
        "separable_mean_3d",
        (1, 2, 5, 7, 9),
        (average(2, 4, 5),),
        lambda g, s: (separable(g, s, (2, 4, 5), "ReduceMean")[-1],),
    ),
    HandWritten(
        "separable_mean_inner_output",
        SMALL,
        (average(4, 7), average(4, 4)),
        lambda g, s: tuple(separable(g, s, (4, 4), "ReduceMean")),
    ),
    HandWritten(
        "separable_max",
        (1, 4, 13, 7),
        (maximum(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "ReduceMax")[-1],),
    ),
    HandWritten(
        "separable_max_pool",
        (1, 4, 13, 7),
        (maximum(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "MaxPool")[-1],),
    ),
    HandWritten(
        "per_bin_mean",
        SMALL,
        (average(4, 4),),
        lambda g, s: per_bin(g, s, 4, lambda x: g("ReduceMean", x, axes=[2, 3], keepdims=1)),
    ),
    HandWritten(
        "per_bin_global_average_pool",
        SMALL,
        (average(4, 4),),
        lambda g, s: per_bin(g, s, 4, lambda x: g("GlobalAveragePool", x)),
    ),
    HandWritten(
        "per_bin_max",
        SMALL,
        (maximum(4, 4),),
        lambda g, s: per_bin(g, s, 4, lambda x: g("ReduceMax", x, axes=[2, 3], keepdims=1)),
    ),
    HandWritten(
        "phases_average",
        (1, 4, 10, 10),
        (average(4, 4),),
        lambda g, s: phases(g, s, 4, "AveragePool"),
    ),
    HandWritten(
        "phases_max",
        (1, 4, 10, 10),
        (maximum(4, 4),),
        lambda g, s: phases(g, s, 4, "MaxPool"),
    ),
    HandWritten(
        "two_matmuls",
        (1, 4, 13, 7),
        (average(6, 4),),
        lambda g, s: two_matmuls(g, s, averaging(13, 6), averaging(7, 4)),
    ),
    HandWritten("kronecker_matmul", SMALL, (average(4, 4),), lambda g, s: kronecker(g, s, 4)),
    HandWritten(
        "depthwise_mean",
        (1, 4, 12, 12),
        (average(6, 6),),
        lambda g, s: depthwise(g, s, np.full((2, 2), 1 / 4), stride=2),
    ),
    HandWritten(
        "depthwise_mean_overlapping",
        (1, 4, 13, 13),
        (average(6, 6),),
        lambda g, s: depthwise(g, s, np.full((3, 3), 1 / 9), stride=2),
    ),
    HandWritten("reshaped_mean", (1, 4, 12, 18), (average(6, 6),), reshaped_mean),
    HandWritten(
        "padded_average_pool_13_7",
        (1, 4, 13, 13),
        (average(7, 7, native=True),),
        lambda g, s: (g("AveragePool", "X", **HALVING),),
    ),
    HandWritten(
        "padded_max_pool_13_7",
        (1, 4, 13, 13),
        (maximum(7, 7, native=True),),
        lambda g, s: (g("MaxPool", "X", **HALVING),),
    ),
    HandWritten(
        "equal_average_pool",
        (1, 4, 13, 13),
        (average(6, 6, native=True),),
        lambda g, s: (g("AveragePool", "X", kernel_shape=[3, 3], strides=[2, 2]),),
    ),
    HandWritten(
        "equal_max_pool",
        (1, 4, 13, 13),
        (maximum(6, 6, native=True),),
        lambda g, s: (g("MaxPool", "X", kernel_shape=[3, 3], strides=[2, 2]),),
    ),
)
