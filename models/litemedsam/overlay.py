"""The picture that the published script drew of each case, which took much of its time."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from models.geometry import Array

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.patches import Rectangle


def draw(path: Path, imgs: Array, boxes: Array, labels: Array) -> None:
    """Image and labels side by side, of a volume its middle slice, as a PNG of 300 dots an inch."""
    middle = len(imgs) // 2
    image, shown = (imgs, labels) if boxes.shape[1] == 4 else (imgs[middle], labels[middle])
    corners = boxes if boxes.shape[1] == 4 else boxes[:, [0, 1, 3, 4]]
    random = np.random.default_rng(2024)
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 5))
    for panel, title in zip(axes, ("Image", "LiteMedSAM Segmentation"), strict=True):
        panel.imshow(image, cmap="gray")
        panel.set_title(title)
        panel.axis("off")
    for number, (x_min, y_min, x_max, y_max) in enumerate(corners.tolist(), start=1):
        colour = random.random(3)
        frame = Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, edgecolor=colour, facecolor="none", linewidth=2)
        axes[1].add_patch(frame)
        axes[1].imshow((shown == number)[:, :, None] * np.append(colour, 0.5))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=300)
    pyplot.close(figure)
