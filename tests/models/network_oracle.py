"""The four published networks once more, as functions over a state dictionary: what models/ must agree with.

Written from the published code alone (``network_oracle_shapes`` lists it), in another style on purpose: no module
holds a weight, batch norms are folded into their convolution, windows and heads are looped over, bicubic enlarging
and transposed convolutions are products with small matrices, norms and activations are spelled out.
Every function takes ``w``, weights by name, and the prefix it works under.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from tests.models.network_oracle_shapes import EFFICIENTVIT, REPVIT, TINYVIT

torch = pytest.importorskip("torch")
F = torch.nn.functional

Tensor = Any
Weights = Mapping[str, Tensor]

#: Side of the square image that each algorithm takes.
SIDES = {"litemedsam": 256, "medficientsam": 512, "daft": 256, "repmedsam": 256}
#: eps of batch norms and of layer norms over tokens. EfficientViT's ``create_sam_model`` sets 1e-6 in *all* of its
#: model, SAM's decoder included; elsewhere both keep torch's 1e-5. Norms over channels have 1e-6 everywhere.
EPS = {"litemedsam": 1e-5, "medficientsam": 1e-6, "daft": 1e-6, "repmedsam": 1e-5}


def embed(algorithm: str, w: Weights, image: Tensor) -> Tensor:
    """Image (1, 3, S, S) -> embedding (1, 256, 64, 64)."""
    eps = EPS[algorithm]
    if algorithm == "litemedsam":
        return tinyvit(w, "image_encoder", image, eps)
    if algorithm == "repmedsam":
        return repvit(w, "image_encoder", image, eps)
    return efficientvit(w, "image_encoder", image, eps, "l1" if algorithm == "medficientsam" else "l0")


def decode(algorithm: str, w: Weights, embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Embedding and boxes (N, 4) in input pixels -> logits (N, 256, 256), predicted IoU (N,); a box at a time."""
    positions = _waves(w, _grid(embedding))
    image = embedding[0] + w["prompt_encoder.no_mask_embed.weight"].reshape(256, 1, 1)
    decoded = [
        _decode_one(w, image.reshape(256, -1).T, positions, _corners(w, box, SIDES[algorithm]), EPS[algorithm])
        for box in boxes
    ]
    return torch.stack([logits for logits, _ in decoded]), torch.stack([iou for _, iou in decoded])


# -- TinyViT ---------------------------------------------------------------------------------------------------------


def tinyvit(w: Weights, at: str, image: Tensor, eps: float) -> Tensor:
    """Patch embedding without a stride, stages that halve twice in all, windowed attention, neck."""
    x = conv_bn(w, f"{at}.patch_embed.seq.0", image, eps)
    x = conv_bn(w, f"{at}.patch_embed.seq.2", gelu(x), eps)
    for stage, (_, blocks, heads, window) in enumerate(TINYVIT):
        for number in range(blocks):
            block = f"{at}.layers.{stage}.blocks.{number}"
            x = _mobile(w, block, x, eps) if stage == 0 else _window_block(w, block, x, heads, window, eps)
        if stage < 3:
            merge = f"{at}.layers.{stage}.downsample"
            y = gelu(conv_bn(w, f"{merge}.conv1", x, eps))
            y = gelu(conv_bn(w, f"{merge}.conv2", y, eps, stride=1 if y.shape[1] in (320, 448, 576) else 2))
            x = conv_bn(w, f"{merge}.conv3", y, eps)
    return _sam_neck(w, f"{at}.neck", x)


def _mobile(w: Weights, at: str, x: Tensor, eps: float) -> Tensor:
    y = gelu(conv_bn(w, f"{at}.conv1", x, eps))
    y = gelu(conv_bn(w, f"{at}.conv2", y, eps))
    return gelu(conv_bn(w, f"{at}.conv3", y, eps) + x)


