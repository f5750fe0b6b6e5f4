"""The PyTorch module that a model comes from, loaded so that every command sees the same one.

    file.py:name    by path; the file may hold EXAMPLES, a dict of example input shapes by name
    pkg.mod:name    by import, from the current folder or an installed package
    file.pt2        what torch.export.save wrote

`name` is an nn.Module class, an instance, or a function that builds one, without arguments. torch
is imported inside functions, so that the rest of onnxpool does without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onnxpool.errors import ArgumentError, SourceError
from onnxpool.validation import checkpoint

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Shapes = tuple[tuple[int, ...], ...]
"""One shape per input."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A module in evaluation mode, and what is known about its inputs.

    Attributes:
        name: what the user calls it.
        module: seeded, `eval()` called, trained weights loaded.
        example_shapes: the shapes of example inputs; None where the file gives none.
    """

    name: str
    module: nn.Module
    example_shapes: Shapes | None = None


def load_source(spec: str, *, seed: int = 0, weights: Path | None = None) -> Source:
    """Load or build the module that `spec` names (see the text of this file).

    Args:
        spec: "file.py:name", "pkg.mod:name" or "file.pt2".
        seed: of torch, before the module is built. torch's own state is put back afterwards.
        weights: a state dict to load into the module: .safetensors, or what torch.save wrote.

    Raises:
        SourceError: it cannot be imported, found, built or loaded; or PyTorch is not installed.
    """
    torch = require_torch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        is_program = spec.endswith(".pt2")
        source = _load_program(Path(spec)) if is_program else _build_source(spec, seed)
    if weights is not None:
        load_weights(source, weights)
    return source


def as_source(
    reference: str | os.PathLike[str] | nn.Module | Source,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> Source:
    """The source that an argument names or is; see `load_source`.

    Raises:
        ArgumentError: there are weights for a module that is built.
        SourceError: it cannot be loaded.
    """
    path = None if weights is None else Path(weights)
    if isinstance(reference, str | os.PathLike):
        return load_source(os.fspath(reference), seed=seed, weights=path)
    if path is not None:
        raise ArgumentError("the weights of a module that is built are its own; leave them out")
    if isinstance(reference, Source):
        return reference
    return Source(type(reference).__name__, reference)


def is_source(spec: str) -> bool:
    """Whether `spec` is spelled as a PyTorch source, and not as an .onnx file."""
    return spec.endswith((".pt2", ".py")) or (":" in spec and not spec.endswith(".onnx"))


def require_torch() -> ModuleType:
    """Import torch.

    Raises:
        SourceError: it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise SourceError(
            f"a PyTorch source needs PyTorch ({error}): pip install torch onnxscript"
        ) from error


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating-point type of its parameters and buffers, the first one's where they differ."""
    import torch

    tensors = (*module.parameters(), *module.buffers())
    found = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return next(found, torch.get_default_dtype())


def load_weights(source: Source, path: Path) -> None:
    """Load trained weights into the module of `source`.

    Args:
        path: a .safetensors file, or what torch.save wrote: a state dict, or a checkpoint with one
            in it (see checkpoint.py).

    Raises:
        SourceError: the file cannot be read, or its keys or shapes are not those of the module.
    """
    wanted = source.module.state_dict()
    state = checkpoint.state_of(path, _read_weights(path), wanted)
    _check_keys(f"{path} and {source.name}", wanted, state)
    source.module.load_state_dict(dict(state))


def _build_source(spec: str, seed: int) -> Source:
    torch = require_torch()
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise SourceError(
            f"{spec!r} names no PyTorch source; wanted file.py:name, pkg.mod:name or a .pt2 file"
        )
    with _importable_from_here(place):
        module = _import(place)
        found = _look_up(module, place, name)
        torch.manual_seed(seed)
        built = _build(found, spec)
    return Source(spec, built.eval(), _example_shapes(module, place, name))


def _import(place: str) -> ModuleType:
    is_file = place.endswith(".py")
    if is_file and not Path(place).is_file():
        raise SourceError(f"{place}: no such file")
    try:
        return _import_file(Path(place)) if is_file else importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise SourceError(f"{place} cannot be imported: {_in_words(error)}") from error


