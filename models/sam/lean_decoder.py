"""The mask decoder rearranged for inference: the same masks from fewer multiplications.

A prompt has seven tokens and the image 4096 pixels, so whatever can be done to tokens is not done to pixels:

- in the second layer and after it keys and values are not made from pixels.  A query goes through the key's
  projection backwards, (q W_k) x instead of q (W_k x), and pixels are averaged before the value's projection; in the
  other direction a token's value goes through the output's projection before it is handed to the pixels;
- in the first layer pixels are the same for all prompts, so they are projected once for all of them (`LeanImage`);
- what all pixels have in common, biases and the absent mask, meets only tokens: what it adds to keys drops out of the
  softmax over pixels, and what it adds to values passes through, since shares add up to one;
- the weights of a layer's MLP, more than half of the decoder's, are the left side of their products (`_TokenMlp`);
- only the token of the mask for unambiguous prompts is read in the end, and no expected IoU;
- enlarging by a transposed convolution whose kernels do not overlap is a matrix product pixel by pixel.  Pixels are
  put into their places when they are logits already.

Scores lie as (heads, tokens, pixels), where both softmaxes and both products run along memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.sam.decoder import HEADS, Attention
from models.sam.network import SegmentAnything
from models.sam.prompt import GRID, WIDTH, PromptEncoder

#: Which of the decoder's own tokens stands for the mask for unambiguous prompts.
_MASK_TOKEN = 1


class LeanImage(nn.Module):
    """What the decoding of all boxes on an image shares.

    Args:
        network: whose weights it takes as they are now.
    """

    attending: Tensor
    value: Tensor

    def __init__(self, network: SegmentAnything) -> None:
        super().__init__()
        first = network.mask_decoder.transformer.layers[0]
        with torch.no_grad():
            to_image, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
            query = to_tokens.q_proj.weight * _scale(to_tokens)
            self.register_buffer("attending", torch.cat([to_image.k_proj.weight, query]))
            self.register_buffer("value", to_image.v_proj.weight.clone())
            self.positions = _Positions(network.prompt_encoder)

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(1, 256, 64, 64) -> pixels and their positions, (HW, C) each; keys and queries of the first layer, (2, heads,
        inner, HW), and its values, (heads, inner, HW).  All are without biases and the absent mask.
        """
        image = embedding.flatten(2)[0]  # (C, HW)
        pixels = image.T
        positions = self.positions(pixels)
        attending = (self.attending @ (pixels + positions).T).unflatten(0, (2, HEADS, -1))
        return pixels, positions, attending, (self.value @ image).unflatten(0, (HEADS, -1))


