"""The exporter of TorchScript, and what it leaves as PyTorch's own ops."""

from torch import nn

from models import gem
from tests.exports.case import average, generalised, maximum
from tests.exports.export import Export
from tests.exports.gems import PER_CHANNEL, P
from tests.exports.modules import (
    AVERAGE_TO_1,
    BATCH,
    EVEN,
    MAP,
    MAXIMUM_INDICES,
    MAXIMUM_TO_1,
    avg2d,
    max2d,
)

TORCHSCRIPT = (
    Export("ts_avg_to_1", MAP, AVERAGE_TO_1, avg2d(1), "torchscript"),
    Export("ts_avg_divisible", EVEN, (average(6, 6, native=True),), avg2d(6), "torchscript"),
    Export(
        "ts_avg_3d_divisible",
        (1, 4, 4, 6, 9),
        (average(2, 3, 9, native=True),),
        lambda: nn.AdaptiveAvgPool3d((2, 3, 9)),
        "torchscript",
    ),
    Export("ts_max_to_1", MAP, MAXIMUM_TO_1, max2d(1), "torchscript"),
    Export("ts_max_divisible_indices", EVEN, MAXIMUM_INDICES, max2d(6, True), "torchscript"),
    Export("ts_gem", MAP, (generalised(1, 1, p=P),), gem.gem, "torchscript"),
    Export("ts_gem_divisible", EVEN, (generalised(3, 3, p=(3.0,)),), gem.gem_sized, "torchscript"),
    Export(
        "ts_gem_full_window", MAP, (generalised(1, 1, p=P),), gem.gem_full_window, "torchscript"
    ),
    Export(
        "ts_gem_per_channel_dynamic_batch",
        BATCH,
        (generalised(1, 1, p=PER_CHANNEL),),
        gem.gem_per_channel,
        "torchscript",
        dynamic_batch=True,
    ),
    Export("aten_avg", MAP, (average(6, 6),), avg2d(6), "torchscript_fallthrough"),
    Export("aten_max", MAP, (maximum(6, 6),), max2d(6), "torchscript_fallthrough"),
    Export(
        "aten_max_indices",
        MAP,
        (maximum(6, 6, indices=True),),
        max2d(6, True),
        "torchscript_fallthrough",
    ),
)
