"""A language and a speech model: nothing in them is pooling, and all of it stays."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.nets.net import BATCH, Net, Size

LENGTHS = ((6,), (1,), (2,), (5,), (9,), (16,), (24,), (31,))
WORDS = 50


class Reader(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        out: Tensor = self.model(input_ids, attention_mask)
        return out


class Listener(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_features: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.model(input_features, words, mask)
        return out


def llama() -> nn.Module:
    from tests.identical.transformer_models import LLAMA

    return Reader(LLAMA.module())


def whisper() -> nn.Module:
    from tests.identical.transformer_models import MODELS

    return Listener(next(model for model in MODELS if model.name == "whisper").module())


def text(size: Size) -> dict[str, Tensor]:
    return {
        "input_ids": _words(*size),
        "attention_mask": torch.ones(BATCH, *size, dtype=torch.int64),
    }


def sound(size: Size) -> dict[str, Tensor]:
    frames = torch.randn(BATCH, 8, 20, generator=torch.Generator().manual_seed(0))
    words, mask = text(size).values()
    return {"input_features": frames, "decoder_input_ids": words, "decoder_attention_mask": mask}


def _words(length: int) -> Tensor:
    return torch.randint(1, WORDS, (BATCH, length), generator=torch.Generator().manual_seed(0))


NETS = (
    Net(
        "Llama",
        llama,
        LENGTHS,
        text,
        lambda: {"input_ids": (0, 1), "attention_mask": (0, 1)},
        packages=("transformers",),
    ),
    Net(
        "Whisper",
        whisper,
        LENGTHS[:6],
        sound,
        lambda: {
            "input_features": (0,),
            "decoder_input_ids": (0, 1),
            "decoder_attention_mask": (0, 1),
        },
        packages=("transformers",),
    ),
)
