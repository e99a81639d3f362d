"""The image encoder of RepMedSAM: a RepViT-M1.0 changed to keep a 256 x 256 image at a 64 x 64 grid.

Beside RepViT's paper: the stem keeps the size, only two blocks halve it, and the widening to the last stage
neither halves it nor has a residual.

Source: Wang et al., "RepViT", arXiv:2307.09283; Wei et al., "Rep-MedSAM" (CVPR 2024 challenge).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.sam.layers import ConvNorm, folded, sam_neck


@dataclass(frozen=True)
class Block:
    """One block: its output channels, whether it halves the grid, whether it weighs channels (squeeze-excite)."""

    width: int
    halves: bool = False
    weighs: bool = False


def _stage(width: int, weighs: str, first_halves: bool) -> list[Block]:
    """Blocks of one width; ``weighs`` has a 1 for each with squeeze-excite."""
    return [Block(width, first_halves and i == 0, mark == "1") for i, mark in enumerate(weighs)]


M1_0 = (
    *_stage(56, "100", first_halves=False),
    *_stage(112, "0100", first_halves=True),
    *_stage(224, "0101010101010100", first_halves=True),
    *_stage(448, "010", first_halves=False),
)


class RepViT(nn.Module):
    """(B, 3, 256, 256) in [0, 1] -> (B, 256, 64, 64)."""

    def __init__(self, blocks: Sequence[Block] = M1_0) -> None:
        super().__init__()
        width = blocks[0].width
        stem = nn.Sequential(
            ConvNorm(3, width // 2, 3, padding=1), nn.GELU(), ConvNorm(width // 2, width, 3, padding=1)
        )
        layers: list[nn.Module] = [stem]
        for block in blocks:
            layers.append(_RepBlock(width, block))
            width = block.width
        self.features = nn.ModuleList(layers)
        self.neck = sam_neck(width)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for layer in self.features:
            x = layer(x)
        return self.neck(x)


def lean_repvit(encoder: RepViT) -> nn.Module:
    """The encoder re-parametrised as RepViT is deployed: branches and batch norms folded into convolutions.

    Args:
        encoder: whose weights it takes as they are now; it stays as it is.
    """
    lean = copy.deepcopy(encoder)
    for parent in list(lean.modules()):
        for name, module in parent.named_children():
            if isinstance(module, ConvNorm):
                setattr(parent, name, folded(module))
            elif isinstance(module, _RepDepthwise):
                setattr(parent, name, module.folded())
    return lean


class _RepBlock(nn.Module):
    """Mixing of neighbours, then of channels."""

    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        weigh = _SqueezeExcite(inputs) if block.weighs else nn.Identity()
        width = block.width
        if block.halves:
            shrink = ConvNorm(inputs, inputs, 3, stride=2, padding=1, groups=inputs)
            self.token_mixer = nn.Sequential(shrink, weigh, ConvNorm(inputs, width))
            self.channel_mixer: nn.Module = _Residual(_bottleneck(width, 2 * width, width))
        else:
            self.token_mixer = nn.Sequential(_RepDepthwise(inputs), weigh)
            mixer = _bottleneck(inputs, 2 * inputs, width)
            self.channel_mixer = _Residual(mixer) if inputs == width else mixer

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.token_mixer(x))


def _bottleneck(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(inputs, hidden), nn.GELU(), ConvNorm(hidden, outputs))


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.m = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class _RepDepthwise(nn.Module):
    """Depthwise 3x3, depthwise 1x1 and identity side by side, which inference may fold into one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = ConvNorm(width, width, 3, padding=1, groups=width)
        self.conv1 = nn.Conv2d(width, width, 1, groups=width)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x) + self.conv1(x) + x)

    def folded(self) -> nn.Conv2d:
        """One convolution for all three and their batch norms."""
        whole = folded(self.conv)
        with torch.no_grad():
            whole.weight[:, :, 1:2, 1:2] += self.conv1.weight + 1
            whole.bias += self.conv1.bias
        return fuse_conv_bn_eval(whole, self.bn)


class _SqueezeExcite(nn.Module):
    """Channels weighed by their means over the image (Hu et al., arXiv:1709.01507)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(8, int(width / 4 + 4) // 8 * 8)  # a quarter, rounded to eights
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(functional.relu(self.fc1(means))).sigmoid()
