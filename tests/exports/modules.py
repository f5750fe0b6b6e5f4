"""What the tables of exports share: modules in one line each, shapes, pools."""

from collections.abc import Callable

from torch import Tensor, nn

from tests.exports.case import average, maximum

MAP, EVEN, BATCH = (1, 8, 13, 13), (1, 8, 12, 12), (2, 8, 13, 13)
AVERAGE_TO_1 = (average(1, 1, native=True),)
MAXIMUM_TO_1 = (maximum(1, 1, native=True),)
MAXIMUM_INDICES = (maximum(6, 6, indices=True, native=True),)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(x)


def avg2d(size: int | tuple[int, int]) -> Callable[[], nn.Module]:
    return lambda: nn.AdaptiveAvgPool2d(size)


def max2d(size: int, return_indices: bool = False) -> Callable[[], nn.Module]:
    return lambda: nn.AdaptiveMaxPool2d(size, return_indices=return_indices)


def function(of: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> Callable[[], nn.Module]:
    return lambda: Function(of)


def full_window(pool: Callable[..., Tensor]) -> Callable[[], nn.Module]:
    return function(lambda x: pool(x, (x.size(-2), x.size(-1))))
