"""What validation runs: a model in ONNX Runtime as its users run it, and a PyTorch source."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from onnxpool.errors import ArgumentError, ModelError, SourceError
from onnxpool.inputs.sizes import PooledAxis, in_words
from onnxpool.inputs.values import ModelInput, model_inputs
from onnxpool.model.file import ModelFile
from onnxpool.model.functions import dialect_nodes, uses_dialect
from onnxpool.model.in_front import keep_in_front
from onnxpool.ops.op import DOMAIN, Array
from onnxpool.rewrites.graph.run import RunError, Runner, kernels_missing, one_line
from onnxpool.rewrites.lower.function_body import is_body
from onnxpool.validation.source import Source, dtype_of

if TYPE_CHECKING:
    import torch
    from torch import nn


_NOTHING_COMPUTED = ("detach", "lift_fresh", "alias")
_SAME = 1e-3
"""Share of the greatest value up to which two tensors are taken to be the same one."""
_SAME_HALF = 3e-2
"""The same in float16, after some layers."""


class DoesNotRun(Exception):
    """An input that a model or a source does not accept; the message is one line."""


class OnnxModel:
    """A model in ONNX Runtime, with its default optimisations.

    Attributes:
        inputs: what has to be given, in the order of the model.
        outputs: the names of its outputs.
        has_kernels: whether its ops of the dialect run the kernels of the custom-op library.
    """

    def __init__(self, name: str, file: ModelFile, *, library: bool = True) -> None:
        """Load a model; its external data is in the folder of `file`.

        Args:
            library: whether to use the custom-op library, where it is there.

        Raises:
            ModelError: ONNX Runtime refuses it, or it holds ops of onnxpool without a body.
        """
        self.name = name
        self.file = file
        self.inputs = model_inputs(file.proto)
        self.outputs = [value.name for value in file.proto.graph.output]
        self.has_kernels = library and uses_dialect(file.proto) and not kernels_missing()
        if not self.has_kernels:
            _check_bodies(name, file.proto)
        try:
            self._runner = Runner(
                file.proto, file.path.parent, kernels=self.has_kernels, optimised=True
            )
        except RunError as error:
            raise ModelError(f"{name} is refused by ONNX Runtime: {error}") from error

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs in the dtype of the inputs.

        Raises:
            DoesNotRun: the inputs are not accepted.
        """
        try:
            return list(self._runner(self._named(inputs)))
        except RunError as error:
            raise DoesNotRun(str(error)) from error

    def run_exactly(self, inputs: Sequence[Array]) -> list[Array] | None:
        """The outputs computed in float64; None, because that cannot be done."""
        return None

    def tensors(self, names: Sequence[str], inputs: Sequence[Array]) -> dict[str, Array]:
        """Tensors of the main graph, on these inputs.

        Raises:
            RunError: ONNX Runtime does not compute them.
        """
        named = self._named(inputs)
        return values_of(self.file, names, [named[i.name] for i in model_inputs(self.file.proto)])

    def _named(self, inputs: Sequence[Array]) -> dict[str, Array]:
        """Inputs by name; floating-point ones in the type that this model wants."""
        return {
            i.name: value.astype(i.dtype) if i.is_float and value.dtype.kind == "f" else value
            for i, value in zip(self.inputs, inputs, strict=True)
        }

    @functools.cached_property
    def weighted_sums(self) -> int:
        """The terms that one output of each layer sums, over all layers with constant weights."""
        graph = self.file.proto.graph
        weights = {tensor.name: tensor.dims for tensor in graph.initializer}
        total = 0
        for node in graph.node:
            dims = weights.get(node.input[1], ()) if len(node.input) > 1 else ()
            if len(dims) < 2:
                continue
            if node.op_type == "Conv":
                total += math.prod(dims[1:])
            elif node.op_type in ("ConvTranspose", "MatMul", "Gemm"):
                total += math.prod(dims) // min(dims[-2:])
        return total

    def takes(self, model: OnnxModel) -> None:
        """Check that this, as a reference, takes the inputs of `model` and gives its outputs.

        Inputs of the same names are given by name, in whatever order; else by their place.

        Raises:
            ArgumentError: number, rank or fixed sizes of the inputs differ, or the number of the
                outputs.
        """
        _check_number(model, self.name, len(self.inputs), len(self.outputs))
        mine_by_name = {i.name: i for i in self.inputs}
        if mine_by_name.keys() == {i.name for i in model.inputs}:
            self.inputs = [mine_by_name[i.name] for i in model.inputs]
        for mine, other in zip(self.inputs, model.inputs, strict=True):
            if mine.dims is None or other.dims is None:
                continue
            if len(mine.dims) != len(other.dims):
                raise ArgumentError(
                    f"input {other.name!r} of {model.name} has rank {len(other.dims)}, input "
                    f"{mine.name!r} of {self.name} has rank {len(mine.dims)}"
                )
            pairs = zip(mine.dims, other.dims, strict=True)
            if any(isinstance(m, int) and isinstance(o, int) and m != o for m, o in pairs):
                raise ArgumentError(
                    f"input {other.name!r} of {model.name} is {in_words(other.dims)}, input "
                    f"{mine.name!r} of {self.name} is {in_words(mine.dims)}; wanted the same sizes"
                )


