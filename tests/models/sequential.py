"""The published programs' order of work, slow and plain: box after box, slice after slice, whole maps.

Written from the published programs' behaviour and not from the project's pipeline, of which it uses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional


@dataclass(frozen=True)
class Program:
    """One published program: what differs between them."""

    side: int
    resize: int
    exact: bool
    full_size_next: bool
    last: int  # added to z_max for the end of a range
    labels: type  # of the output
    by_torch: bool  # enlarges logits by torch and applies the sigmoid
    keeps_references: bool = False
    margin: int = 0  # of the next box from a mask at full size


PROGRAMS = {
    "litemedsam": Program(256, cv2.INTER_AREA, False, False, 1, np.uint8, True),
    "medficientsam": Program(512, cv2.INTER_LINEAR, True, True, 0, np.uint16, False, True),
    "daft": Program(256, cv2.INTER_AREA, False, False, 0, np.uint16, False),
    "daft-shared": Program(256, cv2.INTER_AREA, False, True, 0, np.uint16, False, margin=3),
    "repmedsam": Program(256, cv2.INTER_AREA, False, False, 1, np.uint8, True),
}


class Sequential:
    """A network run by a program, with its defects or without.

    With a stride above 1, which no published program of these has, a chain skips slices off the grid; they are filled
    in afterwards from whole logit maps.
    """

    def __init__(self, network, name: str, mode: str, stride: int = 1) -> None:
        self.stride = stride
        self.network, self.program, self.name, self.published = network, PROGRAMS[name], name, mode == "published"
        self.empty_slices = self.moved_boxes = 0

    def __call__(self, imgs: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.planar(imgs, boxes) if boxes.shape[1] == 4 else self.volume(imgs, boxes)

    def planar(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        segs = np.zeros(image.shape[:2], dtype=np.int64)
        embedding = self.encode(image)
        for number, box in enumerate(boxes, start=1):
            mask = self.mask(self.decode(embedding, self.scaled(box, segs.shape)), segs.shape)
            if self.name.startswith("daft") and not self.published:
                inside = np.zeros(segs.shape, dtype=bool)
                inside[int(box[1]) : int(box[3]) + 1, int(box[0]) : int(box[2]) + 1] = True
                mask = mask & inside
            segs[mask] = self.stored(number)
        return self.finished(segs)

    def volume(self, volume: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        segs = np.zeros(volume.shape, dtype=np.int64)
        depth, *shape = volume.shape
        references: dict[int, np.ndarray] = {}
        output = np.zeros((1, 256, 64, 64), dtype=np.float32)

        def embed(z: int):
            if not (self.program.keeps_references and self.published):
                return self.encode(volume[z])
            if z not in references:  # every reference is to the one output
                output[...] = self.encode(volume[z]).numpy()
                references[z] = output
            return torch.from_numpy(references[z].copy())

        for number, (x_min, y_min, z_min, x_max, y_max, z_max) in enumerate(boxes.tolist(), start=1):
            default = self.scaled(np.array([x_min, y_min, x_max, y_max]), shape)
            middle = int((z_max - z_min) / 2 + z_min)
            end = min(z_max + self.program.last, depth)
            own = np.zeros(volume.shape, dtype=bool)
            maps: dict[int, torch.Tensor] = {}
            for chain in (range(middle, end), range(middle, z_min - 1, -1)):
                before = None
                for z in chain:
                    if z % self.stride and z not in (middle, end - 1, z_min):
                        continue
                    if z not in maps:
                        box = default if before is None else self.following(own[before], number, default)
                        maps[z] = self.decode(embed(z), box)
                        own[z] = self.mask(maps[z], shape)
                    before = z
            for z in range(z_min, end):
                if z not in maps:
                    below, above = max(v for v in maps if v < z), min(v for v in maps if v > z)
                    part = np.float32((z - below) / (above - below))
                    own[z] = self.mask((1 - part) * maps[below].numpy() + part * maps[above].numpy(), shape)
            if self.stored(number) > 0:
                segs[own] = self.stored(number)
        return self.finished(segs)

    def stored(self, number: int) -> int:
        """A number in the type that the program writes."""
        return int(np.array(number).astype(self.program.labels)) if self.published else number

    def finished(self, segs: np.ndarray) -> np.ndarray:
        return segs.astype(self.program.labels) if self.published else segs

    def encode(self, image: np.ndarray) -> torch.Tensor:
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, axis=2)
        side = self.program.side
        scale = side / max(image.shape[:2])
        height, width = (int(n * scale + 0.5) for n in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=self.program.resize)
        unit = (small - small.min()) / np.clip(small.max() - small.min(), a_min=1e-8, a_max=None)
        padded = np.pad(unit, ((0, side - height), (0, side - width), (0, 0)))
        return self.network.image_encoder(torch.tensor(padded).float().permute(2, 0, 1)[None])

    def decode(self, embedding: torch.Tensor, box: np.ndarray) -> torch.Tensor:
        """Logits (1, 256, 256)."""
        return self.network.decode(embedding, torch.tensor(box, dtype=torch.float32)[None])[0].clone()

    def mask(self, logits, shape) -> np.ndarray:
        side = self.program.side
        scale = side / max(shape)
        height, width = (int(n * scale + 0.5) for n in shape)
        logits = torch.as_tensor(logits)
        if side > 256:
            logits = functional.interpolate(logits[None], (side, side), mode="bilinear")[0]
        logits = logits[:, :height, :width]
        if self.program.by_torch:
            return (functional.interpolate(logits[None], tuple(shape), mode="bilinear").sigmoid() > 0.5)[0, 0].numpy()
        return cv2.resize(logits[0].numpy(), tuple(shape)[::-1], interpolation=cv2.INTER_LINEAR) > 0

    def scaled(self, box: np.ndarray, shape) -> np.ndarray:
        if self.program.exact:  # the graph takes v / max(H, W); ours adds 0.5 and divides by the side
            return box / max(shape) * self.program.side - 0.5
        return np.array([int(v * (self.program.side / max(shape))) for v in box])

    def following(self, previous: np.ndarray, number: int, default: np.ndarray) -> np.ndarray:
        """The box for the slice after this mask."""
        side = self.program.side
        if self.program.full_size_next:
            if not previous.any():
                self.empty_slices += 1
                return default
            y, x = np.where(previous)
            self.moved_boxes += 1
            box, more = self.scaled(np.array([x.min(), y.min(), x.max(), y.max()]), previous.shape), self.program.margin
            return np.clip(box + [-more, -more, more, more], 0, side) if more else box
        kind = self.program.labels if self.published else np.uint8
        value = np.array(number).astype(kind) if self.published else kind(1)
        scale = side / max(previous.shape)
        height, width = (int(n * scale + 0.5) for n in previous.shape)
        small = cv2.resize(previous.astype(kind) * value, (width, height), interpolation=cv2.INTER_AREA)
        if small.max() == 0:
            self.empty_slices += 1
            return default
        y, x = np.where(np.pad(small, ((0, side - height), (0, side - width))) > 0)
        self.moved_boxes += 1
        return np.array([max(0, x.min() - 3), max(0, y.min() - 3), min(side, x.max() + 3), min(side, y.max() + 3)])
