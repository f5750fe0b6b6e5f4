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

AVERAGE_OF_VOLUMES = Defect(
    "litert",
    "average_of_volumes",
    """g (float[1,4,5,7,9] x) => (float[1,4,4,7,9] y)
    { y = AveragePool<kernel_shape = [2,1,1], strides = [1,1,1], pads = [0,0,0,0,0,0]>(x) }""",
    (1, 4, 5, 7, 9),
    "AveragePool of 5-D tensors is not converted",
)

DEFECTS = (EQUAL_SIZES, AVERAGE_OF_VOLUMES)
