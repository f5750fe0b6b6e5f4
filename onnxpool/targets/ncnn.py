"""ncnn, converted by pnnx."""

from onnxpool.targets.target import Target

NCNN = Target(
    name="ncnn",
    runtime="ncnn, through pnnx",
    tested="1.0.20261020",
    opset=17,
    strategy="pool",
    dynamic=False,
)
