"""From torch to OpenVINO: encoder and decoder, each in two parts that are models of their own.

Whatever does not depend on the input is folded into constants: the grid's position encoding, what stands for
the absent mask, attention biases gathered per window, batch norms.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import torch
from openvino import opset13
from openvino._offline_transformations import compress_model_transformation
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from models.fast.pipeline import PARTS, STORED, Stored
from models.graph import halved, with_plain_gelu, with_shared_constants
from models.packed import with_packed
from models.sam.decoder import HEADS
from models.sam.efficientvit import EfficientViT
from models.sam.lean_decoder import LeanDecoder, LeanImage
from models.sam.lean_efficientvit import lean_efficientvit
from models.sam.lean_tinyvit import LeanTinyViT
from models.sam.network import SegmentAnything
from models.sam.prompt import GRID, WIDTH
from models.sam.repvit import RepViT, lean_repvit
from models.sam.tinyvit import TinyViT

#: Weights of fewer elements stay 32-bit floats: they take no room, and first layers bear rounding badly.
_WORTH_STORING = 4096
#: The axes of weights that are summed over, by kind of layer.
_SUMMED_AXES = {"Convolution": (1, 2, 3), "GroupConvolution": (2, 3, 4), "ConvolutionBackpropData": (0, 2, 3)}

#: What passes from one part of the decoder to the other: see `LeanImage`.
_SHARED = {
    "pixels": (GRID * GRID, WIDTH),
    "positions": (GRID * GRID, WIDTH),
    "attending": (2, HEADS, WIDTH // 2 // HEADS, GRID * GRID),
    "values": (HEADS, WIDTH // 2 // HEADS, GRID * GRID),
}

#: What a CPU with AMX or AVX512-BF16 would otherwise round to bf16.
F32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


class _Iou(nn.Module):
    """The expected IoU, by the plain decoder."""

    def __init__(self, network: SegmentAnything) -> None:
        super().__init__()
        self.network = network

    def forward(self, embedding: Tensor, boxes: Tensor) -> Tensor:
        return self.network.decode(embedding, boxes)[1]


def models_of(network: SegmentAnything, input_size: int, tiled: bool = True) -> dict[str, openvino.Model]:
    """All of `PARTS`.

    Args:
        network: whose weights they take.
        input_size: side of the images in pixels.
        tiled: whether 3x3 convolutions may be Winograd's (`models.sam.winograd`), which 16 bits are too few for.
    """
    encoder = encoder_model(network, input_size, tiled)
    return dict(zip(PARTS, (*halved(encoder), shared_model(network), decoder_model(network)), strict=True))


def encoder_model(network: SegmentAnything, input_size: int, tiled: bool = True) -> openvino.Model:
    """``image`` (1, 3, S, S) float32 in [0, 1] -> ``embedding`` (1, 256, 64, 64)."""
    encoder = lean_encoder(network.image_encoder, input_size, tiled).eval()
    example = {"image": torch.zeros(1, 3, input_size, input_size)}
    return with_plain_gelu(_converted(encoder, example, ["embedding"]))


def lean_encoder(encoder: nn.Module, input_size: int, tiled: bool = True) -> nn.Module:
    """An encoder rearranged for inference where that is worth while; else the encoder itself."""
    if isinstance(encoder, TinyViT):
        return LeanTinyViT(encoder)
    if isinstance(encoder, EfficientViT):
        return lean_efficientvit(encoder, input_size, tiled)
    return lean_repvit(encoder) if isinstance(encoder, RepViT) else encoder


def shared_model(network: SegmentAnything) -> openvino.Model:
    """``embedding`` (1, 256, 64, 64) -> what the decoding of all boxes shares (`_SHARED`)."""
    return _converted(LeanImage(network).eval(), {"embedding": torch.zeros(1, 256, 64, 64)}, list(_SHARED))


def decoder_model(network: SegmentAnything) -> openvino.Model:
    """All of `shared_model`, and ``boxes`` (1, 4) -> ``low_res_logits`` (1, 256, 256).

    Shapes are fixed, since OpenVINO takes as long to prepare itself for another number of boxes as to decode two.
    """
    example = {name: torch.zeros(shape) for name, shape in _SHARED.items()}
    example["boxes"] = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    return _converted(LeanDecoder(network).eval(), example, ["low_res_logits"])


def iou_model(network: SegmentAnything) -> openvino.Model:
    """``embedding`` (1, 256, 64, 64), ``boxes`` (N, 4) -> ``iou`` (N,), for any N; no pipeline asks for it."""
    example = {"embedding": torch.zeros(1, 256, 64, 64), "boxes": torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 2)}
    return _converted(_Iou(network).eval(), example, ["iou"], {"boxes": [-1, 4]})


def _converted(
    module: nn.Module, example: dict[str, Tensor], outputs: list[str], shapes: dict[str, list[int]] | None = None
) -> openvino.Model:
    inputs = [(name, (shapes or {}).get(name, list(value.shape))) for name, value in example.items()]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of branches that do not depend on the input
        values = tuple(example.values())
        # A trace checks itself by default, which runs the network three times more: it has no branch to miss.
        traced = TorchScriptPythonDecoder(module, example_input=values, trace_kwargs={"check_trace": False})
        model: Any = openvino.convert_model(traced, example_input=values, input=[shape for _, shape in inputs])
    for port, (name, _) in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    return with_shared_constants(model)


# ----------------------------------------------------------------------- storing


def stored_as(model: openvino.Model, stored: Stored) -> openvino.Model:
    """The model as it is to be saved; one to be saved otherwise is a copy.

    ``f16`` halves the file by OpenVINO's own compression, which leaves alone what half floats cannot hold.  ``int8``
    rounds the weights of convolutions and matrix products to 255 steps between minus and plus the largest of each
    output channel, and keeps a float for each channel beside them; the rest stays as it is.  ``int24`` is
    `models.packed.with_packed`.

    Raises:
        ValueError: ``stored`` is none of `STORED`.
    """
    if stored not in STORED:
        raise ValueError(f"weights stored as {stored!r}: not one of {', '.join(STORED)}. Name one of these.")
    if stored == "f32":
        return model
    if stored == "int24":
        return with_packed(model)
    compressed = model.clone()
    if stored == "f16":
        compress_model_transformation(compressed)
        return compressed
    for layer, port, axes in _weights(compressed):
        constant = layer.input_value(port).get_node()
        whole, scales = _rounded(np.array(constant.data), axes)
        widened = opset13.convert(opset13.constant(whole), "f32")
        product = opset13.multiply(widened, opset13.constant(scales))
        product.set_friendly_name(f"{constant.get_friendly_name()}/scaled")
        layer.input(port).replace_source_output(product.output(0))
    compressed.validate_nodes_and_infer_types()
    return compressed


def _weights(model: openvino.Model) -> Iterator[tuple[openvino.Node, int, tuple[int, ...]]]:
    """Layers with weights worth storing: the layer, the input that takes them, and which of their axes it sums over."""
    for layer in model.get_ordered_ops():
        kind = layer.get_type_name()
        if kind == "MatMul":
            turned = layer.get_attributes()
            axes_by_port = {0: (-2,) if turned["transpose_a"] else (-1,), 1: (-1,) if turned["transpose_b"] else (-2,)}
        elif kind in _SUMMED_AXES:
            axes_by_port = {1: _SUMMED_AXES[kind]}
        else:
            continue
        for port, axes in axes_by_port.items():
            source = layer.input_value(port)
            # What others use as it is would lie in the file twice.
            alone = source.get_node().get_type_name() == "Constant" and len(source.get_target_inputs()) == 1
            if alone and np.prod(list(source.get_shape())) >= _WORTH_STORING:
                yield layer, port, axes


def _rounded(
    weights: npt.NDArray[np.float32], summed: tuple[int, ...]
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Whole numbers of -127 to 127, and what they are to be multiplied by, of as many axes."""
    scales = np.abs(weights).max(axis=summed, keepdims=True) / np.float32(127)
    scales[scales == 0] = 1
    return np.rint(weights / scales).astype(np.int8), scales
