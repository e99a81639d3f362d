"""Layers that several parts of the family share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel of (B, C, H, W).

    Args:
        channels: C.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        unit = centred / torch.sqrt(variance + self.eps)
        return unit * self.weight[:, None, None] + self.bias[:, None, None]


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch norm: members ``c`` and ``bn``, as in LeViT and its heirs."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outputs))


def folded(pair: ConvNorm) -> nn.Conv2d:
    """One convolution for both, with the batch norm's statistics as they are now."""
    convolution, norm = pair
    return fuse_conv_bn_eval(convolution, norm)


def sam_neck(inputs: int, outputs: int = 256) -> nn.Sequential:
    """SAM's neck: to the embedding's channels by a 1x1 and a 3x3 convolution, each with a layer norm.

    Source: Kirillov et al., "Segment Anything", arXiv:2304.02643.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        LayerNorm2d(outputs),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        LayerNorm2d(outputs),
    )
