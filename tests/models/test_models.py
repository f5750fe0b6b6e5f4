"""The sources of models/ against their papers' equations, computed independently in NumPy."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import (
    adaptive,
    attention,
    avgmax,
    gem,
    mixed,
    power_average,
    pyconv,
    pyramid,
    spatial_pyramid,
    stochastic,
)
from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool

Array = NDArray[Any]
FILES = (
    adaptive,
    attention,
    avgmax,
    gem,
    mixed,
    power_average,
    pyconv,
    pyramid,
    spatial_pyramid,
    stochastic,
)
EXAMPLES = {
    f"{file.__name__}:{name}": (getattr(file, name), shape)
    for file in FILES
    for name, shape in file.EXAMPLES.items()
}

# Everything below runs in float64, where an average of a few hundred values near 1 is off by a few
# hundred roundings at most.
TOLERANCE = 1e-12


def built(build: Callable[[], nn.Module]) -> Any:
    """A module of the class that `build` makes, which its annotation does not say."""
    torch.manual_seed(0)
    return build().eval().double()


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@torch.no_grad()
def run(module: nn.Module, x: Tensor) -> Array:
    y: Array = module(x).numpy()
    return y


def average(x: Array, *output_size: int) -> Array:
    return AdaptiveAveragePool(output_size).reference(x)[0]


def maximum(x: Array, *output_size: int) -> Array:
    return AdaptiveMaxPool(output_size).reference(x)[0]


def assert_close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)


def assert_drawn(drawn: Array, expected: Array, spread: float) -> None:
    """The mean over the first axis is `expected`, to 5 standard errors; seeded, so it stays so."""
    np.testing.assert_allclose(
        drawn.mean(0, keepdims=True), expected, atol=5 * spread / math.sqrt(len(drawn))
    )


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("training", [False, True])
def test_every_builder_runs_on_its_example(name: str, training: bool) -> None:
    build, shape = EXAMPLES[name]
    torch.manual_seed(0)
    module = build().train(training)
    # BatchNorm after pooling to 1x1 needs two images to train on.
    x = torch.randn(2 if training else shape[0], *shape[1:])
    outputs = module(x)
    for y in outputs if isinstance(outputs, tuple) else (outputs,):
        assert len(y) == len(x)
        assert y.isfinite().all()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__)
def test_examples_name_builders_without_arguments(file: Any) -> None:
    assert importlib.import_module(file.__name__) is file
    for name in file.EXAMPLES:
        assert isinstance(getattr(file, name)(), nn.Module)


@pytest.mark.parametrize("spelling", [gem.GeM, gem.GeMFullWindow, gem.GeMFlat])
@pytest.mark.parametrize("p", [1.0, 2.5, 3.0])
def test_gem_is_the_equation(spelling: type[gem.GeM], p: float) -> None:
    x = sample(2, 3, 5, 7)
    clamped = np.maximum(x.numpy(), 1e-6).reshape(2, 3, -1)
    wanted = (clamped**p).mean(-1) ** (1 / p)
    assert_close(run(spelling(p), x).reshape(2, 3), wanted)


def test_gem_with_p_1_averages() -> None:
    x = sample(2, 3, 7, 7).abs() + 1
    assert_close(run(gem.GeM(1.0, output_size=4), x), average(x.numpy(), 4, 4))


def test_gem_with_large_p_approaches_the_maximum() -> None:
    x = sample(2, 3, 7, 7).abs() + 1
    largest = maximum(x.numpy(), 1, 1)
    p = 200.0
    found = run(gem.GeM(p), x)
    assert (found <= largest).all()
    # Of n values, the mean of powers is at least max^p / n.
    assert (found >= largest * 49 ** (-1 / p)).all()


def test_gem_takes_an_exponent_for_each_channel() -> None:
    x = sample(1, 3, 4, 4)
    found = run(gem.GeM(gem.learned(1.0, 2.0, 5.0)).double(), x)
    for channel, p in enumerate((1.0, 2.0, 5.0)):
        wanted = run(gem.GeM(p), x[:, channel : channel + 1])
        assert_close(found[:, channel : channel + 1], wanted)


def test_gem_softplus_exponent() -> None:
    p = 1 + math.log(1 + math.exp(1.5))
    x = sample(1, 3, 4, 4)
    assert_close(run(built(gem.gem_softplus), x), run(gem.GeM(p), x))


@pytest.mark.parametrize(
    ("build", "shape", "pool", "output_size"),
    [
        (adaptive.adaptive_avg_1d, (1, 8, 13), average, (6,)),
        (adaptive.adaptive_avg_2d, (1, 8, 13, 13), average, (6, 6)),
        (adaptive.adaptive_avg_2d_tuple, (1, 8, 13, 17), average, (3, 5)),
        (adaptive.adaptive_avg_2d_keep, (1, 8, 13, 17), average, (3, 17)),
        (adaptive.adaptive_avg_3d, (1, 4, 5, 7, 9), average, (2, 3, 9)),
        (adaptive.adaptive_max_1d, (1, 8, 13), maximum, (6,)),
        (adaptive.adaptive_max_2d, (1, 8, 13, 13), maximum, (6, 6)),
        (adaptive.adaptive_max_2d_tuple, (1, 8, 13, 17), maximum, (3, 5)),
        (adaptive.adaptive_max_2d_keep, (1, 8, 13, 17), maximum, (3, 17)),
        (adaptive.adaptive_max_3d, (1, 4, 5, 7, 9), maximum, (2, 3, 9)),
    ],
)
def test_adaptive_pooling_is_the_dialect_op(
    build: Callable[[], nn.Module],
    shape: tuple[int, ...],
    pool: Callable[..., Array],
    output_size: tuple[int, ...],
) -> None:
    x = sample(*shape)
    assert_close(run(built(build), x), pool(x.numpy(), *output_size))


def test_adaptive_max_indices_point_at_the_maxima() -> None:
    x = sample(1, 8, 13, 13)
    y, indices = built(adaptive.adaptive_max_2d_indices)(x)
    assert torch.equal(x.flatten(2).gather(2, indices.flatten(2)).view_as(y), y)
    np.testing.assert_array_equal(indices, AdaptiveMaxPool((6, 6)).reference(x.numpy())[1])


@pytest.mark.parametrize("build", [adaptive.global_average, adaptive.global_average_pool])
def test_global_average(build: Callable[[], nn.Module]) -> None:
    x = sample(2, 3, 5, 7)
    assert_close(run(built(build), x), x.numpy().mean((2, 3)))


def test_mixed_evaluates_to_the_fixed_mixture() -> None:
    x = sample(2, 8, 13, 13)
    wanted = 0.3 * maximum(x.numpy(), 4, 4) + 0.7 * average(x.numpy(), 4, 4)
    assert_close(run(built(mixed.mixed_adaptive), x), wanted)


def test_mixed_draws_one_method_for_each_map_in_training() -> None:
    x = sample(1, 2, 8, 8).expand(4000, -1, -1, -1)
    module = built(mixed.mixed_adaptive)
    expected = run(module, x[:1])
    torch.manual_seed(1)
    drawn = run(module.train(), x)
    averages, maxima = average(x[:1].numpy(), 4, 4), maximum(x[:1].numpy(), 4, 4)
    is_maximum = np.isclose(drawn, maxima).all((2, 3))
    is_average = np.isclose(drawn, averages).all((2, 3))
    assert (is_maximum ^ is_average).all()
    assert_drawn(drawn, expected, spread=float(np.abs(maxima - averages).max()) / 2)


def test_stochastic_evaluates_to_the_weighted_sum() -> None:
    x = sample(1, 3, 7, 7)
    found = run(built(stochastic.stochastic), x)
    a = np.maximum(x.numpy(), 0)
    for i in range(3):
        for j in range(3):
            window = a[..., 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(1, 3, 9)
            probability = window / window.sum(-1, keepdims=True)
            assert_close(found[..., i, j], (probability * window).sum(-1))


def test_stochastic_draws_in_proportion_in_training() -> None:
    window = torch.tensor([[0.0, 1.0], [2.0, 5.0]], dtype=torch.float64)
    x = window.expand(8000, 1, 2, 2)
    pool = stochastic.StochasticPool(nn.AvgPool2d(2), nn.MaxPool2d(2, return_indices=True))
    torch.manual_seed(1)
    drawn = run(pool.train(), x).ravel()
    for value, probability in ((0.0, 0), (1.0, 1 / 8), (2.0, 2 / 8), (5.0, 5 / 8)):
        # 5 standard deviations of a binomial share, at most 5 * 0.5 / sqrt(8000).
        assert abs((drawn == value).mean() - probability) <= 0.028 * (probability > 0)
    assert_drawn(drawn[:, None], run(pool.eval(), x[:1]).ravel()[None], spread=2.5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "build", [stochastic.stochastic, stochastic.stochastic_adaptive, mixed.mixed]
)
def test_windows_of_zeros_pool_to_zero(build: Callable[[], nn.Module], training: bool) -> None:
    found = run(built(build).train(training), torch.zeros(1, 8, 13, 13, dtype=torch.float64))
    assert (found == 0).all()


def test_lp_pool_is_the_root_of_the_sum_of_powers() -> None:
    x = sample(1, 8, 13, 13).abs()
    found = run(built(power_average.lp_pool_2d), x)
    for i in range(6):
        for j in range(6):
            window = x.numpy()[..., 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            assert_close(found[..., i, j], np.sqrt((window**2).sum((2, 3))))


def test_learned_norm_is_gem_of_the_distance_to_its_centre() -> None:
    x = sample(1, 8, 13, 13)
    p = 1 + math.log(1 + math.e)
    wanted = average(np.abs(x.numpy()) ** p, 4, 4) ** (1 / p)
    assert_close(run(built(power_average.learned_norm), x), wanted)


@pytest.mark.parametrize("size", [(33, 33), (31, 20), (6, 6), (60, 45)])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_tensorflow_windows(size: tuple[int, int], bins: int) -> None:
    """TensorFlow's SAME average pooling as a loop, the padding neither summed nor counted."""
    x = sample(1, 2, *size)
    found = run(pyramid.SamePaddedAverage(bins), x)
    ranges = []
    for length in size:
        kernel = round(length / bins)
        count = math.ceil(length / kernel)
        before = (count * kernel - length) // 2
        starts = [i * kernel - before for i in range(count)]
        ranges.append([slice(max(0, s), min(length, s + kernel)) for s in starts])
    assert found.shape[2:] == (len(ranges[0]), len(ranges[1]))
    for i, rows in enumerate(ranges[0]):
        for j, columns in enumerate(ranges[1]):
            assert_close(found[..., i, j], x.numpy()[..., rows, columns].mean((2, 3)))


