"""EfficientViT's encoder rearranged for inference: the same embedding, sooner.

- Most weights belong to 1x1 convolutions of the deepest stages, whose grids have few pixels.  OpenVINO copies those of
  a convolution into an order of its own, which takes longer than using them once; of a matrix product it takes the left
  side as it lies in the file.
- Fused bottlenecks that keep the grid's size, where more than half of all multiplications are, work on pixels as rows
  of channels, their 3x3 convolution being Winograd's.
- Batch norms of both are folded in.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.sam.efficientvit import GRID, Chain, Conv, EfficientViT, Fused, Residual
from models.sam.winograd import TiledConvolution, Tiling, rows_of

#: As matrix products, 1x1 convolutions of so many weights are loaded faster; those of fewer have more pixels for each
#: weight, and run slower so.
_WORTH_MULTIPLYING = 500_000


def lean_efficientvit(encoder: EfficientViT, input_size: int, tiled: bool = True) -> nn.Module:
    """The encoder for images of one size.

    Args:
        encoder: whose weights it takes as they are now; it stays as it is.
        input_size: side of the images in pixels, a multiple of 32.
        tiled: whether 3x3 convolutions are Winograd's (`models.sam.winograd`).
    """
    lean = copy.deepcopy(encoder)
    if tiled:
        _tile(lean.neck.middle, GRID)
        for depth, stage in enumerate(lean.backbone.stages, start=1):
            _tile(cast(Chain, stage), input_size >> depth)
    for parent in list(lean.modules()):
        for name, module in parent.named_children():
            if isinstance(module, Conv) and module.pixelwise and module.conv.weight.numel() >= _WORTH_MULTIPLYING:
                setattr(parent, name, _Product(module))
    return lean


def _tile(chain: Chain, side: int) -> None:
    """Put rows in the place of the fused bottlenecks with residuals that end a chain."""
    blocks = list(chain.op_list)
    kept = len(blocks)
    while kept and _keeps_size(blocks[kept - 1]):
        kept -= 1
    if kept < len(blocks):
        chain.op_list = nn.ModuleList([*blocks[:kept], _Tiled(cast(list[Residual], blocks[kept:]), side)])


def _keeps_size(block: nn.Module) -> bool:
    return isinstance(block, Residual) and block.add and isinstance(block.main, Fused)


class _Tiled(nn.Module):
    """Fused bottlenecks with residuals, (1, C, H, W) -> (1, C, H, W)."""

    def __init__(self, blocks: Sequence[Residual], side: int) -> None:
        super().__init__()
        self.tiling = Tiling(side, side)
        self.blocks = nn.Sequential(*(_Rows(cast(Fused, block.main), self.tiling) for block in blocks))

    def forward(self, x: Tensor) -> Tensor:
        return self.tiling.image(self.blocks(self.tiling.cut(rows_of(x))))


class _Rows(nn.Module):
    """One of them, (HW, C) -> (HW, C)."""

    bias: Tensor

    def __init__(self, block: Fused, tiling: Tiling) -> None:
        super().__init__()
        spatial = _folded(block.spatial_conv)
        self.spatial = TiledConvolution(spatial, tiling)
        self.register_buffer("bias", _bias(spatial))
        self.point = _linear(_folded(block.point_conv))

    def forward(self, rows: Tensor) -> Tensor:
        return rows + self.point(functional.gelu(self.spatial(rows) + self.bias, approximate="tanh"))


class _Product(nn.Module):
    """A pixelwise `Conv` as a matrix product."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Conv) -> None:
        super().__init__()
        convolution = _folded(layer)
        # The axis in front is the batch's: without it OpenVINO would make a copy that has one.
        self.register_buffer("weight", convolution.weight.detach().flatten(1)[None].clone())
        self.register_buffer("bias", _bias(convolution)[:, None])
        self._act = layer.act

    def forward(self, x: Tensor) -> Tensor:
        product = (self.weight @ x.flatten(2) + self.bias).unflatten(2, x.shape[2:])
        return functional.gelu(product, approximate="tanh") if self._act else product


def _folded(layer: Conv) -> nn.Conv2d:
    return layer.conv if layer.norm is None else fuse_conv_bn_eval(layer.conv, layer.norm)


def _linear(convolution: nn.Conv2d) -> nn.Linear:
    """A 1x1 convolution, of rows."""
    linear = nn.Linear(convolution.in_channels, convolution.out_channels)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.flatten(1))
        linear.bias.copy_(_bias(convolution))
    return linear


def _bias(convolution: nn.Conv2d) -> Tensor:
    """Of any convolution, (D,)."""
    if convolution.bias is None:
        return convolution.weight.new_zeros(convolution.out_channels)
    return convolution.bias.detach().clone()
