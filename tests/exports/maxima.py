"""Adaptive max pooling, exported."""

from models import adaptive
from tests.exports.case import maximum
from tests.exports.export import Export
from tests.exports.modules import EVEN, MAP, MAXIMUM_INDICES, MAXIMUM_TO_1, max2d

MAXIMA = (
    Export("max_to_1", MAP, MAXIMUM_TO_1, max2d(1)),
    Export("max_divisible", EVEN, (maximum(6, 6, native=True),), max2d(6)),
    Export("max_to_1_indices", MAP, (maximum(1, 1, indices=True, native=True),), max2d(1, True)),
    Export("max_divisible_indices", EVEN, MAXIMUM_INDICES, max2d(6, True)),
    Export("max_1d_divisible", (1, 8, 12), (maximum(6),), adaptive.adaptive_max_1d),
    Export(
        "max_3d_divisible",
        (1, 4, 4, 6, 9),
        (maximum(2, 3, 9, native=True),),
        adaptive.adaptive_max_3d,
    ),
)
