"""The corpus that the passes are tested on: torch exports, hand-written graphs and look-alikes.

`CASES` is the whole table; a test parametrises over it and asks `load` for the model:

    model, reference = load(case)
    case.expected               the pools in the model, and `case.lifted`, those no single node does
    case.sample(rng)            an input
    reference(x)                the outputs that the model should have, computed in x's dtype

Models are exported when they are first asked for, once in a test run, and parsed anew for each
caller, who may change them.
"""

import contextlib
import copy
import dataclasses
import functools
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import onnx
import pytest
import torch
from _pytest.mark import ParameterSet
from numpy.typing import NDArray
from torch import Tensor, nn

from models import (
    adaptive,
    attention,
    avgmax,
    gem,
    power_average,
    pyconv,
    pyramid,
    spatial_pyramid,
)
from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op
from onnxpool.ops.windows import windows

Array = NDArray[Any]
Reference = Callable[[Array], tuple[Array, ...]]
Exporter = Literal["dynamo", "torchscript", "torchscript_fallthrough"]


@dataclasses.dataclass(frozen=True)
class Pool:
    """A construct in a model, as one op of the dialect.

    Attributes:
        op: the op, its output size in numbers (a kept axis by its size). The levels of a pyramid
            are listed as pools of their own.
        p: the exponents of a GeMPool.
        indices: whether the Indices of an AdaptiveMaxPool are used.
        native: whether standard nodes do it already, as well as it can be done: one AveragePool,
            MaxPool, Global or Reduce node, and those that find the indices of its maxima.
    """

    op: Op
    p: tuple[float, ...] = ()
    indices: bool = False
    native: bool = False

    def __call__(self, x: Array) -> tuple[Array, ...]:
        """The outputs of the op alone."""
        outputs = self.op.reference(x, *([np.array(self.p, x.dtype)] if self.p else []))
        return outputs if self.indices else outputs[:1]


def average(*output_size: int, native: bool = False) -> Pool:
    return Pool(AdaptiveAveragePool(output_size), native=native)


def maximum(*output_size: int, indices: bool = False, native: bool = False) -> Pool:
    return Pool(AdaptiveMaxPool(output_size), indices=indices, native=native)


def generalised(*output_size: int, p: tuple[float, ...], epsilon: float | None = 1e-6) -> Pool:
    return Pool(GeMPool(output_size, epsilon), p=p)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model of the corpus.

    Attributes:
        name: unique in the corpus.
        shape: the shape of the model's one input, which is called "X".
        expected: the pools in the model, in the order of its outputs or levels. A pool to 1 of a
            single slice is not listed.
        bare: the model's outputs are those of `expected`, and nothing else happens in it.
        positive: the model is meant for positive input only.
    """

    name: str
    shape: tuple[int, ...]
    expected: tuple[Pool, ...]
    _: dataclasses.KW_ONLY
    dtype: str = "float32"
    bare: bool = True
    positive: bool = False

    @property
    def lifted(self) -> tuple[Pool, ...]:
        """The pools that no single node does; where there is none, a rewrite changes nothing."""
        return tuple(pool for pool in self.expected if not pool.native)

    @property
    def runnable(self) -> bool:
        """Whether ONNX Runtime takes the model as it is."""
        return True

    def sample(self, rng: np.random.Generator) -> Array:
        x = rng.standard_normal(self.shape).astype(self.dtype)
        return np.abs(x) + x.dtype.type(0.1) if self.positive else x

    def model(self) -> onnx.ModelProto:
        raise NotImplementedError

    def reference(self) -> Reference | None:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Export(Case):
    """A module of `build`, seeded, through one of torch's exporters."""

    build: Callable[[], nn.Module]
    exporter: Exporter = "dynamo"
    dynamic_batch: bool = False

    @property
    def runnable(self) -> bool:
        return self.exporter != "torchscript_fallthrough"

    def module(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().eval().to(getattr(torch, self.dtype))

    def model(self) -> onnx.ModelProto:
        with quiet():
            return self._dynamo() if self.exporter == "dynamo" else self._torchscript()

    def _example(self) -> tuple[Tensor]:
        return (torch.zeros(self.shape, dtype=getattr(torch, self.dtype)),)

    def _dynamo(self) -> onnx.ModelProto:
        program = torch.onnx.export(
            self.module(),
            self._example(),
            dynamo=True,
            input_names=["X"],
            dynamic_shapes=({0: torch.export.Dim("N")},) if self.dynamic_batch else None,
            verbose=False,
        )
        assert program is not None
        return program.model_proto

    def _torchscript(self) -> onnx.ModelProto:
        types = torch.onnx.OperatorExportTypes
        fallthrough = self.exporter == "torchscript_fallthrough"
        buffer = io.BytesIO()
        torch.onnx.export(
            self.module(),
            self._example(),
            buffer,
            dynamo=False,
            input_names=["X"],
            dynamic_axes={"X": {0: "N"}} if self.dynamic_batch else None,
            operator_export_type=types.ONNX_FALLTHROUGH if fallthrough else types.ONNX,
            verbose=False,
        )
        return onnx.load_from_string(buffer.getvalue())

    def reference(self) -> Reference:
        module = self.module()

        def run(x: Array) -> tuple[Array, ...]:
            tensor = torch.from_numpy(x)
            with torch.no_grad():
                outputs = copy.deepcopy(module).to(tensor.dtype)(tensor)
            return tuple(y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,)))

        return run


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what torch's exporters say about themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logger.setLevel(level)


