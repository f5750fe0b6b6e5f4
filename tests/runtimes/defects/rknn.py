"""Defects of rknn-toolkit2."""

from tests.runtimes.defects.defect import Defect

SMALL_NUMBERS = Defect(
    "rknn",
    "small_numbers",
    """g (float[1,8,4,4] x) => (float[1,8,4,4] y)
    <float tiny = {1e-38}>
    { least = Max(x, tiny)
      y = Div(x, least) }""",
    (1, 8, 4, 4),
    "float16 holds no number as small as the least divisor that the source allows: 0 / 0",
    constant=0.0,
)

DEFECTS = (SMALL_NUMBERS,)
