"""Defects of onnx2tf, which converts for LiteRT."""

from tests.runtimes.defects.defect import Defect

EQUAL_SIZES = Defect(
    "litert",
    "equal_sizes",
    """g (float[1,16,16,16] x) => (float[1,16,256] y)
    <int64[3] shape = {1, 16, 256}>
    { y = Reshape(x, shape) }""",
    (1, 16, 16, 16),
    "layouts are told apart by sizes, which fails where channels, height and width are equal",
)

GATHER_AT_SUM = Defect(
    "litert",
    "gather_at_sum",
    """g (float[1,8,13,13] x) => (float[1,8,13,2] y)
    <int64[2] starts = {0, 1}, int64[1] from = {0}, int64[1] to = {5}, int64[1] axis = {3}>
    { window = Slice(x, from, to, axis)
      at = ArgMax<axis = 3, keepdims = 1>(window)
      sum = Add(at, starts)
      y = GatherElements<axis = 3>(x, sum) }""",
    (1, 8, 13, 13),
    "GatherElements takes positions that are a sum in another layout than its data",
)

DEFECTS = (EQUAL_SIZES, GATHER_AT_SUM)
