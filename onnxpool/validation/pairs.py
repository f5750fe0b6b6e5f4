"""A reference that is no PyTorch: inputs, and what the source made of them, in an .npz file.

Its arrays are named NUMBER/NAME, such as "0/x" and "0/y": those of one number belong together, and
NAME is that of an input or output of the model. Every number has all inputs and some outputs, of
any size. docs/pairs.md shows how to write them in TensorFlow, Keras and Paddle.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.lib.npyio import NpzFile

from onnxpool.errors import ArgumentError
from onnxpool.inputs.values import ModelInput
from onnxpool.ops.op import Array

SUFFIX = ".npz"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Values of all inputs, in the order of the model, and of some outputs by name."""

    number: str
    inputs: tuple[Array, ...]
    outputs: dict[str, Array]


def is_pairs(reference: object) -> bool:
    return isinstance(reference, str | os.PathLike) and os.fspath(reference).endswith(SUFFIX)


def load_pairs(
    path: str | os.PathLike[str], inputs: Sequence[ModelInput], outputs: Sequence[str]
) -> list[Pair]:
    """Read the pairs of a model.

    Raises:
        ArgumentError: there is no such file, an array of it is no input or output of the model, or
            one is missing.
    """
    found: dict[str, dict[str, Array]] = {}
    known = [*(i.name for i in inputs), *outputs]
    for key, array in _arrays(path).items():
        number, slash, name = key.partition("/")
        if not slash or name not in known:
            raise ArgumentError(
                f"{os.fspath(path)}: an array is called {key!r}, wanted NUMBER/NAME, such as "
                f"0/{known[0]}; the model has {', '.join(known)}"
            )
        found.setdefault(number, {})[name] = array
    if not found:
        raise ArgumentError(f"{os.fspath(path)} has no arrays, wanted 0/{known[0]} and so on")
    return [_pair(path, number, arrays, inputs, outputs) for number, arrays in found.items()]


def _arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, NpzFile):
            raise ArgumentError(f"{os.fspath(path)} is one array; write pairs with numpy.savez")
        with file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"{os.fspath(path)} cannot be read as .npz: {error}") from error


def _pair(
    path: str | os.PathLike[str],
    number: str,
    arrays: dict[str, Array],
    inputs: Sequence[ModelInput],
    outputs: Sequence[str],
) -> Pair:
    for model_input in inputs:
        if model_input.name not in arrays:
            raise ArgumentError(f"{os.fspath(path)} lacks the input {number}/{model_input.name}")
    wanted = {name: arrays[name] for name in outputs if name in arrays}
    if not wanted:
        raise ArgumentError(
            f"{os.fspath(path)} lacks the outputs of pair {number}, such as {number}/{outputs[0]}"
        )
    values = tuple(_as_type(path, f"{number}/{i.name}", arrays[i.name], i.dtype) for i in inputs)
    return Pair(number, values, wanted)


def _as_type(
    path: str | os.PathLike[str], key: str, values: Array, dtype: np.dtype[np.generic]
) -> Array:
    if not np.can_cast(values.dtype, dtype, "same_kind"):
        raise ArgumentError(
            f"{os.fspath(path)}: {key!r} is of {values.dtype}, and the model takes {dtype}"
        )
    return values.astype(dtype)
