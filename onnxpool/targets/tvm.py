"""Apache TVM."""

from onnxpool.targets.target import Target

TVM = Target(
    name="tvm",
    runtime="Apache TVM, Relax frontend",
    tested="0.27",
    opset=17,
    strategy="pool",
    dynamic=True,
)
