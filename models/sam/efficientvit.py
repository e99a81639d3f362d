"""The image encoders of MedficientSAM (L1) and DAFT (L0): EfficientViT-SAM.

Five stages halve the image each; a neck brings the last three to a 64 x 64 grid, adds and refines them.

Source: Cai et al., "EfficientViT", arXiv:2205.14756; Zhang et al., "EfficientViT-SAM", arXiv:2402.05008.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sam.layers import LayerNorm2d

#: Of every norm, instead of torch's 1e-5.  The published ``create_sam_model`` sets it in the mask decoder as well.
_EPS = 1e-6
#: Keeps the linear attention's quotient finite.
_ATTENTION_EPS = 1e-15
_HEAD_WIDTH = 32
GRID = 64
_EMBEDDING = 256


@dataclass(frozen=True)
class Variant:
    """A size of the encoder.

    Attributes:
        depths: blocks of the five stages beside the first of each.
        neck: blocks of the neck.
    """

    depths: tuple[int, int, int, int, int]
    neck: int


L0 = Variant(depths=(1, 1, 1, 4, 4), neck=4)
L1 = Variant(depths=(1, 1, 1, 6, 6), neck=8)
L2 = Variant(depths=(1, 2, 2, 8, 8), neck=12)
_WIDTHS = (32, 64, 128, 256, 512)


class EfficientViT(nn.Module):
    """(B, 3, S, S) in [0, 1] -> (B, 256, 64, 64), for S a multiple of 32."""

    decoder_eps = _EPS

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.backbone = _Backbone(variant.depths)
        self.neck = _Neck(variant.neck)
        self.norm = LayerNorm2d(_EMBEDDING, _EPS)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(self.neck(self.backbone(image)))


class _Backbone(nn.Module):
    """An image -> the outputs of all stages."""

    def __init__(self, depths: Sequence[int]) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = _WIDTHS
        stages: list[list[nn.Module]] = [
            [Conv(3, w0, 3, stride=2, act=True), *(Residual(_plain(w0)) for _ in range(depths[0]))],
            [_shrink(Fused, w0, w1, 16), *(Residual(Fused(w1, w1, 4)) for _ in range(depths[1]))],
            [_shrink(Fused, w1, w2, 16), *(Residual(Fused(w2, w2, 4)) for _ in range(depths[2]))],
            [_shrink(_inverted, w2, w3, 16), *(Residual(_inverted(w3, w3, 4)) for _ in range(depths[3]))],
            [_shrink(_inverted, w3, w4, 24), *(_AttentionBlock(w4) for _ in range(depths[4]))],
        ]
        self.stages = nn.ModuleList(Chain(stage) for stage in stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        outputs = [image]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]


class _Neck(nn.Module):
    """The last three stages' outputs -> one embedding."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        sources = reversed(_WIDTHS[2:])
        self.input_ops = nn.ModuleList(Chain([Conv(width, _EMBEDDING, 1), _ToGrid()]) for width in sources)
        self.middle = Chain([Residual(Fused(_EMBEDDING, _EMBEDDING, 1)) for _ in range(depth)])
        self.output_ops = nn.ModuleList([Chain([Conv(_EMBEDDING, _EMBEDDING, 1, bias=True, norm=False)])])

    def forward(self, stages: list[Tensor]) -> Tensor:
        deepest, deep, shallow = (op(x) for op, x in zip(self.input_ops, stages[:1:-1], strict=True))
        return self.output_ops[0](self.middle(deepest + deep + shallow))


class Chain(nn.Module):
    """Modules one after the other, as ``op_list``."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.op_list = nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.op_list:
            x = module(x)
        return x


class Residual(nn.Module):
    """``x + main(x)``, or ``main(x)`` alone where the shape changes."""

    def __init__(self, main: nn.Module, add: bool = True) -> None:
        super().__init__()
        self.main = main
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x) if self.add else cast(Tensor, self.main(x))


class Conv(nn.Module):
    """Convolution that keeps the size (or divides it by the stride), batch norm, GELU by its tanh formula."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: bool = True,
        act: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(outputs, eps=_EPS) if norm else None
        self.act = act

    @property
    def pixelwise(self) -> bool:
        """Whether each pixel's result depends on that pixel alone."""
        return self.conv.kernel_size == (1, 1) and self.conv.stride == (1, 1) and self.conv.groups == 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return functional.gelu(x, approximate="tanh") if self.act else x


class _Named(nn.Module):
    """Convolutions one after the other under names of their own."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


def _plain(width: int) -> nn.Module:
    """Two 3x3 convolutions."""
    return _Named(conv1=Conv(width, width, 3, act=True), conv2=Conv(width, width, 3))


def _inverted(inputs: int, outputs: int, expansion: int, stride: int = 1) -> nn.Module:
    """Inverted bottleneck whose hidden convolutions have biases in place of norms."""
    hidden = inputs * expansion
    return _Named(
        inverted_conv=Conv(inputs, hidden, 1, bias=True, norm=False, act=True),
        depth_conv=Conv(hidden, hidden, 3, stride, groups=hidden, bias=True, norm=False, act=True),
        point_conv=Conv(hidden, outputs, 1),
    )


def _shrink(kind: Callable[..., nn.Module], inputs: int, outputs: int, expansion: int) -> nn.Module:
    """The first block of a stage: it halves the image and has no residual."""
    return Residual(kind(inputs, outputs, expansion, stride=2), add=False)


class Fused(nn.Module):
    """Fused inverted bottleneck: a full 3x3 convolution to the hidden channels, 1x1 back."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int = 1) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.spatial_conv = Conv(inputs, hidden, 3, stride, act=True)
        self.point_conv = Conv(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.point_conv(self.spatial_conv(x))


class _AttentionBlock(nn.Module):
    """Linear attention, then an inverted bottleneck, both with residuals."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.context_module = Residual(_LinearAttention(width))
        self.local_module = Residual(_inverted(width, width, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.local_module(self.context_module(x))


class _LinearAttention(nn.Module):
    """Attention with a ReLU kernel, at the grid's own scale and over 5x5 neighbourhoods."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = width // _HEAD_WIDTH
        self.qkv = Conv(width, 3 * width, 1, norm=False)
        around = nn.Conv2d(3 * width, 3 * width, 5, padding=2, groups=3 * width, bias=False)
        mixed = nn.Conv2d(3 * width, 3 * width, 1, groups=3 * heads, bias=False)
        self.aggreg = nn.ModuleList([nn.Sequential(around, mixed)])
        self.proj = Conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        near = self.qkv(x)
        heads = torch.cat([near, self.aggreg[0](near)], dim=1).reshape(batch, -1, 3 * _HEAD_WIDTH, height * width)
        query, key, value = heads.split(_HEAD_WIDTH, dim=2)
        query, key = functional.relu(query), functional.relu(key)
        # A row of ones beside the values gathers the weights' sums.
        gathered = functional.pad(value, (0, 0, 0, 1), value=1.0) @ key.transpose(-1, -2) @ query
        attended = gathered[:, :, :-1] / (gathered[:, :, -1:] + _ATTENTION_EPS)
        return self.proj(attended.reshape(batch, -1, height, width))


class _ToGrid(nn.Module):
    """To 64 x 64 by bicubic interpolation."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == (GRID, GRID):
            return x
        return functional.interpolate(x, size=(GRID, GRID), mode="bicubic", align_corners=False)
