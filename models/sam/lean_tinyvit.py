"""TinyViT's encoder rearranged for inference: the same embedding with less moved and multiplied.

- Between tokens and grid the axes are exchanged in the one order of operations, each way, that OpenVINO recognises
  as the layout its convolutions take anyway: nothing is moved.
- Batch norms are folded into convolutions, the scale and shift of layer norms into the products after them.
- A window's margin is zero before its layer norm, so its keys and values are a constant.  Taken from all keys, it
  cancels in the softmax; taken from all values, the output's bias gives it back.  The margin then is zero behind the
  norm as well, so that the norm and the last product are spared it.
- Queries, keys and values each have a product of their own: nothing is split afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sam.layers import ConvNorm, folded
from models.sam.tinyvit import AttentionBlock, ConvolutionBlock, Merge, TinyViT


class LeanTinyViT(nn.Module):
    """(B, 3, 256, 256) in [0, 1] -> (B, 256, 64, 64), equal but for rounding to the encoder's.

    Args:
        encoder: whose weights it takes as they are now, with batch norms as in inference.
    """

    def __init__(self, encoder: TinyViT) -> None:
        super().__init__()
        first, _, second = encoder.patch_embed.seq
        self.embed = _with_gelu(first, second)
        stages: list[nn.Module] = []
        for layer in encoder.layers:
            stages += [_Block(b) if isinstance(b, AttentionBlock) else _Bottleneck(b) for b in layer.blocks]
            if layer.downsample is not None:
                stages.append(_Merging(layer.downsample))
        self.stages = nn.Sequential(*stages)
        self.neck = encoder.neck
        self._grid = encoder.grid

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.stages(self.embed(image))
        return self.neck(_planes(tokens, self._grid))


class _Bottleneck(nn.Module):
    """`ConvolutionBlock`."""

    def __init__(self, block: ConvolutionBlock) -> None:
        super().__init__()
        self.layers = _with_gelu(block.conv1, block.conv2, block.conv3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(x + self.layers(x))


class _Merging(nn.Module):
    """`Merge`."""

    def __init__(self, merge: Merge) -> None:
        super().__init__()
        self.layers = _with_gelu(merge.conv1, merge.conv2, merge.conv3)
        self._grid = merge.grid

    def forward(self, x: Tensor) -> Tensor:
        return _tokens(self.layers(_planes(x, self._grid) if x.ndim == 3 else x))


class _Block(nn.Module):
    """`AttentionBlock`."""

    bias: Tensor

    def __init__(self, block: AttentionBlock) -> None:
        super().__init__()
        attention = block.attn
        self._grid, self._window, self._heads = block.grid, block.window, attention.heads
        self._norm_eps, self._mlp_eps = attention.norm.eps, block.mlp.norm.eps
        with torch.no_grad():
            width = attention.proj.in_features
            inner = width // attention.heads
            weight = attention.qkv.weight * attention.norm.weight
            bias = attention.qkv.bias + attention.qkv.weight @ attention.norm.bias
            weights = weight.unflatten(0, (attention.heads, 3, inner)).transpose(0, 1).flatten(1, 2)
            biases = bias.unflatten(0, (attention.heads, 3, inner)).transpose(0, 1).flatten(1, 2)
            scale = inner**-0.5
            self.query = _linear(weights[0] * scale, biases[0] * scale)
            self.key, self.value = _linear(weights[1]), _linear(weights[2])
            self.project = _linear(
                attention.proj.weight, attention.proj.bias + attention.proj.weight @ biases[2]
            )  # fmt: skip
            self.register_buffer("bias", attention.attention_biases[:, attention.get_buffer("_offsets")].clone())
            self.local = folded(block.local_conv)
            mlp = block.mlp
            self.widen = _linear(mlp.fc1.weight * mlp.norm.weight, mlp.fc1.bias + mlp.fc1.weight @ mlp.norm.bias)
            self.narrow = mlp.fc2

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attended(_normed(x, self._norm_eps))
        x = _tokens(self.local(_planes(x, self._grid)))
        return x + self.narrow(functional.gelu(self.widen(_normed(x, self._mlp_eps))))

    def _attended(self, x: Tensor) -> Tensor:
        batch, _, channels = x.shape
        grid, window = self._grid, self._window
        margin = -grid % window
        side = (grid + margin) // window
        x = functional.pad(x.view(batch, grid, grid, channels), (0, 0, 0, margin, 0, margin))
        x = x.view(batch, side, window, side, window, channels).transpose(2, 3).reshape(-1, window**2, channels)
        query, key, value = (
            part(x).unflatten(2, (self._heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        x = (query @ key.transpose(-2, -1) + self.bias).softmax(dim=-1) @ value
        x = x.transpose(1, 2).reshape(batch, side, side, window, window, channels).transpose(2, 3)
        x = x.reshape(batch, grid + margin, grid + margin, channels)[:, :grid, :grid]
        return self.project(x.reshape(batch, grid * grid, channels))


def _with_gelu(first: ConvNorm, *others: ConvNorm) -> nn.Sequential:
    """Convolutions with GELU between."""
    layers: list[nn.Module] = [folded(first)]
    for pair in others:
        layers += [nn.GELU(), folded(pair)]
    return nn.Sequential(*layers)


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight.copy_(weight)
    if bias is not None:
        linear.bias.copy_(bias)
    return linear


def _normed(x: Tensor, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], eps=eps)


def _planes(tokens: Tensor, grid: int) -> Tensor:
    """(B, HW, C) -> (B, C, H, W)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, grid, grid)


def _tokens(planes: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, HW, C)."""
    return planes.permute(0, 2, 3, 1).reshape(planes.shape[0], -1, planes.shape[1])
