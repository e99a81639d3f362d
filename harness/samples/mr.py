"""MR: a head, T1-weighted after contrast agent, with a ring-enhancing tumour, bias field and Rician noise."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, rician, smooth_field
from harness.samples.scene import Scene, label_objects, stretch, to_bytes
from harness.samples.shapes import centred_grid, main_part, radius, wavy

FIELD_OF_VIEW_MM = 200.0
SLICE_MM = 4.5
#: Signal of each tissue, relative to subcutaneous fat.
FAT, SKULL, FLUID, GREY_MATTER, WHITE_MATTER, OEDEMA, RIM, NECROSIS = 1.0, 0.08, 0.16, 0.46, 0.62, 0.42, 0.95, 0.26
NOISE = 0.035


def head(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene:
    """A head with the whole tumour and the two lateral ventricles as objects."""
    pixel = FIELD_OF_VIEW_MM / shape[2]
    grid = centred_grid(shape, (SLICE_MM, pixel, pixel))
    scale = np.array([1 / SLICE_MM, 1 / pixel, 1 / pixel])

    brain = radius(grid, (-6, 0, 0), (72, 74, 62))
    # Three shells: scalp, skull, brain; their thickness in mm through the mean radius.
    signal = np.zeros(shape)
    signal[brain < 1 + 14 / 68] = FAT
    signal[brain < 1 + 8 / 68] = SKULL
    signal[brain < 1] = FLUID
    folds = smooth_field(rng, shape, 5.0 * scale)
    cortex = brain + 0.05 * folds
    signal[cortex < 0.97] = GREY_MATTER
    signal[cortex + 0.06 * folds < 0.86] = WHITE_MATTER
    signal[(radius(grid, (-4, 4, -18), (14, 18, 9)) < 1) | (radius(grid, (-4, 4, 18), (14, 18, 9)) < 1)] = GREY_MATTER

    ventricles = []
    for side in (-1.0, 1.0):
        centre = (6 + rng.normal(0, 2), -4 + rng.normal(0, 2), side * (10 + rng.uniform(0, 2)))
        level = wavy(rng, radius(grid, centre, (16, 30, 7.5), angle=side * 0.12), 0.08, 8.0 * scale)
        ventricles.append(main_part(level < 1))
        signal[ventricles[-1]] = FLUID

    side = rng.choice([-1.0, 1.0])
    centre = (rng.uniform(-10, 18), rng.uniform(-30, 30), side * rng.uniform(32, 38))
    size = rng.uniform(14, 19)
    level = wavy(rng, radius(grid, centre, (size, size * 1.15, size * 0.95)), 0.1, 7.0 * scale)
    inside = cortex < 0.95
    signal[(level < 1.55) & inside] = OEDEMA
    tumour = main_part((level < 1) & inside)
    signal[tumour] = RIM
    signal[tumour & (level < 0.62)] = NECROSIS

    bias = np.exp(0.16 * smooth_field(rng, shape, 55.0 * scale))
    acquired = blur(signal * bias, (0.4, 0.5, 0.5))
    noisy = rician(rng, acquired, NOISE)
    image = to_bytes(stretch(noisy, noisy > 4 * NOISE))
    return Scene(image, label_objects(shape, [tumour, *ventricles]), (pixel, pixel, SLICE_MM))
