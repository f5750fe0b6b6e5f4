"""Shape inference in the main graph, in bodies and in functions, declared or not."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from onnxpool.errors import ModelError
from onnxpool.model.file import ModelFile
from onnxpool.model.scope import Scope
from onnxpool.model.shapes import infer
from onnxpool.ops.op import is_confirmed

Dims = Sequence[int | str | None] | None
Edit = Callable[[onnx.ModelProto], object]

HEAD = '<ir_version: 9, opset_import: ["" : 17, "d" : 1]>'
FUNCTION = '<domain: "d", opset_import: ["" : 17, "d" : 1]>'


def inferred(text: str, edit: Edit = lambda proto: None, folder: Path | None = None) -> ModelFile:
    """Shapes and dtypes per tensor, per scope; the proto must not change."""
    proto = parser.parse_model(text)
    edit(proto)
    model_file = ModelFile.from_proto(proto, folder)
    before = model_file.proto.SerializeToString(deterministic=True)
    infer(model_file)
    assert model_file.proto.SerializeToString(deterministic=True) == before
    return model_file


def shapes(scope: Scope) -> dict[str, Dims]:
    tensors = [*scope.graph.inputs, *(t for n in scope.graph.nodes for t in n.outputs)]
    return {tensor.name: tensor.shape for tensor in tensors}


def dtypes(scope: Scope) -> dict[str, Any]:
    return {t.name: t.dtype for node in scope.graph.nodes for t in node.outputs}


def scope_of(model_file: ModelFile, name: str) -> Scope:
    return next(scope for scope in model_file.scopes if scope.name.startswith(name))


def test_main_graph_without_value_info() -> None:
    main = inferred(f"""{HEAD}
        g (float[N,2,8,8] x) => (float[a,b,c,d] y) <int64[4] size = {{0, 1, 16, 8}}> {{
            s = Shape(x)
            r = Reshape(x, size)
            y = ReduceMean <axes = [2, 3]> (r)
        }}
    """).main
    assert shapes(main) == {
        "x": ("N", 2, 8, 8),
        "s": (4,),
        "r": ("N", 1, 16, 8),
        "y": ("N", 1, 1, 1),
    }
    assert dtypes(main) == {"s": np.int64, "r": np.float32, "y": np.float32}


def declare(name: str, elem_type: int, shape: Dims) -> Edit:
    def edit(proto: onnx.ModelProto) -> None:
        proto.graph.value_info.append(helper.make_tensor_value_info(name, elem_type, shape))

    return edit


@pytest.mark.parametrize("declared", [[5, 6], [2, 4, 4], ["N", "M"], [None, 4], [None, 7], None])
def test_what_follows_from_the_inputs_holds_whatever_is_declared(declared: Dims) -> None:
    text = f"{HEAD} g (float[2,4] x) => (float[2,4] y) {{ r = Relu(x)  y = Abs(r) }}"
    assert shapes(inferred(text, declare("r", TensorProto.FLOAT, declared)).main)["r"] == (2, 4)


@pytest.mark.parametrize("declared", [[5, 6], [2, 4, 4], [None, 7]])
def test_where_nothing_follows_a_declared_number_is_taken(declared: list[int | None]) -> None:
    text = f"{HEAD} g (float[2,4] x) => (y) {{ r = d.Unknown(x)  y = Abs(r) }}"
    main = inferred(text, declare("r", TensorProto.FLOAT, declared)).main
    assert shapes(main)["r"] == shapes(main)["y"] == tuple(declared)


def test_a_declared_symbol_is_confirmed_where_it_follows_from_the_inputs() -> None:
    text = f"""{HEAD} g (float[N,4,H,W] x) => (y) {{
        r = Relu(x)  p = MaxPool<kernel_shape=[2,2]>(r)  y = Abs(p)
    }}"""

    def edit(proto: onnx.ModelProto) -> None:
        declare("r", TensorProto.FLOAT, ["N", 4, "H", "V"])(proto)
        declare("p", TensorProto.FLOAT, ["N", 4, "H", "W"])(proto)

    main = inferred(text, edit).main
    confirmed = {n: [is_confirmed(d) for d in shape] for n, shape in shapes(main).items() if shape}
    assert confirmed["r"] == [True, False, True, True]
    # The kernel makes H and W other sizes than those of x, whatever is declared.
    assert confirmed["p"] == confirmed["y"] == [True, False, False, False]


ATEN = (
    '<ir_version: 8, opset_import: ["" : 17, "org.pytorch.aten" : 1]>'
    "g (float[N,3,H,W] x, float[5,3,3,3] w) => (y)"
)


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("p = org.pytorch.aten.adaptive_avg_pool2d(r, s)", (None, 5, 6, 7)),
        ('p = org.pytorch.aten.ATen<operator="adaptive_avg_pool2d">(r, s)', (None, 5, 6, 7)),
        ("p, i = org.pytorch.aten.adaptive_max_pool2d(r, s)", (None, 5, 6, 7)),
        ("p = org.pytorch.aten.adaptive_avg_pool2d(r, c)", (None, 5, 6, None)),
        # The rank of r is found in a first round, so only then what the kernel is.
        ("p = org.pytorch.aten.avg_pool2d(r, k)", (None, 5, 1, 1)),
        ("p = org.pytorch.aten.avg_pool2d(r, s)", None),
        ("p = org.pytorch.aten.grid_sampler(r, s)", None),
    ],
)
def test_shapes_behind_pooling_of_pytorch(nodes: str, shape: Dims) -> None:
    main = inferred(f"""{ATEN} {{
        r = Conv(x, w)
        s = Constant<value_ints=[6,7]>()  six = Constant<value_ints=[6]>()  z = Shape(r)
        k = Shape<start=-2>(r)  t = Constant<value_ints=[3]>()  l = Gather(z, t)
        h = Div(l, t)  c = Concat<axis=0>(six, h)
        {nodes}
        y = Relu(p)
    }}""").main
    found = shapes(main)["y"]
    expected = shape and ("N", *shape[1:])
    assert found == expected


def test_sizes_declared_behind_pooling_of_pytorch_are_those_of_the_trace() -> None:
    def edit(proto: onnx.ModelProto) -> None:
        declare("p", TensorProto.FLOAT, [1, 3, 6, 7])(proto)
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 126])
        proto.graph.output[0].CopyFrom(output)

    main = inferred(
        f"""{ATEN} {{
        s = Constant<value_ints=[6,7]>()
        p = org.pytorch.aten.adaptive_avg_pool2d(x, s)
        y = Flatten(p)
    }}""",
        edit,
    ).main
    assert shapes(main)["p"] == ("N", 3, 6, 7)
    assert shapes(main)["y"] == ("N", 126)


def test_a_stale_dtype_does_not_stop_the_rest() -> None:
    text = f"{HEAD} g (float[2,4] x) => (float[2,4] y) {{ r = Relu(x)  s = Abs(x)  y = Add(r, s) }}"
    main = inferred(text, declare("r", TensorProto.INT64, [2, 4])).main
    assert dtypes(main)["r"] == np.int64
    assert shapes(main)["s"] == (2, 4)


def test_unknown_ops_leave_unknown_shapes() -> None:
    main = inferred(f"{HEAD} g (float[2] x) => (y) {{ r = d.Unknown(x)  y = Relu(r) }}").main
    assert shapes(main) == {"x": (2,), "r": None, "y": None}


def test_symbols_that_onnx_makes_up_are_not_shown() -> None:
    main = inferred(f"""{HEAD} g (float[2,4] x, float[2,4] z) => (y) {{
        n = NonZero(x)  m = NonZero(z)  y = Identity(m)
    }}""").main
    assert shapes(main)["n"] == (2, None)
    assert shapes(main)["m"] == (2, None)


@pytest.mark.parametrize("external", [False, True])
def test_small_tensors_keep_their_values(tmp_path: Path, external: bool) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        size = onnx.numpy_helper.from_array(np.array([4, 16], np.int64), "size")
        if external:
            (tmp_path / "size.bin").write_bytes(size.raw_data)
            size.ClearField("raw_data")
            size.data_location = TensorProto.EXTERNAL
            size.external_data.add(key="location", value="size.bin")
        proto.graph.initializer.append(size)

    text = f"{HEAD} g (float[8,8] x) => (y) {{ r = Reshape(x, size)  y = Relu(r) }}"
    assert shapes(inferred(text, edit, tmp_path).main)["y"] == (4, 16)


def test_large_weights_are_only_shapes(tmp_path: Path) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4096, 4096])
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="w.bin")
        proto.graph.initializer.append(weight)
        with (tmp_path / "w.bin").open("wb") as file:
            file.truncate(4096 * 4096 * 4)

    text = f"{HEAD} g (float[2,4096] x) => (y) {{ r = MatMul(x, w)  y = Relu(r) }}"
    assert shapes(inferred(text, edit, tmp_path).main)["y"] == (2, 4096)


class TestBodies:
    def test_if_sees_tensors_and_constants_around_it(self) -> None:
        model_file = inferred(f"""{HEAD}
            g (bool c, float[1,2,8,8] x) => (y)
            <int64[2] flat = {{2, 64}}> {{
                k = Constant <value = int64[3] {{4, 4, 8}}> ()
                r = Relu(x)
                y = If (c) <
                    then_branch = t () => (t1) {{ t0 = Reshape(r, flat)  t1 = Relu(t0) }},
                    else_branch = e () => (e1) {{
                        e1 = If (c) <
                            then_branch = tt () => (tt1) {{ tt1 = Reshape(r, k) }},
                            else_branch = ee () => (ee1) {{ ee1 = Transpose(x) }}
                        >
                    }}
                >
            }}
        """)
        assert shapes(scope_of(model_file, "then_branch of If node 'y'"))["t1"] == (2, 64)
        assert shapes(scope_of(model_file, "then_branch of If node 'e1'"))["tt1"] == (4, 4, 8)
        assert shapes(scope_of(model_file, "else_branch of If node 'e1'"))["ee1"] == (8, 8, 2, 1)

    def test_an_overridable_initializer_is_no_constant(self) -> None:
        model_file = inferred(f"""{HEAD}
            g (bool c, float[8,8] x, int64[2] size) => (y) <int64[2] size = {{4, 16}}> {{
                y = If (c) <
                    then_branch = t () => (t1) {{ t1 = Reshape(x, size) }},
                    else_branch = e () => (e1) {{ e1 = Relu(x) }}
                >
            }}
        """)
        assert shapes(scope_of(model_file, "then_branch"))["t1"] == (None, None)

    def test_loop(self) -> None:
        body = scope_of(
            inferred(f"""{HEAD}
            g (int64 n, bool c, float[2,8] x) => (y, z) {{
                y, z = Loop(n, c, x) <
                    body = b (i, cond_in, carried) => (cond_out, next, scanned) {{
                        cond_out = Identity(cond_in)
                        next = Concat <axis = 0> (carried, carried)
                        scanned = Relu(x)
                        count = Identity(i)
                    }}
                >
            }}
        """),
            "body",
        )
        assert shapes(body) == {
            "i": (),
            "cond_in": (),
            "carried": None,
            "cond_out": (),
            "next": None,
            "scanned": (2, 8),
            "count": (),
        }
        assert dtypes(body)["count"] == np.int64
        assert dtypes(body)["next"] == np.float32

    def test_a_declared_carried_shape_holds(self) -> None:
        body = scope_of(
            inferred(f"""{HEAD}
            g (int64 n, bool c, float[2,8] x) => (y) {{
                y = Loop(n, c, x) <
                    body = b (int64 i, bool cond_in, float[2,8] carried) => (cond_out, next) {{
                        cond_out = Identity(cond_in)
                        next = Relu(carried)
                    }}
                >
            }}
        """),
            "body",
        )
        assert shapes(body)["next"] == (2, 8)

    @pytest.mark.parametrize(("axes", "shape"), [("", (3, 4)), (", scan_input_axes=[1]", (2, 4))])
    def test_scan(self, axes: str, shape: Dims) -> None:
        body = scope_of(
            inferred(f"""{HEAD}
            g (float[5] s, float[2,3,4] x) => (y, z) {{
                y, z = Scan(s, x) <
                    num_scan_inputs = 1{axes},
                    body = b (state, element) => (next, out) {{
                        next = Relu(state)
                        out = Abs(element)
                    }}
                >
            }}
        """),
            "body",
        )
        assert shapes(body) == {"state": None, "element": shape, "next": None, "out": shape}
        assert dtypes(body)["next"] == np.float32


class TestFunctions:
    def test_types_come_from_the_calls(self) -> None:
        model_file = inferred(f"""{HEAD}
            g (float[2,8] x) => (y) {{ a = d.outer(x)  b = Relu(x)  y = d.outer(b) }}
            {FUNCTION} outer (p) => (q) {{ r = Transpose(p)  q = d.inner(r) }}
            {FUNCTION} inner (s) => (t) {{ t = Relu(s) }}
        """)
        inner = scope_of(model_file, "function d::inner")
        assert shapes(inner) == {"s": (8, 2), "t": (8, 2)}
        assert inner.shape_note is None
        assert shapes(model_file.main)["y"] == (8, 2)

    @pytest.mark.parametrize("order", [1, -1])
    def test_different_shapes_are_noted(self, order: int) -> None:
        def edit(proto: onnx.ModelProto) -> None:
            functions = list(proto.functions)[::order]
            copies = [onnx.FunctionProto.FromString(f.SerializeToString()) for f in functions]
            del proto.functions[:]
            proto.functions.extend(copies)

        model_file = inferred(
            f"""{HEAD}
            g (float[2,8] x, float[3] z) => (y, w) {{ y = d.outer(x)  w = d.outer(z) }}
            {FUNCTION} outer (p) => (q) {{ r = Neg(p)  q = d.inner(r) }}
            {FUNCTION} inner (s) => (t) {{ t = Relu(s) }}
        """,
            edit,
        )
        for name, tensor in (("outer", "r"), ("inner", "t")):
            scope = scope_of(model_file, f"function d::{name}")
            assert scope.shape_note == "called with different shapes"
            assert shapes(scope)[tensor] is None
            assert dtypes(scope)[tensor] == np.float32

    def test_a_function_that_is_never_called(self) -> None:
        model_file = inferred(f"""{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}
            {FUNCTION} f (p) => (q) {{ q = Relu(p) }}""")
        assert scope_of(model_file, "function").shape_note == "never called"

    @pytest.mark.parametrize(
        ("first", "second", "shape"),
        [("<axis = 1>", "<axis = 1>", (2, 16)), ("<axis = 1>", "<axis = 0>", None)],
    )
    def test_attributes_come_from_the_calls_if_they_agree(
        self, first: str, second: str, shape: Dims
    ) -> None:
        model_file = inferred(f"""{HEAD}
            g (float[2,8] x) => (y, z) {{ y = d.f {first} (x)  z = d.f {second} (x) }}
            {FUNCTION} f <axis> (p) => (q) {{
                r = Concat <axis: int = @axis> (p, p)
                q = Relu(r)
            }}
        """)
        assert shapes(scope_of(model_file, "function"))["q"] == shape

    @pytest.mark.parametrize(("call", "shape"), [("", (4, 8)), ("<axis = 1>", (2, 16))])
    def test_attributes_have_defaults(self, call: str, shape: Dims) -> None:
        model_file = inferred(f"""{HEAD}
            g (float[2,8] x) => (y) {{ y = d.f {call} (x) }}
            {FUNCTION} f <axis: int = 0> (p) => (q) {{ q = Concat <axis: int = @axis> (p, p) }}
        """)
        assert shapes(scope_of(model_file, "function"))["q"] == shape

    def test_attributes_in_bodies_and_calls_of_functions(self) -> None:
        model_file = inferred(f"""{HEAD}
            g (bool c, float[2,8] x) => (y) {{ y = d.outer <a = 1> (c, x) }}
            {FUNCTION} outer <a> (c, p) => (q) {{
                q = If (c) <
                    then_branch = t () => (t1) {{ t1 = Concat <axis: int = @a> (p, p) }},
                    else_branch = e () => (e1) {{ e1 = d.inner <axis: int = @a> (p) }}
                >
            }}
            {FUNCTION} inner <axis> (s) => (t) {{ t = Concat <axis: int = @axis> (s, s, s) }}
        """)
        assert shapes(scope_of(model_file, "then_branch"))["t1"] == (2, 16)
        assert shapes(scope_of(model_file, "function d::inner"))["t"] == (2, 24)

    def test_a_recursive_function_is_no_endless_loop(self) -> None:
        text = f"""{HEAD} g (float[2] x) => (float[2] y) {{ y = d.f(x) }}
            {FUNCTION} f (p) => (q) {{ q = d.f(p) }}"""
        with contextlib.suppress(ModelError):
            inferred(text)


def test_shapes_follow_from_what_nodes_compute_of_constants() -> None:
    main = inferred(f"""{HEAD}
        g (float[N,2,13] x) => (float[a,b,c,d,e] y) {{
            six = Constant <value_int = 6> ()
            none = Constant <value_int = 0> ()
            one = Constant <value_float = 1.4> ()
            first = Identity(none)
            step = CastLike(one, six)
            bins = Range(first, six, step)
            sizes = Shape(bins)
            twice = Concat <axis = 0> (sizes, sizes)
            plane = ConstantOfShape(twice)
            axis = Sub(step, six)
            axes = Unsqueeze(axis, none)
            four = Constant <value_ints = [4, 1]> ()
            wide = Add(axes, four)
            z = Unsqueeze(x, wide)
            y = Add(z, z)
        }}
    """).main
    found = shapes(main)
    assert found["bins"] == (6,)
    assert found["plane"] == (6, 6)
    assert found["y"] == ("N", 1, 2, 13, 1)


def test_an_initializer_that_is_an_input_is_not_known() -> None:
    main = inferred(f"""{HEAD}
        g (float[N,2,13] x, int64 n) => (float[a] y) <int64 n = {{6}}> {{
            one = Constant <value_int = 1> ()
            none = Constant <value_int = 0> ()
            m = Identity(n)
            y = Range(none, m, one)
        }}
    """).main
    assert shapes(main)["y"] == ("a",)


@pytest.mark.parametrize(
    ("x", "target", "y"),
    [
        ("N,2,12,12", (-1, 2, 3, 4, 3, 4), ("N", 2, 3, 4, 3, 4)),
        ("N,2,12,12", (-1, 24, 0), ("N", 24, 12)),
        ("2,3,N,4", (2, 3, -1, 2, 2), (2, 3, "N", 2, 2)),
        ("N,2,12,12", (-1, 2, 72), (None, 2, 72)),
        ("N,2,12,12", (2, -1, 12, 12), (2, None, 12, 12)),
        ("N,M,12", (-1, 4, 3), (None, 4, 3)),
    ],
)
def test_a_reshape_that_keeps_an_open_axis(x: str, target: tuple[int, ...], y: Dims) -> None:
    sizes = ", ".join(map(str, target))
    main = inferred(f"""{HEAD}
        g (float[{x}] x) => (float y) <int64[{len(target)}] t = {{{sizes}}}> {{
            r = Reshape(x, t)
            y = Relu(r)
        }}
    """).main
    assert shapes(main)["r"] == y


def test_names_that_inference_made_up_are_no_claims() -> None:
    text = f"""{HEAD}
        g (float[N,3,8] x) => (float y) <int64[2] flat = {{-1, 8}}, int64[3] back = {{-1, 2, 4}}> {{
            r = Reshape(x, flat)
            y = Reshape(r, back)
        }}
    """
    proto = onnx.shape_inference.infer_shapes(parser.parse_model(text))
    (value,) = proto.graph.value_info
    assert value.type.tensor_type.shape.dim[0].dim_param.startswith("unk__")
    model_file = ModelFile.from_proto(proto)
    infer(model_file)
    assert shapes(model_file.main)["r"] == (None, 8)
    assert shapes(model_file.main)["y"] == (None, 2, 4)