def _import_file(path: Path) -> ModuleType:
    # Not the bare stem, which may be that of an installed package; and no folder, because exporters
    # write the names of classes into the model.
    name = f"onnxpool_source_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _importable_from_here(place: str) -> Iterator[None]:
    """Let imports find what is beside the file, or in the current folder, as `python` does."""
    folder = str(Path(place).resolve().parent) if place.endswith(".py") else str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _look_up(module: ModuleType, place: str, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise SourceError(f"{place} has no {name!r}; {_suggestion(module, name)}")
        found = getattr(found, part)
    return found


def _suggestion(module: ModuleType, name: str) -> str:
    names = _names(module)
    if close := difflib.get_close_matches(name, names, 1):
        return f"did you mean {close[0]!r}?"
    return f"it has {', '.join(names)}" if names else "it defines no module and no function"


def _names(module: ModuleType) -> list[str]:
    """What the file itself defines and could be meant: examples first."""
    from torch import nn

    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and (isinstance(value, nn.Module) or _is_builder(value, module))
    ]
    examples = getattr(module, "EXAMPLES", {})
    return list(dict.fromkeys([*(examples if isinstance(examples, Mapping) else ()), *own]))


def _is_builder(value: Any, module: ModuleType) -> bool:
    own = callable(value) and getattr(value, "__module__", None) == module.__name__
    return own and not _needed_arguments(value)


def _build(found: Any, spec: str) -> nn.Module:
    from torch import nn

    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise SourceError(
            f"{spec} is of type {type(found).__name__}; wanted an nn.Module, or a function that "
            "builds one"
        )
    if needed := _needed_arguments(found):
        raise SourceError(
            f"{spec} needs the arguments {', '.join(needed)}; name a function without arguments "
            "that builds the module"
        )
    try:
        built = found()
    except (Exception, SystemExit) as error:
        raise SourceError(f"{spec} cannot be built: {_in_words(error)}") from error
    if not isinstance(built, nn.Module):
        raise SourceError(f"{spec} builds a value of type {type(built).__name__}, no nn.Module")
    return built


def _needed_arguments(build: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(build).parameters.values()
    except ValueError:
        return []
    return [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def _example_shapes(module: ModuleType, place: str, name: str) -> Shapes | None:
    """The entry of `name` in EXAMPLES: the shape of the one input, or a sequence of shapes."""
    examples = getattr(module, "EXAMPLES", {})
    if not isinstance(examples, Mapping) or name not in examples:
        return None
    entry = examples[name]
    try:
        shapes = (entry,) if all(isinstance(size, int) for size in entry) else entry
        return tuple(tuple(int(size) for size in shape) for shape in shapes)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"EXAMPLES[{name!r}] of {place} is {entry!r}; wanted a shape such as (1, 8, 33, 33)"
        ) from error


def _load_program(path: Path) -> Source:
    """A .pt2 file. Its module was put into evaluation mode before it was exported, or was not."""
    import torch

    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise SourceError(f"{path} is no .pt2 file, or is truncated; torch.export.save writes one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
            module = program.module()
    except Exception as error:
        raise SourceError(f"{path} cannot be loaded: {_in_words(error)}") from error
    examples = program.example_inputs[0] if program.example_inputs else ()
    shapes = tuple(tuple(x.shape) for x in examples if isinstance(x, torch.Tensor))
    return Source(str(path), module, shapes or None)


def _read_weights(path: Path) -> Any:
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    try:
        state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except SourceError:
        raise
    except pickle.UnpicklingError as error:
        # torch's own message advises to run whatever the file holds.
        raise SourceError(
            f"{path} is not a file of tensors alone; save module.state_dict() with torch.save"
        ) from error
    except Exception as error:
        raise SourceError(f"{path} cannot be read as weights: {_in_words(error)}") from error
    return state


def _read_safetensors(path: Path) -> Any:
    try:
        load_file = importlib.import_module("safetensors.torch").load_file
    except ImportError as error:
        raise SourceError(
            f"{path} needs the package safetensors: pip install safetensors"
        ) from error
    return load_file(path)


def _read_pickle(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _check_keys(pair: str, wanted: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    reasons = [
        *(f"the file lacks {key!r}" for key in wanted if key not in found),
        *(f"the module has no {key!r}" for key in found if key not in wanted),
        *(
            f"{key!r} has shape {_shape(found[key])} in the file and {_shape(tensor)} in the module"
            for key, tensor in wanted.items()
            if key in found and _shape(found[key]) != _shape(tensor)
        ),
    ]
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise SourceError(f"{pair} do not fit: {reasons[0]}{more}")


def _shape(value: Any) -> list[int]:
    return list(getattr(value, "shape", ()))


def _in_words(error: BaseException) -> str:
    """Type and message of an exception, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
