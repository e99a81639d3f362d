"""Made-up cases with objects that a threshold finds."""

from __future__ import annotations

import numpy as np


def volume_of_blobs(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs that drift from slice to slice, one with a gap, and boxes around their middles."""
    random = np.random.default_rng(seed)
    depth, height, width = shape
    volume = random.integers(0, 90, shape).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    boxes = []
    for number in range(5):
        first = int(random.integers(0, depth - 3))
        last = int(random.integers(first + 2, depth))
        middle = (first + last) // 2
        cy, cx = random.uniform(0.25, 0.75, 2) * (height, width)
        drift = random.uniform(-2.5, 2.5, 2)
        radius = random.uniform(0.06, 0.14) * min(height, width) + 2
        for z in range(first, last + 1):
            if number == 0 and z == middle + 1:
                continue  # a slice without the object
            py, px = np.array([cy, cx]) + drift * (z - middle)
            volume[z][(y - py) ** 2 + (x - px) ** 2 <= radius**2] = random.integers(190, 256)
        ends = np.array([cx - radius, cy - radius, cx + radius, cy + radius]).astype(int)
        ends = np.clip(ends, 0, [width - 2, height - 2, width, height])
        boxes.append([ends[0], ends[1], first, ends[2], ends[3], last])
    return volume, np.array(boxes)


def image_of_blobs(shape: tuple[int, int], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    height, width = shape
    image = random.integers(0, 120, (*shape, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    boxes = []
    for _ in range(count):
        cy, cx, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(3, 12)
        image[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = random.integers(150, 256, 3)
        low = np.clip([cx - radius, cy - radius], 0, [width - 2, height - 2]).astype(int)
        boxes.append([*low, min(width, low[0] + 2 * int(radius)), min(height, low[1] + 2 * int(radius))])
    return image, np.array(boxes)
