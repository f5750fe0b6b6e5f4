"""ONNX Runtime in the browser or in Node."""

from onnxpool.targets.target import Target

ONNXRUNTIME_WEB = Target(
    name="onnxruntime-web",
    runtime="ONNX Runtime Web, WebAssembly",
    tested="1.30.0",
    measured="2026-11-22",
    runs_on="browser",
    opset=26,
    strategy="auto",
    driver="onnxruntime_web",
    custom_domains=True,
    run="ort.InferenceSession.create('model.onnx', {executionProviders: ['wasm']})",
)
