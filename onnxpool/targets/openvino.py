"""OpenVINO on the CPU."""

from onnxpool.targets.target import Target

OPENVINO = Target(
    name="openvino",
    runtime="OpenVINO, CPU plugin",
    tested="2026.4.1",
    opset=20,
    strategy="pool",
    dynamic=True,
)
