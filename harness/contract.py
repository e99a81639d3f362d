"""The files that harness and submissions exchange: keys, shapes, and what must hold of them.

A prediction is hostile until proven otherwise (`harness.npz` reads it).  numpy and the standard library
only: this module also runs inside containers.

Formats (axes are in numpy order):

==========  =====================================================  ==============================
file        keys                                                   shapes
==========  =====================================================  ==============================
case, 2D    ``imgs`` uint8, ``boxes`` x_min y_min x_max y_max       (H, W, 3), (N, 4)
case, 3D    ``imgs`` uint8, ``boxes`` x y z min then x y z max,     (D, H, W), (N, 6), (3,)
            ``spacing`` mm
prediction  ``segs``: label i for box i, 0 background               (H, W) or (D, H, W)
reference   ``gts``, and for 3D ``spacing``                         as the prediction
==========  =====================================================  ==============================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import InputError as InputError  # models catch it here
from harness.errors import PredictionError
from harness.npz import CHUNK, Array, ArrayHeader, Fault, NpzReader, open_npz, open_untrusted, write_npz

INPUTS_DIR = "/workspace/inputs"
OUTPUTS_DIR = "/workspace/outputs"

IMAGE_KEY = "imgs"
BOXES_KEY = "boxes"
SPACING_KEY = "spacing"
SEGMENTATION_KEY = "segs"
REFERENCE_KEY = "gts"
CASE_KEYS = (IMAGE_KEY, BOXES_KEY, SPACING_KEY)

#: Largest table of boxes, in bytes: 65,536 boxes of the widest kind.
_MAX_BOXES_BYTES = 4 << 20


def case_name(path: str | Path) -> str:
    """The case's name: the file's name without ``.npz``."""
    name = Path(path).name
    return name[:-4] if name.endswith(".npz") else name


def is_volume(case: str) -> bool:
    """Whether a case is 3D, which its name alone says."""
    return case.startswith("3D")


# --------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class CaseArrays:
    """What a submission gets to see of a case.

    Attributes:
        imgs: uint8, (H, W, 3) or (D, H, W).
        boxes: (N, 4) or (N, 6), as stored.
        spacing: (3,) float64 in mm as stored, None for 2D.
    """

    imgs: Array
    boxes: Array
    spacing: Array | None


@dataclass(frozen=True)
class CaseFacts:
    """A case's facts after every check passed, without its image.

    Attributes:
        image_shape: shape of ``imgs``.
        boxes: number of boxes.
        extra_keys: keys in the file that a submission is not shown (``gts`` in training files).
        warnings: oddities that do not make the case unusable.
    """

    image_shape: tuple[int, ...]
    boxes: int
    extra_keys: tuple[str, ...]
    warnings: tuple[str, ...]


def segmentation_shape(case: str, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that prediction and reference of a case must have: the image's without colours."""
    return image_shape if is_volume(case) else image_shape[:2]


def check_case(path: str | Path) -> CaseFacts:
    """Check a case file wholly (data and checksums included) in little memory.

    Raises:
        InputError: for a damaged file, a missing key, a wrong dtype or shape, a box outside the image.
    """
    with open_npz(path, _CASE_REMEDY) as npz:
        header = npz.header(IMAGE_KEY)
        warned = _check_case_arrays(case_name(path), npz, header)
        npz.verify(IMAGE_KEY)
        extra = tuple(k for k in npz.keys if k not in CASE_KEYS)
        boxes = npz.header(BOXES_KEY).shape[0]
    return CaseFacts(header.shape, boxes, extra, warned)


