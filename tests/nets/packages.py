"""Packages of nets: whether they are here, and what torchvision needs beside a torch for the CPU.

pip install -e '.[nets]'
"""

from __future__ import annotations

import functools
import importlib.util

import torch

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def missing(packages: tuple[str, ...]) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


@functools.cache
def make_importable() -> None:
    """Declare what torchvision's own library declares, which loads beside a torch for CUDA alone.

    Python asks for these two when torchvision is imported; nothing here calls them.
    """
    for op in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, op):
            torch.library.define(f"torchvision::{op}", _BOXES)
