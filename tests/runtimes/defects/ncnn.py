"""Defects of ncnn and pnnx."""

from tests.runtimes.defects.defect import Defect

ARG_MAX = Defect(
    "ncnn",
    "arg_max",
    """g (float[1,8,4,4] x) => (float[1,8,4,1] y)
    { at = ArgMax<axis = 3, keepdims = 1>(x)
      y = Cast<to = 1>(at) }""",
    (1, 8, 4, 4),
    "there is no ArgMax, and no integer tensor that could hold positions",
)

DEFECTS = (ARG_MAX,)
