"""The three parts together, as checkpoints hold them."""

from __future__ import annotations

from torch import Tensor, nn

from models.sam.decoder import EPS, MaskDecoder
from models.sam.prompt import PromptEncoder


class SegmentAnything(nn.Module):
    """Image encoder, prompt encoder and mask decoder.

    Args:
        image_encoder: (1, 3, S, S) -> (1, 256, 64, 64).  Its ``decoder_eps``, where it has one, is the eps of the
            mask decoder's layer norms, which checkpoints do not hold.
        prompt_size: side in pixels of the square that the prompt encoder takes boxes to refer to.
    """

    def __init__(self, image_encoder: nn.Module, prompt_size: int) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(prompt_size)
        self.mask_decoder = MaskDecoder(getattr(image_encoder, "decoder_eps", EPS))

    def decode(self, embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of boxes on an encoded image.

        Args:
            embedding: (1, 256, 64, 64).
            boxes: (N, 4) in pixels of the prompt encoder's square.

        Returns:
            logits (N, 256, 256), and expected IoU (N,).
        """
        prompts = self.prompt_encoder(boxes)
        return self.mask_decoder(embedding + self.prompt_encoder.dense(), self.prompt_encoder.grid(), prompts)

    def forward(self, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embedding (1, 256, 64, 64), logits (N, 256, 256) and IoU (N,) of boxes on an image (1, 3, S, S)."""
        embedding = self.image_encoder(image)
        return embedding, *self.decode(embedding, boxes)
