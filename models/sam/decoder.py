"""SAM's mask decoder: a two-way transformer between prompt tokens and the image, then masks.

Source: Kirillov et al., "Segment Anything", arXiv:2304.02643.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sam.layers import LayerNorm2d
from models.sam.prompt import WIDTH

HEADS = 8
_HIDDEN = 2048
_DEPTH = 2
#: One mask for an unambiguous prompt, which a box is, and three for ambiguous ones.
_MASKS = 4
#: Of the layer norms over tokens, as torch has it and SAM does.
EPS = 1e-5


class MaskDecoder(nn.Module):
    """Masks and their expected quality from an image's embedding and prompt tokens.

    Args:
        eps: of the layer norms over tokens.
    """

    def __init__(self, eps: float = EPS) -> None:
        super().__init__()
        self.transformer = _TwoWayTransformer(eps)
        self.iou_token = nn.Embedding(1, WIDTH)
        self.mask_tokens = nn.Embedding(_MASKS, WIDTH)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(WIDTH, WIDTH // 4, 2, stride=2), LayerNorm2d(WIDTH // 4), nn.GELU(),
            nn.ConvTranspose2d(WIDTH // 4, WIDTH // 8, 2, stride=2), nn.GELU(),
        )  # fmt: skip
        self.output_hypernetworks_mlps = nn.ModuleList(_Mlp(WIDTH, WIDTH // 8) for _ in range(_MASKS))
        self.iou_prediction_head = _Mlp(WIDTH, _MASKS)

    def forward(self, image: Tensor, positions: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Decode prompts on one image.

        Args:
            image: (1, 256, 64, 64) embedding, what stands for the absent mask added.
            positions: (1, 256, 64, 64) position encoding of the grid.
            prompts: (N, 2, 256) tokens.

        Returns:
            logits (N, 256, 256) of the mask for unambiguous prompts, and its expected IoU (N,).
        """
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(prompts.shape[0], -1, -1), prompts], dim=1)
        tokens, pixels = self.transformer(_tokens(image), _tokens(positions), tokens)
        features = self.output_upscaling(pixels.transpose(1, 2).reshape(prompts.shape[0], *image.shape[1:]))
        weights = self.output_hypernetworks_mlps[0](tokens[:, 1])
        logits = (weights[:, None] @ features.flatten(2)).reshape(prompts.shape[0], *features.shape[2:])
        return logits, self.iou_prediction_head(tokens[:, 0])[:, 0]


def _tokens(grid: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, HW, C)."""
    return grid.flatten(2).transpose(1, 2)


class _TwoWayTransformer(nn.Module):
    """Tokens and pixels attend to one another."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayLayer(eps, first=i == 0) for i in range(_DEPTH))
        self.final_attn_token_to_image = Attention(WIDTH // 2)
        self.norm_final_attn = nn.LayerNorm(WIDTH, eps)

    def forward(self, pixels: Tensor, positions: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(N, HW, C), (1, HW, C), (N, T, C) -> tokens (N, T, C), pixels (N, HW, C)."""
        identity = tokens  # serves as the tokens' position encoding throughout
        for layer in self.layers:
            tokens, pixels = layer(tokens, pixels, identity, positions)
        attended = self.final_attn_token_to_image(tokens + identity, pixels + positions, pixels)
        return self.norm_final_attn(tokens + attended), pixels


class _TwoWayLayer(nn.Module):
    def __init__(self, eps: float, first: bool) -> None:
        super().__init__()
        self.self_attn = Attention(WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps)
        self.cross_attn_token_to_image = Attention(WIDTH // 2)
        self.norm2 = nn.LayerNorm(WIDTH, eps)
        self.mlp = _TokenMlp()
        self.norm3 = nn.LayerNorm(WIDTH, eps)
        self.norm4 = nn.LayerNorm(WIDTH, eps)
        self.cross_attn_image_to_token = Attention(WIDTH // 2)
        self._first = first

    def forward(self, tokens: Tensor, pixels: Tensor, identity: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        if self._first:  # tokens are their own position encoding still, and have no residual yet
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            placed = tokens + identity
            tokens = self.norm1(tokens + self.self_attn(placed, placed, tokens))
        placed_pixels = pixels + positions
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + identity, placed_pixels, pixels))
        tokens = self.norm3(tokens + self.mlp(tokens))
        pixels = self.norm4(pixels + self.cross_attn_image_to_token(placed_pixels, tokens + identity, tokens))
        return tokens, pixels


class Attention(nn.Module):
    """Multi-head attention whose heads together are ``inner`` wide."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, inner)
        self.k_proj = nn.Linear(WIDTH, inner)
        self.v_proj = nn.Linear(WIDTH, inner)
        self.out_proj = nn.Linear(inner, WIDTH)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = _heads(self.q_proj(query)), _heads(self.k_proj(key)), _heads(self.v_proj(value))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        attended = scores.softmax(dim=-1) @ v
        return self.out_proj(attended.transpose(1, 2).flatten(2))


def _heads(x: Tensor) -> Tensor:
    """(B, T, C) -> (B, heads, T, C / heads)."""
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


class _TokenMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin1 = nn.Linear(WIDTH, _HIDDEN)
        self.lin2 = nn.Linear(_HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(functional.relu(self.lin1(x)))


class _Mlp(nn.Module):
    """Three linear layers with ReLU between."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, outputs)])

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        return last(functional.relu(second(functional.relu(first(x)))))
