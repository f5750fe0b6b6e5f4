"""Whole models of `transformers`, one layer each, with random weights; nothing is downloaded.

None of them pools, but for ConvNeXt V2's last mean over the plane, which is one node. Swin is taken
without its last mean over the tokens: dynamo writes it in five nodes, so that may be rewritten.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from torch import Tensor, nn

from tests.identical.export import Source

WORDS, PADDING = 50, 0
BATCH, LENGTH, TARGETS = 2, 6, 4


class FirstOutput(nn.Module):
    """A model by position of its inputs, without its output class and its cache."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=False)[0]


@dataclasses.dataclass(frozen=True)
class Model(Source):
    """Attributes:
    build: makes the model.
    tensors: makes its inputs.
    open_axes: those of any length, by input.
    """

    build: Callable[[], nn.Module]
    tensors: Callable[[], dict[str, Tensor]]
    open_axes: dict[str, dict[int, str]] = dataclasses.field(hash=False)

    def module(self) -> nn.Module:
        return FirstOutput(self.build(), tuple(self.tensors()))

    def inputs(self) -> dict[str, Tensor]:
        return self.tensors()

    def axes(self) -> dict[str, dict[int, str]]:
        return self.open_axes


def words(length: int) -> Tensor:
    return torch.randint(1, WORDS, (BATCH, length))


def text() -> dict[str, Tensor]:
    return {
        "input_ids": words(LENGTH),
        "attention_mask": torch.ones(BATCH, LENGTH, dtype=torch.int64),
    }


def text_to_text() -> dict[str, Tensor]:
    return {**text(), "decoder_input_ids": words(TARGETS)}


def sound() -> dict[str, Tensor]:
    return {
        "input_features": torch.randn(BATCH, 8, 20),
        "decoder_input_ids": words(TARGETS),
        "decoder_attention_mask": torch.ones(BATCH, TARGETS, dtype=torch.int64),
    }


def image() -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(BATCH, 3, 32, 32)}


TEXT = {0: "batch", 1: "length"}
TARGET = {0: "batch", 1: "targets"}
TEXT_AXES = {"input_ids": TEXT, "attention_mask": TEXT}
TEXT_TO_TEXT_AXES = {**TEXT_AXES, "decoder_input_ids": TARGET}
SOUND_AXES = {
    "input_features": {0: "batch"},
    "decoder_input_ids": TARGET,
    "decoder_attention_mask": TARGET,
}
IMAGE_AXES = {"pixel_values": {0: "batch"}}
MAP_AXES = {"pixel_values": {0: "batch", 2: "height", 3: "width"}}

DECODER: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "pad_token_id": PADDING,
    "use_cache": False,
}
ENCODER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
T5: dict[str, Any] = {
    "vocab_size": WORDS,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": 1,
    "num_heads": 2,
    "use_cache": False,
}
WHISPER: dict[str, Any] = {
    "vocab_size": WORDS,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "num_mel_bins": 8,
    "max_source_positions": 10,
    "max_target_positions": 16,
    "pad_token_id": PADDING,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "use_cache": False,
}
GPT2: dict[str, Any] = {
    "vocab_size": WORDS,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "use_cache": False,
}
VIT: dict[str, Any] = {"image_size": 32, "patch_size": 8}
SWIN: dict[str, Any] = {
    "image_size": 32,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
CONVNEXT: dict[str, Any] = {
    "num_stages": 2,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "patch_size": 2,
}
EAGER: dict[str, Any] = {"attn_implementation": "eager"}
"""Attention in words: torch's exporter does not take T5's and Swin's biases in the fused form."""


def build(
    name: str, config: str, options: Mapping[str, Any], **more: Any
) -> Callable[[], nn.Module]:
    """The class `name` of a `config` with these options, and `more` arguments of its own."""

    def built() -> nn.Module:
        module: nn.Module = getattr(transformers, name)(
            getattr(transformers, config)(**options), **more
        )
        return module

    return built


def decoder(name: str, **options: Any) -> Callable[[], nn.Module]:
    return build(f"{name}ForCausalLM", f"{name}Config", DECODER | options)


LLAMA = Model("llama", decoder("Llama"), text, TEXT_AXES, torchscript=14)

MODELS: tuple[Model, ...] = (
    LLAMA,
    Model("llama_eager", decoder("Llama", **EAGER), text, TEXT_AXES),
    Model("qwen3", decoder("Qwen3"), text, TEXT_AXES, torchscript=14),
    Model("gemma", decoder("Gemma"), text, TEXT_AXES, torchscript=14),
    Model("t5_encoder", build("T5EncoderModel", "T5Config", T5 | EAGER), text, TEXT_AXES),
    Model(
        "t5",
        build("T5ForConditionalGeneration", "T5Config", T5 | EAGER),
        text_to_text,
        TEXT_TO_TEXT_AXES,
    ),
    Model(
        "bert",
        build("BertModel", "BertConfig", ENCODER | {"vocab_size": WORDS}),
        text,
        TEXT_AXES,
        torchscript=14,
    ),
    Model("gpt2", build("GPT2LMHeadModel", "GPT2Config", GPT2), text, TEXT_AXES, torchscript=14),
    Model(
        "vit",
        build("ViTForImageClassification", "ViTConfig", ENCODER | VIT),
        image,
        IMAGE_AXES,
        torchscript=14,
    ),
    Model(
        "whisper",
        build("WhisperForConditionalGeneration", "WhisperConfig", WHISPER),
        sound,
        SOUND_AXES,
        torchscript=14,
    ),
    Model(
        "swin",
        build("SwinModel", "SwinConfig", SWIN | EAGER, add_pooling_layer=False),
        image,
        IMAGE_AXES,
    ),
    Model(
        "convnext_v2",
        build("ConvNextV2ForImageClassification", "ConvNextV2Config", CONVNEXT),
        image,
        MAP_AXES,
    ),
)
