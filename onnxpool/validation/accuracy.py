"""How far an output is from its reference, and whether that is as good as PyTorch's own.

The reference is the source in float64, and the unit of error is the error that the source itself
makes in float32 on the same input:

    unit  = max(|source - float64|, (1 + sqrt(n)) * u * max|float64|)
    right:  max|model - float64| <= FACTOR * unit

with u the unit roundoff of the dtype and n the number of elements of the longest sum. The second
term is the floor: u alone, because an error of the source may happen to be zero; sqrt(n), because
PyTorch sums in a tree, whose error hardly grows with n, while a runtime may sum one element after
the other, whose n roundings add up as a random walk. (ONNX Runtime's ReduceMean over 65x65 random
values is off by 23 u, PyTorch by 5 u, and sqrt(n) is 65.)

FACTOR is what separates two draws of the same rounding: over the plain exports of models/, at
several sizes and in all distributions, the largest ratio was 2.1, and 5.4 for softmax of values of
1e4 and more. Pooling that is wrong is off by thousands of units.

Where the source cannot run in float64, or is an .onnx file, the source itself is the reference and
its own error is unknown. The floor stands for it, n then being the elements of all sums in the
model, because the roundings of every layer add up.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from onnxpool.ops.op import Array

FACTOR = 8.0


@dataclasses.dataclass(frozen=True)
class Errors:
    """Absolute errors, and relative ones, element by element where the reference is not 0.

    Attributes:
        cosine: of both as vectors; None where one of them is 0.
    """

    max_abs: float = 0.0
    mean_abs: float = 0.0
    p99_abs: float = 0.0
    max_rel: float = 0.0
    mean_rel: float = 0.0
    p99_rel: float = 0.0
    cosine: float | None = None


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """One output on one input.

    Attributes:
        errors: against the reference, on the elements that are finite.
        units: the greatest error in units of the source's own (see the text of this file).
        same_shape, same_nonfinite: whether shape, and places of NaN and Inf, are the source's.
        failure: in words, why this is wrong; empty where it is right.
    """

    output: str
    distribution: str
    errors: Errors = Errors()
    units: float = 0.0
    same_shape: bool = True
    same_nonfinite: bool = True
    failure: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure


@dataclasses.dataclass(frozen=True)
class Rule:
    """What decides.

    Attributes:
        sums: n of the text above where the source runs in float64.
        all_sums: n where it does not.
        tolerance: greatest error allowed, relative to the greatest value of the output, instead
            of the rule.
    """

    sums: int
    all_sums: int
    tolerance: float | None = None

    def unit(self, error: float, largest: float, dtype: np.dtype[Any], exact: bool) -> float:
        """The error that the source may make.

        Args:
            error: what it makes against float64.
            largest: the greatest value of the reference.
            exact: whether the reference is in float64, and no copy of the source.
        """
        limits = np.finfo(dtype)
        sums = self.sums if exact else self.all_sums
        floor = (1 + math.sqrt(sums)) * float(limits.eps) / 2 * largest
        return max(error, floor, float(limits.smallest_subnormal))

    def allows(self, share: float, units: float) -> bool:
        """Whether an error of `share` of the greatest output, which is `units`, is right."""
        return units <= FACTOR if self.tolerance is None else share <= self.tolerance

    def in_words(self) -> str:
        if self.tolerance is not None:
            return f"error at most {self.tolerance:g} of the greatest output"
        return f"error at most {FACTOR:g} times the source's own"


def compare(
    output: str,
    distribution: str,
    found: Array,
    source: Array,
    exact: Array | None,
    rule: Rule,
) -> Accuracy:
    """Compare an output of the model with the source.

    Args:
        found: what the model gives.
        source: what the source gives on the same input.
        exact: what the source gives in float64; None where it does not run so.
    """
    if found.shape != source.shape:
        words = f"shape {list(found.shape)} instead of {list(source.shape)}"
        return Accuracy(output, distribution, same_shape=False, failure=words)
    if _is_float(found) != _is_float(source):
        words = f"dtype {found.dtype} instead of {source.dtype}"
        return Accuracy(output, distribution, failure=words)
    if not _is_float(source):
        return _compare_exactly(output, distribution, found, source)
    if source.dtype.itemsize > found.dtype.itemsize:
        source = source.astype(found.dtype)
    with np.errstate(all="ignore"):
        return _compare_floats(output, distribution, found, source, exact, rule)


def _compare_exactly(output: str, distribution: str, found: Array, source: Array) -> Accuracy:
    different = int(np.count_nonzero(found != source))
    words = f"{different} of {found.size} values differ; they must be equal" if different else ""
    errors = _errors(found.astype(np.float64), source.astype(np.float64))
    return Accuracy(output, distribution, errors, failure=words)


def _compare_floats(
    output: str,
    distribution: str,
    found: Array,
    source: Array,
    exact: Array | None,
    rule: Rule,
) -> Accuracy:
    reference = source.astype(np.float64) if exact is None else exact.astype(np.float64)
    rounded = reference.astype(source.dtype)
    settled = np.isfinite(found) & (np.isfinite(source) | np.isfinite(rounded))
    agreed = settled | _same(found, source) | _same(found, rounded.astype(found.dtype))
    finite = np.isfinite(found) & np.isfinite(rounded)
    own = finite & np.isfinite(source)
    model_values, wanted = found[finite].astype(np.float64), reference[finite]
    error = _largest(model_values - wanted)
    source_error = _largest(source[own] - reference[own])
    units = error / rule.unit(source_error, _largest(wanted), source.dtype, exact is not None)
    share = error / (_largest(wanted) or 1.0)
    failure = ""
    if not agreed.all():
        failure = f"NaN or Inf at other places ({int(np.count_nonzero(~agreed))} of {found.size})"
    elif not rule.allows(share, units):
        failure = f"off by {share:.1e} of the greatest output"
    return Accuracy(
        output,
        distribution,
        _errors(model_values, wanted),
        units,
        same_nonfinite=bool(agreed.all()),
        failure=failure,
    )


def _errors(found: Array, wanted: Array) -> Errors:
    """The errors of finite float64 values."""
    if not found.size:
        return Errors()
    errors = np.abs(found - wanted)
    relative = errors[wanted != 0] / np.abs(wanted[wanted != 0])
    # Scaled first: squares of large values overflow, and of tiny ones vanish.
    a, b = (values.ravel() / (_largest(values) or 1.0) for values in (found, wanted))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return Errors(*_summary(errors), *_summary(relative), float(a @ b) / norms if norms else None)


def _summary(errors: Array) -> tuple[float, float, float]:
    """Greatest, mean and 99th percentile."""
    if not errors.size:
        return 0.0, 0.0, 0.0
    return float(np.max(errors)), float(np.mean(errors)), float(np.quantile(errors, 0.99))


def _largest(values: Array) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def _same(a: Array, b: Array) -> Array:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def _is_float(values: Array) -> bool:
    return bool(np.issubdtype(values.dtype, np.floating))