def interpolated(x: Array, height: int, width: int) -> Array:
    """Bilinear with aligned corners, as two interpolations along an axis."""

    def along(values: Array, axis: int, size: int) -> Array:
        old = np.arange(values.shape[axis])
        new = np.linspace(0, values.shape[axis] - 1, size)
        return np.apply_along_axis(lambda line: np.interp(new, old, line), axis, values)

    return along(along(x, 2, height), 3, width)


def test_ppm_concatenates_the_input_and_its_levels() -> None:
    module = built(pyramid.ppm)
    x = sample(1, 16, 13, 11)
    found = run(module, x)
    np.testing.assert_array_equal(found[:, :16], x)
    for index, (bins, level) in enumerate(zip((1, 2, 3, 6), module.levels, strict=True)):
        pooled = average(x.numpy(), bins, bins)
        weights = level[1].weight.detach().numpy()[:, :, 0, 0]
        # A fresh BatchNorm divides by sqrt(1 + epsilon).
        projected = np.einsum("oc,nchw->nohw", weights, pooled) / math.sqrt(1 + 1e-5)
        wanted = interpolated(np.maximum(projected, 0), 13, 11)
        assert_close(found[:, 16 + 4 * index : 20 + 4 * index], wanted)


def test_ppm_bottleneck_puts_the_input_last() -> None:
    module = built(pyramid.ppm_bottleneck)
    module.bottleneck = nn.Identity()
    x = sample(1, 8, 13, 11)
    found = run(module, x)
    np.testing.assert_array_equal(found[:, 32:], np.maximum(x.numpy(), 0))
    weights = module.stages[0][1].weight.detach().numpy()[:, :, 0, 0]
    level = np.maximum(np.einsum("oc,nchw->nohw", weights, average(x.numpy(), 1, 1)), 0)
    assert_close(found[:, :8], np.broadcast_to(level, (1, 8, 13, 11)))


