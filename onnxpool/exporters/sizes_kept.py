"""Pools that torch would fix to the traced size, as calls that stay right at every size.

    avg_pool(x, kernel)      where the kernel is all of x: adaptive_avg_pool(x, 1)
    max_pool(x, kernel)      where the kernel is all of x: adaptive_max_pool(x, 1)
    adaptive_max_pool(x, s)  where s is computed: `onnxpool::adaptive_max_pool`, because torch's own
                             op takes numbers only
    adaptive_pool(x, s)      where s is one computed size: adaptive_pool(x, (s, s)), because
                             TorchScript traces sizes in tuples only

The first is the usual spelling of GeM, MAC and SPoC: ``F.avg_pool2d(x, (x.size(-2), x.size(-1)))``.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

_NAME = re.compile(r"(avg|max|adaptive_avg|adaptive_max)_pool([123])d(_with_indices)?")


class Call(NamedTuple):
    """A call of a pooling function: of k axes, and whether it returns indices too."""

    function: Callable[..., Any]
    k: int
    with_indices: bool
    fixed: bool


def sizes_kept(fixed: bool) -> TorchFunctionMode:
    """A mode in which every torch call of this thread is replaced so, where it can be.

    Args:
        fixed: the sizes of the inputs are, so a kernel that is a number may be all of x.
    """
    from torch.overrides import TorchFunctionMode

    class SizesKept(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            name = _NAME.fullmatch(getattr(func, "__name__", ""))
            if name is None:
                return func(*args, **kwargs)
            if fixed and is_tracing():
                args = (*args[:1], *map(_numbers, args[1:]))
                kwargs = {key: _numbers(value) for key, value in kwargs.items()}
            call = Call(func, int(name[2]), _returns_indices(func, name), fixed)
            replaced = _POOLS[name[1]](call, *args, **kwargs)
            return func(*args, **kwargs) if replaced is None else replaced

    return SizesKept()


def _numbers(value: Any) -> Any:
    """The sizes that TorchScript traces as numbers; its own arithmetic rounds them otherwise."""
    import torch

    if isinstance(value, tuple | list):
        return tuple(map(_numbers, value))
    return int(value) if isinstance(value, torch.Tensor) and value.dim() == 0 else value


def _returns_indices(func: Any, name: re.Match[str]) -> bool:
    if name[1] == "adaptive_max" and inspect.isbuiltin(func):
        return True
    return name[3] is not None


def _average(
    call: Call,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    from torch.nn import functional

    if divisor_override is not None or not _is_whole(call, input, kernel_size, padding):
        return None
    return getattr(functional, f"adaptive_avg_pool{call.k}d")(input, 1)


def _max(
    call: Call,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    from torch.nn import functional

    if not _is_whole(call, input, kernel_size, padding):
        return None
    pool = getattr(functional, f"adaptive_max_pool{call.k}d")
    return pool(input, 1, return_indices=call.with_indices)


def _adaptive_average(call: Call, input: Tensor, output_size: Any) -> Any:
    if output_size is None or isinstance(output_size, int | tuple | list):
        return None
    return call.function(input, (output_size,) * call.k)


def _adaptive_max(call: Call, input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    import torch

    plane = zip(_tuple(output_size, call.k), input.shape[-call.k :], strict=True)
    sizes = [length if size is None else size for size, length in plane]
    if is_tracing():
        pool = getattr(torch.nn.functional, f"adaptive_max_pool{call.k}d")
        values, indices = pool(input, sizes, return_indices=True)
    elif any(isinstance(size, torch.SymInt) for size in sizes):
        values, indices = adaptive_max_pool_op()(input, sizes)
    else:
        return None
    return (values, indices) if call.with_indices else values


_POOLS: dict[str, Callable[..., Any]] = {
    "avg": _average,
    "max": _max,
    "adaptive_avg": _adaptive_average,
    "adaptive_max": _adaptive_max,
}


@functools.cache
def adaptive_max_pool_op() -> Any:
    """The op that torch's exporter sees: values and indices, of sizes that may be computed."""
    import torch

    def shapes(x: Tensor, output_size: Sequence[Any]) -> tuple[Tensor, Tensor]:
        shape = [*x.shape[: -len(output_size)], *output_size]
        return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)

    name = "onnxpool::adaptive_max_pool"
    torch.library.define(name, "(Tensor x, SymInt[] output_size) -> (Tensor, Tensor)")
    torch.library.register_fake(name)(shapes)
    return torch.ops.onnxpool.adaptive_max_pool.default


def _is_whole(call: Call, x: Tensor, kernel_size: Any, padding: Any) -> bool:
    kernel = _tuple(kernel_size, call.k)
    plane = zip(kernel, x.shape[-call.k :], strict=True)
    return all(_equals(*pair, call.fixed) for pair in plane) and not any(_tuple(padding, call.k))


def is_tracing() -> bool:
    """Whether TorchScript is; its sizes are tensors then."""
    import torch

    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _equals(kernel: Any, length: Any, fixed: bool) -> bool:
    """Whether a kernel size is the length of the axis at every size, as far as torch can know."""
    import torch
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    if not is_tracing():
        return statically_known_true(kernel == length)
    # A size is a tensor while TorchScript traces; a kernel that is none is a number of the source.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (fixed or isinstance(kernel, torch.Tensor)) and int(kernel) == int(length)


def _tuple(size: Any, k: int) -> tuple[Any, ...]:
    if not isinstance(size, tuple | list):
        return (size,) * k
    return tuple(size) * k if len(size) == 1 else tuple(size)
