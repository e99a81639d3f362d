"""Names and shapes of the published checkpoints, written down from the published code.

Nothing of ``models/`` is used or was looked at. Sources, each read at its newest stored version:

- TinyViT variant: bowang-lab/MedSAM, ``distillation/tiny_vit_sam.py`` with ``CVPR24_LiteMedSAM_infer.py``'s arguments
- EfficientViT-SAM: mit-han-lab/efficientvit, ``efficientvit/models/{efficientvit/{backbone,sam},nn/ops}.py``
- RepViT variant: muxin-wei/Rep-MedSAM, ``repvit.py`` and ``repvit_m1_0_cfgs``; timm's ``SqueezeExcite``
- prompt encoder, mask decoder: bowang-lab/MedSAM, ``segment_anything/modeling``
"""

from __future__ import annotations

Shapes = dict[str, tuple[int, ...]]

#: RepViT-M1.0: width, whether squeeze-and-excite, stride; kernel 3 and expansion 2 throughout.
REPVIT = (
    *((56, se, 1) for se in (1, 0, 0)),
    (112, 0, 2),
    *((112, se, 1) for se in (1, 0, 0)),
    (224, 0, 2),
    *((224, se, 1) for se in (1, 0) * 7),
    (224, 0, 1),
    *((448, se, 1) for se in (0, 1, 0)),
)
#: EfficientViT-L: widths of the stages; blocks in each after the first; blocks of the neck.
EFFICIENTVIT_WIDTHS = (32, 64, 128, 256, 512)
EFFICIENTVIT = {"l0": ((1, 1, 1, 4, 4), 4), "l1": ((1, 1, 1, 6, 6), 8)}
#: TinyViT: widths, blocks, heads and windows of the stages.
TINYVIT = ((64, 2, 2, 7), (128, 2, 4, 7), (160, 6, 5, 14), (320, 2, 10, 7))


def litemedsam() -> Shapes:
    """The baseline's state dictionary."""
    return {**tinyvit("image_encoder"), **prompt_encoder("prompt_encoder"), **mask_decoder("mask_decoder")}


def medficientsam() -> Shapes:
    """MedficientSAM's, EfficientViT-SAM L1."""
    return {**efficientvit("image_encoder", "l1"), **prompt_encoder("prompt_encoder"), **mask_decoder("mask_decoder")}


def daft() -> Shapes:
    """DAFT's, EfficientViT-SAM L0."""
    return {**efficientvit("image_encoder", "l0"), **prompt_encoder("prompt_encoder"), **mask_decoder("mask_decoder")}


def repmedsam() -> Shapes:
    """RepMedSAM's, batch norms unfused."""
    return {**repvit("image_encoder"), **prompt_encoder("prompt_encoder"), **mask_decoder("mask_decoder")}


ALL = {"litemedsam": litemedsam, "medficientsam": medficientsam, "daft": daft, "repmedsam": repmedsam}


def tinyvit(at: str) -> Shapes:
    """The TinyViT variant: a convolutional stage, three of windowed attention, a neck."""
    first = TINYVIT[0][0]
    shapes = _conv_bn(f"{at}.patch_embed.seq.0", first // 2, 3, 1) | _conv_bn(
        f"{at}.patch_embed.seq.2", first, first // 2, 1
    )
    for stage, (width, blocks, heads, window) in enumerate(TINYVIT):
        for number in range(blocks):
            block = f"{at}.layers.{stage}.blocks.{number}"
            if stage == 0:
                shapes |= _conv_bn(f"{block}.conv1", 4 * width, width, 1)
                shapes |= _conv_bn(f"{block}.conv2", 4 * width, 1, 3)
                shapes |= _conv_bn(f"{block}.conv3", width, 4 * width, 1)
                continue
            # One bias per head and per pair of absolute offsets (rows, columns) inside a window.
            shapes[f"{block}.attn.attention_biases"] = (heads, window * window)
            shapes |= _affine(f"{block}.attn.norm", width) | _linear(f"{block}.attn.qkv", 3 * width, width)
            shapes |= _linear(f"{block}.attn.proj", width, width)
            shapes |= _affine(f"{block}.mlp.norm", width) | _linear(f"{block}.mlp.fc1", 4 * width, width)
            shapes |= _linear(f"{block}.mlp.fc2", width, 4 * width)
            shapes |= _conv_bn(f"{block}.local_conv", width, 1, 3)
        if stage < len(TINYVIT) - 1:
            following, merge = TINYVIT[stage + 1][0], f"{at}.layers.{stage}.downsample"
            shapes |= _conv_bn(f"{merge}.conv1", following, width, 1)
            shapes |= _conv_bn(f"{merge}.conv2", following, 1, 3)
            shapes |= _conv_bn(f"{merge}.conv3", following, following, 1)
    return shapes | _sam_neck(f"{at}.neck", TINYVIT[-1][0])


