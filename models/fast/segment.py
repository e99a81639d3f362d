"""Segmenting one case: each slice encoded once for all of its boxes, masks painted in place.

Memory, however deep a volume is: its slices up to the last that a box needs (the others are zeros that were never
written, `harness.contract.read_case`), as much for labels where objects are, `KEPT` embeddings (1.5 GiB), with a stride
`INTERPOLATED_AT_ONCE` maps of logits for each direction (256 MiB), and what OpenVINO takes for its networks.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Protocol

import numpy as np

from models import geometry
from models.fast.chains import Span, span_of, sweeps
from models.fast.pipeline import Pipeline
from models.geometry import Array, FloatArray, Placed

#: Embeddings kept between the sweeps of a volume, 4 MiB each.
KEPT = 384
#: Boxes whose slices are interpolated in the same sweeps: each chain holds 256 KiB of logits meanwhile.
INTERPOLATED_AT_ONCE = 512
#: Embeddings that MedficientSAM's cache holds.
_PUBLISHED_CACHE = 1024


class Network(Protocol):
    """An encoder and a decoder at work."""

    def encode(self, image: FloatArray) -> FloatArray:
        """(1, 3, S, S) -> (1, 256, 64, 64), which stays as it is when the next image is encoded."""

    def decode(self, embedding: FloatArray, box: FloatArray) -> FloatArray:
        """An embedding and a box (4,) in pixels of the square -> logits (256, 256), good until the next call."""


@dataclass(frozen=True)
class _Chain:
    """How far one box has come, upwards or downwards.

    Attributes:
        number: the box's, from 1.
        box: (4,) in the square, as the case has it.
        prompt: (4,) for the chain's next slice.
        z: the slice that it visited last; -1 before the first.
        logits: (256, 256) of that slice, where slices left out are to be interpolated.
    """

    number: int
    box: FloatArray
    prompt: FloatArray
    z: int = -1
    logits: FloatArray | None = None


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
        bits = self._pipeline.label_bits
        # Pages of zeros take no memory until something is painted on them, so labels begin as wide as they end.
        narrowest = np.dtype(np.uint16 if bits == 16 else np.uint8)
        labels = np.zeros(shape, dtype=np.promote_types(narrowest, np.min_scalar_type(len(boxes))))
        if boxes.shape[1] == 4:
            self._image(imgs, boxes, labels)
        elif self._pipeline.stale_embeddings:
            self._volume_on_stale_embeddings(imgs, boxes, labels)
        else:
            self._volume(imgs, boxes, labels)
        return labels if bits is None else labels.astype(f"uint{bits}", copy=False)

    # ----------------------------------------------------------------------- images

    def _image(self, image: Array, boxes: Array, labels: Array) -> None:
        embedding = self._encode(image)
        for number, box in enumerate(boxes, start=1):
            mask = self._mask(self._network.decode(embedding, self._prompt(box, labels.shape)), labels.shape)
            if mask is not None:
                _paint(labels, _clipped(mask, box) if self._pipeline.clipped_to_box else mask, number)

    # ----------------------------------------------------------------------- volumes

    def _volume(self, volume: Array, boxes: Array, labels: Array) -> None:
        at_once = len(boxes) if self._pipeline.stride == 1 else INTERPOLATED_AT_ONCE
        for begin in range(0, len(boxes), at_once):
            self._sweep(volume, boxes[begin : begin + at_once], begin + 1, labels)

    def _sweep(self, volume: Array, boxes: Array, first_number: int, labels: Array) -> None:
        """Segment boxes of a volume together, the first of which has this number."""
        spans, starts = self._spans(boxes, len(volume)), self._starts(boxes, first_number, labels)
        upward, downward = sweeps(spans, self._kept, self._pipeline.stride)
        up, down = list(starts), list(starts)
        embeddings: dict[int, FloatArray] = {}
        for visits, chains in ((upward, up), (downward, down)):
            for visit in visits:
                kept = embeddings.pop(visit.z, None)
                embedding = self._encode(volume[visit.z]) if kept is None else kept
                if visit.keep:
                    embeddings[visit.z] = embedding
                for i in visit.boxes:
                    logits = self._network.decode(embedding, chains[i].prompt)
                    chains[i] = self._advanced(chains[i], visit.z, logits, labels)
                    if visit.z == spans[i].middle:
                        down[i] = chains[i]

    def _volume_on_stale_embeddings(self, volume: Array, boxes: Array, labels: Array) -> None:
        """In the published order: which embedding a slice gets depends on it."""
        stride = self._pipeline.stride
        cached: OrderedDict[int, None] = OrderedDict()
        embedding: FloatArray | None = None
        spans = self._spans(boxes, len(volume))
        for span, at_middle in zip(spans, self._starts(boxes, 1, labels), strict=True):
            for slices in (span.up(stride), span.down(stride)):
                chain = at_middle
                for z in slices:
                    if z not in cached or embedding is None:
                        embedding = self._encode(volume[z])
                    cached[z] = None
                    cached.move_to_end(z)
                    if len(cached) > _PUBLISHED_CACHE:
                        cached.popitem(last=False)
                    logits = self._network.decode(embedding, chain.prompt)
                    chain = self._advanced(chain, z, logits, labels)
                    if z == span.middle:
                        at_middle = chain

    def _advanced(self, chain: _Chain, z: int, logits: FloatArray, labels: Array) -> _Chain:
        """A chain after its next slice, which is painted, and with it the slices that it left out before."""
        shape = labels.shape[1:]
        mask = self._mask(logits, shape)
        self._paint_slice(labels[z], mask, chain.number)
        if chain.logits is not None:
            (low, low_logits), (high, high_logits) = sorted(((chain.z, chain.logits), (z, logits)), key=itemgetter(0))
            for between in range(low + 1, high):
                share = np.float32((between - low) / (high - low))
                mixed = (np.float32(1) - share) * low_logits + share * high_logits
                self._paint_slice(labels[between], self._mask(mixed, shape), chain.number)
        prompt = self._next_prompt(mask, chain.number, shape, chain.box)
        # The network overwrites its logits.
        return replace(chain, prompt=prompt, z=z, logits=None if self._pipeline.stride == 1 else logits.copy())

    def _paint_slice(self, labels: Array, mask: Placed | None, number: int) -> None:
        """As published, an object of a volume is painted where its own labels are above 0: not object 256 of 8 bits."""
        if self._pipeline.label_bits != 8 or number % 256:
            _paint(labels, mask, number)

    def _spans(self, boxes: Array, depth: int) -> list[Span]:
        return [span_of(box, depth, self._pipeline.last_slice == "included") for box in boxes]

    def _starts(self, boxes: Array, first_number: int, labels: Array) -> list[_Chain]:
        prompts = [self._prompt(box[[0, 1, 3, 4]], labels.shape[1:]) for box in boxes]
        return [_Chain(number, prompt, prompt) for number, prompt in enumerate(prompts, start=first_number)]

    # ----------------------------------------------------------------------- prompts

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

    def _mask(self, logits: FloatArray, shape: tuple[int, ...]) -> Placed | None:
        return geometry.mask_of_logits(logits, shape, self._pipeline.input_size)


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