def read_case(path: str | Path, beyond_boxes: bool = True) -> CaseArrays:
    """Read a case.

    Args:
        path: the file.
        beyond_boxes: whether slices of a volume are read that lie above all boxes.  Where not, they are zero, take no
            memory, and what the file holds of them is not checked.

    Raises:
        InputError: as `check_case`.
    """
    with open_npz(path, _CASE_REMEDY) as npz:
        volume = is_volume(case_name(path))
        _check_case_arrays(case_name(path), npz, npz.header(IMAGE_KEY))
        boxes = npz.read(BOXES_KEY)
        slices = math.ceil(boxes[:, 5].max()) + 1 if volume and not beyond_boxes else None
        spacing = npz.read(SPACING_KEY).astype(np.float64) if volume else None
        return CaseArrays(npz.read(IMAGE_KEY, first=slices), boxes, spacing)


_CASE_REMEDY = (
    "A case holds imgs (uint8, H x W x 3, or D x H x W where its name starts with 3D), boxes (N x 4 or "
    "N x 6, minima then maxima in x y z order, inside the image) and for 3D spacing (3 numbers in mm)"
)


def _check_case_arrays(case: str, npz: NpzReader, image: ArrayHeader) -> tuple[str, ...]:
    volume = is_volume(case)
    if image.dtype != np.uint8:
        raise Fault(f"imgs has dtype {image.dtype}, not uint8")
    if len(image.shape) != 3 or 0 in image.shape or (not volume and image.shape[2] != 3):
        wanted = "(D, H, W)" if volume else "(H, W, 3)"
        raise Fault(f"imgs has shape {str(image.shape)[:80]}, not {wanted}")
    if volume:
        check_spacing(npz)
    size = image.shape[::-1] if volume else (image.shape[1], image.shape[0])
    return _check_boxes(npz.read(BOXES_KEY, _MAX_BOXES_BYTES), size)


def check_spacing(npz: NpzReader) -> Array:
    """The voxel spacing, (3,) float64 in mm, as stored; all three must be positive and finite."""
    spacing = npz.read(SPACING_KEY, max_bytes=1 << 10)
    if spacing.shape != (3,) or spacing.dtype.kind not in "iuf":
        raise Fault(f"spacing has shape {spacing.shape} and dtype {spacing.dtype}, not 3 numbers")
    spacing = spacing.astype(np.float64)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise Fault(f"spacing is {spacing.tolist()}, not three positive lengths in mm")
    return spacing


def _check_boxes(boxes: Array, size: tuple[int, ...]) -> tuple[str, ...]:
    """Check boxes against the image's size in (x, y) or (x, y, z) order; returns warnings."""
    axes = len(size)
    if boxes.ndim != 2 or boxes.shape[1] != 2 * axes or boxes.dtype.kind not in "iuf":
        raise Fault(f"boxes has shape {boxes.shape} and dtype {boxes.dtype}, not (N, {2 * axes}) numbers")
    if boxes.shape[0] == 0:
        raise Fault("boxes is empty: there is nothing to segment")
    low, high = boxes[:, :axes].astype(np.float64), boxes[:, axes:].astype(np.float64)
    # A box of one slice (z_min = z_max) is used in the published data, a box without area is not.
    narrow = np.zeros(axes, dtype=bool)
    if axes == 3:
        narrow[2] = True
    good = (low >= 0) & (high <= np.array(size)) & np.where(narrow, low <= high, low < high)
    if not good.all():
        row = int(np.flatnonzero(~good.all(axis=1))[0])
        raise Fault(
            f"box {row + 1} of {boxes.shape[0]} is {boxes[row].tolist()}: outside the image of size "
            f"{size} in {'xyz'[:axes]} order, or its minimum is not below its maximum"
        )
    if axes == 3 and (flat := int((low[:, 2] == high[:, 2]).sum())):
        return (f"{flat} of {boxes.shape[0]} boxes have z_min = z_max",)
    return ()


# --------------------------------------------------------------------------- labels


@dataclass(frozen=True)
class Labels:
    """A label map.

    Attributes:
        array: (H, W) or (D, H, W); bool, integer or finite float, as stored.
        spacing_mm: (3,) float64 as stored, None where the file has none.
        notes: oddities that do not make it unusable (a float prediction, for example).
    """

    array: Array
    spacing_mm: Array | None
    notes: tuple[str, ...] = ()


