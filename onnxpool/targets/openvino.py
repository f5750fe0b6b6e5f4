"""OpenVINO on the CPU."""

from onnxpool.targets.conditions import has_axes_attribute
from onnxpool.targets.powers import FASTER_EXP_LOG
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

OPENVINO = Target(
    name="openvino",
    runtime="OpenVINO, CPU plugin, INFERENCE_PRECISION_HINT f32",
    tested="2026.4.1",
    measured="2026-11-22",
    runs_on="server",
    opset=20,
    limits=(
        Limit(
            ("ReduceL1", "ReduceLogSum", "ReduceLogSumExp"),
            "reduces every axis below opset 18; say --opset 18",
            when=has_axes_attribute,
        ),
    ),
    faster=(FASTER_EXP_LOG,),
    driver="openvino",
    modules=("openvino",),
    known_ops=TRIED,
    convert="ov.convert_model('model.onnx')",
    run="ov.Core().compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})",
    notes="without the hint MatMul and Conv are computed in bfloat16 where the CPU has it",
)
