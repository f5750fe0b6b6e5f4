"""Attention whose keys and values see a pooled map (linear spatial-reduction attention).

Wang et al.: PVT v2: Improved Baselines with Pyramid Vision Transformer, Computational Visual Media
2022 (arXiv:2106.13797), section 3.2: the map is average-pooled to 7 x 7 before keys and values are
taken, so that the cost is linear in H * W:

    attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V,    K and V from the pooled map
"""

import math

from torch import Tensor, nn


class LinearAttention(nn.Module):
    """``(N, C, H, W)`` to ``(N, C, H, W)``."""

    def __init__(self, channels: int, heads: int = 2, bins: int = 7) -> None:
        super().__init__()
        self.heads = heads
        self.pool = nn.AdaptiveAvgPool2d(bins)
        self.reduce = nn.Conv2d(channels, channels, 1)
        self.norm = nn.LayerNorm(channels)
        self.activation = nn.GELU()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def split(self, tokens: Tensor) -> Tensor:
        """``(N, T, C)`` to ``(N, heads, T, C / heads)``."""
        batch, length, channels = tokens.shape
        return tokens.reshape(batch, length, self.heads, channels // self.heads).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        pooled = self.reduce(self.pool(x)).flatten(2).transpose(1, 2)
        pooled = self.activation(self.norm(pooled))
        query = self.split(self.query(tokens))
        key, value = self.split(self.key(pooled)), self.split(self.value(pooled))
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        out: Tensor = self.output(mixed)
        return out.transpose(1, 2).reshape(x.shape)


def linear_attention() -> nn.Module:
    return LinearAttention(16)


EXAMPLES = {"linear_attention": (1, 16, 16, 16)}
