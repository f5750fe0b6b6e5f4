"""Make the .onnx files of this folder: ``python -m models.make_onnx``, from the folder above.

They are what ``torch.onnx.export(dynamo=True)`` writes, weights embedded; only the stack traces are
taken out of the metadata, because they hold paths of the machine that exported.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import onnx
import torch
from torch import nn

from models import adaptive, gem, pyramid

FILES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ppm.onnx": (pyramid.ppm, pyramid.EXAMPLES["ppm"]),
    "gem.onnx": (gem.gem, gem.EXAMPLES["gem"]),
    "adaptive_avg_2d.onnx": (adaptive.adaptive_avg_2d, adaptive.EXAMPLES["adaptive_avg_2d"]),
}

STACK_TRACE = "pkg.torch.onnx.stack_trace"


def export(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> onnx.ModelProto:
    """Seed torch, build the module and export it at a fixed size."""
    torch.manual_seed(0)
    module = build().eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # else: torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about its pytree
        program = torch.onnx.export(module, (torch.zeros(shape),), dynamo=True, verbose=False)
    assert program is not None
    return without_stack_traces(program.model_proto)


def without_stack_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != STACK_TRACE]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model


def main(names: Iterable[str]) -> None:
    for name in names:
        content = export(*FILES[name]).SerializeToString(deterministic=True)
        Path(__file__).with_name(name).write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1:] or FILES)
