"""Blocks of nets as their authors wrote them, in which there is no pooling to rewrite.

Each holds means, maxima, sums or powers, alone or with what only looks like a part of pooling: an
epsilon, a clamp, a scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from tests.identical.export import Source

CHANNELS = 16
TOKENS, TOKEN_AXES = (2, 6, CHANNELS), (0, 1)
MAP, MAP_AXES = (2, CHANNELS, 7, 9), (0, 2, 3)
FUSED_ATTENTION = TRIANGLE = 14
"""The first opset of scaled_dot_product_attention and of triu in TorchScript's exporter."""
NHWC, NHWC_AXES = (2, 7, 9, CHANNELS), (0, 1, 2)


class Function(nn.Module):
    """A function of the input and of a learned scale and shift per channel."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.randn(CHANNELS))
        self.shift = nn.Parameter(torch.randn(CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.scale, self.shift)


# Norms over the last axis.


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).pow(2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift


def layer_norm_of_moments(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    mean, square = x.mean(-1, keepdim=True), (x * x).mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt(square - mean * mean + 1e-5) * scale + shift


def layer_norm_by_deviation(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The Annotated Transformer's."""
    return scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + shift


def rms_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Llama's, T5's, Mistral's, Qwen's."""
    return scale * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rms_norm_of_products(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * (1 + scale)


def rms_norm_by_length(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Zhang, Sennrich: Root Mean Square Layer Normalization, their own code."""
    return scale * x / (x.norm(2, dim=-1, keepdim=True) * CHANNELS**-0.5 + 1e-8)