class Graph:
    """A graph under construction: each call adds a node and returns the name of its output.

    The input is "X"; arrays become initializers.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, op_type: str, *inputs: str | Array, **attributes: Any) -> str:
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op_type, names, [output], output, **attributes))
        return output

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(self, shape: tuple[int, ...], *outputs: str) -> onnx.ModelProto:
        info = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self.nodes,
            "main",
            [info("X", onnx.TensorProto.FLOAT, shape)],
            [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
        )
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


@dataclasses.dataclass(frozen=True)
class HandWritten(Case):
    """A graph that `build` writes, from a `Graph` and the input's shape, returning the outputs."""

    build: Callable[[Graph, tuple[int, ...]], tuple[str, ...]]

    def model(self) -> onnx.ModelProto:
        graph = Graph()
        return graph.model(self.shape, *self.build(graph, self.shape))

    def reference(self) -> Reference | None:
        if not self.expected:
            return None
        return lambda x: tuple(y for pool in self.expected for y in pool(x))


@functools.cache
def _serialized(case: Case) -> bytes:
    return case.model().SerializeToString()


def parameters(cases: Iterable[Case]) -> list[ParameterSet]:
    """For pytest.mark.parametrize: all tests of a case on one worker, which exports it once."""
    return [pytest.param(c, id=c.name, marks=pytest.mark.xdist_group(c.name)) for c in cases]


def load(case: Case) -> tuple[onnx.ModelProto, Reference | None]:
    """The model of a case, and what it should compute: None for a hand-written look-alike."""
    return onnx.load_from_string(_serialized(case)), case.reference()


# Modules that are no construct of models/: spellings of one, and things that only look like one.


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(x)


class GeMMaximum(gem.GeM):
    """The clamp spelled as a maximum of two tensors."""

    def forward(self, x: Tensor) -> Tensor:
        p = self.exponent()
        return self.mean(torch.maximum(x, torch.tensor(self.epsilon)).pow(p)).pow(1.0 / p)


class GeMUnclamped(gem.GeM):
    def forward(self, x: Tensor) -> Tensor:
        p = self.exponent()
        return self.mean(x.pow(p)).pow(1.0 / p)


class BlurPool(nn.Module):
    """Zhang: Making Convolutional Networks Shift-Invariant Again, ICML 2019: binomial, stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(binomial, binomial).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return nn.functional.conv2d(padded, self.kernel, stride=2, groups=x.size(1))


class AttentionPool(nn.Module):
    """A weighted mean over the positions, the weights a softmax of the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).flatten(2).softmax(-1)
        return (x.flatten(2) * weights).sum(-1)[..., None, None]


def channel_attention_input(x: Tensor) -> Tensor:
    """CBAM's spatial attention pools the channels."""
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)


