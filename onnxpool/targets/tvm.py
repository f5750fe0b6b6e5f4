"""Apache TVM, through Relax's ONNX frontend."""

from onnxpool.targets.computed_resize import NO_COMPUTED_RESIZE
from onnxpool.targets.conditions import gives_indices
from onnxpool.targets.powers import FASTER_PRODUCTS
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

TVM = Target(
    name="tvm",
    runtime="Apache TVM, Relax frontend, llvm",
    tested="0.27.0",
    measured="2026-11-22",
    runs_on="server",
    opset=17,
    limits=(
        Limit(("Celu", "GRU", "LSTM", "LpNormalization"), "its frontend has no such op"),
        *NO_COMPUTED_RESIZE,
        Limit(("MaxPool",), "gives no indices", when=gives_indices),
    ),
    faster=(FASTER_PRODUCTS,),
    driver="tvm",
    modules=("tvm",),
    known_ops=TRIED,
    convert="relax.frontend.onnx.from_onnx(onnx.load('model.onnx'))",
    run="relax.VirtualMachine(tvm.compile(module, target='llvm'), tvm.cpu())['main'](x)",
)
