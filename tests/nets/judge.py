"""At which sizes the models of a net are right; the judge is its PyTorch module.

    exported      torch.onnx.export with open sizes
    rewritten     that, by onnxpool.rewrite without a hint
    traced size   by onnxpool.rewrite that is told the shapes of the example
    reference     by onnxpool.rewrite that is given the module
    export        onnxpool.export of the module

A size that the module refuses does not count. An output may be as far from float64's as a small
multiple of what the module's own float32 is: far below what a wrong window makes.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import onnxpool
from tests.exports import quiet
from tests.nets.net import Net, Size

Array = NDArray[Any]
Outcome = Literal["right", "wrong", "fails"]
Outcomes = dict[Size, Outcome]

WAYS = ("exported", "rewritten", "traced size", "reference", "export")
_TIMES = 16
_LEAST = 1e-6
"""Of the greatest output: one rounding or two of float32."""


def judge(net: Net) -> dict[str, Outcomes]:
    """Per way, what becomes of each size that the module takes."""
    module = net.module()
    wanted = {size: found for size in net.sizes if (found := outputs(module, net, size))}
    return {
        way: {size: _outcome(run, net, size, *both) for size, both in wanted.items()}
        for way, run in _runners(net, module).items()
    }


def outputs(module: nn.Module, net: Net, size: Size) -> tuple[Array, float] | None:
    """The output in float64, and how far one may be from it; None: the module refuses."""
    inputs = list(net.inputs(size).values())
    try:
        with torch.no_grad(), quiet():
            own = module(*inputs).double()
            exact = copy.deepcopy(module).double()(*map(_double, inputs))
    except (RuntimeError, ValueError, IndexError):
        return None
    bound = _TIMES * (own - exact).abs().max() + _LEAST * exact.abs().max()
    return exact.numpy(), float(bound)


def exported(net: Net, module: nn.Module) -> onnx.ModelProto:
    with quiet():
        program = torch.onnx.export(
            module,
            _example(net),
            dynamo=True,
            input_names=list(net.inputs(net.sizes[0])),
            dynamic_shapes=_dynamic(net, torch.export.Dim.DYNAMIC),
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _runners(net: Net, module: nn.Module) -> dict[str, Callable[[Sequence[Array]], Array]]:
    model = exported(net, module)
    traced = {name: tuple(x.shape) for name, x in net.inputs(net.sizes[0]).items()}
    models = (
        model,
        onnxpool.rewrite(model).model,
        onnxpool.rewrite(model, traced_sizes=traced).model,
        onnxpool.rewrite(model, reference=module).model,
        _exported_whole(net, module),
    )
    return dict(zip(WAYS, map(_runner, models), strict=True))


def _exported_whole(net: Net, module: nn.Module) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        shapes = _dynamic(net, torch.export.Dim.AUTO)
        onnxpool.export(module, _example(net), path, dynamic_shapes=shapes)
        return onnx.load(path)


def _example(net: Net) -> tuple[Tensor, ...]:
    return tuple(net.inputs(net.sizes[0]).values())


def _dynamic(net: Net, dim: Any) -> tuple[dict[int, Any], ...]:
    axes = net.axes()
    return tuple(dict.fromkeys(axes.get(name, ()), dim) for name in net.inputs(net.sizes[0]))


def _runner(model: onnx.ModelProto) -> Callable[[Sequence[Array]], Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in session.get_inputs()]
    return lambda values: session.run(None, dict(zip(names, values, strict=True)))[0]


def _outcome(
    run: Callable[[Sequence[Array]], Array], net: Net, size: Size, wanted: Array, bound: float
) -> Outcome:
    try:
        found = run([x.numpy() for x in net.inputs(size).values()])
    except Exception:  # Of several classes that onnxruntime does not export.
        return "fails"
    same = found.shape == wanted.shape and bool((np.abs(found - wanted) <= bound).all())
    return "right" if same else "wrong"


def _double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x