def classifier() -> nn.Module:
    """A convolution, a pool between AlexNet's feature map and its classifier, a linear layer."""
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(5),
        nn.Flatten(),
        nn.Linear(200, 3),
    )


def avg2d(size: int | tuple[int, int]) -> Callable[[], nn.Module]:
    return lambda: nn.AdaptiveAvgPool2d(size)


def max2d(size: int, return_indices: bool = False) -> Callable[[], nn.Module]:
    return lambda: nn.AdaptiveMaxPool2d(size, return_indices=return_indices)


def function(of: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> Callable[[], nn.Module]:
    return lambda: Function(of)


def full_window(pool: Callable[..., Tensor]) -> Callable[[], nn.Module]:
    return function(lambda x: pool(x, (x.size(-2), x.size(-1))))


def learned_gem(of: type[gem.GeM] = gem.GeM, **options: Any) -> Callable[[], nn.Module]:
    return lambda: of(gem.learned(*P), **options)


P = (2.87,)
PER_CHANNEL = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
SOFTPLUS = (1 + math.log1p(math.exp(1.5)),)

MAP, EVEN, BATCH = (1, 8, 13, 13), (1, 8, 12, 12), (2, 8, 13, 13)
AVERAGE_TO_1 = (average(1, 1, native=True),)
MAXIMUM_TO_1 = (maximum(1, 1, native=True),)
MAXIMUM_INDICES = (maximum(6, 6, indices=True, native=True),)
PYRAMID = (average(1, 1, native=True), average(2, 2), average(3, 3, native=True), average(6, 6))

f = nn.functional

AVERAGES = (
    Export("avg_to_1", MAP, AVERAGE_TO_1, avg2d(1)),
    Export("avg_to_1_mean", MAP, AVERAGE_TO_1, adaptive.global_average),
    Export("avg_to_1_full_window", MAP, AVERAGE_TO_1, full_window(f.avg_pool2d)),
    Export("avg_divisible", EVEN, (average(6, 6, native=True),), avg2d(6)),
    Export("avg_equal_13_6", MAP, (average(6, 6),), avg2d(6)),
    Export("avg_unequal_7_4", (1, 8, 7, 7), (average(4, 4),), avg2d(4)),
    Export("avg_unequal_60_9", (1, 4, 60, 60), (average(9, 9),), avg2d(9)),
    Export("avg_unequal_65_6", (1, 4, 65, 65), (average(6, 6),), avg2d(6)),
    Export("avg_equal_by_unequal", (1, 4, 13, 7), (average(6, 4),), avg2d((6, 4))),
    Export("avg_divisible_by_equal", (1, 4, 12, 13), (average(6, 6),), avg2d(6)),
    Export("avg_equal_by_1", (1, 4, 13, 7), (average(6, 1),), avg2d((6, 1))),
    Export("avg_keep", (1, 8, 13, 17), (average(3, 17),), adaptive.adaptive_avg_2d_keep),
    Export("avg_upwards", (1, 4, 5, 5), (average(9, 9),), avg2d(9)),
    Export("avg_dynamic_batch_unequal", BATCH, (average(5, 5),), avg2d(5), dynamic_batch=True),
    Export("avg_unbatched_equal", (8, 13, 13), (average(6, 6),), avg2d(6)),
    Export("avg_unbatched_unequal", (4, 7, 7), (average(4, 4),), avg2d(4)),
    Export("avg_float16", (1, 4, 7, 7), (average(4, 4),), avg2d(4), dtype="float16"),
    Export("avg_float64", (1, 4, 7, 7), (average(4, 4),), avg2d(4), dtype="float64"),
    Export(
        "avg_area",
        MAP,
        (average(6, 6),),
        function(lambda x: f.interpolate(x, size=(6, 6), mode="area")),
    ),
    Export(
        "avg_merged",
        MAP,
        (average(6, 6),),
        function(lambda x: (f.adaptive_avg_pool2d(x, 6) * 2, f.adaptive_avg_pool2d(x, 6) + 1)),
        bare=False,
    ),
    Export(
        "avg_shared_transpose",
        MAP,
        (average(6, 6), average(5, 5)),
        function(lambda x: (f.adaptive_avg_pool2d(x, 6), f.adaptive_avg_pool2d(x, 5))),
    ),
    Export(
        "avg_chained",
        (1, 4, 15, 15),
        (average(7, 7), average(4, 4)),
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.AdaptiveAvgPool2d(4)),
        bare=False,
    ),
    Export("avg_classifier", (1, 4, 13, 13), (average(5, 5),), classifier, bare=False),
    Export("avg_1d_to_1", (1, 8, 13), (average(1),), lambda: nn.AdaptiveAvgPool1d(1)),
    Export("avg_1d_divisible", (1, 8, 12), (average(6),), adaptive.adaptive_avg_1d),
    Export("avg_1d_equal", (1, 8, 13), (average(6),), adaptive.adaptive_avg_1d),
    Export("avg_1d_unequal", (1, 8, 7), (average(4),), lambda: nn.AdaptiveAvgPool1d(4)),
    Export("avg_1d_unbatched", (8, 7), (average(4),), lambda: nn.AdaptiveAvgPool1d(4)),
    Export(
        "avg_3d_to_1",
        (1, 4, 5, 7, 9),
        (average(1, 1, 1, native=True),),
        lambda: nn.AdaptiveAvgPool3d(1),
    ),
)

