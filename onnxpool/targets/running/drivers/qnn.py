"""Qualcomm's HTP by the simulator of onnxruntime-qnn: SM8650 (version 75), float16.

What the NPU does not take is an error, as nothing may fall back to the CPU.
"""

import onnxruntime as ort
import onnxruntime_qnn as qnn

PROVIDER = qnn.get_ep_name()
SETTINGS = {
    "backend_path": qnn.get_qnn_htp_path(),
    "htp_arch": "75",
    "soc_model": "57",
    "enable_htp_fp16_precision": "1",
}

ort.register_execution_provider_library(PROVIDER, qnn.get_library_path())
(DEVICE,) = (d for d in ort.get_ep_devices() if d.ep_name == PROVIDER)


def version():
    return qnn.__version__


def load(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_provider_for_devices([DEVICE], SETTINGS)
    session = ort.InferenceSession(model.path, options)
    return lambda *xs: session.run(model.outputs, dict(zip(model.inputs, xs, strict=True)))
