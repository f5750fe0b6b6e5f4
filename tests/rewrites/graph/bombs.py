"""Small files that ask for hours or for more memory than there is, each with a pool behind it.

What a bomb makes is an operand of the pool's input, so that whoever looks for pooling meets it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

OPSET = 17
LOCAL = "local"

N = helper.make_node


def constant(name: str, value: Any, dtype: Any = np.int64) -> TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(value, dtype), name)


def model(
    nodes: Sequence[NodeProto],
    constants: Sequence[TensorProto] = (),
    *,
    shape: Sequence[int | str] = (1, 4, 13, 13),
    functions: Sequence[onnx.FunctionProto] = (),
    sparse: Sequence[onnx.SparseTensorProto] = (),
) -> onnx.ModelProto:
    """A graph from X to Y."""
    graph = helper.make_graph(
        list(nodes),
        "bomb",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        list(constants),
    )
    graph.sparse_initializer.extend(sparse)
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(LOCAL, 1)]
    return helper.make_model(graph, opset_imports=domains, functions=functions, ir_version=8)


def _operand(
    nodes: Sequence[NodeProto], constants: Sequence[TensorProto] = (), **more: Any
) -> onnx.ModelProto:
    """`nodes` make the scalar or tensor "c", whose mean is added to X in front of a pool."""
    after = [
        N("ReduceMean", ["c"], ["m"], keepdims=0),
        N("Mul", ["X", "m"], ["p"]),
        N("ReduceMean", ["p"], ["Y"], axes=[2, 3], keepdims=1),
    ]
    return model([*nodes, *after], constants, **more)


def _ones() -> TensorProto:
    return constant("", [1.0], np.float32)


def _constant_of_shape() -> onnx.ModelProto:
    nodes = [N("ConstantOfShape", ["n"], ["c"], value=_ones())]
    return _operand(nodes, [constant("n", [4_000_000_000])])


def _computed_shape() -> onnx.ModelProto:
    nodes = [
        N("Mul", ["n", "n"], ["q"]),
        N("Expand", ["x", "q"], ["c"]),
    ]
    return _operand(nodes, [constant("n", [300_000, 200_000]), constant("x", [[1]], np.float32)])


def _range(dtype: Any) -> onnx.ModelProto:
    nodes = [N("Range", ["i", "j", "k"], ["r"]), N("Cast", ["r"], ["c"], to=TensorProto.FLOAT)]
    ends = (("i", 0), ("j", 1e12), ("k", 1))
    return _operand(nodes, [constant(name, value, dtype) for name, value in ends])


def _tile() -> onnx.ModelProto:
    nodes = [N("Tile", ["x", "n"], ["c"])]
    return _operand(nodes, [constant("x", [[1.0]], np.float32), constant("n", [90_000, 90_000])])


def _pad() -> onnx.ModelProto:
    nodes = [N("Pad", ["x", "n"], ["c"])]
    return _operand(nodes, [constant("x", [1.0], np.float32), constant("n", [0, 10**11])])


def _resize() -> onnx.ModelProto:
    nodes = [N("Resize", ["x", "", "s"], ["c"], mode="nearest")]
    x = constant("x", np.ones((1, 1, 2, 2)), np.float32)
    return _operand(nodes, [x, constant("s", [1, 1, 1e5, 1e5], np.float32)])


def _one_hot() -> onnx.ModelProto:
    nodes = [N("OneHot", ["i", "d", "v"], ["c"])]
    values = constant("v", [0, 1], np.float32)
    return _operand(nodes, [constant("i", np.arange(100)), constant("d", 10**10), values])


def _eye() -> onnx.ModelProto:
    nodes = [
        N("ConstantOfShape", ["n"], ["x"], value=_ones()),
        N("EyeLike", ["x"], ["c"]),
    ]
    return _operand(nodes, [constant("n", [200_000, 200_000])])


def _products() -> onnx.ModelProto:
    nodes = [
        N("ConstantOfShape", ["n"], ["q"], value=_ones()),
        N("MatMul", ["q", "q"], ["r"]),
        N("MatMul", ["r", "q"], ["c"]),
    ]
    return _operand(nodes, [constant("n", [3800, 3800])])


def _einsum() -> onnx.ModelProto:
    nodes = [
        N("ConstantOfShape", ["n"], ["q"], value=_ones()),
        N("Einsum", ["q", "q"], ["c"], equation="ab,cd->abcd"),
    ]
    return _operand(nodes, [constant("n", [1000, 1000])])


def _cumulated() -> onnx.ModelProto:
    nodes = [
        N("ConstantOfShape", ["n"], ["q"], value=_ones()),
        N("CumSum", ["q", "a"], ["c"]),
    ]
    return _operand(nodes, [constant("n", [2_000_000_000]), constant("a", 0)])


def _sparse() -> onnx.ModelProto:
    values = constant("c", [1], np.float32)
    tensor = helper.make_sparse_tensor(values, constant("i", [5]), [70_000, 70_000])
    return _operand([], sparse=[tensor])


def _strings() -> onnx.ModelProto:
    nodes = [
        N("Constant", [], ["s"], value_string="a" * 1000),
        N("Expand", ["s", "n"], ["e"]),
        N("Cast", ["e"], ["c"], to=TensorProto.FLOAT),
    ]
    return _operand(nodes, [constant("n", [100_000_000])])


def _loop(nodes: Sequence[NodeProto] = ()) -> NodeProto:
    """A loop without an end over a vector of two."""
    infos = [
        helper.make_tensor_value_info("it", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v", TensorProto.INT64, [2]),
    ]
    outs = [
        helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("w", TensorProto.INT64, [2]),
    ]
    inner = [*nodes, N("Identity", ["go"], ["on"]), N("Add", ["v", "one"], ["w"])]
    body = helper.make_graph(inner, "body", infos, outs, [constant("one", [1, 1])])
    return N("Loop", ["", "true", "v0"], ["l"], body=body)


_LOOPED = (constant("true", True, np.bool_), constant("v0", [0, 0]))


def _endless_loop() -> onnx.ModelProto:
    return _operand([_loop(), N("Cast", ["l"], ["c"], to=TensorProto.FLOAT)], _LOOPED)


def _loop_in_a_branch() -> onnx.ModelProto:
    result = helper.make_tensor_value_info("l", TensorProto.INT64, [2])
    branches = {
        f"{name}_branch": helper.make_graph([_loop()], name, [], [result])
        for name in ("then", "else")
    }
    nodes = [N("If", ["true"], ["b"], **branches), N("Cast", ["b"], ["c"], to=TensorProto.FLOAT)]
    return _operand(nodes, _LOOPED)


def _loop_in_a_function() -> onnx.ModelProto:
    function = _function(
        "looping",
        [_loop(), N("Cast", ["l"], ["b"], to=TensorProto.FLOAT)],
        ["true", "v0"],
    )
    return _operand(
        [N("looping", ["true", "v0"], ["c"], domain=LOCAL)], _LOOPED, functions=[function]
    )


def _function(
    name: str, nodes: Sequence[NodeProto], inputs: Sequence[str] = ("a",)
) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(LOCAL, 1)]
    return helper.make_function(LOCAL, name, list(inputs), ["b"], list(nodes), imports)


def _constant_in_a_function() -> onnx.ModelProto:
    made = [
        N("Constant", [], ["n"], value_ints=[4_000_000_000]),
        N("ConstantOfShape", ["n"], ["o"], value=_ones()),
        N("ReduceMean", ["o"], ["k"], keepdims=0),
        N("Mul", ["a", "k"], ["m"]),
        N("ReduceMean", ["m"], ["b"], axes=[2, 3]),
    ]
    return model([N("f", ["X"], ["Y"], domain=LOCAL)], functions=[_function("f", made)])


def _laughs() -> onnx.ModelProto:
    """Ten functions of ten calls of the next."""
    names = ["a", *(f"t{i}" for i in range(9)), "b"]
    functions = []
    for level in range(10):
        op, domain = (f"f{level + 1}", LOCAL) if level < 9 else ("Relu", "")
        calls = [N(op, [a], [b], domain=domain) for a, b in itertools.pairwise(names)]
        functions.append(_function(f"f{level}", calls))
    return _pooled_call("f0", functions)


def _pooled_call(name: str, functions: Sequence[onnx.FunctionProto]) -> onnx.ModelProto:
    nodes = [
        N(name, ["X"], ["r"], domain=LOCAL),
        N("ReduceMean", ["r"], ["Y"], axes=[2, 3], keepdims=1),
    ]
    return model(nodes, functions=functions)


def _attributes_that_multiply() -> onnx.ModelProto:
    """As `_laughs`; and no two calls of the last function are alike."""
    functions = []
    for level in range(8):
        known = [f"k{i}" for i in range(level)]
        calls, names = [], ["a", *(f"t{i}" for i in range(9)), "b"]
        for number, (a, b) in enumerate(itertools.pairwise(names)):
            last = level == 7
            call = N("Relu", [a], [b]) if last else N(f"f{level + 1}", [a], [b], domain=LOCAL)
            if not last:
                call.attribute.append(helper.make_attribute(f"k{level}", number))
            for name in known if not last else ():
                reference = onnx.AttributeProto(name=name, ref_attr_name=name)
                reference.type = onnx.AttributeProto.INT
                call.attribute.append(reference)
            calls.append(call)
        function = _function(f"f{level}", calls)
        function.attribute.extend(known)
        functions.append(function)
    return _pooled_call("f0", functions)


def _chain_of_functions() -> onnx.ModelProto:
    functions = [
        _function(f"f{i}", [N(f"f{i + 1}", ["a"], ["b"], domain=LOCAL)]) for i in range(2000)
    ]
    return _pooled_call("f0", [*functions, _function("f2000", [N("Relu", ["a"], ["b"])])])


def _many_functions() -> onnx.ModelProto:
    count = 1000
    functions = [_function(f"f{i}", [N("Relu", ["a"], ["b"])]) for i in range(count)]
    names = ["X", *(f"t{i}" for i in range(count))]
    calls = [N(f"f{i}", [names[i]], [names[i + 1]], domain=LOCAL) for i in range(count)]
    pool = N("ReduceMean", [names[-1]], ["Y"], axes=[2, 3], keepdims=1)
    return model([*calls, pool], functions=functions)


def _deep_branches() -> onnx.ModelProto:
    value = helper.make_tensor_value_info("b0", TensorProto.FLOAT, None)
    graph = helper.make_graph([N("Relu", ["X"], ["b0"])], "g", [], [value])
    for level in range(1, 20):
        value = helper.make_tensor_value_info(f"b{level}", TensorProto.FLOAT, None)
        branch = N("If", ["true"], [f"b{level}"], then_branch=graph, else_branch=graph)
        if level > 10:  # two branches each double the file
            other = helper.make_graph(
                [N("Relu", ["X"], [f"e{level}"])],
                "e",
                [],
                [helper.make_tensor_value_info(f"e{level}", TensorProto.FLOAT, None)],
            )
            branch = N("If", ["true"], [f"b{level}"], then_branch=graph, else_branch=other)
        graph = helper.make_graph([branch], "g", [], [value])
    nodes = [*graph.node, N("ReduceMean", [graph.output[0].name], ["Y"], axes=[2, 3])]
    return model(nodes, _LOOPED[:1])


def _bins(shape: Sequence[int | str]) -> onnx.ModelProto:
    """7 to 4, bin by bin, on the last axis."""
    bounds = ((0, 2), (1, 4), (3, 6), (5, 7))
    nodes, constants = [], [constant("axis", [len(shape) - 1])]
    for i, (start, end) in enumerate(bounds):
        constants += [constant(f"s{i}", [start]), constant(f"e{i}", [end])]
        nodes.append(N("Slice", ["X", f"s{i}", f"e{i}", "axis"], [f"t{i}"]))
        nodes.append(N("ReduceMean", [f"t{i}"], [f"r{i}"], axes=[len(shape) - 1], keepdims=1))
    nodes.append(N("Concat", [f"r{i}" for i in range(4)], ["Y"], axis=len(shape) - 1))
    return model(nodes, constants, shape=shape)


def _means(shape: Sequence[int | str]) -> onnx.ModelProto:
    """13 to 3, bin by bin, on the last axis: MatMul or AveragePool takes its place."""
    last = len(shape) - 1
    nodes, constants = [], [constant("axis", [last])]
    for i, (start, end) in enumerate(((0, 5), (4, 9), (8, 13))):
        constants += [constant(f"s{i}", [start]), constant(f"e{i}", [end])]
        nodes.append(N("Slice", ["X", f"s{i}", f"e{i}", "axis"], [f"t{i}"]))
        nodes.append(N("ReduceMean", [f"t{i}"], [f"r{i}"], axes=[last], keepdims=1))
    nodes.append(N("Concat", [f"r{i}" for i in range(3)], ["Y"], axis=last))
    return model(nodes, constants, shape=shape)


def _doubled(count: int) -> onnx.ModelProto:
    """Each node adds what it reads to itself: every one begins a region that ends in the pool."""
    names = ["X", *(f"t{i}" for i in range(count))]
    nodes = [N("Add", [a, a], [b]) for a, b in itertools.pairwise(names)]
    return model([*nodes, N("ReduceMean", [names[-1]], ["Y"], axes=[2, 3], keepdims=1)])


def _repeated_on_the_path() -> onnx.ModelProto:
    nodes = [
        N("Tile", ["X", "n"], ["a"]),
        N("ReduceMean", ["a"], ["b"], axes=[2], keepdims=1),
        N("ReduceMean", ["b"], ["Y"], axes=[3], keepdims=1),
    ]
    return model(nodes, [constant("n", [1, 1, 100_000, 100_000])])


def _computed_bound() -> onnx.ModelProto:
    """A slice whose start is the greatest of as many zeros as the height times 10^9."""
    nodes = [
        N("Shape", ["X"], ["s"]),
        N("Gather", ["s", "two"], ["h"]),
        N("Mul", ["h", "many"], ["q"]),
        N("Expand", ["zero", "q"], ["z"]),
        N("ReduceMax", ["z"], ["start"]),
        N("Slice", ["X", "start", "end", "axis"], ["a"]),
        N("ReduceMean", ["a"], ["Y"], axes=[3], keepdims=1),
    ]
    numbers = {"two": [2], "many": [10**9], "zero": [0], "end": [5], "axis": [3]}
    constants = [constant(name, value) for name, value in numbers.items()]
    return model(nodes, constants, shape=["N", 4, "H", "W"])


def _scan_in_a_scan() -> onnx.ModelProto:
    def info(name: str, shape: Sequence[int | None] = ()) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    results = [info("t"), info("y")]
    inner = helper.make_graph(
        [N("Add", ["s", "x"], ["t"]), N("Identity", ["t"], ["y"])],
        "inner",
        [info("s"), info("x")],
        results,
    )
    outer = helper.make_graph(
        [N("Scan", ["s", "xs"], ["t", "ys"], body=inner, num_scan_inputs=1), _copy("t", "y")],
        "outer",
        [info("s"), info("xs", [None])],
        results,
    )
    nodes = [
        N("Expand", ["one", "n"], ["e"]),
        N("Scan", ["zero", "e"], ["q", "c"], body=outer, num_scan_inputs=1),
    ]
    one, zero = constant("one", [[1]], np.float32), constant("zero", 0, np.float32)
    return _operand(nodes, [one, zero, constant("n", [100_000, 100_000])])


def _copy(source: str, target: str) -> NodeProto:
    return N("Identity", [source], [target])


def _many_slices() -> onnx.ModelProto:
    count = 2000
    nodes = [
        N("Slice", ["X", f"s{i % 13}", f"s{i % 13 + 1}", "a"], [f"p{i}"]) for i in range(count)
    ]
    nodes.append(N("Concat", [f"p{i}" for i in range(count)], ["c"], axis=3))
    nodes.append(N("ReduceMean", ["c"], ["Y"], axes=[3], keepdims=1))
    return model(nodes, [constant("a", [3]), *(constant(f"s{i}", [i]) for i in range(14))])


def _huge_plane() -> onnx.ModelProto:
    nodes = [
        N("ReduceMean", ["X"], ["a"], axes=[3], keepdims=1),
        N("ReduceMean", ["a"], ["Y"], axes=[2], keepdims=1),
    ]
    return model(nodes, shape=[1, 64, 2**31 - 1, 2**31 - 1])


BOMBS: dict[str, Callable[[], onnx.ModelProto]] = {
    "constant_of_shape": _constant_of_shape,
    "computed_shape": _computed_shape,
    "range": lambda: _range(np.int64),
    "range_of_floats": lambda: _range(np.float32),
    "tile": _tile,
    "pad": _pad,
    "resize": _resize,
    "one_hot": _one_hot,
    "eye": _eye,
    "products": _products,
    "einsum": _einsum,
    "cumulated": _cumulated,
    "sparse": _sparse,
    "strings": _strings,
    "endless_loop": _endless_loop,
    "loop_in_a_branch": _loop_in_a_branch,
    "loop_in_a_function": _loop_in_a_function,
    "constant_in_a_function": _constant_in_a_function,
    "laughs": _laughs,
    "attributes_that_multiply": _attributes_that_multiply,
    "chain_of_functions": _chain_of_functions,
    "many_functions": _many_functions,
    "deep_branches": _deep_branches,
    "huge_batch": lambda: _bins([10**9, 4, 7]),
    "empty_batch": lambda: _bins([0, 4, 7]),
    "huge_plane": _huge_plane,
    "huge_batch_of_means": lambda: _means([10**9, 4, 13, 13]),
    "huge_channels": lambda: _means([1, 2**62, 13, 13]),
    "huge_kept_axis": lambda: _means([1, 4, 10**8, 13]),
    "large_kept_axis": lambda: _means([1, 64, 40_000, 13]),
    "no_channels": lambda: _means([1, 0, 13, 13]),
    "no_positions": lambda: _means([1, 4, 0, 13]),
    "doubled": lambda: _doubled(1000),
    "repeated_on_the_path": _repeated_on_the_path,
    "computed_bound": _computed_bound,
    "scan_in_a_scan": _scan_in_a_scan,
    "many_slices": _many_slices,
}