MAXIMA = (
    Export("max_to_1", MAP, MAXIMUM_TO_1, max2d(1)),
    Export("max_divisible", EVEN, (maximum(6, 6, native=True),), max2d(6)),
    Export("max_to_1_indices", MAP, (maximum(1, 1, indices=True, native=True),), max2d(1, True)),
    Export("max_divisible_indices", EVEN, MAXIMUM_INDICES, max2d(6, True)),
    Export("max_1d_divisible", (1, 8, 12), (maximum(6),), adaptive.adaptive_max_1d),
    Export(
        "max_3d_divisible",
        (1, 4, 4, 6, 9),
        (maximum(2, 3, 9, native=True),),
        adaptive.adaptive_max_3d,
    ),
)

GEMS = (
    Export("gem_fixed", MAP, (generalised(1, 1, p=(3.0,)),), gem.gem_fixed),
    Export("gem_learned", MAP, (generalised(1, 1, p=P),), gem.gem),
    Export("gem_per_channel", MAP, (generalised(1, 1, p=PER_CHANNEL),), gem.gem_per_channel),
    Export("gem_divisible", EVEN, (generalised(3, 3, p=P),), learned_gem(output_size=3)),
    Export("gem_equal", MAP, (generalised(3, 3, p=(3.0,)),), gem.gem_sized),
    Export("gem_unequal", MAP, (generalised(5, 5, p=P),), learned_gem(output_size=5)),
    Export("gem_full_window", MAP, (generalised(1, 1, p=P),), gem.gem_full_window),
    Export("gem_flat", MAP, (generalised(1, 1, p=P),), gem.gem_flat),
    Export("gem_softplus", MAP, (generalised(1, 1, p=SOFTPLUS),), gem.gem_softplus),
    Export("gem_maximum", MAP, (generalised(1, 1, p=P),), learned_gem(GeMMaximum)),
    Export(
        "gem_unclamped",
        MAP,
        (generalised(1, 1, p=P, epsilon=None),),
        learned_gem(GeMUnclamped),
        positive=True,
    ),
    Export(
        "gem_float16",
        MAP,
        (generalised(1, 1, p=(3.0,), epsilon=1e-2),),
        lambda: gem.GeM(3.0, epsilon=1e-2),
        dtype="float16",
    ),
)

NETWORKS = (
    Export("ppm", (1, 16, 33, 33), PYRAMID, pyramid.ppm, bare=False),
    Export(
        "ppm_dynamic_batch",
        (2, 16, 33, 33),
        PYRAMID,
        pyramid.ppm,
        dynamic_batch=True,
        bare=False,
    ),
    Export("ppm_bottleneck", (1, 8, 33, 33), PYRAMID, pyramid.ppm_bottleneck, bare=False),
    Export("pyconv_global", (1, 16, 20, 20), (average(9, 9),), pyconv.pyconv_global, bare=False),
    Export(
        "linear_attention",
        (1, 16, 16, 16),
        (average(7, 7),),
        attention.linear_attention,
        bare=False,
    ),
    Export("avgmax", MAP, (*AVERAGE_TO_1, *MAXIMUM_TO_1), avgmax.avgmax, bare=False),
    Export(
        "spp_divisible",
        EVEN,
        (maximum(4, 4, native=True), maximum(2, 2, native=True), *MAXIMUM_TO_1),
        spatial_pyramid.spp_divisible,
        bare=False,
    ),
)

