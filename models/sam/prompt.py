"""SAM's prompt encoder: boxes to tokens, and the grid's position encoding.

Source: Kirillov et al., "Segment Anything", arXiv:2304.02643; random Fourier features after Tancik et al.,
arXiv:2006.10739.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.sam.layers import LayerNorm2d

WIDTH = 256
GRID = 64


class PromptEncoder(nn.Module):
    """Encodes boxes; points and masks have weights in checkpoints, but the challenge prompts with boxes alone.

    Args:
        image_size: side in pixels of the square that boxes refer to.
    """

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.pe_layer = _FourierFeatures()
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, WIDTH) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, WIDTH)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, stride=2), LayerNorm2d(4), nn.GELU(),
            nn.Conv2d(4, 16, 2, stride=2), LayerNorm2d(16), nn.GELU(),
            nn.Conv2d(16, WIDTH, 1),
        )  # fmt: skip
        self.no_mask_embed = nn.Embedding(1, WIDTH)

    def forward(self, boxes: Tensor) -> Tensor:
        """Tokens of boxes.

        Args:
            boxes: (N, 4) as x_min, y_min, x_max, y_max in pixels of the square.

        Returns:
            (N, 2, 256): upper left and lower right corner.
        """
        corners = (boxes + 0.5).reshape(-1, 2, 2) / self.image_size
        kinds = torch.stack([self.point_embeddings[2].weight[0], self.point_embeddings[3].weight[0]])
        return self.pe_layer(corners) + kinds

    def dense(self) -> Tensor:
        """What stands on the grid where no mask is given, (1, 256, 1, 1)."""
        return self.no_mask_embed.weight.reshape(1, WIDTH, 1, 1)

    def grid(self) -> Tensor:
        """Position encoding of the grid's cells, (1, 256, 64, 64)."""
        centres = (torch.arange(GRID, dtype=torch.float32, device=self.no_mask_embed.weight.device) + 0.5) / GRID
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return self.pe_layer(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None]


class _FourierFeatures(nn.Module):
    """Points (..., 2) as x, y in [0, 1] -> (..., 256)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, WIDTH // 2))

    def forward(self, points: Tensor) -> Tensor:
        angles = 2 * math.pi * ((2 * points - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
