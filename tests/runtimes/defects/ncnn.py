"""Defects of ncnn and pnnx."""

from tests.runtimes.defects.defect import Defect

POWER_OF_ZERO = Defect(
    "ncnn",
    "power_of_zero",
    """g (float[1,8,4,4] x) => (float[1,8,4,4] y)
    <float p = {2.3}>
    { y = Pow(x, p) }""",
    (1, 8, 4, 4),
    "0 to the power of 2.3 is 2.4e38: its Pow is exp(p log x), and its log of 0 is NaN",
    constant=0.0,
)

ARG_MAX = Defect(
    "ncnn",
    "arg_max",
    """g (float[1,8,4,4] x) => (float[1,8,4,1] y)
    { at = ArgMax<axis = 3, keepdims = 1>(x)
      y = Cast<to = 1>(at) }""",
    (1, 8, 4, 4),
    "there is no ArgMax, and no integer tensor that could hold positions",
)

DEFECTS = (POWER_OF_ZERO, ARG_MAX)