TORCHSCRIPT = (
    Export("ts_avg_to_1", MAP, AVERAGE_TO_1, avg2d(1), "torchscript"),
    Export("ts_avg_divisible", EVEN, (average(6, 6, native=True),), avg2d(6), "torchscript"),
    Export(
        "ts_avg_3d_divisible",
        (1, 4, 4, 6, 9),
        (average(2, 3, 9, native=True),),
        lambda: nn.AdaptiveAvgPool3d((2, 3, 9)),
        "torchscript",
    ),
    Export("ts_max_to_1", MAP, MAXIMUM_TO_1, max2d(1), "torchscript"),
    Export("ts_max_divisible_indices", EVEN, MAXIMUM_INDICES, max2d(6, True), "torchscript"),
    Export("ts_gem", MAP, (generalised(1, 1, p=P),), gem.gem, "torchscript"),
    Export("ts_gem_divisible", EVEN, (generalised(3, 3, p=(3.0,)),), gem.gem_sized, "torchscript"),
    Export(
        "ts_gem_full_window", MAP, (generalised(1, 1, p=P),), gem.gem_full_window, "torchscript"
    ),
    Export(
        "ts_gem_per_channel_dynamic_batch",
        BATCH,
        (generalised(1, 1, p=PER_CHANNEL),),
        gem.gem_per_channel,
        "torchscript",
        dynamic_batch=True,
    ),
    Export("aten_avg", MAP, (average(6, 6),), avg2d(6), "torchscript_fallthrough"),
    Export("aten_max", MAP, (maximum(6, 6),), max2d(6), "torchscript_fallthrough"),
    Export(
        "aten_max_indices",
        MAP,
        (maximum(6, 6, indices=True),),
        max2d(6, True),
        "torchscript_fallthrough",
    ),
)

EXPORTS: tuple[Export, ...] = (*AVERAGES, *MAXIMA, *GEMS, *NETWORKS, *TORCHSCRIPT)


