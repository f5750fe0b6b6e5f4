"""The state dict in a checkpoint, under the names that the module itself gives.

Training scripts save the state dict beside the epoch and the optimiser, under one of KEYS, and
wrappers put their own name before each name in it, one of PREFIXES. Either is taken off only where
that makes the names those of the module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxpool.errors import SourceError

KEYS = ("state_dict", "model_state_dict", "model", "module", "net")
"""Where Lightning, PyTorch's tutorials, timm, DeepSpeed and others put it."""

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Put there by DistributedDataParallel and DataParallel, by torch.compile, and by Lightning."""


def state_of(path: Path, saved: Any, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict in what a file holds.

    Args:
        saved: the value that was saved.
        wanted: the state dict of the module, for its names.

    Returns:
        The one that has most of the names, whether or not it has all of them.

    Raises:
        SourceError: there is none.
    """
    if not isinstance(saved, Mapping):
        raise SourceError(
            f"{path} holds a value of type {type(saved).__name__}, no state dict; save "
            "module.state_dict()"
        )
    spelled = (_without(prefixes, s) for s in _states(saved) for prefixes in _prefixes(s))
    return max(spelled, key=lambda state: len(wanted.keys() & state.keys()))


def _states(saved: Mapping[Any, Any]) -> Iterator[Mapping[str, Any]]:
    """What is saved, and what lies below, the nearest first."""
    yield saved
    for key in KEYS:
        if isinstance(below := saved.get(key), Mapping):
            yield from _states(below)


def _prefixes(state: Mapping[str, Any]) -> Iterator[str]:
    """Nothing; and what all names begin with, as far as it is of wrappers."""
    found = ""
    yield found
    while more := next((p for p in PREFIXES if _all_begin(state, found + p)), ""):
        found += more
        yield found


def _all_begin(state: Mapping[Any, Any], prefix: str) -> bool:
    return bool(state) and all(isinstance(k, str) and k.startswith(prefix) for k in state)


def _without(prefix: str, state: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key[len(prefix) :]: value for key, value in state.items()} if prefix else state