class _Positions(nn.Module):
    """The grid's position encoding, (HW, C), from what rows and columns have of it.

    It is the sine and the cosine of sums of an angle for the row and one for the column, and in an exported network's
    file, where the whole grid would be as large as a quarter of the decoder, lie the sines and cosines of these.
    """

    row: Tensor
    column: Tensor

    def __init__(self, prompt_encoder: PromptEncoder) -> None:
        super().__init__()
        by_x, by_y = 2 * math.pi * prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.double()
        centres = (2 * torch.arange(GRID, dtype=torch.float64, device=by_x.device)[:, None] + 1) / GRID - 1
        x, y = centres * by_x, centres * by_y  # (64, 128)
        row = [torch.cat([y.sin(), y.cos()], dim=1), torch.cat([y.cos(), -y.sin()], dim=1)]
        column = [torch.cat([x.cos()] * 2, dim=1), torch.cat([x.sin()] * 2, dim=1)]
        self.register_buffer("row", torch.stack(row)[:, :, None].float())
        self.register_buffer("column", torch.stack(column)[:, None].float())

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels``: any, only that an exported network does not hold what comes of constants alone."""
        rows = self.row * pixels[0, 0].clamp(1, 1)
        return (rows[0] * self.column[0] + rows[1] * self.column[1]).flatten(0, 1)


class LeanDecoder(nn.Module):
    """Logits of boxes on an encoded image, equal but for rounding to those of ``network.decode``.

    Args:
        network: whose weights it takes as they are now.
    """

    own: Tensor

    def __init__(self, network: SegmentAnything) -> None:
        super().__init__()
        decoder = network.mask_decoder
        first, second = decoder.transformer.layers
        last = decoder.transformer.final_attn_token_to_image
        self.prompt_encoder = network.prompt_encoder
        self.first, self.second = first, second
        self.first_mlp, self.second_mlp = _TokenMlp(first.mlp), _TokenMlp(second.mlp)
        self.final_norm = decoder.transformer.norm_final_attn
        self.hypernetwork = decoder.output_hypernetworks_mlps[0]
        with torch.no_grad():
            self.register_buffer("own", torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]))
            absent = network.prompt_encoder.dense().reshape(1, WIDTH)
            nothing = torch.zeros_like(absent)
        self.read_first = _Reading(first.cross_attn_token_to_image, absent)
        self.write_first = _Writing(first.cross_attn_image_to_token, absent)
        self.read_second = _Reading(second.cross_attn_token_to_image, nothing)
        self.write_second = _Writing(second.cross_attn_image_to_token, nothing)
        self.read_last = _Reading(last, nothing)
        self.enlarge_twice = _Enlarging(decoder.output_upscaling)

    def forward(self, pixels: Tensor, positions: Tensor, attending: Tensor, values: Tensor, boxes: Tensor) -> Tensor:
        """What `LeanImage` yields, and (N, 4) in pixels of the prompt encoder's square -> logits (N, 256, 256)."""
        prompts = self.prompt_encoder(boxes)
        identity = torch.cat([self.own.expand(prompts.shape[0], -1, -1), prompts], dim=1)

        keys, queries = attending.unbind()
        layer = self.first
        tokens = layer.norm1(layer.self_attn(identity, identity, identity))
        attention = (self.read_first.queries(tokens + identity) @ keys).softmax(dim=-1)
        tokens = layer.norm2(tokens + self.read_first.out(attention @ values.transpose(1, 2)))
        tokens = layer.norm3(tokens + self.first_mlp(tokens))
        scores = self.write_first.keys(tokens + identity) @ queries
        scores = scores + self.write_first.bias(tokens + identity).unflatten(1, (HEADS, -1))
        pixels = layer.norm4(pixels + self.write_first.out(scores, tokens))  # (N, HW, C) from here on

        layer, placed = self.second, pixels + positions
        query = tokens + identity
        tokens = layer.norm1(tokens + layer.self_attn(query, query, tokens))
        scores = self.read_second.projected(tokens + identity) @ placed.transpose(1, 2)
        tokens = layer.norm2(tokens + self.read_second.projected_out(_average(scores, pixels)))
        tokens = layer.norm3(tokens + self.second_mlp(tokens))
        scores = self.write_second.projected(tokens + identity) @ placed.transpose(1, 2)
        scores = scores + self.write_second.bias(tokens + identity)
        pixels = layer.norm4(pixels + self.write_second.out(scores.unflatten(1, (HEADS, -1)), tokens))

        token = tokens[:, _MASK_TOKEN : _MASK_TOKEN + 1]
        query = self.read_last.projected(token + identity[:, _MASK_TOKEN : _MASK_TOKEN + 1])
        scores = query @ pixels.transpose(1, 2) + query @ positions.T
        token = self.final_norm(token + self.read_last.projected_out(_average(scores, pixels)))
        return self.enlarge_twice(pixels, self.hypernetwork(token))