class TorchSource:
    """A PyTorch module, run in the dtype of the model's inputs and in float64.

    Attributes:
        inputs: of the model that it is compared with.
        outputs: without names.
        has_kernels: never.
    """

    outputs: Sequence[str] = ()
    has_kernels = False

    def __init__(self, source: Source, inputs: Sequence[ModelInput]) -> None:
        """Take a source, and the inputs of the model that comes from it.

        Raises:
            SourceError: it takes another number of inputs.
        """
        self.name = source.name
        self.example_shapes = source.example_shapes
        self.inputs = list(inputs)
        self.module = in_dtype(source.module, inputs)
        _check_arguments(source, len(inputs))

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """As `OnnxModel.run`."""
        import torch

        try:
            with torch.no_grad(), _quietly():
                return _arrays(self.module(*map(_tensor, inputs)))
        except Exception as error:
            raise DoesNotRun(one_line(error)) from error

    def run_exactly(self, inputs: Sequence[Array]) -> list[Array] | None:
        """The outputs computed in float64; None where that cannot be done."""
        import torch

        if self._exact_module is None:
            return None
        tensors = [_tensor(x) for x in inputs]
        exact = [x.double() if x.is_floating_point() else x for x in tensors]
        try:
            with torch.no_grad(), _quietly(), _float64_by_default():
                outputs = _arrays(self._exact_module(*exact))
        except Exception:
            return None
        # A source that casts to float32 by itself was not computed in float64.
        rounded = any(y.dtype.kind == "f" and y.dtype != np.float64 for y in outputs)
        return None if rounded else outputs

    @functools.cached_property
    def weighted_sums(self) -> int:
        """The terms that one output of each layer sums, over all layers with weights."""
        weights = (p for p in self.module.parameters() if p.dim() > 1)
        return sum(math.prod(p.shape[1:]) for p in weights)

    @functools.cached_property
    def _exact_module(self) -> nn.Module | None:
        return _in_float64(self.module)

    def pooled_axes(self, inputs: Sequence[Array]) -> list[PooledAxis] | None:
        """What is pooled adaptively when the source runs on `inputs`; None where it does not run.

        The stride is taken from the last axes of the first input.
        """
        found: set[PooledAxis] = set()

        def see(_module: str, name: str, args: Sequence[Any], _result: Any) -> None:
            if "adaptive_" not in name:
                return
            sizes = args[1]
            lengths = args[0].shape[-len(sizes) :]
            whole = inputs[0].shape[-len(sizes) :]
            for given, length, bins in zip(whole, lengths, sizes, strict=False):
                if 1 < bins != length:
                    found.add(PooledAxis(int(bins), max(1, round(given / length))))

        try:
            self.watch(inputs, see)
        except DoesNotRun:
            return None
        return sorted(found)

    def record(self, inputs: Sequence[Array]) -> dict[str, Array]:
        """The floating-point results of all calls to PyTorch, named by submodule and op.

        Raises:
            DoesNotRun: the inputs are not accepted.
        """
        import torch

        results: dict[str, Array] = {}
        counts: Counter[str] = Counter()

        def see(module: str, name: str, _args: Sequence[Any], result: Any) -> None:
            # Maxima come with their indices; a call that computes nothing tells nothing.
            result = result[0] if isinstance(result, tuple) and result else result
            if name in _NOTHING_COMPUTED:
                return
            if isinstance(result, torch.Tensor) and result.is_floating_point():
                place = f"module {module}" if module else "the source"
                counts[f"{place}: {name}"] += 1
                count = counts[f"{place}: {name}"]
                again = f" (call {count})" if count > 1 else ""
                results[f"{place}, {name}{again}"] = result.detach().numpy().copy()

        self.watch(inputs, see)
        return results

    def watch(
        self, inputs: Sequence[Array], see: Callable[[str, str, Sequence[Any], Any], None]
    ) -> None:
        """Run, and show every call to PyTorch: where, the name of the op, arguments and result.

        Args:
            see: is given the path of the innermost module, which is "" for the source itself.

        Raises:
            DoesNotRun: the inputs are not accepted.
        """
        from torch.utils._python_dispatch import TorchDispatchMode

        where = [""]

        class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                result = func(*args, **(kwargs or {}))
                see(where[-1], func.overloadpacket.__name__.lstrip("_"), args, result)
                return result

        def enter(name: str) -> Callable[..., None]:
            return lambda *_: where.append(name)

        def leave(*_: Any) -> None:
            where.pop()

        with contextlib.ExitStack() as hooks:
            for name, module in self.module.named_modules():
                if name:
                    hooks.enter_context(module.register_forward_pre_hook(enter(name)))
                    hooks.enter_context(module.register_forward_hook(leave))
            with Watch():  # type: ignore[no-untyped-call]
                self.run(inputs)