# Pools that no exporter writes this way.


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def cut(g: Graph, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    return g("Slice", x, ints(start), ints(end), ints(axis), ints(step))


def reduced(g: Graph, x: str, axis: int, window: int, op_type: str) -> str:
    """The window, which `x` is, by a Reduce node, or by the pool of that kernel."""
    if op_type.startswith("Reduce"):
        return g(op_type, x, axes=[axis], keepdims=1)
    kernel = [window if spatial == axis else 1 for spatial in (2, 3)]
    return g(op_type, x, kernel_shape=kernel)


def separable(g: Graph, shape: tuple[int, ...], sizes: tuple[int, ...], op_type: str) -> list[str]:
    """Axis after axis: slice each window, reduce it, concatenate. Returns what each axis left."""
    outputs = ["X"]
    for axis, size in enumerate(sizes, start=2):
        bins = [
            reduced(g, cut(g, outputs[-1], axis, w.start, w.end), axis, w.length, op_type)
            for w in windows(shape[axis], size)
        ]
        outputs.append(g("Concat", *bins, axis=axis))
    return outputs[1:]


def per_bin(
    g: Graph, shape: tuple[int, ...], size: int, pool: Callable[[str], str]
) -> tuple[str, ...]:
    """Slice each two-dimensional window, pool it to 1x1, concatenate rows, then the plane."""
    rows = []
    for h in windows(shape[2], size):
        strip = cut(g, "X", 2, h.start, h.end)
        bins = [pool(cut(g, strip, 3, w.start, w.end)) for w in windows(shape[3], size)]
        rows.append(g("Concat", *bins, axis=3))
    return (g("Concat", *rows, axis=2),)


def phases(g: Graph, shape: tuple[int, ...], size: int, op_type: str) -> tuple[str, ...]:
    """The windows repeat every size/gcd outputs: one strided pool for each, interleaved."""
    x, dims = "X", list(shape)
    for axis in (2, 3):
        repeats = math.gcd(dims[axis], size)
        stride = dims[axis] // repeats
        pools = []
        for window in windows(dims[axis], size)[: size // repeats]:
            kernel = [window.length if a == axis else 1 for a in (2, 3)]
            strides = [stride if a == axis else 1 for a in (2, 3)]
            part = cut(g, x, axis, window.start, dims[axis])
            pool = g(op_type, part, kernel_shape=kernel, strides=strides)
            pools.append(g("Unsqueeze", pool, ints(axis + 1)))
        dims[axis] = size
        x = g("Reshape", g("Concat", *pools, axis=axis + 1), ints(*dims))
    return (x,)


def unrolled(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The mean of a plane as dynamo unrolls a window: two Gathers and an Add per position."""
    rows = [g("Gather", "X", ints(i), axis=2) for i in range(shape[2])]
    cells = [g("Gather", row, ints(j), axis=3) for row in rows for j in range(shape[3])]
    total = functools.reduce(lambda a, b: g("Add", a, b), cells)
    return (g("Div", total, np.array(len(cells), np.float32)),)


def averaging(length: int, size: int) -> Array:
    """``(size, length)``: row i averages window i."""
    matrix = np.zeros((size, length), np.float32)
    for row, window in zip(matrix, windows(length, size), strict=True):
        row[window.start : window.end] = 1 / window.length
    return matrix


def two_matmuls(g: Graph, shape: tuple[int, ...], rows: Array, columns: Array) -> tuple[str, ...]:
    return (g("MatMul", g("MatMul", rows, "X"), columns.T),)


def kronecker(g: Graph, shape: tuple[int, ...], size: int) -> tuple[str, ...]:
    matrix = np.kron(averaging(shape[2], size), averaging(shape[3], size)).T
    flat = g("Reshape", "X", ints(*shape[:2], shape[2] * shape[3]))
    return (g("Reshape", g("MatMul", flat, matrix), ints(*shape[:2], size, size)),)


def depthwise(g: Graph, shape: tuple[int, ...], kernel: Array, stride: int) -> tuple[str, ...]:
    weights = np.tile(kernel.astype(np.float32), (shape[1], 1, 1, 1))
    return (g("Conv", "X", weights, strides=[stride, stride], group=shape[1]),)


def reshaped_mean(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    split = g("Reshape", "X", ints(*shape[:2], 6, shape[2] // 6, 6, shape[3] // 6))
    return (g("ReduceMean", split, axes=[3, 5], keepdims=0),)


SMALL = (1, 4, 7, 7)

HALVING = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
"""ResNet's stem. Where padding does not count, it is adaptive pooling of an odd size."""

HAND_WRITTEN: tuple[HandWritten, ...] = (
    HandWritten("unrolled_mean", (1, 2, 34, 34), (average(1, 1),), unrolled),
    HandWritten(
        "separable_mean",
        (1, 4, 13, 7),
        (average(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "ReduceMean")[-1],),
    ),
    HandWritten(
        "separable_average_pool",
        (1, 4, 13, 7),
        (average(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "AveragePool")[-1],),
    ),
    HandWritten(
        "separable_mean_1d",
        (1, 4, 7),
        (average(4),),
        lambda g, s: (separable(g, s, (4,), "ReduceMean")[-1],),
    ),
    HandWritten(
        "separable_mean_3d",
        (1, 2, 5, 7, 9),
        (average(2, 4, 5),),
        lambda g, s: (separable(g, s, (2, 4, 5), "ReduceMean")[-1],),
    ),
    HandWritten(
        "separable_mean_inner_output",
        SMALL,
        (average(4, 7), average(4, 4)),
        lambda g, s: tuple(separable(g, s, (4, 4), "ReduceMean")),
    ),
    HandWritten(
        "separable_max",
        (1, 4, 13, 7),
        (maximum(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "ReduceMax")[-1],),
    ),
    HandWritten(
        "separable_max_pool",
        (1, 4, 13, 7),
        (maximum(6, 4),),
        lambda g, s: (separable(g, s, (6, 4), "MaxPool")[-1],),
    ),
    HandWritten(
        "per_bin_mean",
        SMALL,
        (average(4, 4),),
        lambda g, s: per_bin(g, s, 4, lambda x: g("ReduceMean", x, axes=[2, 3], keepdims=1)),
    ),
    HandWritten(
        "per_bin_global_average_pool",
        SMALL,
        (average(4, 4),),
        lambda g, s: per_bin(g, s, 4, lambda x: g("GlobalAveragePool", x)),
    ),
    HandWritten(
        "per_bin_max",
        SMALL,
        (maximum(4, 4),),
        lambda g, s: per_bin(g, s, 4, lambda x: g("ReduceMax", x, axes=[2, 3], keepdims=1)),
    ),
    HandWritten(
        "phases_average",
        (1, 4, 10, 10),
        (average(4, 4),),
        lambda g, s: phases(g, s, 4, "AveragePool"),
    ),
    HandWritten(
        "phases_max",
        (1, 4, 10, 10),
        (maximum(4, 4),),
        lambda g, s: phases(g, s, 4, "MaxPool"),
    ),
    HandWritten(
        "two_matmuls",
        (1, 4, 13, 7),
        (average(6, 4),),
        lambda g, s: two_matmuls(g, s, averaging(13, 6), averaging(7, 4)),
    ),
    HandWritten("kronecker_matmul", SMALL, (average(4, 4),), lambda g, s: kronecker(g, s, 4)),
    HandWritten(
        "depthwise_mean",
        (1, 4, 12, 12),
        (average(6, 6),),
        lambda g, s: depthwise(g, s, np.full((2, 2), 1 / 4), stride=2),
    ),
    HandWritten(
        "depthwise_mean_overlapping",
        (1, 4, 13, 13),
        (average(6, 6),),
        lambda g, s: depthwise(g, s, np.full((3, 3), 1 / 9), stride=2),
    ),
    HandWritten("reshaped_mean", (1, 4, 12, 18), (average(6, 6),), reshaped_mean),
    HandWritten(
        "padded_average_pool_13_7",
        (1, 4, 13, 13),
        (average(7, 7, native=True),),
        lambda g, s: (g("AveragePool", "X", **HALVING),),
    ),
    HandWritten(
        "padded_max_pool_13_7",
        (1, 4, 13, 13),
        (maximum(7, 7, native=True),),
        lambda g, s: (g("MaxPool", "X", **HALVING),),
    ),
    HandWritten(
        "equal_average_pool",
        (1, 4, 13, 13),
        (average(6, 6, native=True),),
        lambda g, s: (g("AveragePool", "X", kernel_shape=[3, 3], strides=[2, 2]),),
    ),
    HandWritten(
        "equal_max_pool",
        (1, 4, 13, 13),
        (maximum(6, 6, native=True),),
        lambda g, s: (g("MaxPool", "X", kernel_shape=[3, 3], strides=[2, 2]),),
    ),
)


# Look-alikes: pooling in some sense, but not adaptive; a rewrite changes none of these.


def off_by_a_thousandth(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    rows, columns = averaging(13, 6), averaging(7, 4)
    rows[2, 4] += 1e-3
    columns[0, 1] -= 1e-3
    return two_matmuls(g, shape, rows, columns)


def unordered(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The separable form with the first two windows of each axis swapped."""
    x = "X"
    for axis in (2, 3):
        w = windows(shape[axis], 4)
        bins = [
            reduced(g, cut(g, x, axis, w[i].start, w[i].end), axis, w[i].length, "ReduceMean")
            for i in (1, 0, 2, 3)
        ]
        x = g("Concat", *bins, axis=axis)
    return (x,)


def rectified_bins(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Linear on positive input only."""
    mean = {"axes": [2, 3], "keepdims": 1}
    return per_bin(g, shape, 4, lambda x: g("Relu", g("ReduceMean", x, **mean)))


def clipped_windows(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Linear on small input only."""
    bounds = np.float32(-8), np.float32(8)
    mean = {"axes": [2, 3], "keepdims": 1}
    clips = [np.array(bound) for bound in bounds]
    return per_bin(g, shape, 4, lambda x: g("ReduceMean", g("Clip", x, *clips), **mean))


def repeated(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Nearest upsampling by 2, spelled by Reshape and Expand."""
    n, c, h, w = shape
    apart = g("Reshape", "X", ints(n, c, h, 1, w, 1))
    copies = g("Expand", apart, ints(n, c, h, 2, w, 2))
    return (g("Reshape", copies, ints(n, c, 2 * h, 2 * w)),)


def grouped_channels(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The mean of each pair of channels."""
    n, c, h, w = shape
    pairs = g("Reshape", "X", ints(n, c // 2, 2, h, w))
    return (g("ReduceMean", pairs, axes=[2], keepdims=0),)


LOOK_ALIKES: tuple[Case, ...] = (
    Export("not_blur_pool", MAP, (), lambda: BlurPool(8)),
    Export("not_attention_pool", MAP, (), lambda: AttentionPool(8)),
    Export("not_channel_pool", MAP, (), function(channel_attention_input)),
    Export(
        "lp_pool_divisible",
        EVEN,
        (average(6, 6, native=True),),
        lambda: nn.LPPool2d(2.0, 2),
        bare=False,
    ),
    Export("lp_pool_full_window", MAP, AVERAGE_TO_1, power_average.lp_pool_global, bare=False),
    Export(
        "ppm_tensorflow",
        (1, 16, 33, 33),
        (average(1, 1), average(3, 3)),
        pyramid.ppm_tensorflow,
        bare=False,
    ),
    HandWritten("not_off_by_a_thousandth", (1, 4, 13, 7), (), off_by_a_thousandth),
    HandWritten("not_unordered", SMALL, (), unordered),
    HandWritten("not_rectified_bins", SMALL, (), rectified_bins),
    HandWritten("not_clipped_windows", SMALL, (), clipped_windows),
    HandWritten("not_repeated", (1, 4, 5, 5), (), repeated),
    HandWritten("not_grouped_channels", (1, 4, 6, 6), (), grouped_channels),
    HandWritten(
        "not_expanded",
        (1, 4, 1, 1),
        (),
        lambda g, s: (g("Expand", "X", ints(1, 4, 6, 6)),),
    ),
    HandWritten(
        "not_resized",
        (1, 4, 5, 5),
        (),
        lambda g, s: (g("Resize", "X", "", np.array([1, 1, 2, 2], np.float32), mode="nearest"),),
    ),
    HandWritten(
        "not_strided_slice",
        (1, 4, 12, 12),
        (),
        lambda g, s: (cut(g, cut(g, "X", 2, 0, 12, step=2), 3, 0, 12, step=2),),
    ),
    HandWritten(
        "not_padded_average_pool",
        (1, 4, 13, 13),
        (),
        lambda g, s: (g("AveragePool", "X", **HALVING, count_include_pad=1),),
    ),
    HandWritten(
        "not_padded_max_pool", (1, 4, 12, 12), (), lambda g, s: (g("MaxPool", "X", **HALVING),)
    ),
    HandWritten(
        "not_floor_stride_14_4",
        (1, 4, 14, 14),
        (),
        lambda g, s: (g("AveragePool", "X", kernel_shape=[5, 5], strides=[3, 3]),),
    ),
    HandWritten(
        "not_ceil_mode",
        (1, 4, 13, 13),
        (),
        lambda g, s: (g("AveragePool", "X", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),),
    ),
    HandWritten(
        "not_convolution",
        (1, 4, 13, 13),
        (),
        lambda g, s: depthwise(g, s, np.arange(1.0, 10.0).reshape(3, 3) / 45, stride=2),
    ),
    HandWritten(
        "not_sum_pool",
        (1, 4, 12, 12),
        (),
        lambda g, s: depthwise(g, s, np.ones((2, 2)), stride=2),
    ),
)

CASES: tuple[Case, ...] = (*EXPORTS, *HAND_WRITTEN, *LOOK_ALIKES)