def test_spp_has_a_length_that_does_not_depend_on_the_size() -> None:
    for size in ((13, 13), (20, 9), (4, 30)):
        x = sample(2, 3, *size)
        levels = [maximum(x.numpy(), n, n).reshape(2, -1) for n in (6, 3, 2, 1)]
        np.testing.assert_array_equal(run(spatial_pyramid.spp(), x), np.concatenate(levels, 1))


def test_spp_sliding_windows_are_adaptive_at_the_training_size() -> None:
    x = sample(2, 3, 13, 13)
    np.testing.assert_array_equal(
        run(spatial_pyramid.spp_sliding(), x), run(spatial_pyramid.spp(), x)
    )


def test_avgmax() -> None:
    x = sample(2, 3, 13, 13)
    averages, maxima = average(x.numpy(), 1, 1), maximum(x.numpy(), 1, 1)
    assert_close(run(avgmax.avgmax(), x), (averages + maxima) / 2)
    assert_close(run(avgmax.catavgmax(), x), np.concatenate([averages, maxima], 1))


def test_pyconv_levels_differ_in_kernel_and_groups() -> None:
    levels = built(pyconv.pyconv).levels
    assert [level.kernel_size[0] for level in levels] == [9, 7, 5, 3]
    assert [level.groups for level in levels] == [16, 8, 4, 1]
    # Grouping keeps the cost of the levels alike: kernel^2 * channels / groups.
    assert [level.weight[0].numel() for level in levels] == [81, 98, 100, 144]