def values_of(file: ModelFile, names: Sequence[str], inputs: Sequence[Array]) -> dict[str, Array]:
    """Tensors of the main graph of a model, on these inputs; what follows them is not run.

    Raises:
        RunError: ONNX Runtime does not compute them.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(file.proto)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    keep_in_front(proto.graph, names)
    given = {i.name: value for i, value in zip(model_inputs(file.proto), inputs, strict=True)}
    return dict(zip(names, Runner(proto, file.path.parent)(given), strict=True))


def is_same(found: Array | None, wanted: Array | None) -> bool:
    """Whether two tensors have the same values, axes of one element apart."""
    if found is None or wanted is None or found.size != wanted.size:
        return False
    if np.squeeze(found).shape != np.squeeze(wanted).shape:
        return False
    difference = np.abs(np.squeeze(found).astype(np.float64) - np.squeeze(wanted))
    bound = (_SAME_HALF if found.dtype.itemsize == 2 else _SAME) * np.max(
        np.abs(wanted), initial=0.0
    )
    return bool(np.all(difference <= bound))


def inputs_of(source: Source) -> list[ModelInput]:
    """What a source takes, where no model says it: of its example shapes, or of any rank."""
    import torch

    parameters = inspect.signature(source.module.forward).parameters.values()
    given = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if source.example_shapes is not None:
        count = len(source.example_shapes)
    else:
        count = sum(p.default is p.empty for p in given)
    names = [p.name for p in given[:count]]
    names += [f"input {i}" for i in range(len(names), count)]
    dtype = dtype_of(source.module)
    plain = torch.float32 if dtype == torch.bfloat16 else dtype
    return [ModelInput(name, torch.zeros(0, dtype=plain).numpy().dtype, None) for name in names]


def _check_bodies(name: str, model: onnx.ModelProto) -> None:
    bodies = {function.name for function in model.functions if is_body(function)}
    for node in dialect_nodes(model):
        if node.op_type not in bodies:
            raise ModelError(
                f"{name} holds {DOMAIN}::{node.op_type} (node {node.name!r}) without a function "
                "body, which ONNX Runtime cannot run without the custom-op library; "
                "`onnxpool rewrite` makes it standard ops, or with --to custom-op adds the body"
            )


def _check_number(model: OnnxModel, name: str, inputs: int, outputs: int) -> None:
    for kind, found, wanted in (
        ("inputs", len(model.inputs), inputs),
        ("outputs", len(model.outputs), outputs),
    ):
        if found != wanted:
            raise ArgumentError(f"{model.name} has {found} {kind}, {name} has {wanted}")


def _check_arguments(source: Source, count: int) -> None:
    try:
        signature = inspect.signature(source.module.forward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*range(count))
    except TypeError as error:
        raise SourceError(
            f"the model has {count} inputs, and {source.name} takes {signature}: {error}"
        ) from error


def in_dtype(module: nn.Module, inputs: Sequence[ModelInput]) -> nn.Module:
    """A copy in evaluation mode, with weights of the dtype that the model's inputs have."""
    import torch

    dtypes = {i.dtype for i in inputs if i.is_float}
    try:
        with _quietly():
            module = copy.deepcopy(module).cpu()
    except Exception as error:
        raise SourceError(f"the module cannot be copied: {one_line(error)}") from error
    with contextlib.suppress(NotImplementedError):  # a loaded .pt2 has one mode only
        module.eval()
    if len(dtypes) == 1:
        module = module.to(torch.from_numpy(np.zeros(0, dtypes.pop())).dtype)
    return module


def _in_float64(module: nn.Module) -> nn.Module | None:
    try:
        with _quietly():
            return copy.deepcopy(module).double()
    except Exception:
        return None


@contextlib.contextmanager
def _float64_by_default() -> Iterator[None]:
    """Let tensors that a module makes as it runs be float64."""
    import torch

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tensor(value: Array) -> torch.Tensor:
    import torch

    return torch.from_numpy(value.copy())


def _arrays(outputs: Any) -> list[Array]:
    """The tensors in what a module returns, in the order in which an exporter lists them."""
    import torch
    from torch.utils._pytree import tree_leaves

    leaves = [leaf for leaf in tree_leaves(outputs) if leaf is not None]
    tensors = [leaf if isinstance(leaf, torch.Tensor) else torch.tensor(leaf) for leaf in leaves]
    return [(t.float() if t.dtype == torch.bfloat16 else t).numpy() for t in tensors]
