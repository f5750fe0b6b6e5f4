"""Caffe, by its documentation."""

from onnxpool.targets.target import Target

CAFFE = Target(
    name="caffe",
    runtime="Caffe",
    tested="",
    opset=11,
    strategy="pool",
    dynamic=False,
)