_PREDICTION_REMEDY = (
    f"Save one array under the key {SEGMENTATION_KEY!r} with numpy.savez_compressed: integers, the "
    "shape of the image without colours, label i for box i"
)


def read_prediction(path: str | Path, shape: tuple[int, ...]) -> Labels:
    """Read a submission's prediction, trusting nothing in it.

    Accepted: bool, any integer dtype, finite float (compared by equality later, noted here).

    Args:
        path: the file.
        shape: the shape it must have, (H, W) or (D, H, W).

    Raises:
        PredictionError: damaged file, missing key, pickled data, complex, string or structured
            dtype, another shape (even one that numpy would broadcast), NaN or infinity.
    """
    try:
        with open_untrusted(Path(path)) as npz:
            header = npz.header(SEGMENTATION_KEY)
            if header.dtype.kind == "c":
                raise Fault(f"{SEGMENTATION_KEY} is complex ({header.dtype})")
            if header.shape != tuple(shape):
                raise Fault(f"{SEGMENTATION_KEY} has shape {str(header.shape)[:80]}, not {tuple(shape)}")
            array = npz.read(SEGMENTATION_KEY)
            notes: tuple[str, ...] = ()
            if array.dtype.kind == "f":
                if not all_finite(array):
                    raise Fault(f"{SEGMENTATION_KEY} holds NaN or infinity")
                notes = (f"float labels ({array.dtype})",)
            return Labels(array, None, notes)
    except Fault as fault:
        raise PredictionError(path, str(fault), f"{_PREDICTION_REMEDY}.") from fault


def all_finite(array: Array) -> bool:
    """Whether no element is NaN or infinite, in slices so that no temporary is as large as the array."""
    flat = array.reshape(-1, order="A")
    return all(bool(np.isfinite(flat[i : i + CHUNK]).all()) for i in range(0, flat.size, CHUNK))


def read_reference(path: str | Path) -> Labels:
    """Read a reference: ``gts``, (H, W) or (D, H, W), bool or integer, and for 3D its spacing.

    Raises:
        InputError: damaged file, missing key, wrong dtype or number of axes, bad spacing.
    """
    volume = is_volume(case_name(path))
    axes = 3 if volume else 2
    with open_npz(path, "A reference holds gts (integer labels) and for 3D spacing (3 numbers in mm)") as npz:
        header = npz.header(REFERENCE_KEY)
        if header.dtype.kind not in "biuf":
            raise Fault(f"{REFERENCE_KEY} has dtype {header.dtype}, not labels")
        if len(header.shape) != axes or 0 in header.shape:
            raise Fault(f"{REFERENCE_KEY} has shape {header.shape}, not one of {axes} axes")
        spacing = check_spacing(npz) if volume else None
        array = npz.read(REFERENCE_KEY)
        if array.dtype.kind == "f" and not all_finite(array):
            raise Fault(f"{REFERENCE_KEY} holds NaN or infinity")
        return Labels(array, spacing)


# --------------------------------------------------------------------------- writing


def write_prediction(path: str | Path, segs: Array) -> None:
    """Write a prediction in the smallest unsigned dtype that holds its labels, quickly.

    Raises:
        ValueError: for labels that are negative or not whole numbers.
    """
    if segs.dtype.kind == "f" and not (np.isfinite(segs).all() and (segs == np.trunc(segs)).all()):
        raise ValueError("labels are numbers of boxes, so whole numbers")
    if segs.size and int(segs.min()) < 0:
        raise ValueError("labels are numbers of boxes, none below 0")
    dtype = np.min_scalar_type(int(segs.max()) if segs.size else 0)
    write_npz(path, {SEGMENTATION_KEY: segs.astype(dtype, copy=False)}, level=1)