def _window_block(w: Weights, at: str, x: Tensor, heads: int, window: int, eps: float) -> Tensor:
    """Attention inside each window, a depthwise convolution that replaces its input, a two-layer perceptron."""
    _, channels, height, width = x.shape
    attended = torch.empty_like(x)
    for top in range(0, height, window):
        for left in range(0, width, window):
            tile = x[0, :, top : top + window, left : left + window]
            rows, columns = tile.shape[1:]
            # Zeros come before the layer norm: what pads a window takes part as the norm's bias does.
            padded = x.new_zeros(channels, window, window)
            padded[:, :rows, :columns] = tile
            tokens = _window_attention(w, f"{at}.attn", padded.reshape(channels, -1).T, heads, window, eps)
            attended[0, :, top : top + window, left : left + window] = tokens.T.reshape(channels, window, window)[
                :, :rows, :columns
            ]
    x = conv_bn(w, f"{at}.local_conv", x + attended, eps)
    tokens = x[0].reshape(channels, -1).T
    hidden = gelu(linear(w, f"{at}.mlp.fc1", layer_norm(w, f"{at}.mlp.norm", tokens, eps)))
    return x + linear(w, f"{at}.mlp.fc2", hidden).T.reshape(x.shape)


def _window_attention(w: Weights, at: str, tokens: Tensor, heads: int, window: int, eps: float) -> Tensor:
    """Tokens (window^2, C); queries, keys and values lie side by side within each head's share of ``qkv``."""
    each = tokens.shape[1] // heads
    mixed = linear(w, f"{at}.qkv", layer_norm(w, f"{at}.norm", tokens, eps))
    rows, columns = (index.reshape(-1) for index in torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij"))
    offset = (rows[:, None] - rows).abs() * window + (columns[:, None] - columns).abs()
    out = []
    for head in range(heads):
        query, key, value = mixed[:, 3 * each * head : 3 * each * (head + 1)].split(each, dim=1)
        scores = query @ key.T * each**-0.5 + w[f"{at}.attention_biases"][head][offset]
        out.append(softmax(scores) @ value)
    return linear(w, f"{at}.proj", torch.cat(out, dim=1))


# -- RepViT ----------------------------------------------------------------------------------------------------------


def repvit(w: Weights, at: str, image: Tensor, eps: float) -> Tensor:
    """Stem without a stride, re-parametrizable blocks, neck."""
    x = conv_bn(w, f"{at}.features.0.0", image, eps)
    x = conv_bn(w, f"{at}.features.0.2", gelu(x), eps)
    for number, (wider, squeeze, stride) in enumerate(REPVIT, start=1):
        mixer, channels = f"{at}.features.{number}.token_mixer", f"{at}.features.{number}.channel_mixer"
        narrow = x.shape[1]
        if stride == 2:
            x = conv_bn(w, f"{mixer}.2", conv_bn(w, f"{mixer}.0", x, eps, stride=2), eps)
        else:
            alone = F.conv2d(x, w[f"{mixer}.0.conv1.weight"], w[f"{mixer}.0.conv1.bias"], groups=narrow)
            x = conv_bn(w, f"{mixer}.0.conv", x, eps) + alone + x
            scale, shift = _folded(w, f"{mixer}.0.bn", x, eps)
            x = x * scale[:, None, None] + shift[:, None, None]
        if squeeze:
            mean = x[0].flatten(1).mean(1)
            hidden = (w[f"{mixer}.1.fc1.weight"][:, :, 0, 0] @ mean + w[f"{mixer}.1.fc1.bias"]).clamp(min=0)
            gate = w[f"{mixer}.1.fc2.weight"][:, :, 0, 0] @ hidden + w[f"{mixer}.1.fc2.bias"]
            x = x / (1 + torch.exp(-gate))[:, None, None]
        widens = stride == 1 and narrow != wider
        within = channels if widens else f"{channels}.m"
        mixed = conv_bn(w, f"{within}.2", gelu(conv_bn(w, f"{within}.0", x, eps)), eps)
        x = mixed if widens else x + mixed
    return _sam_neck(w, f"{at}.neck", x)


# -- EfficientViT ----------------------------------------------------------------------------------------------------


def efficientvit(w: Weights, at: str, image: Tensor, eps: float, size: str) -> Tensor:
    """Five stages that halve each, the last with linear attention; the last three summed at 64 x 64; neck, norm."""
    depths, neck_blocks = EFFICIENTVIT[size]
    stage = f"{at}.backbone.stages.0.op_list"
    x = gelu_tanh(conv_norm(w, f"{stage}.0", image, eps, stride=2))
    for number in range(1, depths[0] + 1):
        y = gelu_tanh(conv_norm(w, f"{stage}.{number}.main.conv1", x, eps))
        x = x + conv_norm(w, f"{stage}.{number}.main.conv2", y, eps)
    features = []
    for index in range(1, 5):
        stage = f"{at}.backbone.stages.{index}.op_list"
        kind = _fused if index < 3 else _inverted
        x = kind(w, f"{stage}.0.main", x, eps, stride=2)
        for number in range(1, depths[index] + 1):
            block = f"{stage}.{number}"
            if index == 4:
                x = x + _linear_attention(w, f"{block}.context_module.main", x, eps)
                x = x + _inverted(w, f"{block}.local_module.main", x, eps)
            else:
                x = x + kind(w, f"{block}.main", x, eps)
        features.append(x)
    x = sum(
        enlarge(conv_norm(w, f"{at}.neck.input_ops.{number}.op_list.0", feature, eps), 64)
        for number, feature in enumerate((features[3], features[2], features[1]))
    )
    for number in range(neck_blocks):
        x = x + _fused(w, f"{at}.neck.middle.op_list.{number}.main", x, eps)
    last = f"{at}.neck.output_ops.0.op_list.0.conv"
    return channel_norm(w, f"{at}.norm", F.conv2d(x, w[f"{last}.weight"], w[f"{last}.bias"]))


def _fused(w: Weights, at: str, x: Tensor, eps: float, stride: int = 1) -> Tensor:
    return conv_norm(w, f"{at}.point_conv", gelu_tanh(conv_norm(w, f"{at}.spatial_conv", x, eps, stride)), eps)


def _inverted(w: Weights, at: str, x: Tensor, eps: float, stride: int = 1) -> Tensor:
    first, second = f"{at}.inverted_conv.conv", f"{at}.depth_conv.conv"
    y = gelu_tanh(F.conv2d(x, w[f"{first}.weight"], w[f"{first}.bias"]))
    y = F.conv2d(y, w[f"{second}.weight"], w[f"{second}.bias"], stride=stride, padding=1, groups=y.shape[1])
    return conv_norm(w, f"{at}.point_conv", gelu_tanh(y), eps)


def _linear_attention(w: Weights, at: str, x: Tensor, eps: float) -> Tensor:
    """ReLU-kernel attention in heads of 32, half of them on features gathered by 5 x 5 and grouped convolutions."""
    _, channels, height, width = x.shape
    assert height * width > 32, "the published code turns to quadratic attention here"
    near = F.conv2d(x, w[f"{at}.qkv.conv.weight"])
    far = F.conv2d(near, w[f"{at}.aggreg.0.0.weight"], padding=2, groups=3 * channels)
    far = F.conv2d(far, w[f"{at}.aggreg.0.1.weight"], groups=3 * channels // 32)
    out = []
    for share in torch.cat([near, far], dim=1)[0].reshape(-1, 96, height * width):
        query, key, value = share[:32].clamp(min=0), share[32:64].clamp(min=0), share[64:]
        out.append((value @ key.T) @ query / (key.sum(1) @ query + 1e-15))
    return conv_norm(w, f"{at}.proj", torch.cat(out).reshape(1, -1, height, width), eps)


def enlarge(x: Tensor, side: int) -> Tensor:
    """Bicubic to side x side, corners not aligned: Keys' kernel with a = -0.75, the edge repeated."""
    by_row, by_column = (_cubic(size, side).to(x) for size in x.shape[2:])
    return torch.einsum("yi,ncij,xj->ncyx", by_row, x, by_column)


def _cubic(size: int, side: int) -> Tensor:
    matrix = torch.zeros(side, size, dtype=torch.float64)
    for out in range(side):
        centre = (out + 0.5) * size / side - 0.5
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            far = abs(centre - tap)
            weight = 1.25 * far**3 - 2.25 * far**2 + 1 if far <= 1 else -0.75 * (far**3 - 5 * far**2 + 8 * far - 4)
            matrix[out, min(max(tap, 0), size - 1)] += weight
    return matrix


# -- SAM's prompt encoder and mask decoder ---------------------------------------------------------------------------


def _grid(embedding: Tensor) -> Tensor:
    """Centres (4096, 2) of the grid's cells in [0, 1], x first, row by row."""
    along = (torch.arange(64, dtype=embedding.dtype) + 0.5) / 64
    return torch.stack([along.repeat(64), along.repeat_interleave(64)], dim=1)


def _waves(w: Weights, places: Tensor) -> Tensor:
    """Places (K, 2) in [0, 1] -> sines, then cosines, of random waves (K, 256)."""
    phase = 2 * math.pi * ((2 * places - 1) @ w["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"])
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def _corners(w: Weights, box: Tensor, side: int) -> Tensor:
    """A box's two corners (2, 256): pixel centres, each corner with an embedding of its own."""
    kinds = [w[f"prompt_encoder.point_embeddings.{number}.weight"][0] for number in (2, 3)]
    return _waves(w, (box.reshape(2, 2) + 0.5) / side) + torch.stack(kinds)


def _decode_one(w: Weights, image: Tensor, positions: Tensor, corners: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Image (4096, 256) with its positions and a box's corners -> logits (256, 256) and the predicted IoU."""
    at = "mask_decoder.transformer"
    prompt = torch.cat([w["mask_decoder.iou_token.weight"], w["mask_decoder.mask_tokens.weight"], corners])
    tokens = prompt
    for number in range(2):
        layer = f"{at}.layers.{number}"
        if number == 0:
            tokens = _attend(w, f"{layer}.self_attn", tokens, tokens, tokens)
        else:
            tokens = tokens + _attend(w, f"{layer}.self_attn", tokens + prompt, tokens + prompt, tokens)
        tokens = layer_norm(w, f"{layer}.norm1", tokens, eps)
        seen = _attend(w, f"{layer}.cross_attn_token_to_image", tokens + prompt, image + positions, image)
        tokens = layer_norm(w, f"{layer}.norm2", tokens + seen, eps)
        hidden = linear(w, f"{layer}.mlp.lin1", tokens).clamp(min=0)
        tokens = layer_norm(w, f"{layer}.norm3", tokens + linear(w, f"{layer}.mlp.lin2", hidden), eps)
        told = _attend(w, f"{layer}.cross_attn_image_to_token", image + positions, tokens + prompt, tokens)
        image = layer_norm(w, f"{layer}.norm4", image + told, eps)
    seen = _attend(w, f"{at}.final_attn_token_to_image", tokens + prompt, image + positions, image)
    tokens = layer_norm(w, f"{at}.norm_final_attn", tokens + seen, eps)

    up = "mask_decoder.output_upscaling"
    finer = _double(w, f"{up}.0", image.T.reshape(1, 256, 64, 64))
    finer = gelu(_double(w, f"{up}.3", gelu(channel_norm(w, f"{up}.1", finer))))
    # Token 0 predicts the quality, tokens 1 to 4 the masks, of which the first is what one box gets.
    mask = _perceptron(w, "mask_decoder.output_hypernetworks_mlps.0", tokens[1])
    quality = _perceptron(w, "mask_decoder.iou_prediction_head", tokens[0])
    return torch.einsum("c,cyx->yx", mask, finer[0]), quality[0]


def _attend(w: Weights, at: str, query: Tensor, key: Tensor, value: Tensor, heads: int = 8) -> Tensor:
    """Attention in 8 heads over projections of the three."""
    query, key, value = (linear(w, f"{at}.{n}_proj", x) for n, x in zip("qkv", (query, key, value), strict=True))
    each = query.shape[1] // heads
    out = []
    for head in range(heads):
        part = slice(head * each, (head + 1) * each)
        out.append(softmax(query[:, part] @ key[:, part].T / math.sqrt(each)) @ value[:, part])
    return linear(w, f"{at}.out_proj", torch.cat(out, dim=1))


def _double(w: Weights, at: str, x: Tensor) -> Tensor:
    """Transposed 2 x 2 convolution of stride 2: each pixel becomes four, none overlaps."""
    _, _, height, width = x.shape
    four = torch.einsum("nchw,coyx->nohywx", x, w[f"{at}.weight"])
    return four.reshape(1, -1, 2 * height, 2 * width) + w[f"{at}.bias"][:, None, None]


def _perceptron(w: Weights, at: str, token: Tensor) -> Tensor:
    for number in range(3):
        token = linear(w, f"{at}.layers.{number}", token)
        token = token.clamp(min=0) if number < 2 else token
    return token


# -- layers ----------------------------------------------------------------------------------------------------------


class Learning(dict[str, Tensor]):
    """Weights whose batch norms take their statistics from what comes by, as training does, though a little off."""

    def learn(self, at: str, x: Tensor) -> None:
        """Statistics of ``x`` (1, C, H, W) for the norm at ``at``."""
        random = torch.Generator().manual_seed(len(at) + x.shape[1])
        variance, mean = x.var((0, 2, 3)), x.mean((0, 2, 3))
        # One image stands for many: between them means differ too.
        spread = variance + mean**2
        spread = spread.clamp(min=0.1 * float(spread.median()))
        off = torch.randn(2, x.shape[1], generator=random)
        self[f"{at}.running_mean"] = mean + 0.2 * off[0] * spread.sqrt()
        self[f"{at}.running_var"] = spread * torch.exp(0.3 * off[1])


def _folded(w: Weights, at: str, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """A batch norm in use as scale and shift of each channel; ``x`` is what it would be applied to."""
    if isinstance(w, Learning):
        w.learn(at, x)
    scale = w[f"{at}.weight"] / torch.sqrt(w[f"{at}.running_var"] + eps)
    return scale, w[f"{at}.bias"] - w[f"{at}.running_mean"] * scale


def _normed(w: Weights, weight: Tensor, norm: str, x: Tensor, eps: float, stride: int) -> Tensor:
    groups, padding = x.shape[1] // weight.shape[1], weight.shape[2] // 2
    plain = F.conv2d(x, weight, None, stride, padding, groups=groups) if isinstance(w, Learning) else x
    scale, shift = _folded(w, norm, plain, eps)
    return F.conv2d(x, weight * scale[:, None, None, None], shift, stride, padding, groups=groups)


def conv_bn(w: Weights, at: str, x: Tensor, eps: float, stride: int = 1) -> Tensor:
    """TinyViT's and RepViT's convolution with its batch norm."""
    return _normed(w, w[f"{at}.c.weight"], f"{at}.bn", x, eps, stride)


def conv_norm(w: Weights, at: str, x: Tensor, eps: float, stride: int = 1) -> Tensor:
    """EfficientViT's convolution with its batch norm."""
    return _normed(w, w[f"{at}.conv.weight"], f"{at}.norm", x, eps, stride)


def _sam_neck(w: Weights, at: str, x: Tensor) -> Tensor:
    x = channel_norm(w, f"{at}.1", F.conv2d(x, w[f"{at}.0.weight"]))
    return channel_norm(w, f"{at}.3", F.conv2d(x, w[f"{at}.2.weight"], padding=1))


def linear(w: Weights, at: str, x: Tensor) -> Tensor:
    """``x`` (..., in) -> (..., out)."""
    return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def layer_norm(w: Weights, at: str, x: Tensor, eps: float) -> Tensor:
    """Each token of ``x`` (K, C) to mean 0 and variance 1."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps) * w[f"{at}.weight"] + w[f"{at}.bias"]


def channel_norm(w: Weights, at: str, x: Tensor) -> Tensor:
    """The same over the channels of each pixel of ``x`` (1, C, H, W), eps 1e-6."""
    return layer_norm(w, at, x.movedim(1, -1), 1e-6).movedim(-1, 1)


def gelu(x: Tensor) -> Tensor:
    """The exact one."""
    return x * (0.5 + 0.5 * torch.erf(x * math.sqrt(0.5)))


def gelu_tanh(x: Tensor) -> Tensor:
    """EfficientViT's approximation."""
    return x * (0.5 + 0.5 * torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x: Tensor) -> Tensor:
    """Along the last axis."""
    powers = torch.exp(x - x.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)
