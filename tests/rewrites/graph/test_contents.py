"""Contents that are alike have one number; each thing by which a result may differ has its own."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from onnxpool.rewrites.graph.contents import Contents

F = np.dtype(np.float32)


class Block:
    """Conv, Slice, Sub, Div by what nodes compute of constants; names of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.x = gs.Variable(f"{name}/x", F, [1, 4, 9, 9])
        self.y = gs.Variable(f"{name}/y", F)
        self.weight = gs.Constant(f"{name}/w", np.ones((4, 1, 3, 3), np.float32))
        self.ends = gs.Constant(f"{name}/ends", np.array([5]))
        self.three = gs.Constant(f"{name}/three", np.array([3.0], np.float32))
        conv, part, rest, scale = (gs.Variable(f"{name}/{n}", F) for n in "abcd")
        starts = gs.Variable(f"{name}/starts", np.dtype(np.int64))
        value = gs.Constant("", np.array([1]))
        self.conv = gs.Node("Conv", f"{name}/Conv", {"group": 4}, [self.x, self.weight], [conv])
        self.constant = gs.Node("Constant", "", {"value": value}, [], [starts])
        self.slice = gs.Node("Slice", "", {}, [conv, starts, self.ends], [part])
        self.split = gs.Node("Split", "", {"axis": 1}, [part], [rest, gs.Variable(f"{name}/e", F)])
        self.root = gs.Node("Sqrt", "", {}, [self.three], [scale])
        self.div = gs.Node("Div", "", {}, [rest, scale], [self.y])
        self.nodes = [self.conv, self.slice, self.split, self.div]

    def key(self, contents: Contents) -> Hashable | None:
        return contents.key(self.nodes, [self.x], [self.y])


def test_blocks_that_are_alike_have_one_key() -> None:
    contents = Contents()
    key = Block("one").key(contents)
    assert key is not None
    assert key == Block("two").key(contents)


def _attribute(b: Block) -> None:
    b.conv.attrs["group"] = 2


def _type_of_an_attribute(b: Block) -> None:
    b.conv.attrs["group"] = 4.0


def _further_attribute(b: Block) -> None:
    b.conv.attrs["strides"] = [1, 1]


def _op(b: Block) -> None:
    b.div.op = "Mul"


def _domain(b: Block) -> None:
    b.conv.domain = "local"


def _order(b: Block) -> None:
    b.div.inputs = [b.div.inputs[1], b.div.inputs[0]]


def _other_output(b: Block) -> None:
    b.div.inputs = [b.split.outputs[1], b.div.inputs[1]]


def _further_input(b: Block) -> None:
    b.conv.inputs.append(gs.Constant("bias", np.zeros(4, np.float32)))


def _left_out_input(b: Block) -> None:
    b.slice.inputs.append(gs.Variable.empty())


def _value(b: Block) -> None:
    b.weight.values = np.full((4, 1, 3, 3), 2, np.float32)


def _one_unit_in_the_last_place(b: Block) -> None:
    b.three.values = np.nextafter(b.three.values, np.float32(9))


def _sign_of_zero(b: Block) -> None:
    b.weight.values = b.weight.values * np.float32(-0.0)


def _shape(b: Block) -> None:
    b.three.values = np.array(3, np.float32)


def _dtype(b: Block) -> None:
    b.ends.values = np.array([5], np.int32)


def _computed_constant(b: Block) -> None:
    b.root.op = "Exp"


def _value_in_a_node(b: Block) -> None:
    b.constant.attrs["value"] = gs.Constant("", np.array([2]))


CHANGES = (
    _attribute,
    _type_of_an_attribute,
    _further_attribute,
    _op,
    _domain,
    _order,
    _other_output,
    _further_input,
    _left_out_input,
    _value,
    _one_unit_in_the_last_place,
    _sign_of_zero,
    _shape,
    _dtype,
    _computed_constant,
    _value_in_a_node,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_has_a_key_of_its_own(change: object) -> None:
    contents = Contents()
    one, two = Block("one"), Block("two")
    assert callable(change)
    change(two)
    assert one.key(contents) != two.key(contents)


def test_two_outputs_of_one_block_are_two_things() -> None:
    contents, block = Contents(), Block("one")
    first = contents.key(block.nodes, [block.x], [block.split.outputs[0]])
    assert first != contents.key(block.nodes, [block.x], [block.split.outputs[1]])


def test_what_reads_something_else_or_draws_at_random_has_no_key() -> None:
    contents, block = Contents(), Block("one")
    block.div.inputs = [block.div.inputs[0], gs.Variable("elsewhere", F)]
    assert block.key(contents) is None
    block = Block("two")
    block.root.op = "RandomNormalLike"
    assert block.key(contents) is None


def test_a_node_with_a_body_has_no_number() -> None:
    node = gs.Node("If", "", {"then_branch": gs.Graph()}, [], [gs.Variable("y")])
    assert Contents().node(node) is None
