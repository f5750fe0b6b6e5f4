"""Ways to damage a model file: its bytes, the fields of its messages, or what they mean.

Each takes a random generator and a model, and returns the bytes of a file. `DAMAGES` lists them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import AttributeProto, GraphProto, TensorProto

Rng = np.random.Generator
Damage = Callable[[Rng, onnx.ModelProto], bytes]

INTEGERS = (0, 1, -1, 2, 3, 7, 255, 10**6, 10**9, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63 - 1)
"""With which 2 of them, or 3, overflow what they are multiplied or added in."""

FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))

NAMES = (
    "",
    " ",
    "X",
    "Y",
    "a\0b",
    "\x1b[31mred\x1b[0m",
    "two\nlines\r",
    "back\b\b\b\x7f",
    "\u202egnitirw",
    "[bold]markup[/bold] [/]",
    "∞→é",
    "../../etc/passwd",
    "/dev/zero",
    "{}%s%n$(id)",
    "n" * 5000,
)

_MARK = "@" * 8
_NOT_UTF8 = b"\xff\xfe\xc0\xaf\xed\xa0\x80@"


def _serialized(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString())


# The bytes of the file.


def truncate(rng: Rng, model: onnx.ModelProto) -> bytes:
    data = _serialized(model)
    return data[: int(rng.integers(len(data)))]


def flip_bits(rng: Rng, model: onnx.ModelProto) -> bytes:
    data = bytearray(_serialized(model))
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def overwrite(rng: Rng, model: onnx.ModelProto) -> bytes:
    data = bytearray(_serialized(model))
    start, end = _range(rng, len(data), 16)
    data[start:end] = rng.bytes(end - start)
    return bytes(data)


def remove_bytes(rng: Rng, model: onnx.ModelProto) -> bytes:
    data = _serialized(model)
    start, end = _range(rng, len(data), 64)
    return data[:start] + data[end:]


def repeat_bytes(rng: Rng, model: onnx.ModelProto) -> bytes:
    data = _serialized(model)
    start, end = _range(rng, len(data), 256)
    return data[:end] + data[start:end] * int(rng.integers(1, 4)) + data[end:]


def append(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Behind it bytes, unknown fields, itself: protobuf merges what comes twice."""
    data = _serialized(model)
    unknown = b"\xc2\x3e\x05\x00\x01\x02\x03\x04"
    return data + _pick(
        rng, (rng.bytes(8), unknown, data, b"\x00", b"\x3b", data[len(data) // 2 :])
    )


def _range(rng: Rng, size: int, longest: int) -> tuple[int, int]:
    start = int(rng.integers(size))
    return start, min(size, start + int(rng.integers(1, longest + 1)))


# The fields of the messages, whatever they mean.


def change_fields(rng: Rng, model: onnx.ModelProto) -> bytes:
    """One to three fields somewhere: a number, a text, a message, gone, twice, elsewhere."""
    for _ in range(int(rng.integers(1, 4))):
        _change_field(rng, _pick(rng, list(_messages(model))))
    return _without_utf8(rng, model)


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                yield from _messages(each)


def _change_field(rng: Rng, message: Message) -> None:
    known = list(message.DESCRIPTOR.fields)
    used = [field for field, _ in message.ListFields()]
    field = _pick(rng, used if used and rng.random() < 0.7 else known)
    if field.is_repeated:
        _change_repeated(rng, field, getattr(message, field.name))
    elif rng.random() < 0.2:
        message.ClearField(field.name)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
        others = list(_messages(getattr(message, field.name)))
        _change_field(rng, _pick(rng, others))
    else:
        setattr(message, field.name, _value(rng, field))


def _change_repeated(rng: Rng, field: FieldDescriptor, values: Any) -> None:
    is_message = field.type == FieldDescriptor.TYPE_MESSAGE
    if not values or rng.random() < 0.15:
        values.add() if is_message else values.append(_value(rng, field))
        return
    place = int(rng.integers(len(values)))
    kind = int(rng.integers(5))
    if kind == 0:
        del values[place]
    elif kind == 1:
        values.extend([copy.deepcopy(values[place])] * int(rng.integers(1, 3)))
    elif kind == 2:
        kept = list(copy.deepcopy(list(values)))
        del values[:]
        values.extend(kept[i] for i in rng.permutation(len(kept)))
    elif is_message:
        _change_field(rng, values[place])
    else:
        values[place] = _value(rng, field)


def _value(rng: Rng, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
            return _pick(rng, FLOATS)
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return rng.bytes(int(rng.integers(20)))
            return _MARK if rng.random() < 0.1 else _pick(rng, NAMES)
        case FieldDescriptor.CPPTYPE_ENUM:
            return _pick(rng, sorted(field.enum_type.values_by_number))
        case FieldDescriptor.CPPTYPE_INT32:
            return int(np.clip(_pick(rng, INTEGERS), -(2**31), 2**31 - 1))
        case FieldDescriptor.CPPTYPE_UINT64:
            return abs(_pick(rng, INTEGERS))
    return _pick(rng, INTEGERS)


def _without_utf8(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Serialized, with texts that protobuf would not take in their place."""
    return _serialized(model).replace(_MARK.encode(), _NOT_UTF8)


# What the messages mean.


def dims(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Lengths and numbers of axes that nothing has."""
    kinds: list[list[Any]] = [[], []]
    for message in _messages(model):
        if isinstance(message, TensorProto | onnx.SparseTensorProto):
            kinds[0].append(message)
        elif isinstance(message, onnx.TensorShapeProto):
            kinds[1].append(message)
    holders = _pick(rng, [kind for kind in kinds if kind])
    holder = _pick(rng, holders)
    if isinstance(holder, onnx.TensorShapeProto):
        if not holder.dim or rng.random() < 0.3:
            holder.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=2) for _ in range(9))
        _pick(rng, holder.dim).dim_value = _pick(rng, INTEGERS)
    elif holder.dims and rng.random() < 0.7:
        holder.dims[int(rng.integers(len(holder.dims)))] = _pick(rng, INTEGERS)
    else:
        holder.dims.extend(_pick(rng, INTEGERS) for _ in range(int(rng.integers(1, 70))))
    return _serialized(model)


def attribute_types(rng: Rng, model: onnx.ModelProto) -> bytes:
    """A value of another type, a type without a value, a value without a type."""
    attributes = [m for m in _messages(model) if isinstance(m, AttributeProto)]
    if not attributes:
        return change_fields(rng, model)
    attribute = _pick(rng, attributes)
    match int(rng.integers(4)):
        case 0:
            attribute.type = int(rng.integers(15))
        case 1:
            attribute.ClearField("type")
        case 2:
            name = attribute.name
            value = _pick(rng, (1, -3, 1.5, "text", [1, 2], [0.5], ["a", b"\xff"], [10**12] * 3))
            attribute.CopyFrom(onnx.helper.make_attribute(name, value))
        case _:
            attribute.ref_attr_name = _pick(rng, ("axes", "no such", ""))
    return _serialized(model)


def attribute_values(rng: Rng, model: onnx.ModelProto) -> bytes:
    attributes = [m for m in _messages(model) if isinstance(m, AttributeProto)]
    if not attributes:
        return change_fields(rng, model)
    attribute = _pick(rng, attributes)
    attribute.i = _pick(rng, INTEGERS)
    attribute.f = _pick(rng, FLOATS)
    for place in range(len(attribute.ints)):
        if rng.random() < 0.5:
            attribute.ints[place] = _pick(rng, INTEGERS)
    if rng.random() < 0.3:
        attribute.ints.extend([_pick(rng, INTEGERS)] * int(rng.integers(1, 5)))
    return _serialized(model)


def stored_values(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Too few, too many, of another type, in the wrong field, elsewhere."""
    tensors = [m for m in _messages(model) if isinstance(m, TensorProto)]
    if not tensors:
        return change_fields(rng, model)
    tensor = _pick(rng, tensors)
    match int(rng.integers(7)):
        case 0:
            tensor.raw_data = rng.bytes(int(rng.integers(40)))
        case 1:
            tensor.data_type = int(rng.integers(-1, 30))
        case 2:
            tensor.int64_data.extend(_pick(rng, INTEGERS) for _ in range(3))
        case 3:
            tensor.int32_data.extend([-1, 2**31 - 1])
        case 4:
            for field in ("raw_data", "int64_data", "float_data", "int32_data"):
                tensor.ClearField(field)
        case 5:
            array = onnx.numpy_helper.to_array
            try:
                values = array(tensor).astype(np.int64)
            except (TypeError, ValueError, KeyError, OSError, onnx.checker.ValidationError):
                return change_fields(rng, model)
            for place in range(values.size):
                values.flat[place] = _pick(rng, INTEGERS)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        case _:
            _make_external(rng, tensor)
    return _serialized(model)


def _make_external(rng: Rng, tensor: TensorProto) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    values = {
        "location": (
            ".",
            "..",
            "",
            "/etc/passwd",
            "in.onnx",
            "weights.bin",
            "no",
            "a\0",
            "n" * 300,
        ),
        "offset": ("0", "-1", "4", str(2**63), "x", "٣", "1" * 5000),
        "length": ("0", "-1", "96", str(2**64), "", "0x10"),
    }
    for key, choices in values.items():
        if rng.random() < 0.8:
            tensor.external_data.add(key=key, value=_pick(rng, choices))


def wiring(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Cycles, values made twice or by nobody, inputs that are missing, too many, or the output."""
    graphs = [m for m in _messages(model) if isinstance(m, GraphProto | onnx.FunctionProto)]
    graphs = [graph for graph in graphs if graph.node]
    graph = _pick(rng, graphs)
    node = _pick(rng, graph.node)
    known = [name for each in graph.node for name in (*each.input, *each.output)]
    match int(rng.integers(8)):
        case 0:
            node.input.append(_pick(rng, known))
        case 1 if node.input:
            node.input[int(rng.integers(len(node.input)))] = _pick(rng, (*known, "", "nobody"))
        case 2 if node.input:
            del node.input[-1]
        case 3 if node.output:
            node.output[0] = _pick(rng, (*known, "", "X"))
        case 4:
            del node.output[:]
        case 5:
            node.output.append(_pick(rng, ("", "more", node.output[0] if node.output else "")))
        case 6:
            kept = [copy.deepcopy(each) for each in graph.node]
            del graph.node[:]
            graph.node.extend(kept[i] for i in rng.permutation(len(kept)))
        case _:
            last = graph.node[-1].output
            if node.input and last:
                node.input[0] = last[0]
    return _serialized(model)


def names(rng: Rng, model: onnx.ModelProto) -> bytes:
    """One name is another, wherever it stands: control characters, no UTF-8, long, empty."""
    found = sorted(
        {
            value
            for message in _messages(model)
            for field, held in message.ListFields()
            if field.type == FieldDescriptor.TYPE_STRING
            for value in (held if field.is_repeated else (held,))
        }
    )
    old, new = _pick(rng, found), _MARK if rng.random() < 0.2 else _pick(rng, NAMES)
    for message in list(_messages(model)):
        for field, held in message.ListFields():
            if field.type != FieldDescriptor.TYPE_STRING:
                continue
            if not field.is_repeated:
                if held == old:
                    setattr(message, field.name, new)
                continue
            for place, value in enumerate(held):
                if value == old:
                    held[place] = new
    return _without_utf8(rng, model)


def versions(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Opsets, IR versions and domains that are not, or twice."""
    match int(rng.integers(4)):
        case 0:
            model.ir_version = _pick(rng, (*INTEGERS, *range(1, 14)))
        case 1 if model.opset_import:
            _pick(rng, model.opset_import).version = _pick(rng, (*INTEGERS, *range(1, 30)))
        case 2:
            domain = _pick(rng, (*NAMES, "onnxpool", "ai.onnx", "ai.onnx.ml"))
            model.opset_import.add(domain=domain, version=_pick(rng, INTEGERS))
        case _:
            nodes = [m for m in _messages(model) if isinstance(m, onnx.NodeProto)]
            _pick(rng, nodes).domain = _pick(rng, (*NAMES, "onnxpool", "ai.onnx", "ai.onnx.ml"))
    return _serialized(model)


def ops(rng: Rng, model: onnx.ModelProto) -> bytes:
    """A node becomes another op, or one is put in between."""
    node = _pick(rng, [m for m in _messages(model) if isinstance(m, onnx.NodeProto)])
    others = sorted({schema.name for schema in onnx.defs.get_all_schemas()})
    node.op_type = _pick(rng, (*others, "AdaptiveAveragePool", "PyramidPool", "GeMPool"))
    if rng.random() < 0.3:
        node.domain = "onnxpool"
    return _serialized(model)


def nesting(rng: Rng, model: onnx.ModelProto) -> bytes:
    """Bodies, types or calls, one in the other, up to more than protobuf reads."""
    depth = int(_pick(rng, (3, 10, 20, 30, 32, 45, 60, 100, 150, 1000)))
    match int(rng.integers(3)):
        case 0:
            return _nested_branches(model, depth)
        case 1:
            return _nested_types(rng, model, depth)
    return _nested_calls(rng, model, depth)


def _nested_branches(model: onnx.ModelProto, depth: int) -> bytes:
    made = model.graph.node[-1].output[0]
    output = _field(12, onnx.ValueInfoProto(name=made).SerializeToString())
    other = onnx.helper.make_node("Constant", [], [made], value_float=1.0)
    nodes = b"".join(_field(1, node.SerializeToString()) for node in model.graph.node)
    for _ in range(depth):
        branches = {
            b"then_branch": nodes + output,
            b"else_branch": _field(1, other.SerializeToString()) + output,
        }
        head = onnx.NodeProto(op_type="If", input=["deep_go"], output=[made]).SerializeToString()
        bodies = (
            _field(1, name) + _field(6, graph + _field(2, b"deep")) + _GRAPH_TYPE
            for name, graph in branches.items()
        )
        nodes = _field(1, head + b"".join(_field(5, body) for body in bodies))
    flag = onnx.helper.make_tensor("deep_go", TensorProto.BOOL, [], [True])
    model.graph.initializer.append(flag)
    del model.graph.node[:]
    return _serialized(model) + _field(7, nodes)


def _nested_types(rng: Rng, model: onnx.ModelProto, depth: int) -> bytes:
    name = _pick(rng, model.graph.node).output[0].encode()
    kind = _field(1, b"\x08\x01")
    for _ in range(depth):
        kind = _field(_pick(rng, (4, 9)), _field(1, kind))
    place = int(_pick(rng, (11, 12, 13)))
    return _serialized(model) + _field(7, _field(place, _field(1, name) + _field(2, kind)))


def _field(number: int, content: bytes) -> bytes:
    """A field of a message with `content`, as protobuf writes it; it may nest too deep to read."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


_GRAPH_TYPE = b"\xa0\x01\x05"
"""Field 20 of an attribute: it is a graph."""


def _nested_calls(rng: Rng, model: onnx.ModelProto, depth: int) -> bytes:
    """A chain of functions; it may end in itself."""
    imports = [onnx.helper.make_opsetid("deep", 1), *model.opset_import]
    last = _pick(rng, ("f0", f"f{depth - 1}", ""))
    for level in range(depth):
        following = f"f{level + 1}" if level + 1 < depth else last
        call = onnx.helper.make_node(
            following or "Relu", ["x"], ["y"], domain="deep" if following else ""
        )
        model.functions.append(
            onnx.helper.make_function("deep", f"f{level}", ["x"], ["y"], [call], imports)
        )
    model.opset_import.add(domain="deep", version=1)
    node = _pick(rng, model.graph.node)
    del node.attribute[:], node.input[1:], node.output[1:]
    node.op_type, node.domain = "f0", "deep"
    return _serialized(model)


def _pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


DAMAGES: tuple[Damage, ...] = (
    truncate,
    flip_bits,
    overwrite,
    remove_bytes,
    repeat_bytes,
    append,
    change_fields,
    dims,
    attribute_types,
    attribute_values,
    stored_values,
    wiring,
    names,
    versions,
    ops,
    nesting,
)
