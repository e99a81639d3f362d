"""Case and reference files: every fault ends in an InputError that names file, fault and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract import case_name, check_case, is_volume, read_case, read_reference, segmentation_shape
from harness.errors import HarnessFault, InputError
from harness.npz import open_npz
from tests.contract.forge import Member, claim, npy, write

IMAGE = np.zeros((20, 30, 3), np.uint8)
VOLUME = np.zeros((4, 20, 30), np.uint8)
SPACING = np.array([0.5, 0.5, 2.0])


def save(folder: Path, name: str = "2DBox_US_0001", **arrays: Any) -> Path:
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **arrays)
    return path


def refused(path: Path) -> str:
    """The fault that `check_case` and `read_case` both refuse `path` for."""
    faults = []
    for read in (check_case, read_case):
        with pytest.raises(InputError) as caught:
            read(path)
        error = caught.value
        assert str(error) == f"{path}: {error.fault}. {error.remedy}"
        assert error.remedy.startswith("A case holds imgs")
        assert error.fault.isprintable()
        faults.append(error.fault)
    assert faults[0] == faults[1]
    return faults[0]


def test_names() -> None:
    assert case_name("/a/2DBox_US_0525.npz") == case_name("2DBox_US_0525") == "2DBox_US_0525"
    assert is_volume("3DBox_CT_0566")
    assert not is_volume("2DBox_US_0525")
    assert segmentation_shape("2DBox_US_0525", (20, 30, 3)) == (20, 30)
    assert segmentation_shape("3DBox_CT_0566", (4, 20, 30)) == (4, 20, 30)


@pytest.mark.parametrize("dtype", ["i8", "u1", "<i4", ">f8", "f2"])
def test_a_good_2d_case(tmp_path: Path, dtype: str) -> None:
    """Boxes may touch the border: the maximum may equal the size."""
    boxes = np.array([[0, 0, 30, 20], [29, 19, 30, 20], [0, 0, 1, 1]], dtype)
    path = save(tmp_path, imgs=IMAGE + 7, boxes=boxes, gts=np.zeros((20, 30), np.uint8))
    facts = check_case(path)
    assert (facts.image_shape, facts.boxes, facts.extra_keys, facts.warnings) == ((20, 30, 3), 3, ("gts",), ())
    case = read_case(path)
    np.testing.assert_array_equal(case.imgs, IMAGE + 7)
    np.testing.assert_array_equal(case.boxes, boxes)
    assert case.spacing is None


def test_a_good_3d_case(tmp_path: Path) -> None:
    """A box of one slice is used in the published data: a warning, no error."""
    boxes = np.array([[0, 0, 0, 30, 20, 4], [1, 1, 2, 5, 5, 2], [1, 1, 4, 5, 5, 4]])
    path = save(tmp_path, "3DBox_CT_0001", imgs=np.asfortranarray(VOLUME), boxes=boxes, spacing=SPACING.astype(">f4"))
    facts = check_case(path)
    assert facts.image_shape == (4, 20, 30)
    assert facts.warnings == ("2 of 3 boxes have z_min = z_max",)
    case = read_case(path)
    assert case.spacing is not None
    assert case.spacing.dtype == np.float64
    np.testing.assert_array_equal(case.spacing, SPACING)
    np.testing.assert_array_equal(case.imgs, VOLUME)


@pytest.mark.parametrize(("z_max", "slices"), [([2, 1], 3), ([2.2, 0], 4), ([0, 0], 1), ([6, 6], 6), ([5, 1], 6)])
def test_slices_above_all_boxes_may_be_left_out(tmp_path: Path, z_max: list[float], slices: int) -> None:
    volume = np.random.default_rng(1).integers(1, 200, (6, 20, 30), np.uint8)
    boxes = np.array([[1, 1, 0, 9, 9, z] for z in z_max])
    path = save(tmp_path, "3DBox_CT_0001", imgs=volume, boxes=boxes, spacing=SPACING)
    case = read_case(path, beyond_boxes=False)
    assert case.imgs.shape == volume.shape
    np.testing.assert_array_equal(case.imgs[:slices], volume[:slices])
    assert not case.imgs[slices:].any()
    np.testing.assert_array_equal(case.boxes, boxes)
    np.testing.assert_array_equal(read_case(path).imgs, volume)


def test_of_an_image_all_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, imgs=IMAGE + 7, boxes=np.array([[0, 0, 3, 2]]))
    np.testing.assert_array_equal(read_case(path, beyond_boxes=False).imgs, IMAGE + 7)


@pytest.mark.parametrize(
    ("imgs", "fault"),
    [
        (IMAGE.astype(np.uint16), "dtype uint16, not uint8"),
        (IMAGE.astype(np.float32), "dtype float32, not uint8"),
        (IMAGE.astype(bool), "dtype bool, not uint8"),
        (IMAGE.astype("S1"), "not a plain number"),
        (np.full((2, 2, 3), None), "pickled objects"),
        (IMAGE[..., 0], "shape (20, 30), not (H, W, 3)"),
        (IMAGE[..., :1], "shape (20, 30, 1), not (H, W, 3)"),
        (IMAGE[None], "shape (1, 20, 30, 3), not (H, W, 3)"),
        (np.zeros((0, 30, 3), np.uint8), "shape (0, 30, 3), not (H, W, 3)"),
        (np.uint8(3), "shape (), not (H, W, 3)"),
    ],
)
def test_bad_images(tmp_path: Path, imgs: np.ndarray, fault: str) -> None:
    assert fault in refused(save(tmp_path, imgs=imgs, boxes=[[0, 0, 1, 1]]))


def test_bad_volumes(tmp_path: Path) -> None:
    boxes = [[0, 0, 0, 1, 1, 1]]
    for imgs in (VOLUME[0], np.zeros((4, 0, 3), np.uint8), VOLUME[None]):
        fault = refused(save(tmp_path, "3DBox_MR_0001", imgs=imgs, boxes=boxes, spacing=SPACING))
        assert "not (D, H, W)" in fault


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ([0, 0, 30, 20], True),
        ([0, 0, 31, 20], False),
        ([0, 0, 30, 21], False),
        ([0, 0, 20, 30], False),  # x and y swapped
        ([-1, 0, 30, 20], False),
        ([0, -0.5, 30, 20], False),
        ([5, 5, 5, 9], False),
        ([5, 9, 9, 5], False),
        ([30, 0, 30, 20], False),
        ([np.nan, 0, 5, 5], False),
        ([0, 0, np.inf, 5], False),
        ([-np.inf, 0, 5, 5], False),
        ([0.25, 0, 29.75, 20], True),
    ],
)
def test_boxes_inside_and_outside_the_image(tmp_path: Path, box: list[float], good: bool) -> None:
    path = save(tmp_path, imgs=IMAGE, boxes=[[0, 0, 1, 1], box])
    if good:
        assert check_case(path).boxes == 2
    else:
        assert refused(path).startswith("box 2 of 2 is")


def test_boxes_of_volumes_are_in_x_y_z_order(tmp_path: Path) -> None:
    def case(box: list[int]) -> Path:
        return save(tmp_path, "3DBox_CT_0001", imgs=VOLUME, boxes=[box], spacing=SPACING)

    assert check_case(case([0, 0, 0, 30, 20, 4])).warnings == ()
    assert "size (30, 20, 4) in xyz order" in refused(case([0, 0, 0, 4, 20, 30]))
    assert "outside the image" in refused(case([0, 0, 3, 30, 20, 2]))
    assert "outside the image" in refused(case([7, 0, 0, 7, 20, 2]))


@pytest.mark.parametrize(
    ("boxes", "fault"),
    [
        (np.zeros((0, 4)), "boxes is empty"),
        (np.array([0, 0, 1, 1]), "not (N, 4) numbers"),
        (np.zeros((1, 5)), "not (N, 4) numbers"),
        (np.zeros((1, 6)), "not (N, 4) numbers"),
        (np.zeros((1, 1, 4)), "not (N, 4) numbers"),
        (np.array([[0, 0, 1, 1]], bool), "not (N, 4) numbers"),
        (np.array([[0, 0, 1, 1]], complex), "not (N, 4) numbers"),
        (np.array([["0", "0", "1", "1"]]), "not a plain number"),
        (np.array([[0, 0, 1, None]]), "pickled objects"),
        (np.zeros((200_000, 4)), "more than"),
        (np.array([[0, 0, 2**63, 2**64 - 1]], np.uint64), "outside the image"),
    ],
)
def test_bad_boxes(tmp_path: Path, boxes: np.ndarray, fault: str) -> None:
    assert fault in refused(save(tmp_path, imgs=IMAGE, boxes=boxes))


@pytest.mark.parametrize(
    "spacing",
    [[1, 1], [1, 1, 1, 1], [[1, 1, 1]], [1, 1, 0], [1, 1, -2], [1, np.nan, 1], [np.inf, 1, 1], [True] * 3, ["1"] * 3]
    + [2.0, [1j, 1, 1], [1, 1, None]],
)
def test_bad_spacings(tmp_path: Path, spacing: Any) -> None:
    path = save(tmp_path, "3DBox_CT_0001", imgs=VOLUME, boxes=[[0, 0, 0, 1, 1, 1]], spacing=np.array(spacing))
    assert "spacing" in refused(path)


def test_missing_keys(tmp_path: Path) -> None:
    assert refused(save(tmp_path, img=IMAGE)) == "key 'imgs' is missing (keys: 'img')"
    assert refused(save(tmp_path, imgs=IMAGE)) == "key 'boxes' is missing (keys: 'imgs')"
    fault = refused(save(tmp_path, "3DBox_CT_0001", imgs=VOLUME, boxes=[[0, 0, 0, 1, 1, 1]]))
    assert fault == "key 'spacing' is missing (keys: 'imgs', 'boxes')"


def test_truncated_and_damaged_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, IMAGE.shape, np.uint8)
    path = save(tmp_path, imgs=noise, boxes=[[0, 0, 1, 1]])
    whole = path.read_bytes()
    for size in [*range(0, 200, 7), *range(200, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        refused(path)
    np.savez(path, imgs=noise, boxes=[[0, 0, 1, 1]])
    whole = path.read_bytes()
    at = whole.index(noise[3].tobytes())  # stored as it is, so that one bit there breaks only the checksum
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(InputError, match="CRC"):
        check_case(path)


def test_an_absent_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "2DBox_US_1.npz") == "it cannot be read (No such file or directory)"


def test_an_image_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    data = npy(header=claim("|u1", (1 << 20, 1 << 20, 3)), data=bytes(100))
    path = write(tmp_path / "2DBox_US_1.npz", [Member("imgs.npy", data), Member("boxes.npy", npy(np.ones((1, 4))))])
    with pytest.raises(InputError, match="claims"):
        check_case(path)


def test_errors_of_the_caller_pass_through_unchanged(tmp_path: Path) -> None:
    """A fault of our own must not be charged to the file."""
    path = save(tmp_path, imgs=IMAGE)
    with pytest.raises(ZeroDivisionError), open_npz(path):
        raise ZeroDivisionError


def test_a_host_without_memory_is_the_hosts_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, imgs=IMAGE, boxes=[[0, 0, 1, 1]])

    def no_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.npz.np.empty", no_memory)
    with pytest.raises(HarnessFault, match="too little free memory"):
        read_case(path)


# --------------------------------------------------------------------------- references


def test_references(tmp_path: Path) -> None:
    gts = np.arange(600).reshape(20, 30).astype(np.uint16)
    labels = read_reference(save(tmp_path, gts=gts))
    np.testing.assert_array_equal(labels.array, gts)
    assert labels.spacing_mm is None
    labels = read_reference(save(tmp_path, "3DBox_CT_1", gts=VOLUME, spacing=SPACING))
    assert labels.spacing_mm is not None
    np.testing.assert_array_equal(labels.spacing_mm, SPACING)


@pytest.mark.parametrize(
    ("gts", "fault"),
    [
        (np.zeros((20, 30, 1), np.uint8), "not one of 2 axes"),
        (np.zeros((0, 30), np.uint8), "not one of 2 axes"),
        (np.zeros((20, 30), complex), "not labels"),
        (np.full((20, 30), np.nan), "NaN or infinity"),
        (np.full((20, 30), None), "pickled objects"),
    ],
)
def test_bad_references(tmp_path: Path, gts: np.ndarray, fault: str) -> None:
    path = save(tmp_path, gts=gts)
    with pytest.raises(InputError, match="A reference holds gts") as caught:
        read_reference(path)
    assert fault in caught.value.fault


def test_a_reference_without_spacing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="key 'spacing' is missing"):
        read_reference(save(tmp_path, "3DBox_CT_1", gts=VOLUME))
    with pytest.raises(InputError, match="key 'gts' is missing"):
        read_reference(save(tmp_path, segs=VOLUME))
