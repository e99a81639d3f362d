"""The mask decoder rearranged for inference: the same masks from fewer multiplications.

A prompt has seven tokens and the image 4096 pixels, so whatever can be done to tokens is not done to pixels:

- in the second layer and after it keys and values are not made from pixels.  A query goes through the key's
  projection backwards, (q W_k) x instead of q (W_k x), and pixels are averaged before the value's projection; in the
  other direction a token's value goes through the output's projection before it is handed to the pixels;
- in the first layer pixels are the same for all prompts, so they are projected once for all of them (`LeanImage`);
- what a projection makes of the position encoding, of the absent mask and of its own bias is a constant; a bias
  of keys that queries share drops out of the softmax;
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

    absent: Tensor

    def __init__(self, network: SegmentAnything) -> None:
        super().__init__()
        first = network.mask_decoder.transformer.layers[0]
        with torch.no_grad():
            absent = network.prompt_encoder.dense().reshape(1, WIDTH)
            to_image, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
            # The first layer's keys for tokens and its queries of pixels, in one product; a bias of keys drops out.
            query = _scaled(to_tokens.q_proj, _scale(to_tokens))
            key = nn.Linear(WIDTH, query.out_features)
            key.weight.copy_(to_image.k_proj.weight)
            key.bias.zero_()
            self.place = _Product([key, query], absent)
            self.value = _Product([to_image.v_proj], absent)
            self.positions = _Positions(network.prompt_encoder)
            self.register_buffer("absent", absent + to_tokens.out_proj.bias)

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(1, 256, 64, 64) -> pixels and their positions, (HW, C) each; keys and queries of the first layer,
        (2, heads, inner, HW), and its values, (heads, inner, HW).
        """
        image = embedding.flatten(2)[0].T  # (HW, C)
        positions = self.positions(image)
        attending = self.place(image + positions).unflatten(0, (2, HEADS, -1))
        return image + self.absent, positions, attending, self.value(image).unflatten(0, (HEADS, -1))


class _Product(nn.Module):
    """What layers make of pixels and of another term that all pixels have: (HW, C) -> (outputs, HW)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layers: list[nn.Linear], term: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", torch.cat([layer.weight for layer in layers]))
        self.register_buffer("bias", torch.cat([layer(term)[0] for layer in layers])[:, None])

    def forward(self, pixels: Tensor) -> Tensor:
        return self.weight @ pixels.T + self.bias


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
        self.final_norm = decoder.transformer.norm_final_attn
        self.hypernetwork = decoder.output_hypernetworks_mlps[0]
        with torch.no_grad():
            self.register_buffer("own", torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]))
        self.read_first = _Reading(first.cross_attn_token_to_image)
        self.write_first = _Writing(first.cross_attn_image_to_token)
        self.read_second = _Reading(second.cross_attn_token_to_image)
        self.write_second = _Writing(second.cross_attn_image_to_token)
        self.read_last = _Reading(last)
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
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        scores = self.write_first.keys(tokens + identity) @ queries
        pixels = layer.norm4(pixels + self.write_first.out(scores, tokens))  # (N, HW, C) from here on

        layer, placed = self.second, pixels + positions
        query = tokens + identity
        tokens = layer.norm1(tokens + layer.self_attn(query, query, tokens))
        scores = self.read_second.projected(tokens + identity) @ placed.transpose(1, 2)
        tokens = layer.norm2(tokens + self.read_second.projected_out(_average(scores, pixels)))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        scores = self.write_second.projected(tokens + identity) @ placed.transpose(1, 2)
        scores = scores + self.write_second.bias(tokens + identity)
        pixels = pixels + self.write_second.out(scores.unflatten(1, (HEADS, -1)), tokens)
        pixels = layer.norm4(pixels + layer.cross_attn_image_to_token.out_proj.bias)

        token = tokens[:, _MASK_TOKEN : _MASK_TOKEN + 1]
        query = self.read_last.projected(token + identity[:, _MASK_TOKEN : _MASK_TOKEN + 1])
        scores = query @ pixels.transpose(1, 2) + query @ positions.T
        token = self.final_norm(token + self.read_last.projected_out(_average(scores, pixels)))
        return self.enlarge_twice(pixels, self.hypernetwork(token))


class _Reading(nn.Module):
    """Tokens read pixels: the tokens' side of an attention."""

    keys: Tensor
    values: Tensor
    value_bias: Tensor

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        scale = _scale(attention)
        self.query = _scaled(attention.q_proj, scale)
        self.project_out = attention.out_proj
        with torch.no_grad():
            self.register_buffer("keys", _by_head(attention.k_proj.weight).clone())  # (heads, inner, C)
            self.register_buffer("values", _by_head(attention.v_proj.weight).transpose(1, 2).clone())
            self.register_buffer("value_bias", attention.v_proj.bias.reshape(HEADS, 1, -1).clone())

    def queries(self, tokens: Tensor) -> Tensor:
        """(N, T, C) -> (N, heads, T, inner)."""
        return _heads(self.query(tokens))

    def out(self, attended: Tensor) -> Tensor:
        """(N, heads, T, inner) -> (N, T, C)."""
        return self.project_out(attended.transpose(1, 2).flatten(2))

    def projected(self, tokens: Tensor) -> Tensor:
        """Queries of bare pixels, (N, T, C) -> (N, heads x T, C)."""
        return (self.queries(tokens) @ self.keys).flatten(1, 2)

    def projected_out(self, averages: Tensor) -> Tensor:
        """From averages of bare pixels, (N, heads x T, C) -> (N, T, C)."""
        return self.out(averages.unflatten(1, (HEADS, -1)) @ self.values + self.value_bias)


class _Writing(nn.Module):
    """Pixels read tokens: the tokens' side of an attention."""

    queries: Tensor
    query_bias: Tensor
    outputs: Tensor

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.key, self.value = attention.k_proj, attention.v_proj
        with torch.no_grad():
            scale = _scale(attention)
            self.register_buffer("queries", _by_head(attention.q_proj.weight) * scale)
            self.register_buffer("query_bias", attention.q_proj.bias.reshape(HEADS, -1, 1) * scale)
            self.register_buffer("outputs", _by_head(attention.out_proj.weight.T).clone())

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
        """Scores (N, heads, T, HW) and tokens (N, T, C) -> what pixels get but for the output's bias, (N, HW, C)."""
        values = (_heads(self.value(tokens)) @ self.outputs).flatten(1, 2)
        return scores.softmax(dim=2).flatten(1, 2).transpose(1, 2) @ values


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
