"""tract."""

from onnxpool.rewrites.lower import lp_pool
from onnxpool.rewrites.lower.computed_resize import COMPUTED_RESIZE
from onnxpool.rewrites.lower.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.targets.conditions import resizes_to_computed
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

TRACT = Target(
    name="tract",
    runtime="tract",
    tested="0.23.9",
    opset=17,
    limits=(
        Limit(lp_pool.OPS, "does not load, or gives wrong values", cure=lp_pool.POWER_AVERAGE),
        Limit(
            ("Resize",),
            "cannot resize to sizes that the graph computes",
            when=resizes_to_computed,
            cure=UPSAMPLE_FROM_ONE,
        ),
        Limit(
            ("Resize",),
            "cannot resize to sizes that the graph computes; say --input-shape",
            when=resizes_to_computed,
            cure=COMPUTED_RESIZE,
        ),
        Limit(("RoiAlign",), "does not load"),
    ),
    known_ops=TRIED,
    run="tract.onnx().load('model.onnx').into_model().into_runnable()",
)