def rms_norm_clamped(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return scale * x / x.pow(2).mean(-1, keepdim=True).clamp(min=1e-6).sqrt()


def unit_length(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return f.normalize(x, dim=-1) * CHANNELS**0.5 * scale


# Norms of maps.


def channels_first_layer_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """ConvNeXt's."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    return _planes(scale) * ((x - mean) / torch.sqrt(variance + 1e-6)) + _planes(shift)


def pixel_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Progressive GAN's."""
    return x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    variance = x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * _planes(scale) + _planes(shift)


def filter_response_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Singh, Krishnan: its mean of squares over the plane is a power mean with an epsilon."""
    square = x.pow(2).mean((2, 3), keepdim=True)
    return torch.maximum(_planes(scale) * x * torch.rsqrt(square + 1e-6), _planes(shift))


def global_response_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """ConvNeXt V2's, channels last."""
    length = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
    return scale * (x * (length / (length.mean(-1, keepdim=True) + 1e-6))) + shift + x


def global_response_norm_of_planes(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    length = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
    share = length / (length.mean(1, keepdim=True) + 1e-6)
    return _planes(scale) * (x * share) + _planes(shift) + x


def shifted_mean(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return x / (x.abs().mean((2, 3), keepdim=True) + 1e-6)


def _planes(values: Tensor) -> Tensor:
    return values[:, None, None]


# Attention.


class Attention(nn.Module):
    """Multi-head attention; `attend` takes queries, keys and values ``(N, heads, L, D)``."""

    def __init__(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.attend = attend
        self.inputs = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.outputs = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.inputs(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        return self.outputs(self.attend(*heads.unbind(0)).transpose(1, 2).flatten(2))


def softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-1, -2) / q.size(-1) ** 0.5).softmax(-1) @ v


def exponentials(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The softmax in words: exponentials of what is below the greatest, over their sum."""
    scores = q @ k.transpose(-1, -2)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True) @ v


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-1, -2)
    future = torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1) @ v


def cosine(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Swin V2's."""
    return (f.normalize(q, dim=-1) @ f.normalize(k, dim=-1).transpose(-1, -2) * 10).softmax(-1) @ v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Katharopoulos and others: sums over all keys, over a sum with an epsilon."""
    q, k = f.elu(q) + 1, f.elu(k) + 1
    total = q @ k.sum(-2).unsqueeze(-1)
    return q @ (k.transpose(-1, -2) @ v) / (total + 1e-6)


def rotated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return f.scaled_dot_product_attention(_rotary(q), _rotary(k), v)


def _rotary(x: Tensor) -> Tensor:
    positions = torch.arange(x.size(-2)).to(x.dtype)
    angles = torch.outer(positions, 10000 ** -torch.linspace(0, 1, x.size(-1) // 2)).repeat(1, 2)
    a, b = x.chunk(2, -1)
    return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


# Blocks around them.


class PreNorm(nn.Module):
    """A transformer block."""

    def __init__(self, norm: Callable[[], nn.Module], mlp: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.attention = Attention(f.scaled_dot_product_attention)
        self.norms = nn.ModuleList([norm(), norm()])
        self.mlp = mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


class GatedMLP(nn.Module):
    """Shazeer: GLU Variants Improve Transformer."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation
        self.gate, self.up = (nn.Linear(CHANNELS, 24, bias=False) for _ in range(2))
        self.down = nn.Linear(24, CHANNELS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))


def mlp(approximate: str = "none") -> nn.Module:
    """Swin's and ViT's; GPT-2 approximates by a tanh."""
    return nn.Sequential(
        nn.Linear(CHANNELS, 24), nn.GELU(approximate=approximate), nn.Linear(24, CHANNELS)
    )


class ConvNeXt(nn.Module):
    """ConvNeXt V2's block."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS)
        self.layers = nn.Sequential(
            nn.LayerNorm(CHANNELS, eps=1e-6),
            nn.Linear(CHANNELS, CHANNELS),
            nn.GELU(),
            Function(global_response_norm),
            nn.Linear(CHANNELS, CHANNELS),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeExcite(nn.Module):
    """Its mean over the plane is pooling, in one node, which is the least that there can be."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(CHANNELS, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, CHANNELS, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class GlobalContext(nn.Module):
    """GCNet's: the mean over the plane, weighted by a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).flatten(2).softmax(-1)
        return x + (x.flatten(2) * weights).sum(-1)[..., None, None]


@dataclasses.dataclass(frozen=True)
class Block(Source):
    """A module of one input, called "X"."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    open_axes: tuple[int, ...]

    def module(self) -> nn.Module:
        return self.build()

    def inputs(self) -> dict[str, Tensor]:
        return {"X": torch.randn(self.shape)}

    def axes(self) -> dict[str, dict[int, str]]:
        return {"X": {axis: f"axis{axis}" for axis in self.open_axes}}


def tokens(name: str, build: Callable[[], nn.Module], torchscript: int | None = 13) -> Block:
    return Block(name, build, TOKENS, TOKEN_AXES, torchscript=torchscript)


def planes(name: str, build: Callable[[], nn.Module]) -> Block:
    return Block(name, build, MAP, MAP_AXES)


def computed(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Function(function)


def attention(attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Attention(attend)


BLOCKS: tuple[Block, ...] = (
    tokens("layer_norm", lambda: nn.LayerNorm(CHANNELS)),
    tokens("layer_norm_without_scale", lambda: nn.LayerNorm(CHANNELS, elementwise_affine=False)),
    tokens("layer_norm_by_hand", computed(layer_norm)),
    tokens("layer_norm_of_moments", computed(layer_norm_of_moments)),
    tokens("layer_norm_by_deviation", computed(layer_norm_by_deviation)),
    tokens("rms_norm", lambda: nn.RMSNorm(CHANNELS, eps=1e-6), None),
    tokens("rms_norm_by_hand", computed(rms_norm)),
    tokens("rms_norm_of_products", computed(rms_norm_of_products)),
    tokens("rms_norm_by_length", computed(rms_norm_by_length)),
    tokens("rms_norm_clamped", computed(rms_norm_clamped)),
    tokens("unit_length", computed(unit_length)),
    planes("group_norm", lambda: nn.GroupNorm(4, CHANNELS)),
    planes("group_norm_of_one_group", lambda: nn.GroupNorm(1, CHANNELS)),
    planes("instance_norm", lambda: nn.InstanceNorm2d(CHANNELS, affine=True)),
    planes("batch_norm", lambda: nn.BatchNorm2d(CHANNELS)),
    planes("local_response_norm", lambda: nn.LocalResponseNorm(5)),
    planes("channels_first_layer_norm", computed(channels_first_layer_norm)),
    planes("pixel_norm", computed(pixel_norm)),
    planes("filter_response_norm", computed(filter_response_norm)),
    planes("global_response_norm_of_planes", computed(global_response_norm_of_planes)),
    Block("global_response_norm", computed(global_response_norm), NHWC, NHWC_AXES),
    planes("shifted_mean", computed(shifted_mean)),
    tokens("attention", attention(f.scaled_dot_product_attention), FUSED_ATTENTION),
    tokens("attention_softmax", attention(softmax)),
    tokens("attention_exponentials", attention(exponentials)),
    tokens("attention_causal", attention(causal), TRIANGLE),
    tokens("attention_cosine", attention(cosine)),
    tokens("attention_linear", attention(linear)),
    tokens("attention_rotated", attention(rotated), FUSED_ATTENTION),
    tokens("mlp_gelu", mlp),
    tokens("mlp_tanh", lambda: mlp("tanh")),
    tokens("mlp_swiglu", lambda: GatedMLP(f.silu)),
    tokens("mlp_geglu", lambda: GatedMLP(f.gelu)),
    tokens(
        "block_gpt2",
        lambda: PreNorm(lambda: nn.LayerNorm(CHANNELS), lambda: mlp("tanh")),
        FUSED_ATTENTION,
    ),
    tokens(
        "block_llama",
        lambda: PreNorm(computed(rms_norm), lambda: GatedMLP(f.silu)),
        FUSED_ATTENTION,
    ),
    planes("block_convnext_v2", ConvNeXt),
    planes("block_squeeze_excite", SqueezeExcite),
    planes("block_global_context", GlobalContext),
)

SPREAD = planes("instance_norm_by_hand", computed(instance_norm))
"""Of the variance dynamo makes a ReduceMean, a Reshape and, with open sizes, an Expand and six
nodes around it; one ReduceMean is less, so this one may be rewritten."""