class _Reading(nn.Module):
    """Tokens read pixels: the tokens' side of an attention.

    Args:
        attention: whose weights it takes.
        missing: (1, C), what the pixels that it reads are without; zeros where they are whole.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, attention: Attention, missing: Tensor) -> None:
        super().__init__()
        scale = _scale(attention)
        self.query = _scaled(attention.q_proj, scale)
        value, out = attention.v_proj, attention.out_proj
        self.project_out = nn.Linear(out.in_features, out.out_features)
        with torch.no_grad():
            self.register_buffer("keys", _by_head(attention.k_proj.weight).clone())  # (heads, inner, C)
            self.register_buffer("values", _by_head(value.weight).transpose(1, 2).clone())
            self.project_out.weight.copy_(out.weight)
            self.project_out.bias.copy_(out(value(missing)[0]))

    def queries(self, tokens: Tensor) -> Tensor:
        """(N, T, C) -> (N, heads, T, inner)."""
        return _heads(self.query(tokens))

    def out(self, attended: Tensor) -> Tensor:
        """Averages of values without their bias, (N, heads, T, inner) -> (N, T, C)."""
        return self.project_out(attended.transpose(1, 2).flatten(2))

    def projected(self, tokens: Tensor) -> Tensor:
        """Queries of bare pixels, (N, T, C) -> (N, heads x T, C)."""
        return (self.queries(tokens) @ self.keys).flatten(1, 2)

    def projected_out(self, averages: Tensor) -> Tensor:
        """From averages of bare pixels, (N, heads x T, C) -> (N, T, C)."""
        return self.out(averages.unflatten(1, (HEADS, -1)) @ self.values)


class _Writing(nn.Module):
    """Pixels read tokens: the tokens' side of an attention.

    Args:
        attention: whose weights it takes.
        missing: (1, C), what the pixels that read are without, and get with what they read; zeros where they are whole.
    """

    queries: Tensor
    query_bias: Tensor
    outputs: Tensor
    output_bias: Tensor

    def __init__(self, attention: Attention, missing: Tensor) -> None:
        super().__init__()
        self.key, self.value = attention.k_proj, attention.v_proj
        with torch.no_grad():
            scale, query = _scale(attention), attention.q_proj
            self.register_buffer("queries", _by_head(query.weight) * scale)
            self.register_buffer("query_bias", query(missing).reshape(HEADS, -1, 1) * scale)
            self.register_buffer("outputs", _by_head(attention.out_proj.weight.T).clone())
            # Each head's shares of tokens add up to one, so that each head gives a pixel its part.
            self.register_buffer("output_bias", (attention.out_proj.bias + missing[0]) / HEADS)

    def keys(self, tokens: Tensor) -> Tensor:
        """(N, T, C) -> (N, heads, T, inner)."""
        return _heads(self.key(tokens))

    def projected(self, tokens: Tensor) -> Tensor:
        """Keys for bare pixels, (N, T, C) -> (N, heads x T, C)."""
        return (self.keys(tokens) @ self.queries).flatten(1, 2)

    def bias(self, tokens: Tensor) -> Tensor:
        """What the queries' bias adds to scores, (N, T, C) -> (N, heads x T, 1)."""
        return (self.keys(tokens) @ self.query_bias).flatten(1, 2)

    def out(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """Scores (N, heads, T, HW) and tokens (N, T, C) -> what pixels get, (N, HW, C)."""
        values = (_heads(self.value(tokens)) @ self.outputs + self.output_bias).flatten(1, 2)
        return scores.softmax(dim=2).flatten(1, 2).transpose(1, 2) @ values


class _TokenMlp(nn.Module):
    """A layer's MLP, (N, T, C) -> (N, T, C).

    The left side of a product OpenVINO takes as it lies in the file.  Weights on the right it first puts in an order of
    its own, which takes longer than using them on seven tokens.
    """

    widen: Tensor
    narrow: Tensor
    widen_bias: Tensor
    narrow_bias: Tensor

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        for name, linear in (("widen", mlp.lin1), ("narrow", mlp.lin2)):
            self.register_buffer(name, linear.weight.detach()[None].clone())
        self.register_buffer("widen_bias", mlp.lin1.bias.detach()[:, None].clone())
        self.register_buffer("narrow_bias", mlp.lin2.bias.detach().clone())

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = functional.relu(self.widen @ tokens.transpose(1, 2) + self.widen_bias)
        return (self.narrow @ hidden).transpose(1, 2) + self.narrow_bias


class _Enlarging(nn.Module):
    """Both transposed convolutions, and the mask's product with them."""

    def __init__(self, upscaling: nn.Sequential) -> None:
        super().__init__()
        first, norm, _, second, _ = upscaling
        self.first, self.second = _as_product(first), _as_product(second)
        self.norm = nn.LayerNorm(norm.weight.shape[0], norm.eps)
        with torch.no_grad():
            self.norm.weight.copy_(norm.weight)
            self.norm.bias.copy_(norm.bias)

    def forward(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Pixels (N, HW, C) and a mask's weights (N, 1, C / 8) -> logits (N, 4H, 4W)."""
        count, width = pixels.shape[0], self.norm.normalized_shape[0]
        fine = functional.gelu(self.norm(self.first(pixels).reshape(count, -1, width)))
        finer = functional.gelu(self.second(fine)).reshape(count, -1, width // 2)
        logits = (mask @ finer.transpose(1, 2)).reshape(count, GRID, GRID, 2, 2, 2, 2)
        return logits.permute(0, 1, 3, 5, 2, 4, 6).reshape(count, 4 * GRID, 4 * GRID)


def _as_product(convolution: nn.ConvTranspose2d) -> nn.Linear:
    """(..., C) -> (..., 4 x outputs), the four parts of a pixel row by row."""
    inputs, outputs = convolution.in_channels, convolution.out_channels
    linear = nn.Linear(inputs, 4 * outputs)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.permute(2, 3, 1, 0).reshape(4 * outputs, inputs))
        linear.bias.copy_(convolution.bias.repeat(4))
    return linear


def _scaled(linear: nn.Linear, factor: float) -> nn.Linear:
    scaled = nn.Linear(linear.in_features, linear.out_features)
    with torch.no_grad():
        scaled.weight.copy_(linear.weight * factor)
        scaled.bias.copy_(linear.bias * factor)
    return scaled


def _average(scores: Tensor, pixels: Tensor) -> Tensor:
    """``scores.softmax(-1) @ pixels``, divided afterwards, when there is less to divide."""
    shares = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return (shares @ pixels) / shares.sum(dim=-1, keepdim=True)


def _scale(attention: Attention) -> float:
    """What scores are multiplied by."""
    return (attention.q_proj.out_features // HEADS) ** -0.5


def _by_head(weight: Tensor) -> Tensor:
    """(heads x inner, C) -> (heads, inner, C)."""
    return weight.reshape(HEADS, -1, weight.shape[1])


def _heads(x: Tensor) -> Tensor:
    """(N, T, heads x inner) -> (N, heads, T, inner)."""
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)
