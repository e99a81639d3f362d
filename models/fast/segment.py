"""Segmenting one case: each slice encoded once, boxes decoded in batches, masks painted in place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from models import geometry
from models.fast.chains import Span, span_of, sweeps
from models.fast.pipeline import Pipeline
from models.geometry import Array, FloatArray, Placed

#: Boxes decoded at once; what is left over is decoded one by one.  OpenVINO prepares itself for each new number of
#: boxes, which costs as much as decoding three, so there are only two numbers.  A box takes some 40 MB meanwhile.
BATCH = 4
#: Embeddings kept between the sweeps of a volume, 4 MiB each.
KEPT = 384
#: Embeddings that MedficientSAM's cache holds.
_PUBLISHED_CACHE = 1024


class Network(Protocol):
    """An encoder and a decoder at work."""

    def encode(self, image: FloatArray) -> FloatArray:
        """(1, 3, S, S) -> (1, 256, 64, 64), which stays as it is when the next image is encoded."""

    def decode(self, embedding: FloatArray, boxes: FloatArray) -> FloatArray:
        """An image's embedding and boxes (N, 4) in pixels of the square -> logits (N, 256, 256)."""


class Segmenter:
    """A network at work by one algorithm's pipeline.

    Args:
        network: its networks.
        pipeline: its arithmetic.
        kept: number of embeddings kept between the sweeps of a volume.
    """

    def __init__(self, network: Network, pipeline: Pipeline, kept: int = KEPT) -> None:
        self._network, self._pipeline, self._kept = network, pipeline, kept
        self._interpolation = geometry.AREA if pipeline.resize == "area" else geometry.LINEAR

    def __call__(self, imgs: Array, boxes: Array) -> Array:
        """Labels of a case: (H, W) for an image (H, W, 3), (D, H, W) for a volume; uint8 or uint16.

        Args:
            imgs: uint8.
            boxes: (N, 4), or (N, 6) for a volume.
        """
        shape = imgs.shape[:2] if boxes.shape[1] == 4 else imgs.shape
        labels = np.zeros(shape, dtype=np.min_scalar_type(len(boxes)))
        if boxes.shape[1] == 4:
            self._image(imgs, boxes, labels)
        elif self._pipeline.stale_embeddings:
            self._volume_on_stale_embeddings(imgs, boxes, labels)
        else:
            self._volume(imgs, boxes, labels)
        bits = self._pipeline.label_bits
        return labels if bits is None else labels.astype(f"uint{bits}", copy=False)

    # ----------------------------------------------------------------------- images

    def _image(self, image: Array, boxes: Array, labels: Array) -> None:
        embedding = self._encode(image)
        prompts = [self._prompt(box, labels.shape) for box in boxes]
        for number, mask in enumerate(self._masks(embedding, prompts, labels.shape), start=1):
            if mask is not None:
                _paint(labels, _clipped(mask, boxes[number - 1]) if self._pipeline.clipped_to_box else mask, number)

    # ----------------------------------------------------------------------- volumes

    def _volume(self, volume: Array, boxes: Array, labels: Array) -> None:
        shape = volume.shape[1:]
        prompts = self._prompts_of_volume(boxes, shape)
        spans = self._spans(boxes, len(volume))
        up, down = sweeps(spans, self._kept)
        next_up, next_down = list(prompts), list(prompts)
        embeddings: dict[int, FloatArray] = {}
        for visit in up:
            embedding = self._encode(volume[visit.z])
            if visit.keep:
                embeddings[visit.z] = embedding
            masks = self._masks(embedding, [next_up[i] for i in visit.boxes], shape)
            for i, mask in zip(visit.boxes, masks, strict=True):
                next_up[i] = self._next_prompt(mask, i + 1, shape, prompts[i])
                if visit.z == spans[i].middle:
                    next_down[i] = next_up[i]
                self._paint_slice(labels[visit.z], mask, i + 1)
        for visit in down:
            kept = embeddings.pop(visit.z, None)
            embedding = self._encode(volume[visit.z]) if kept is None else kept
            masks = self._masks(embedding, [next_down[i] for i in visit.boxes], shape)
            for i, mask in zip(visit.boxes, masks, strict=True):
                next_down[i] = self._next_prompt(mask, i + 1, shape, prompts[i])
                self._paint_slice(labels[visit.z], mask, i + 1)

    def _volume_on_stale_embeddings(self, volume: Array, boxes: Array, labels: Array) -> None:
        """In the published order: which embedding a slice gets depends on it."""
        shape = volume.shape[1:]
        prompts = self._prompts_of_volume(boxes, shape)
        cached: OrderedDict[int, None] = OrderedDict()
        embedding: FloatArray | None = None
        for i, span in enumerate(self._spans(boxes, len(volume))):
            from_middle = prompt = prompts[i]
            for z in (*range(span.middle, span.last + 1), *range(span.middle - 1, span.first - 1, -1)):
                if z == span.middle - 1:
                    prompt = from_middle
                if z not in cached or embedding is None:
                    embedding = self._encode(volume[z])
                cached[z] = None
                cached.move_to_end(z)
                if len(cached) > _PUBLISHED_CACHE:
                    cached.popitem(last=False)
                (mask,) = self._masks(embedding, [prompt], shape)
                prompt = self._next_prompt(mask, i + 1, shape, prompts[i])
                if z == span.middle:
                    from_middle = prompt
                self._paint_slice(labels[z], mask, i + 1)

    def _paint_slice(self, labels: Array, mask: Placed | None, number: int) -> None:
        """As published, an object of a volume is painted where its own labels are above 0: not object 256 of 8 bits."""
        if self._pipeline.label_bits != 8 or number % 256:
            _paint(labels, mask, number)

    def _spans(self, boxes: Array, depth: int) -> list[Span]:
        return [span_of(box, depth, self._pipeline.last_slice == "included") for box in boxes]

    # ----------------------------------------------------------------------- prompts

    def _prompts_of_volume(self, boxes: Array, shape: tuple[int, ...]) -> list[FloatArray]:
        return [self._prompt(box[[0, 1, 3, 4]], shape) for box in boxes]

    def _prompt(self, box: Array, shape: tuple[int, ...]) -> FloatArray:
        """A box (4,) of the image in the square."""
        place = geometry.box_in_square if self._pipeline.box == "floored" else geometry.exact_box_in_square
        return place(box, shape, self._pipeline.input_size)

    def _next_prompt(self, mask: Placed | None, number: int, shape: tuple[int, ...], prompt: FloatArray) -> FloatArray:
        """The box around a slice's mask, for its neighbour; the case's own where there is no mask."""
        if mask is None:
            return prompt
        pipeline, side = self._pipeline, self._pipeline.input_size
        if pipeline.next_box == "shrunk":
            whole = np.zeros(shape, dtype=np.uint8)
            whole[mask.region] = mask.mask
            found = geometry.box_of_mask(whole, self._label(number), side, pipeline.margin)
            return prompt if found is None else found
        rows, columns = np.flatnonzero(mask.mask.any(axis=1)), np.flatnonzero(mask.mask.any(axis=0))
        ends = [mask.left + columns[0], mask.top + rows[0], mask.left + columns[-1], mask.top + rows[-1]]
        box = self._prompt(np.array(ends), shape)
        if not pipeline.margin:
            return box
        reach = np.array([-pipeline.margin, -pipeline.margin, pipeline.margin, pipeline.margin], dtype=np.float32)
        return np.clip(box + reach, np.float32(0), np.float32(side))

    def _label(self, number: int) -> np.uint8 | np.uint16:
        """What a mask's pixels are while it is shrunk."""
        if self._pipeline.label_value == "one":
            return np.uint8(1)
        return np.uint8(number % 256) if self._pipeline.label_bits == 8 else np.uint16(number)

    # ----------------------------------------------------------------------- networks

    def _encode(self, image: Array) -> FloatArray:
        return self._network.encode(geometry.network_input(image, self._pipeline.input_size, self._interpolation))

    def _masks(
        self, embedding: FloatArray, prompts: Sequence[FloatArray], shape: tuple[int, ...]
    ) -> Iterator[Placed | None]:
        """The masks of prompts on an encoded image, in their order."""
        begin = 0
        while begin < len(prompts):
            end = begin + (BATCH if len(prompts) - begin >= BATCH else 1)
            for logits in self._network.decode(embedding, np.stack(prompts[begin:end])):
                yield geometry.mask_of_logits(logits, shape, self._pipeline.input_size)
            begin = end


def _paint(labels: Array, mask: Placed | None, number: int) -> None:
    """Paint an object into (H, W), over those of lower numbers and under those of higher ones."""
    if mask is None:
        return
    region = labels[mask.region]
    region[mask.mask & (region < number)] = number


def _clipped(mask: Placed, box: Array) -> Placed:
    """A mask without what lies outside its box, whose ends both belong to it."""
    x_min, y_min, x_max, y_max = (int(value) for value in box)
    kept = mask.mask.copy()
    kept[: max(0, y_min - mask.top)] = False
    kept[max(0, y_max + 1 - mask.top) :] = False
    kept[:, : max(0, x_min - mask.left)] = False
    kept[:, max(0, x_max + 1 - mask.left) :] = False
    return mask._replace(mask=kept)
