"""PET: FDG uptake of a chest, low counts, and a point spread as wide as the smaller lesions."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, poisson, smooth_field
from harness.samples.scene import Scene, label_objects, stretch, to_bytes
from harness.samples.shapes import centred_grid, main_part, radius, wavy

FIELD_OF_VIEW_MM = 440.0
SLICE_MM = 4.0
#: Full width at half maximum of the scanner's response.
RESPONSE_MM = 6.5
#: Expected counts in a voxel of 64 mm^3 at an uptake (SUV) of 1.
COUNTS = 14.0
#: Lesion: centre (z, y, x) in mm, radius in mm, uptake (SUV).
LESIONS = (
    ((4, -18, -78), 17.0, 9.0),
    ((-14, 26, 84), 11.0, 8.0),
    ((16, -30, 18), 9.0, 7.5),
    ((-10, 34, -40), 7.5, 10.0),
)


def chest(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene:
    """A chest with lung tumours and nodes as objects; the heart is hot too, and is none.

    The reference is the lesion itself, not what the blur makes of it: small lesions look larger and
    colder than they are (partial volume).
    """
    pixel = FIELD_OF_VIEW_MM / shape[2]
    voxel = np.array([SLICE_MM, pixel, pixel])
    grid = centred_grid(shape, (SLICE_MM, pixel, pixel))

    uptake = np.zeros(shape)
    uptake[np.broadcast_to(radius(grid[1:], (0, 0), (112, 175)) < 1, shape)] = 0.7
    for side in (-1.0, 1.0):
        uptake[np.broadcast_to(radius(grid[1:], (-2, side * 78), (82, 62)) < 1, shape)] = 0.35
    uptake[np.broadcast_to(radius(grid[1:], (4, 0), (70, 26)) < 1, shape)] = 1.6
    heart = radius(grid, (-6, -30, 40), (38, 36, 32), angle=0.5)
    uptake[heart < 1] = 3.2
    uptake[heart < 0.66] = 1.7
    dome = radius(grid, (-66, 0, -70), (44, 84, 74))
    uptake[dome < 1] = 2.2

    masks = []
    for centre, size, suv in LESIONS:
        place = np.array(centre) + rng.normal(0, 3.0, 3)
        radii = size * rng.uniform(0.85, 1.2, 3)
        level = wavy(rng, radius(grid, place, radii), 0.06, 8.0 / voxel)
        mask = main_part(level < 1)
        masks.append(mask)
        profile = 1.15 - 0.5 * np.clip(level, 0, 1) ** 2  # tumours are less active towards their rim
        uptake[mask] = suv * rng.uniform(0.85, 1.15) * profile[mask]
        uptake[mask] *= 1 + 0.12 * smooth_field(rng, shape, 6.0 / voxel)[mask]

    sigma = RESPONSE_MM / 2.355 / voxel
    volume = float(np.prod(voxel)) / 64.0
    counts = poisson(rng, blur(uptake, sigma) * COUNTS * volume)
    # Reconstructions are smoothed, which correlates the noise between neighbours.
    smoothed = blur(counts / (COUNTS * volume), 2.0 / voxel)
    image = to_bytes(stretch(smoothed, smoothed > 0.5))
    return Scene(image, label_objects(shape, masks), (pixel, pixel, SLICE_MM))
