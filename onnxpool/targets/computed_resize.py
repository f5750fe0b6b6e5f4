"""The limits of runtimes that cannot resize to sizes that the graph computes."""

from onnxpool.rewrites.legalize.computed_resize import COMPUTED_RESIZE
from onnxpool.rewrites.legalize.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.targets.conditions import resizes_to_computed
from onnxpool.targets.target import Limit

NO_COMPUTED_RESIZE = (
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
)
