"""Pooling inside of larger modules, exported."""

from models import attention, avgmax, pyconv, pyramid, spatial_pyramid
from tests.exports.case import average, maximum
from tests.exports.export import Export
from tests.exports.modules import AVERAGE_TO_1, EVEN, MAP, MAXIMUM_TO_1

PYRAMID = (average(1, 1, native=True), average(2, 2), average(3, 3, native=True), average(6, 6))

NETWORKS = (
    Export("ppm", (1, 16, 33, 33), PYRAMID, pyramid.ppm, bare=False),
    Export(
        "ppm_dynamic_batch",
        (2, 16, 33, 33),
        PYRAMID,
        pyramid.ppm,
        dynamic_batch=True,
        bare=False,
    ),
    Export("ppm_bottleneck", (1, 8, 33, 33), PYRAMID, pyramid.ppm_bottleneck, bare=False),
    Export("pyconv_global", (1, 16, 20, 20), (average(9, 9),), pyconv.pyconv_global, bare=False),
    Export(
        "linear_attention",
        (1, 16, 16, 16),
        (average(7, 7),),
        attention.linear_attention,
        bare=False,
    ),
    Export("avgmax", MAP, (*AVERAGE_TO_1, *MAXIMUM_TO_1), avgmax.avgmax, bare=False),
    Export(
        "spp_divisible",
        EVEN,
        (maximum(4, 4, native=True), maximum(2, 2, native=True), *MAXIMUM_TO_1),
        spatial_pyramid.spp_divisible,
        bare=False,
    ),
)
