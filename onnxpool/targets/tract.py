"""tract."""

from onnxpool.rewrites.legalize import lp_pool
from onnxpool.targets.computed_resize import NO_COMPUTED_RESIZE
from onnxpool.targets.powers import FASTER_EXP_LOG, FASTER_PRODUCTS
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

TRACT = Target(
    name="tract",
    runtime="tract",
    tested="0.23.9",
    measured="2026-11-22",
    runs_on="server",
    opset=17,
    limits=(
        Limit(lp_pool.OPS, "does not load, or gives wrong values", cure=lp_pool.POWER_AVERAGE),
        *NO_COMPUTED_RESIZE,
        Limit(("RoiAlign",), "does not load"),
    ),
    faster=(FASTER_PRODUCTS, FASTER_EXP_LOG),
    driver="tract",
    modules=("tract",),
    known_ops=TRIED,
    run="tract.onnx().load('model.onnx').into_model().into_runnable()",
)
