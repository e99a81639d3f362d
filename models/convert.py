"""From torch to OpenVINO: the encoder and the decoder as two models of their own.

Whatever does not depend on the input is folded into constants: the grid's position encoding, what stands for
the absent mask, attention biases gathered per window, batch norms.
"""

from __future__ import annotations

import warnings
from typing import Any

import openvino
import torch
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from models.sam.network import SegmentAnything

#: What a CPU with AMX or AVX512-BF16 would otherwise round to bf16.
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


class _Decoder(nn.Module):
    """The network's decoding alone, its constants computed once."""

    positions: Tensor

    def __init__(self, network: SegmentAnything) -> None:
        super().__init__()
        self.prompt_encoder, self.mask_decoder = network.prompt_encoder, network.mask_decoder
        self.register_buffer("positions", network.prompt_encoder.grid())

    def forward(self, embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        image = embedding + self.prompt_encoder.dense()
        return self.mask_decoder(image, self.positions, self.prompt_encoder(boxes))


def encoder_model(network: SegmentAnything, input_size: int) -> openvino.Model:
    """``image`` (1, 3, S, S) float32 in [0, 1] -> ``embedding`` (1, 256, 64, 64)."""
    return _converted(network.image_encoder, {"image": torch.zeros(1, 3, input_size, input_size)}, ["embedding"])


def decoder_model(network: SegmentAnything) -> openvino.Model:
    """``embedding`` (1, 256, 64, 64), ``boxes`` (N, 4) -> ``low_res_logits`` (N, 256, 256), ``iou`` (N,), for any N."""
    example = {"embedding": torch.zeros(1, 256, 64, 64), "boxes": torch.tensor([[0.0, 0.0, 9.0, 9.0]] * 2)}
    return _converted(_Decoder(network).eval(), example, ["low_res_logits", "iou"], {"boxes": [-1, 4]})


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
    return model
