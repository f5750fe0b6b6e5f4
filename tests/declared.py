"""Do the declared shapes of a model agree with what it computes?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxpool.rewrites.graph.run import Runner


def assert_true(model: onnx.ModelProto, shapes: Sequence[Sequence[int]], seed: int = 0) -> None:
    """Run `model`, of one input, at `shapes`; compare every value_info and output that it declares.

    A symbol stands for one number in all of a run.
    """
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    outputs = {value.name for value in seen.graph.output}
    seen.graph.output.extend(v for v in seen.graph.value_info if v.name not in outputs)
    declared = [_dims(value) for value in seen.graph.output]
    for value in seen.graph.output:
        value.type.tensor_type.ClearField("shape")
    del seen.graph.value_info[:]
    runner = Runner(seen)
    (x,) = model.graph.input
    for shape in shapes:
        drawn = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        symbols: dict[str, int] = {}
        _compare(x.name, _dims(x), drawn, symbols)
        for value, dims, found in zip(
            seen.graph.output, declared, runner({x.name: drawn}), strict=True
        ):
            _compare(value.name, dims, found, symbols)


def _dims(value: onnx.ValueInfoProto) -> list[int | str | None] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [
        d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim
    ]


def _compare(
    name: str, dims: list[int | str | None] | None, found: NDArray[Any], symbols: dict[str, int]
) -> None:
    if dims is None:
        return
    wanted = [
        symbols.setdefault(dim, length) if isinstance(dim, str) else length if dim is None else dim
        for dim, length in zip(dims, found.shape, strict=True)
    ]
    assert wanted == list(found.shape), f"{name} is declared as {dims}, with {symbols}"
