"""Segmenting one case by the published script's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from models import geometry
from models.fast.pipeline import Mode
from models.geometry import Array, FloatArray

SIDE = 256


class Network(Protocol):
    """What is used of `models.sam.network.SegmentAnything`."""

    image_encoder: Callable[[torch.Tensor], torch.Tensor]
    decode: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Segmenter:
    """A network at work.

    Args:
        network: LiteMedSAM's, or another whose square is 256 pixels wide.
        mode: "published" writes 8-bit labels, in which object 256 is background and 257 is 1, and hands the previous
            slice's mask on with the object's number as its value; "fixed" does neither.
    """

    def __init__(self, network: Network, mode: Mode = "published") -> None:
        self._network, self._mode = network, mode

    def __call__(self, imgs: Array, boxes: Array) -> Array:
        """Labels of a case: (H, W) for an image (H, W, 3), (D, H, W) for a volume.

        Args:
            imgs: uint8.
            boxes: (N, 4), or (N, 6) for a volume.
        """
        with torch.inference_mode():
            return self._image(imgs, boxes) if boxes.shape[1] == 4 else self._volume(imgs, boxes)

    def _image(self, image: Array, boxes: Array) -> Array:
        labels = np.zeros(image.shape[:2], dtype=self._dtype(boxes))
        embedding = self._encode(image)
        for number, box in enumerate(boxes, start=1):
            mask = self._decode(embedding, geometry.box_in_square(box, image.shape[:2], SIDE), image.shape[:2])
            labels[mask > 0] = self._value(number)
        return labels

    def _volume(self, volume: Array, boxes: Array) -> Array:
        labels = np.zeros(volume.shape, dtype=self._dtype(boxes))
        for number, box in enumerate(boxes, start=1):
            first, middle, last = geometry.slice_range(box, len(volume))
            prompt = geometry.box_in_square(box[[0, 1, 3, 4]], volume.shape[1:], SIDE)
            masks: dict[int, Array] = {}
            for z in range(middle, last + 1):
                masks[z] = self._slice(volume[z], self._next_box(masks.get(z - 1), number, prompt))
            for z in range(middle - 1, first - 1, -1):
                masks[z] = self._slice(volume[z], self._next_box(masks.get(z + 1), number, prompt))
            value = self._value(number)
            if value > 0:  # a volume's object is painted where its own labels are above 0
                for z, mask in masks.items():
                    labels[z][mask > 0] = value
        return labels

    def _slice(self, image: Array, box: FloatArray) -> Array:
        return self._decode(self._encode(image), box, image.shape)

    def _next_box(self, previous: Array | None, number: int, prompt: FloatArray) -> FloatArray:
        """The box around the previous slice's mask; the case's own where there is none."""
        if previous is None:
            return prompt
        found = geometry.box_of_mask(previous, np.uint8(number % 256 if self._mode == "published" else 1), SIDE)
        return prompt if found is None else found

    def _encode(self, image: Array) -> torch.Tensor:
        return self._network.image_encoder(torch.from_numpy(geometry.network_input(image, SIDE)))

    def _decode(self, embedding: torch.Tensor, box: FloatArray, shape: tuple[int, ...]) -> Array:
        """Mask (H, W) of 0 and 1, uint8."""
        logits, _ = self._network.decode(embedding, torch.from_numpy(box)[None])
        height, width = geometry.fitted_size(shape[0], shape[1], SIDE)
        whole = functional.interpolate(logits[:, None, :height, :width], size=shape, mode="bilinear")
        return (whole.sigmoid() > 0.5)[0, 0].to(torch.uint8).numpy()

    def _dtype(self, boxes: Array) -> np.dtype[np.unsignedinteger]:
        return np.dtype(np.uint8) if self._mode == "published" else np.min_scalar_type(len(boxes))

    def _value(self, number: int) -> int:
        return number % 256 if self._mode == "published" else number
