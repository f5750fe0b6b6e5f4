"""A net as its two files, which appear together."""

from __future__ import annotations

from pathlib import Path

from onnxpool.caffe.net import Net
from onnxpool.errors import ArgumentError
from onnxpool.model.output import Output, destination

ENDING = ".prototxt"


def check(path: Path) -> None:
    """Raises:
    ArgumentError: `path` is no place for a net.
    """
    if path.suffix != ENDING:
        raise ArgumentError(
            f"{path} would be a net of Caffe's, which ends with {ENDING}; its weights are put "
            "beside it, as .caffemodel"
        )


def save(net: Net, path: Path) -> None:
    """Write the net to `path`, and its weights beside it.

    Raises:
        OutputError: they cannot be written.
    """
    weights = path.with_suffix(".caffemodel")
    places = destination(path), destination(weights)
    with Output() as output:
        output.write(net.text().encode(), places[0])
        output.write(net.weights(), places[1])
        output.publish()
