"""Where the external data of a result is: beside it, by one of three ways, or where it was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import onnx

from onnxpool.errors import OutputError
from onnxpool.model import file_content
from onnxpool.model.external_data import (
    DataFolder,
    is_external,
    is_left,
    locations,
    tensors_of_model,
)
from onnxpool.model.output import destination

Way = Literal["copy", "link", "reference"]
"""copy: a file of its own; link: a second name of the file; reference: the file where it is."""


def to_bring(
    proto: onnx.ModelProto, folder: DataFolder, target: Path, used: Sequence[str]
) -> Iterator[tuple[Path, Path]]:
    """The data files that are not in the folder of `target` yet, and where they go.

    Args:
        folder: of the model that is written to `target`.
        target: the name of the result, in whose folder its data is looked for.
        used: the locations of the model that is there now.

    Raises:
        OutputError: a file of another model is in the way, or the data would have to be in two
            folders.
    """
    places = _places(proto, folder, target)
    if not places or is_at(folder.model, target):
        return
    real = destination(target)
    if real.parent != Path(os.path.realpath(target.parent)):
        raise OutputError(
            f"{target} is a link to {real}, and the weights of the result would have to be in both "
            "folders; name the file itself, or remove the link"
        )
    out = DataFolder(target)
    for copy, location in places.items():
        source = folder.find(location)
        if not os.path.lexists(copy):
            yield source, copy
        elif copy.exists() and out.holds(copy) and file_content.is_same(source, copy):
            continue
        elif location in used:
            if not copy.is_symlink():
                destination(copy)
            yield source, copy
        else:
            raise OutputError(
                f"{copy} exists and {target} does not use it; the weights of the result go there, "
                "so choose another folder or move that file away"
            )


def _places(proto: onnx.ModelProto, folder: DataFolder, target: Path) -> dict[Path, str]:
    """Where the data files of a result at `target` would be, and how the model names them."""
    out = DataFolder(target)
    places = {out.place(location): location for location in locations(proto)}
    for copy, location in places.items():
        if copy == target or _is(folder.find(location), target):
            raise _holds_weights(target)
    return places


def _holds_weights(target: Path) -> OutputError:
    return OutputError(f"{target} holds the weights of the model; choose another name")


def is_at(model: Path, target: Path) -> bool:
    """Whether a model came from `target`, by that very name or one in the same folder."""
    return model.exists() and _is(model, target) and target.parent.samefile(model.parent)


def _is(file: Path, target: Path) -> bool:
    return target.exists() and file.samefile(target)


def referring(proto: onnx.ModelProto, folder: DataFolder, target: Path) -> onnx.ModelProto:
    """The model as it is to be at `target`, if its data stays where it is; `proto` where it can.

    Raises:
        OutputError: the data is not below the folder of `target`, from where alone it is loaded.
    """
    new = {location: _seen_from(target, folder, location) for location in locations(proto)}
    if all(location == found for location, found in new.items()):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for tensor in tensors_of_model(copy):
        if is_external(tensor) and not is_left(tensor):
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = new[entry.value]
    return copy


def _seen_from(target: Path, folder: DataFolder, location: str) -> str:
    """What a model at `target` calls the file that one in `folder` calls `location`."""
    source = folder.find(location)
    if _is(source, target):
        raise _holds_weights(target)
    place = DataFolder(target).place(location)
    if place.exists() and source.samefile(place):
        return location
    real, home = (Path(os.path.realpath(path)) for path in (source, target.parent))
    if not real.is_relative_to(home):
        raise OutputError(
            f"{source} is not below the folder of {target}, and neither ONNX Runtime nor onnx "
            "loads weights from elsewhere; take --weights link or copy"
        )
    return real.relative_to(home).as_posix()
