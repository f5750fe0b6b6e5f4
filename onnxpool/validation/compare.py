"""Compare two models, or a model with its source, where pooling goes wrong.

`validate` is `compare` where it is known which of the two is to be judged. inputs/sizes.py lists
the sizes, inputs/values.py the values, accuracy.py decides, first_difference.py explains.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from onnxpool.errors import ArgumentError, SourceError
from onnxpool.inputs.sizes import Axes, PooledAxis, Shapes, Size, given, near, sweep
from onnxpool.inputs.values import distributions, draw
from onnxpool.model import kinds
from onnxpool.model.file import ModelFile
from onnxpool.model.shapes import infer
from onnxpool.ops.op import Array
from onnxpool.rewrites.find import find
from onnxpool.validation import accuracy, first_difference
from onnxpool.validation.accuracy import Accuracy, Rule
from onnxpool.validation.first_difference import Side
from onnxpool.validation.pairs import Pair, is_pairs, load_pairs
from onnxpool.validation.runnable import DoesNotRun, OnnxModel, TorchSource, inputs_of
from onnxpool.validation.source import Source, as_source, is_source
from onnxpool.validation.traced_size import candidates

if TYPE_CHECKING:
    from torch import nn

    from onnxpool.model.kinds import Model as AnyModel

    Model = AnyModel | ModelFile
    SourceArgument = str | os.PathLike[str] | Source | nn.Module
    ReferenceArgument = SourceArgument | Model

Progress = Callable[[int, int], None]
"""Called with the number of sizes done, and of all sizes."""
Outcome = Literal["right", "wrong", "fails", "not accepted"]


@dataclasses.dataclass(frozen=True)
class SizeResult:
    """The comparisons at one size.

    Attributes:
        shapes: one per input.
        label: the class of sizes that it stands for.
        outcome: "right"; "wrong"; "fails", where the model does not run and the source does; "not
            accepted", where the source does not run.
        detail: what is wrong, or why it does not run.
        accuracies: of every output in every distribution.
    """

    shapes: Shapes
    label: str
    outcome: Outcome
    detail: str = ""
    accuracies: tuple[Accuracy, ...] = ()

    @property
    def failed(self) -> bool:
        return self.outcome in ("wrong", "fails")

    @property
    def worst(self) -> Accuracy | None:
        """What is wrong, or else the least accurate."""
        return max(self.accuracies, key=_badness, default=None)

    @property
    def size(self) -> str:
        return str(Size(self.shapes, self.label))


@dataclasses.dataclass(frozen=True)
class Validation:
    """The facts about one comparison.

    Attributes:
        model, reference: what was compared.
        rule: in words, what decides.
        seed: of the inputs, and of the source where it was built.
        in_float64: whether errors are those against the source in float64; else against itself.
        distributions: what the inputs were drawn from.
        sizes: one result for each size.
        first_difference: the first node or submodule that is wrong, or why that cannot be told;
            empty where all is right.
        kernels: whether the model ran kernels of the custom-op library.
    """

    model: str
    reference: str
    rule: str
    seed: int
    in_float64: bool
    distributions: tuple[str, ...]
    sizes: tuple[SizeResult, ...]
    first_difference: str = ""
    kernels: bool = False

    @property
    def passed(self) -> bool:
        return not self.failing

    @property
    def worst_outputs(self) -> dict[str, tuple[SizeResult, Accuracy]]:
        """Of each output the size and the values at which it is wrong, or else least accurate."""
        found: dict[str, tuple[SizeResult, Accuracy]] = {}
        for size in self.sizes:
            for each in size.accuracies:
                before = found.get(each.output)
                if before is None or _badness(each) > _badness(before[1]):
                    found[each.output] = size, each
        return dict(sorted(found.items(), key=lambda pair: _badness(pair[1][1]), reverse=True))

    @property
    def failing(self) -> tuple[SizeResult, ...]:
        return tuple(size for size in self.sizes if size.failed)

    def to_json(self) -> dict[str, Any]:
        """The same facts in types of JSON; numbers that are not finite as null."""
        facts = dataclasses.asdict(self)
        failing = [size.size for size in self.failing]
        outputs = {
            name: {"size": size.size, **dataclasses.asdict(worst)}
            for name, (size, worst) in self.worst_outputs.items()
        }
        told = {"passed": self.passed, "failing": failing, "worst_outputs": _finite(outputs)}
        return {**_finite(facts), **told}


def validate(
    model: Model,
    reference: ReferenceArgument,
    *,
    shapes: Sequence[Sequence[int]] | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    library: bool = True,
    progress: Progress | None = None,
) -> Validation:
    """Compare a model with its source on seeded inputs; the model runs in ONNX Runtime.

    Args:
        model: a path, bytes, a ModelProto, an ONNXProgram of torch or an onnx_ir.Model.
        reference: "file.py:name", "pkg.mod:name", a .pt2 file, an nn.Module or a loaded Source;
            another .onnx file or model, as `model` is given; or an .npz file of inputs and outputs
            (see pairs.py).
        shapes: one for each input, as often as wanted; None sweeps the sizes that are not fixed.
        weights: a state dict to load into the source.
        seed: of the inputs, and of torch before the source is built.
        tolerance: greatest error allowed, relative to the greatest value of the output; None
            allows a small multiple of the error that the source itself makes (see accuracy.py).
        library: whether ops of the dialect run the kernels of the custom-op library, where that is
            there, and not their function bodies.

    Raises:
        SourceError: the source cannot be loaded, does not fit the model, is random, or runs at none
            of the sizes.
        ArgumentError: a shape or the other model does not fit the model.
        OnnxpoolError: a model cannot be loaded or run.
    """
    tested = _onnx_model(model, library)
    if is_pairs(reference):
        if shapes or weights is not None:
            raise ArgumentError("an .npz file has sizes and values of its own; leave out the rest")
        assert isinstance(reference, str | os.PathLike)
        return _against_pairs(tested, reference, seed, tolerance, progress)
    compared = _reference(reference, tested, weights, seed)
    return _compare(tested, compared, shapes, seed, tolerance, progress)


def compare(
    a: Model | ReferenceArgument,
    b: Model | ReferenceArgument,
    *,
    shapes: Sequence[Sequence[int]] | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    library: bool = True,
    progress: Progress | None = None,
) -> Validation:
    """Compare any two models on seeded inputs.

    Each is what `validate` takes as a model or as a reference. The second is the reference of the
    first; but a PyTorch source, which runs in float64 too, is always that of an .onnx file, and so
    is an .npz file.

    Args:
        weights: a state dict to load into the one source that there is.
        shapes, seed, tolerance, library, progress: as for `validate`.

    Raises:
        OnnxpoolError: as `validate`; or two sources do not take the same inputs.
    """
    first, second = (b, a) if _is_reference(a) and not _is_reference(b) else (a, b)
    if not _is_reference(first):
        return validate(
            cast("Model", first),
            second,
            shapes=shapes,
            weights=weights,
            seed=seed,
            tolerance=tolerance,
            library=library,
            progress=progress,
        )
    if is_pairs(first) or is_pairs(second):
        raise ArgumentError("an .npz file is compared with an .onnx file; export the source first")
    if weights is not None:
        raise ArgumentError("weights are those of one source, and both are; load them in the files")
    sources = (as_source(cast("SourceArgument", each), None, seed) for each in (first, second))
    tested, compared = _two_sources(*sources)
    return _compare(tested, compared, shapes, seed, tolerance, progress)


def _two_sources(a: Source, b: Source) -> tuple[TorchSource, TorchSource]:
    """Both with the examples of one of them, where only one has any."""
    examples = b.example_shapes or a.example_shapes
    a, b = (dataclasses.replace(source, example_shapes=examples) for source in (a, b))
    inputs = inputs_of(a)
    return TorchSource(a, inputs), TorchSource(b, inputs)


def _compare(
    tested: Side,
    compared: Side,
    shapes: Sequence[Sequence[int]] | None,
    seed: int,
    tolerance: float | None,
    progress: Progress | None,
) -> Validation:
    if tolerance is not None and not tolerance >= 0:
        raise ArgumentError(f"the tolerance is {tolerance}, wanted a number of at least 0")
    names = distributions(tested.inputs)
    sizes = given(tested.inputs, shapes) if shapes else _sweep(tested, compared, seed)
    comparison = Comparison(tested, compared, names, seed, tolerance)
    results = []
    for done, size in enumerate(sizes):
        if progress:
            progress(done, len(sizes))
        results.append(comparison.at(size))
    _check_accepted(compared, results)
    if not shapes:
        results += _at_the_traced_size(comparison, results)
    return Validation(
        model=tested.name,
        reference=compared.name,
        rule=comparison.rule(sizes[0]).in_words(),
        seed=seed,
        in_float64=comparison.in_float64,
        distributions=names,
        sizes=tuple(results),
        first_difference=comparison.first_difference(results),
        kernels=tested.has_kernels,
    )


def _against_pairs(
    model: OnnxModel,
    path: str | os.PathLike[str],
    seed: int,
    tolerance: float | None,
    progress: Progress | None,
) -> Validation:
    pairs = load_pairs(path, model.inputs, model.outputs)
    results = []
    for done, pair in enumerate(pairs):
        if progress:
            progress(done, len(pairs))
        results.append(_at_pair(model, pair, tolerance))
    failing = next((r for r in results if r.failed), None)
    return Validation(
        model=model.name,
        reference=os.fspath(path),
        rule=_rule(model, results[0].shapes, tolerance).in_words(),
        seed=seed,
        in_float64=False,
        distributions=("given",),
        sizes=tuple(results),
        first_difference=f"{failing.label}: {failing.detail}" if failing else "",
        kernels=model.has_kernels,
    )


def _at_pair(model: OnnxModel, pair: Pair, tolerance: float | None) -> SizeResult:
    shapes = tuple(values.shape for values in pair.inputs)
    result = SizeResult(shapes, f"pair {pair.number}", "right")
    try:
        found = dict(zip(model.outputs, model.run(pair.inputs), strict=True))
    except DoesNotRun as error:
        return dataclasses.replace(result, outcome="fails", detail=str(error))
    rule = _rule(model, shapes, tolerance)
    accuracies = tuple(
        accuracy.compare(name, "given", found[name], wanted, None, rule)
        for name, wanted in pair.outputs.items()
    )
    result = dataclasses.replace(result, accuracies=accuracies)
    worst = result.worst
    if worst is None or worst.passed:
        return result
    return dataclasses.replace(result, outcome="wrong", detail=worst.failure)


def _rule(model: Side, shapes: Shapes, tolerance: float | None) -> Rule:
    sums = max((_plane(shape) for shape in shapes), default=1)
    return Rule(sums, sums + model.weighted_sums, tolerance)


@dataclasses.dataclass
class Comparison:
    """A model and its reference, to be run side by side.

    Attributes:
        integers: by name of an input, values to repeat instead of drawing them.
        in_float64: whether errors have been those against the source in float64.
    """

    model: Side
    reference: Side
    distributions: tuple[str, ...]
    seed: int
    tolerance: float | None = None
    integers: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    in_float64: bool = False
    _checked_for_randomness: bool = False

    def at(self, size: Size) -> SizeResult:
        """Compare at one size, in all distributions."""
        result = SizeResult(size.shapes, size.label, "right")
        accuracies: list[Accuracy] = []
        for distribution in self.distributions:
            inputs = self._draw(size.shapes, distribution)
            try:
                source, exact = self._run_reference(inputs)
            except DoesNotRun as error:
                return dataclasses.replace(result, outcome="not accepted", detail=str(error))
            try:
                found = self.model.run(inputs)
            except DoesNotRun as error:
                return dataclasses.replace(result, outcome="fails", detail=str(error))
            self._check_number(found, source)
            accuracies += self._compare(size, distribution, found, source, exact)
        result = dataclasses.replace(result, accuracies=tuple(accuracies))
        worst = result.worst
        if worst is None or worst.passed:
            return result
        return dataclasses.replace(result, outcome="wrong", detail=worst.failure)

    def rule(self, size: Size) -> Rule:
        return _rule(self.model, size.shapes, self.tolerance)

    def first_difference(self, results: Sequence[SizeResult]) -> str:
        """Where the smallest size that is wrong goes wrong."""
        failing = [r for r in results if r.failed]
        if not failing:
            return ""
        wrong = [r for r in failing if r.outcome == "wrong"]
        smallest = min(wrong or failing, key=lambda r: sum(math.prod(s) for s in r.shapes))
        if not wrong:
            return f"at {smallest.size} the model does not run: {smallest.detail}"
        # Not the worst one: of values of many magnitudes, the greatest hide what the others do.
        first = next(a for a in smallest.accuracies if not a.passed)
        inputs = self._draw(smallest.shapes, first.distribution)
        right = self._right_inputs(results)
        return first_difference.between(self.model, self.reference, right, inputs)

    def _right_inputs(self, results: Sequence[SizeResult]) -> list[Array] | None:
        """Inputs of many different values for which all outputs are right."""
        # Where some values are right by chance, tensors are not those of the source.
        for result in sorted(results, key=lambda r: r.outcome != "right"):
            for distribution in (d for d in self.distributions if d != "constant"):
                judged = [a.passed for a in result.accuracies if a.distribution == distribution]
                if judged and all(judged):
                    return self._draw(result.shapes, distribution)
        return None

    def _draw(self, sizes: Shapes, distribution: str) -> list[Array]:
        drawn = draw(self.model.inputs, sizes, distribution, self.seed)
        for mine, other in zip(self.model.inputs, self.reference.inputs, strict=False):
            # What only one of the two could be given exactly would be a difference of the inputs.
            if mine.is_float and other.is_float and other.dtype.itemsize < mine.dtype.itemsize:
                drawn[mine.name] = _rounded(drawn[mine.name], other.dtype)
        return [
            np.resize(self.integers[name], value.shape) if name in self.integers else value
            for name, value in drawn.items()
        ]

    def _run_reference(self, inputs: Sequence[Array]) -> tuple[list[Array], list[Array] | None]:
        source = self.reference.run(inputs)
        if not self._checked_for_randomness:
            self._check_source(source, self.reference.run(inputs))
        exact = self.reference.run_exactly(inputs)
        if exact is not None and [y.shape for y in exact] != [y.shape for y in source]:
            exact = None
        self.in_float64 = self.in_float64 or exact is not None
        return source, exact

    def _check_source(self, first: list[Array], second: list[Array]) -> None:
        names = self.model.outputs or _numbered(first)
        self._check_number(names, first)
        for name, a, b in zip(names, first, second, strict=True):
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                raise SourceError(
                    f"{self.reference.name} is random: two runs on the same input differ at "
                    f"output {name!r}; validate needs a source that computes the same every time"
                )
        self._checked_for_randomness = True

    def _check_number(self, found: Sequence[Any], source: Sequence[Any]) -> None:
        if len(found) != len(source):
            names = f" ({', '.join(self.model.outputs)})" if self.model.outputs else ""
            raise ArgumentError(
                f"{self.model.name} has {len(found)} outputs{names}, {self.reference.name} returns "
                f"{len(source)}"
            )

    def _compare(
        self,
        size: Size,
        distribution: str,
        found: list[Array],
        source: list[Array],
        exact: list[Array] | None,
    ) -> Iterator[Accuracy]:
        rule = self.rule(size)
        names = self.model.outputs or _numbered(found)
        for i, (name, y) in enumerate(zip(names, found, strict=True)):
            in_float64 = exact[i] if exact is not None else None
            yield accuracy.compare(name, distribution, y, source[i], in_float64, rule)


def _rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """To what a narrower type holds; beyond it, to the greatest."""
    limit = float(np.finfo(dtype).max)
    return np.asarray(np.clip(values, -limit, limit).astype(dtype).astype(values.dtype))


def _numbered(outputs: Sequence[Any]) -> list[str]:
    return [f"output {i}" for i in range(len(outputs))]


def _badness(accuracy: Accuracy) -> tuple[bool, bool, float]:
    """What is of another shape or in other places NaN has no error that would say how bad it is."""
    comparable = accuracy.same_shape and accuracy.same_nonfinite
    return not accuracy.passed, not comparable, accuracy.units


def _is_source(model: Any) -> bool:
    """Whether it is a PyTorch source, or the name of one."""
    if isinstance(model, str | os.PathLike):
        return is_source(os.fspath(model))
    return not kinds.is_onnx(model)


def _is_reference(model: Any) -> bool:
    """Whether it is no ONNX model, but what one is compared with."""
    return _is_source(model) or is_pairs(model)


def _onnx_model(model: Model, library: bool = True) -> OnnxModel:
    file = ModelFile.of(kinds.plain(model))
    return OnnxModel(kinds.name_of(model), file, library=library)


def _reference(
    reference: Any,
    model: OnnxModel,
    weights: str | os.PathLike[str] | None,
    seed: int,
) -> Side:
    if not _is_source(reference):
        if weights is not None:
            raise ArgumentError("weights are loaded into a PyTorch source, and not into an .onnx")
        other = _onnx_model(reference)
        other.takes(model)
        return other
    return TorchSource(as_source(reference, weights, seed), model.inputs)


def _sweep(model: Side, reference: Side, seed: int) -> list[Size]:
    examples = getattr(reference, "example_shapes", None)
    first = sweep(model.inputs, None, examples)[0]
    if isinstance(reference, TorchSource):
        inputs = draw(model.inputs, first.shapes, distributions(model.inputs)[0], seed)
        pools = reference.pooled_axes(list(inputs.values()))
    else:
        files = [side.file for side in (model, reference) if isinstance(side, OnnxModel)]
        pools = sorted({pool for file in files for pool in _pools_in(file)})
    return sweep(model.inputs, pools or None, examples)


def _at_the_traced_size(comparison: Comparison, results: Sequence[SizeResult]) -> list[SizeResult]:
    """Where a model is wrong at all sizes: one at which it is right, and those beside it."""
    if any(r.outcome == "right" for r in results) or not any(r.failed for r in results):
        return []
    model = comparison.model
    if not isinstance(model, OnnxModel):
        return []
    axes = Axes.of(model.inputs, getattr(comparison.reference, "example_shapes", None))
    for point in candidates(model.file.proto, axes):
        found = comparison.at(Size(axes.shapes(point), "as traced"))
        if found.outcome == "right":
            beside = [Size(axes.shapes(p), "beside") for p in near(point)]
            return [found, *map(comparison.at, beside)]
    return []


def _pools_in(file: ModelFile) -> set[PooledAxis]:
    """What the graph is seen to pool to."""
    infer(file)
    found: set[PooledAxis] = set()
    for scope in file.scopes:
        for construct in find(scope.graph, scope.opset)[0]:
            attributes = construct.op.attributes()
            bins = attributes.get("output_sizes") or attributes["output_size"]
            found.update(PooledAxis(size) for size in bins if size > 1)
    return found


def _check_accepted(reference: Side, results: Sequence[SizeResult]) -> None:
    if all(result.outcome == "not accepted" for result in results):
        where = results[0].size
        more = f" nor {len(results) - 1} other sizes" if len(results) > 1 else ""
        way_out = "" if results[0].label == "fixed" else "; name sizes that it accepts (--shape)"
        raise SourceError(
            f"{reference.name} does not accept {where}{more}: {results[0].detail}{way_out}"
        )


def _plane(shape: Sequence[int]) -> int:
    """The elements that a pool of an input may sum: all positions of one channel."""
    axes = {0: (), 1: shape, 2: shape[1:], 3: shape[1:]}.get(len(shape), shape[2:])
    return math.prod(axes)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
