"""Adaptive average pooling, exported."""

from torch import nn

from models import adaptive
from tests.exports.case import average
from tests.exports.export import Export
from tests.exports.modules import AVERAGE_TO_1, BATCH, EVEN, MAP, avg2d, full_window, function

f = nn.functional


def classifier() -> nn.Module:
    """A convolution, a pool between AlexNet's feature map and its classifier, a linear layer."""
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(5),
        nn.Flatten(),
        nn.Linear(200, 3),
    )


AVERAGES = (
    Export("avg_to_1", MAP, AVERAGE_TO_1, avg2d(1)),
    Export("avg_to_1_mean", MAP, AVERAGE_TO_1, adaptive.global_average),
    Export("avg_to_1_full_window", MAP, AVERAGE_TO_1, full_window(f.avg_pool2d)),
    Export("avg_divisible", EVEN, (average(6, 6, native=True),), avg2d(6)),
    Export("avg_equal_13_6", MAP, (average(6, 6),), avg2d(6)),
    Export("avg_unequal_7_4", (1, 8, 7, 7), (average(4, 4),), avg2d(4)),
    Export("avg_unequal_60_9", (1, 4, 60, 60), (average(9, 9),), avg2d(9)),
    Export("avg_unequal_65_6", (1, 4, 65, 65), (average(6, 6),), avg2d(6)),
    Export("avg_equal_by_unequal", (1, 4, 13, 7), (average(6, 4),), avg2d((6, 4))),
    Export("avg_divisible_by_equal", (1, 4, 12, 13), (average(6, 6),), avg2d(6)),
    Export("avg_equal_by_1", (1, 4, 13, 7), (average(6, 1),), avg2d((6, 1))),
    Export("avg_keep", (1, 8, 13, 17), (average(3, 17),), adaptive.adaptive_avg_2d_keep),
    Export("avg_upwards", (1, 4, 5, 5), (average(9, 9),), avg2d(9)),
    Export("avg_dynamic_batch_unequal", BATCH, (average(5, 5),), avg2d(5), dynamic_batch=True),
    Export("avg_unbatched_equal", (8, 13, 13), (average(6, 6),), avg2d(6)),
    Export("avg_unbatched_unequal", (4, 7, 7), (average(4, 4),), avg2d(4)),
    Export("avg_float16", (1, 4, 7, 7), (average(4, 4),), avg2d(4), dtype="float16"),
    Export("avg_float64", (1, 4, 7, 7), (average(4, 4),), avg2d(4), dtype="float64"),
    Export(
        "avg_area",
        MAP,
        (average(6, 6),),
        function(lambda x: f.interpolate(x, size=(6, 6), mode="area")),
    ),
    Export(
        "avg_merged",
        MAP,
        (average(6, 6),),
        function(lambda x: (f.adaptive_avg_pool2d(x, 6) * 2, f.adaptive_avg_pool2d(x, 6) + 1)),
        bare=False,
    ),
    Export(
        "avg_shared_transpose",
        MAP,
        (average(6, 6), average(5, 5)),
        function(lambda x: (f.adaptive_avg_pool2d(x, 6), f.adaptive_avg_pool2d(x, 5))),
    ),
    Export(
        "avg_chained",
        (1, 4, 15, 15),
        (average(7, 7), average(4, 4)),
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.AdaptiveAvgPool2d(4)),
        bare=False,
    ),
    Export("avg_classifier", (1, 4, 13, 13), (average(5, 5),), classifier, bare=False),
    Export("avg_1d_to_1", (1, 8, 13), (average(1),), lambda: nn.AdaptiveAvgPool1d(1)),
    Export("avg_1d_divisible", (1, 8, 12), (average(6),), adaptive.adaptive_avg_1d),
    Export("avg_1d_equal", (1, 8, 13), (average(6),), adaptive.adaptive_avg_1d),
    Export("avg_1d_unequal", (1, 8, 7), (average(4),), lambda: nn.AdaptiveAvgPool1d(4)),
    Export("avg_1d_unbatched", (8, 7), (average(4),), lambda: nn.AdaptiveAvgPool1d(4)),
    Export(
        "avg_3d_to_1",
        (1, 4, 5, 7, 9),
        (average(1, 1, 1, native=True),),
        lambda: nn.AdaptiveAvgPool3d(1),
    ),
)
