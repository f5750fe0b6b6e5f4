"""What runtimes compute faster than Pow: ``python -m tests.runtimes.powers`` measures it."""

from onnxpool.rewrites.legalize.power import EXP_LOG, PRODUCTS, is_power_of_positive, is_whole_power
from onnxpool.targets.target import Limit

FASTER_PRODUCTS = Limit(
    ("Pow",), "by a whole number it is slower than products", when=is_whole_power, cure=PRODUCTS
)
FASTER_EXP_LOG = Limit(
    ("Pow",),
    "of what is positive it is slower than Exp and Log",
    when=is_power_of_positive,
    cure=EXP_LOG,
)
