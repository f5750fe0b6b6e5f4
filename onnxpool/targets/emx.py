"""emx-onnx-cgen, which writes C for microcontrollers."""

from onnxpool.rewrites.legalize import lp_pool
from onnxpool.targets.conditions import slices_backwards
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

EMX = Target(
    name="emx",
    runtime="emx-onnx-cgen, C for microcontrollers, built by gcc",
    tested="1.4.0",
    measured="2026-11-28",
    runs_on="microcontroller",
    opset=20,
    strategy="auto",
    dynamic=False,
    limits=(
        Limit(("GlobalLpPool",), "it has no such op", cure=lp_pool.POWER_AVERAGE),
        Limit(("Slice",), "cannot step backwards", when=slices_backwards),
        Limit(("Einsum",), "it has few of its equations"),
    ),
    driver="emx",
    modules=("emx_onnx_cgen",),
    known_ops=TRIED,
    convert="emx-onnx-cgen compile model.onnx model.c",
    run="gcc -c model.c; call model(x, y)",
)