def repvit(at: str) -> Shapes:
    """The RepViT variant; ``features.0`` is the stem, each later one a block."""
    width = REPVIT[0][0]
    shapes = _conv_bn(f"{at}.features.0.0", width // 2, 3, 3) | _conv_bn(f"{at}.features.0.2", width, width // 2, 3)
    for number, (wider, squeeze, stride) in enumerate(REPVIT, start=1):
        mixer, channels = f"{at}.features.{number}.token_mixer", f"{at}.features.{number}.channel_mixer"
        if stride == 2:
            shapes |= _conv_bn(f"{mixer}.0", width, 1, 3) | _conv_bn(f"{mixer}.2", wider, width, 1)
            inner = wider
        else:
            shapes |= _conv_bn(f"{mixer}.0.conv", width, 1, 3)
            shapes |= {f"{mixer}.0.conv1.weight": (width, 1, 1, 1), f"{mixer}.0.conv1.bias": (width,)}
            shapes |= _batch_norm(f"{mixer}.0.bn", width)
            inner = width
        if squeeze:
            fewer = max(8, int(width * 0.25 + 4) // 8 * 8)
            shapes |= {f"{mixer}.1.fc1.weight": (fewer, width, 1, 1), f"{mixer}.1.fc1.bias": (fewer,)}
            shapes |= {f"{mixer}.1.fc2.weight": (width, fewer, 1, 1), f"{mixer}.1.fc2.bias": (width,)}
        # The one block that widens without a stride adds nothing to its input, so its mixer is not wrapped.
        within = channels if stride == 1 and wider != width else f"{channels}.m"
        shapes |= _conv_bn(f"{within}.0", 2 * inner, inner, 1) | _conv_bn(f"{within}.2", wider, 2 * inner, 1)
        width = wider
    return shapes | _sam_neck(f"{at}.neck", width)


def efficientvit(at: str, size: str) -> Shapes:
    """EfficientViT-L with SAM's neck and last norm."""
    depths, neck_blocks = EFFICIENTVIT[size]
    width = EFFICIENTVIT_WIDTHS[0]
    stage = f"{at}.backbone.stages.0.op_list"
    shapes = _conv_norm(f"{stage}.0", width, 3, 3)
    for number in range(1, depths[0] + 1):
        shapes |= _conv_norm(f"{stage}.{number}.main.conv1", width, width, 3)
        shapes |= _conv_norm(f"{stage}.{number}.main.conv2", width, width, 3)
    for index, wider in enumerate(EFFICIENTVIT_WIDTHS[1:], start=1):
        stage = f"{at}.backbone.stages.{index}.op_list"
        # The first block, which strides, expands four times as much as the stage's others.
        if index < 3:
            shapes |= _fused(f"{stage}.0.main", wider, width, 16 * width)
        else:
            shapes |= _inverted(f"{stage}.0.main", wider, width, (16 if index == 3 else 24) * width)
        for number in range(1, depths[index] + 1):
            block = f"{stage}.{number}"
            if index < 3:
                shapes |= _fused(f"{block}.main", wider, wider, 4 * wider)
            elif index == 3:
                shapes |= _inverted(f"{block}.main", wider, wider, 4 * wider)
            else:
                context = f"{block}.context_module.main"
                shapes[f"{context}.qkv.conv.weight"] = (3 * wider, wider, 1, 1)
                shapes[f"{context}.aggreg.0.0.weight"] = (3 * wider, 1, 5, 5)
                shapes[f"{context}.aggreg.0.1.weight"] = (3 * wider, 32, 1, 1)
                shapes |= _conv_norm(f"{context}.proj", wider, 2 * wider, 1)
                shapes |= _inverted(f"{block}.local_module.main", wider, wider, 6 * wider)
        width = wider
    for number, entering in enumerate((512, 256, 128)):
        shapes |= _conv_norm(f"{at}.neck.input_ops.{number}.op_list.0", 256, entering, 1)
    for number in range(neck_blocks):
        shapes |= _fused(f"{at}.neck.middle.op_list.{number}.main", 256, 256, 256)
    last = f"{at}.neck.output_ops.0.op_list.0.conv"
    return shapes | {f"{last}.weight": (256, 256, 1, 1), f"{last}.bias": (256,)} | _affine(f"{at}.norm", 256)


def prompt_encoder(at: str) -> Shapes:
    """SAM's prompt encoder: points and masks too, though only boxes are ever given."""
    shapes: Shapes = {f"{at}.pe_layer.positional_encoding_gaussian_matrix": (2, 128)}
    shapes |= {f"{at}.point_embeddings.{number}.weight": (1, 256) for number in range(4)}
    shapes |= {f"{at}.{name}.weight": (1, 256) for name in ("not_a_point_embed", "no_mask_embed")}
    for number, weight in ((0, (4, 1, 2, 2)), (3, (16, 4, 2, 2)), (6, (256, 16, 1, 1))):
        masks = f"{at}.mask_downscaling.{number}"
        shapes |= {f"{masks}.weight": weight, f"{masks}.bias": weight[:1]}
    return shapes | _affine(f"{at}.mask_downscaling.1", 4) | _affine(f"{at}.mask_downscaling.4", 16)


def mask_decoder(at: str) -> Shapes:
    """SAM's mask decoder: two two-way layers, an upscaling, four hypernetworks, the quality head."""
    shapes: Shapes = {f"{at}.iou_token.weight": (1, 256), f"{at}.mask_tokens.weight": (4, 256)}
    for layer in (f"{at}.transformer.layers.{number}" for number in range(2)):
        shapes |= _attention(f"{layer}.self_attn", 256)
        shapes |= _attention(f"{layer}.cross_attn_token_to_image", 128)
        shapes |= _attention(f"{layer}.cross_attn_image_to_token", 128)
        shapes |= _linear(f"{layer}.mlp.lin1", 2048, 256) | _linear(f"{layer}.mlp.lin2", 256, 2048)
        for number in range(1, 5):
            shapes |= _affine(f"{layer}.norm{number}", 256)
    shapes |= _attention(f"{at}.transformer.final_attn_token_to_image", 128)
    shapes |= _affine(f"{at}.transformer.norm_final_attn", 256)
    up = f"{at}.output_upscaling"
    shapes |= {f"{up}.0.weight": (256, 64, 2, 2), f"{up}.0.bias": (64,)} | _affine(f"{up}.1", 64)
    shapes |= {f"{up}.3.weight": (64, 32, 2, 2), f"{up}.3.bias": (32,)}
    for head, last in [(f"output_hypernetworks_mlps.{number}", 32) for number in range(4)] + [
        ("iou_prediction_head", 4)
    ]:
        for number, wide in enumerate((256, 256, last)):
            shapes |= _linear(f"{at}.{head}.layers.{number}", wide, 256)
    return shapes


def _sam_neck(at: str, width: int) -> Shapes:
    shapes: Shapes = {f"{at}.0.weight": (256, width, 1, 1), f"{at}.2.weight": (256, 256, 3, 3)}
    return shapes | _affine(f"{at}.1", 256) | _affine(f"{at}.3", 256)


def _attention(at: str, inner: int) -> Shapes:
    into = [_linear(f"{at}.{name}_proj", inner, 256) for name in "qkv"]
    return into[0] | into[1] | into[2] | _linear(f"{at}.out_proj", 256, inner)


def _fused(at: str, out: int, entering: int, middle: int) -> Shapes:
    return _conv_norm(f"{at}.spatial_conv", middle, entering, 3) | _conv_norm(f"{at}.point_conv", out, middle, 1)


def _inverted(at: str, out: int, entering: int, middle: int) -> Shapes:
    """The kind with fewer norms: the first two convolutions have a bias instead."""
    shapes: Shapes = {f"{at}.inverted_conv.conv.weight": (middle, entering, 1, 1)}
    shapes |= {f"{at}.depth_conv.conv.weight": (middle, 1, 3, 3)}
    shapes |= {f"{at}.{name}_conv.conv.bias": (middle,) for name in ("inverted", "depth")}
    return shapes | _conv_norm(f"{at}.point_conv", out, middle, 1)


def _conv_bn(at: str, out: int, entering: int, kernel: int) -> Shapes:
    return {f"{at}.c.weight": (out, entering, kernel, kernel), **_batch_norm(f"{at}.bn", out)}


def _conv_norm(at: str, out: int, entering: int, kernel: int) -> Shapes:
    return {f"{at}.conv.weight": (out, entering, kernel, kernel), **_batch_norm(f"{at}.norm", out)}


def _batch_norm(at: str, width: int) -> Shapes:
    each = {f"{at}.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")}
    return {**each, f"{at}.num_batches_tracked": ()}


def _affine(at: str, width: int) -> Shapes:
    return {f"{at}.weight": (width,), f"{at}.bias": (width,)}


def _linear(at: str, out: int, entering: int) -> Shapes:
    return {f"{at}.weight": (out, entering), f"{at}.bias": (out,)}