def test_pyconv_global_sees_only_the_pooled_map() -> None:
    module = built(pyconv.pyconv_global)
    x = sample(1, 16, 18, 18)
    same_means = average(x.numpy(), 9, 9).repeat(2, axis=2).repeat(2, axis=3)
    assert_close(run(module, x), run(module, torch.from_numpy(same_means)))
    assert run(module, sample(1, 16, 20, 11)).shape == (1, 64, 20, 11)


def test_linear_attention_is_softmax_attention_over_the_pooled_map() -> None:
    module = built(attention.linear_attention)
    x = sample(1, 16, 9, 10)

    def linear(layer: nn.Linear, tokens: Array) -> Array:
        return tokens @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    tokens = x.numpy()[0].reshape(16, -1).T
    pooled = average(x.numpy(), 7, 7)[0].reshape(16, -1).T
    reduce = module.reduce
    pooled = pooled @ reduce.weight.detach().numpy()[:, :, 0, 0].T + reduce.bias.detach().numpy()
    pooled -= pooled.mean(1, keepdims=True)
    pooled /= np.sqrt((pooled**2).mean(1, keepdims=True) + 1e-5)
    pooled *= (1 + np.vectorize(math.erf)(pooled / math.sqrt(2))) / 2
    query, key, value = (
        linear(module.query, tokens),
        linear(module.key, pooled),
        linear(module.value, pooled),
    )
    heads = []
    for head in (slice(0, 8), slice(8, 16)):
        weights = np.exp(query[:, head] @ key[:, head].T / math.sqrt(8))
        heads.append(weights / weights.sum(1, keepdims=True) @ value[:, head])
    wanted = linear(module.output, np.concatenate(heads, 1)).T.reshape(1, 16, 9, 10)
    assert_close(run(module, x), wanted)
