"""ONNX Runtime on the CPU: the default; takes every standard op."""

from onnxpool.targets.target import Target

ONNXRUNTIME = Target(
    name="onnxruntime",
    runtime="ONNX Runtime, CPU",
    tested="1.31.1",
    measured="2026-11-22",
    runs_on="server",
    opset=26,
    strategy="auto",
    driver="onnxruntime",
    modules=("onnxruntime",),
    custom_domains=True,
    run="onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])",
)
