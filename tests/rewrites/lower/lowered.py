"""Make a model of one dialect node, lower it, and run it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime

from onnxpool.ops import DOMAIN, AdaptiveMaxPool, Op
from onnxpool.ops.op import Array, Shape
from onnxpool.rewrites.graph.tensors import numpy_type, onnx_type
from onnxpool.rewrites.graph.verify import verify
from onnxpool.rewrites.lower import lower
from tests.cases import Case

BFLOAT16 = onnx.TensorProto.BFLOAT16
NEWEST = onnx.defs.onnx_opset_version()
NEWEST_OF_ONNX_RUNTIME = 26


def graph_of(
    op: Op,
    shape: Shape | None,
    opset: int = 17,
    dtype: Any = np.float32,
    outputs: int = 1,
    p: Array | gs.Variable | None = None,
) -> gs.Graph:
    """A graph of one dialect node; `p` is an array, or a Variable that becomes an input."""
    dtype = dtype if isinstance(dtype, int) else np.dtype(dtype)
    x = gs.Variable("X", dtype, shape)
    inputs = [
        x,
        *([gs.Constant("p", p) if isinstance(p, np.ndarray) else p] if p is not None else []),
    ]
    shapes = op.output_shapes(shape, outputs) if shape is not None else (None,) * outputs
    types = [dtype, np.dtype(np.int64)] if isinstance(op, AdaptiveMaxPool) else [dtype] * outputs
    ys = [gs.Variable(f"Y{i}", types[i], shapes[i]) for i in range(outputs)]
    node = gs.Node(op.op_type(), "pool", op.attributes(), inputs, ys, domain=DOMAIN)
    given = [tensor for tensor in inputs if isinstance(tensor, gs.Variable)]
    return gs.Graph([node], given, ys, opset=opset, ir_version=ir_version(opset))


def ir_version(opset: int) -> int:
    """At least the first in which initializers are no inputs."""
    imports = [onnx.helper.make_opsetid("", opset)]
    return max(int(onnx.helper.find_min_ir_version_for(imports, True)), 4)


def lowered(
    case: Case, strategy: str = "auto", opset: int = 17, dtype: Any = np.float32
) -> tuple[onnx.ModelProto, str]:
    """The lowered model of a case, and the strategy that was used."""
    p = np.array(case.p, numpy_type(dtype)) if case.p else None
    graph = graph_of(case.op, case.shape, opset, dtype, case.outputs, p)
    verify(graph)
    used = lower(graph, graph.nodes[0], opset, strategy)
    return gs.export_onnx(graph), used


def run(model: onnx.ModelProto, **inputs: Array) -> list[Array]:
    """Run a model in ONNX Runtime, bfloat16 inputs and outputs as the float32 they stand for."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        with_float_interface(model).SerializeToString(), options, ["CPUExecutionProvider"]
    )
    return [np.asarray(y) for y in session.run(None, inputs)]


def with_float_interface(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with a Cast to or from float32 where its interface is bfloat16."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    for values, is_input in ((graph.input, True), (graph.output, False)):
        for value in values:
            if value.type.tensor_type.elem_type == onnx_type(BFLOAT16):
                inner, outer = value.name, f"{value.name}_float"
                to = BFLOAT16 if is_input else onnx.TensorProto.FLOAT
                ends = ([outer], [inner]) if is_input else ([inner], [outer])
                cast = onnx.helper.make_node("Cast", *ends, to=to)
                graph.node.insert(0 if is_input else len(graph.node), cast)
                value.name = outer
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return changed
