"""What a toolchain is given, and the rule of those that compute in float16."""

import numpy as np
import pytest
import torch

from tests.runtimes.constructs import FORMS, HALF_DISTRIBUTIONS, Values, run_in_half, source_of
from tests.runtimes.jobs import DEFAULT, Job, jobs_of
from tests.runtimes.registry import by_name

BUILDER = "adaptive:global_average"
SHAPE = (1, 8, 13, 11)


def test_a_toolchain_gets_static_models_and_the_default() -> None:
    made = [Job(BUILDER, form, "exported", "") for form in FORMS]
    targets = (DEFAULT, "emx", "mnn")
    made += [Job(BUILDER, form, "rewritten", target) for form in FORMS for target in targets]
    facts = [(job.form, job.state, job.target) for job in jobs_of(by_name("emx"), made)]
    assert facts == [
        ("static", "exported", ""),
        ("static", "default", DEFAULT),
        ("static", "rewritten", "emx"),
    ]
    general = [(job.form, job.state, job.target) for job in jobs_of(by_name("mnn"), made)]
    states = [(form, state) for state in ("exported", "rewritten") for form in FORMS]
    assert general == [(f, s, "" if s == "exported" else "mnn") for f, s in states]


@pytest.fixture(scope="module")
def values() -> Values:
    return Values.of(source_of(BUILDER), SHAPE)


@pytest.mark.parametrize("distribution", HALF_DISTRIBUTIONS)
@pytest.mark.parametrize(("roundings", "right"), [(1, True), (6, True), (40, False)])
def test_the_unit_of_a_half_is_its_own_rounding(
    values: Values, distribution: str, roundings: int, right: bool
) -> None:
    (exact,) = values.exact[distribution]
    off = roundings * float(np.finfo(np.float16).eps) / 2 * np.abs(exact).max()
    found = (exact + off).astype(np.float32)
    (half,) = values.judge(distribution, [found], half=True)
    assert half.passed == right
    (single,) = values.judge(distribution, [found], half=False)
    assert not single.passed


def test_what_has_no_kernel_in_float16_is_run_on_rounded_values() -> None:
    class Volume(torch.nn.AvgPool3d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype == torch.float16:
                raise NotImplementedError
            return super().forward(x)

    x = torch.full((1, 1, 2, 2, 2), 0.1)
    (y,) = run_in_half(Volume(2), x)
    assert y.dtype == np.float16
    assert y.item() == np.float16(0.1)


def test_values_of_halves_are_kept(values: Values) -> None:
    assert set(values.half) == set(HALF_DISTRIBUTIONS)
    assert {y.dtype for outputs in values.half.values() for y in outputs} == {np.dtype(np.float16)}
