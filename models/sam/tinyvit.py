"""The image encoder of LiteMedSAM: a TinyViT changed to keep a 256 x 256 image at a 64 x 64 grid.

Beside TinyViT's paper: the patch embedding neither shrinks nor looks around (two 1x1 convolutions), so the
first stage works on all 256 x 256 pixels, and the last merge keeps the grid.

Source: Wu et al., "TinyViT", arXiv:2207.10666; Ma et al., LiteMedSAM (the challenge's baseline).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sam.layers import ConvNorm, sam_neck


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        width: channels.
        depth: blocks.
        heads: attention heads; 0 for the convolutional stage.
        window: side of an attention window in grid cells.
        grid: side of the grid that the stage works on.
    """

    width: int
    depth: int
    heads: int
    window: int
    grid: int


STAGES = (
    Stage(width=64, depth=2, heads=0, window=0, grid=256),
    Stage(width=128, depth=2, heads=4, window=7, grid=128),
    Stage(width=160, depth=6, heads=5, window=14, grid=64),
    Stage(width=320, depth=2, heads=10, window=7, grid=64),
)
#: Hidden units of a block per channel.
_EXPANSION = 4


class TinyViT(nn.Module):
    """(B, 3, 256, 256) in [0, 1] -> (B, 256, 64, 64)."""

    def __init__(self, stages: Sequence[Stage] = STAGES) -> None:
        super().__init__()
        first = stages[0]
        self.patch_embed = _PatchEmbedding(first.width)
        following = [*stages[1:], None]
        self.layers = nn.ModuleList(_Layer(stage, after) for stage, after in zip(stages, following, strict=True))
        self.neck = sam_neck(stages[-1].width)
        self.grid = stages[-1].grid

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        tokens = x.transpose(1, 2)
        return self.neck(tokens.reshape(x.shape[0], -1, self.grid, self.grid))


class _PatchEmbedding(nn.Module):
    """Pixel by pixel from colours to the first stage's channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, width // 2), nn.GELU(), ConvNorm(width // 2, width))

    def forward(self, image: Tensor) -> Tensor:
        return self.seq(image)


class _Layer(nn.Module):
    """A stage's blocks, then the merge to the next stage.

    The first stage takes and keeps (B, C, H, W) until its merge; the others take and give tokens (B, HW, C).
    """

    def __init__(self, stage: Stage, after: Stage | None) -> None:
        super().__init__()
        block = AttentionBlock if stage.heads else ConvolutionBlock
        self.blocks = nn.ModuleList(block(stage) for _ in range(stage.depth))
        self.downsample = Merge(stage, after) if after else None

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if self.downsample is not None else x


class ConvolutionBlock(nn.Module):
    """Inverted bottleneck with a residual (MobileNetV2's)."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        hidden = stage.width * _EXPANSION
        self.conv1 = ConvNorm(stage.width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, padding=1, groups=hidden)
        self.conv3 = ConvNorm(hidden, stage.width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.gelu(self.conv1(x))
        hidden = functional.gelu(self.conv2(hidden))
        return functional.gelu(x + self.conv3(hidden))


class Merge(nn.Module):
    """To the next stage's channels and grid; the grid halves or stays."""

    def __init__(self, stage: Stage, after: Stage) -> None:
        super().__init__()
        width = after.width
        self.conv1 = ConvNorm(stage.width, width)
        self.conv2 = ConvNorm(width, width, 3, stride=stage.grid // after.grid, padding=1, groups=width)
        self.conv3 = ConvNorm(width, width)
        self.grid = stage.grid

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            x = _to_grid(x, self.grid)
        x = functional.gelu(self.conv1(x))
        x = functional.gelu(self.conv2(x))
        return self.conv3(x).flatten(2).transpose(1, 2)


class AttentionBlock(nn.Module):
    """Attention within windows, a depthwise convolution, and an MLP, on tokens (B, HW, C)."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.attn = _WindowAttention(stage.width, stage.heads, stage.window)
        self.local_conv = ConvNorm(stage.width, stage.width, 3, padding=1, groups=stage.width)
        self.mlp = _Mlp(stage.width)
        self.grid, self.window = stage.grid, stage.window

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._windowed(x)
        x = self.local_conv(_to_grid(x, self.grid)).flatten(2).transpose(1, 2)
        return x + self.mlp(x)

    def _windowed(self, x: Tensor) -> Tensor:
        batch, _, channels = x.shape
        grid, window = self.grid, self.window
        # The margin is zero before the attention's own norm, so its tokens are not nothing to the others.
        margin = -grid % window
        padded = functional.pad(x.view(batch, grid, grid, channels), (0, 0, 0, margin, 0, margin))
        side = (grid + margin) // window
        windows = padded.view(batch, side, window, side, window, channels).transpose(2, 3)
        attended = self.attn(windows.reshape(-1, window * window, channels))
        whole = attended.view(batch, side, side, window, window, channels).transpose(2, 3)
        whole = whole.reshape(batch, grid + margin, grid + margin, channels)
        return whole[:, :grid, :grid].reshape(batch, grid * grid, channels)


class _WindowAttention(nn.Module):
    """Multi-head attention with a learned bias for each pair of absolute offsets, (B, window², C)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("_offsets", _offset_table(window), persistent=False)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        # Head by head a query, a key and a value lie beside one another.
        parts = self.qkv(self.norm(x)).view(batch, tokens, self.heads, 3, width // self.heads)
        query, key, value = parts.permute(3, 0, 2, 1, 4)
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5
        attention = (scores + self.attention_biases[:, self._offsets]).softmax(dim=-1)
        return self.proj((attention @ value).transpose(1, 2).reshape(batch, tokens, width))


def _offset_table(window: int) -> Tensor:
    """Which bias stands for each pair of a window's cells, (window², window²).

    Biases are numbered by absolute offset (rows, columns) in the order in which they are met going through
    all pairs, which from the first cell on is row by row.
    """
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    apart = (rows[:, None] - rows).abs() * window + (columns[:, None] - columns).abs()
    return apart


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width * _EXPANSION)
        self.fc2 = nn.Linear(width * _EXPANSION, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(self.norm(x))))


def _to_grid(tokens: Tensor, grid: int) -> Tensor:
    """(B, HW, C) -> (B, C, H, W)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, grid, grid)
