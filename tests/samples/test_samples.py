"""The generator's cases: valid by the contract, the same each time, and of sensible physics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from harness import contract
from harness.cli.main import main
from harness.protocol import load_protocol
from harness.samples import boxes, catalogue, microscopy, noise, scene

ROOT = Path(__file__).resolve().parents[2]
MODALITIES = {
    *("CT", "MR", "PET", "US", "X-Ray", "Endoscopy", "Fundus", "Microscopy", "OCT", "Dermoscopy", "Mammography")
}
NAMES = catalogue.case_names()


@pytest.fixture(scope="module")
def cases() -> dict[str, catalogue.SampleCase]:
    return {case.name: case for case in catalogue.generate()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, catalogue.SampleCase]) -> Path:
    out = tmp_path_factory.mktemp("samples")
    for case in cases.values():
        catalogue.write_case(case, out)
    return out


def test_every_modality_of_the_challenge_is_there():
    protocol = load_protocol()
    assert {protocol.task_of(name) for name in NAMES} == MODALITIES == set(protocol.tasks.values())
    assert len(NAMES) == 13


@pytest.mark.parametrize("name", NAMES)
def test_files_are_as_the_contract_says(folder: Path, name: str):
    facts = contract.check_case(folder / "imgs" / f"{name}.npz")
    reference = contract.read_reference(folder / "gts" / f"{name}.npz")
    assert facts.warnings == ()
    assert facts.extra_keys == ()
    assert reference.array.shape == contract.segmentation_shape(name, facts.image_shape)
    assert sorted(np.unique(reference.array)) == list(range(facts.boxes + 1))
    with np.load(folder / "imgs" / f"{name}.npz") as npz:
        assert set(npz) == {"imgs", "boxes"} | ({"spacing"} if name.startswith("3D") else set())


@pytest.mark.parametrize("name", NAMES)
def test_each_box_holds_its_object_tightly(cases: dict[str, catalogue.SampleCase], name: str):
    """0 to 5 pixels of room on every side in x and y, none in z, as in the published data."""
    labels, boxed = cases[name].scene.labels, cases[name].boxes
    axes = labels.ndim
    for number, box in enumerate(boxed, start=1):
        points = np.argwhere(labels == number)[:, ::-1]
        room_low, room_high = points.min(axis=0) - box[:axes], box[axes:] - points.max(axis=0)
        for room in (room_low, room_high):
            assert (room[:2] >= 0).all()
            assert (room[:2] <= boxes.MAX_SHIFT_PX).all()
            assert (room[2:] == 0).all()


def test_volumes_have_spacing_in_xyz_beside_arrays_in_zyx(folder: Path):
    """Slices are thicker than pixels in the generated CT and MR, so the order can be told."""
    for name in ("3DBox_CT_0001", "3DBox_MR_0001"):
        spacing = contract.read_case(folder / "imgs" / f"{name}.npz").spacing
        assert spacing is not None
        assert spacing[0] == spacing[1] < spacing[2]


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path):
    for run, seed in (("a", 7), ("b", 7), ("c", 8)):
        for case in catalogue.generate(seed=seed, size="tiny"):
            catalogue.write_case(case, tmp_path / run)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.npz"))
    assert len(files) == 2 * len(NAMES)
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes(), file


def test_more_cases_per_task_leave_the_first_as_they_are():
    few = {case.name: case for case in catalogue.generate(size="tiny")}
    many = {case.name: case for case in catalogue.generate(size="tiny", per_task=2)}
    assert set(many) > set(few)
    assert len(many) == 2 * len(few)
    for name, case in few.items():
        # Microscopy counts through its three kinds, so case 4 is the second of the first kind.
        np.testing.assert_array_equal(case.scene.image, many[name].scene.image)


def test_the_shipped_cases_are_those_of_the_default_seed(cases: dict[str, catalogue.SampleCase]):
    """Compared as pictures: another processor may round a grey value the other way."""
    shipped = sorted(path.stem for path in (ROOT / "inputs" / "imgs").glob("*.npz"))
    assert shipped == sorted(NAMES)
    assert sorted(path.stem for path in (ROOT / "inputs" / "gts").glob("*.npz")) == shipped
    for name, case in cases.items():
        stored = contract.read_case(ROOT / "inputs" / "imgs" / f"{name}.npz")
        reference = contract.read_reference(ROOT / "inputs" / "gts" / f"{name}.npz")
        assert np.mean(stored.imgs != case.scene.image) < 0.001, name
        assert np.mean(reference.array != case.scene.labels) < 0.001, name
        assert np.abs(stored.boxes - case.boxes).max() <= 1, name


def test_the_shipped_cases_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "inputs").rglob("*.npz")) < 3_000_000


# --------------------------------------------------------------------------- physics


def grey(case: catalogue.SampleCase) -> np.ndarray:
    image = case.scene.image.astype(float)
    return image if case.name.startswith("3D") else image.mean(axis=2)


def test_speckle_is_rayleigh_distributed():
    """Fully developed speckle has mean / standard deviation = sqrt(pi / (4 - pi)) = 1.913."""
    envelope = noise.speckle_envelope(np.random.default_rng(0), np.full((400, 400), 3.0), (0.8, 1.6))
    assert envelope.mean() / envelope.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.02)
    assert np.mean(envelope**2) == pytest.approx(9.0, rel=0.02)


def test_rician_noise_has_the_moment_that_theory_gives():
    """E[m^2] = s^2 + 2 sigma^2, also where the signal is nothing."""
    rng = np.random.default_rng(0)
    for signal in (0.0, 1.0):
        magnitude = noise.rician(rng, np.full((300, 300), signal), 0.2)
        assert np.mean(magnitude**2) == pytest.approx(signal**2 + 2 * 0.2**2, rel=0.02)


def test_power_law_field_has_its_exponent():
    field = noise.power_law_field(np.random.default_rng(0), (256, 256), 3.0)
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    used = (frequency > 0.02) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)[0]
    assert slope == pytest.approx(-3.0, abs=0.1)


def test_window_maps_hounsfield_as_the_challenge_does():
    shown = scene.window(np.array([-1000.0, -160.0, 40.0, 240.0, 3000.0]), level_hu=40, width_hu=400)
    assert shown.tolist() == [0, 0, 128, 255, 255]


def test_ultrasound_darkens_behind_the_mass_and_brightens_behind_the_cyst(cases: dict[str, catalogue.SampleCase]):
    case = cases["2DBox_US_0001"]
    image, labels = grey(case), case.scene.labels
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]

    def behind(number: int) -> float:
        y, x = np.nonzero(labels == number)
        middle = np.abs(columns - x.mean()) < 0.25 * np.ptp(x)
        return float(image[middle & (rows > y.max() + 4) & (rows < y.max() + 30)].mean())

    assert behind(1) < behind(2) - 20


def test_fluid_in_oct_is_dark(cases: dict[str, catalogue.SampleCase]):
    image, labels = grey(cases["2DBox_OCT_0001"]), cases["2DBox_OCT_0001"].scene.labels
    for number in range(1, labels.max() + 1):
        mask = labels == number
        ring = ndimage.binary_dilation(mask, iterations=6) & (labels == 0)
        assert image[mask].mean() < image[ring].mean() - 15


def test_pet_lesions_bleed_into_their_surroundings(cases: dict[str, catalogue.SampleCase]):
    """Partial volume: the rim is colder than the middle, voxels just outside are warmer than those farther out."""
    image, labels = grey(cases["3DBox_PET_0001"]), cases["3DBox_PET_0001"].scene.labels
    for number in range(1, labels.max() + 1):
        inside, outside = (ndimage.distance_transform_edt(m) for m in (labels == number, labels != number))
        if inside.max() >= 2:  # the smallest lesion is all rim
            assert image[inside >= inside.max() - 0.5].mean() > image[inside == 1].mean() + 15
        assert image[outside == 1].mean() > image[(outside > 3) & (outside < 5)].mean() + 15


def test_ct_grey_values_are_hounsfield_numbers_in_the_window(cases: dict[str, catalogue.SampleCase]):
    case = cases["3DBox_CT_0001"]
    image, labels = grey(case), case.scene.labels
    organs = len(np.unique(labels)) - 1
    assert organs >= 6
    liver = np.median(image[ndimage.binary_erosion(labels == 1)]) * 400 / 255 - 160
    assert liver == pytest.approx(108, abs=8)
    assert np.median(image[:, :6, :6]) == 0
    touching = set()
    for axis in range(3):
        first, second = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        pairs = np.stack([first.ravel(), second.ravel()], axis=1)
        touching |= {tuple(sorted(p)) for p in pairs[(pairs > 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])].tolist()}
    assert touching


def test_three_microscopes_differ():
    """Stained nuclei are dark on bright, fluorescent ones bright on dark, phase contrast has bright rims."""
    rng = np.random.default_rng(3)
    stained, phase, glowing = (
        make(rng, (256, 256)) for make in (microscopy.brightfield, microscopy.phase_contrast, microscopy.fluorescence)
    )

    def contrast(made: scene.Scene) -> float:
        image = made.image.astype(float).mean(axis=2)
        return float(image[made.labels > 0].mean() - image[made.labels == 0].mean())

    assert contrast(stained) < -30
    assert contrast(glowing) > 60
    inside = phase.labels > 0
    outside = ndimage.binary_dilation(inside, iterations=3) & ~ndimage.binary_dilation(inside)
    image = phase.image.astype(float).mean(axis=2)
    assert image[outside].mean() > image[~ndimage.binary_dilation(inside, iterations=12)].mean() + 8
    assert (stained.image.std(axis=2).mean() > 10) & (phase.image.std(axis=2).max() == 0)


# --------------------------------------------------------------------------- boxes and labels


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_boxes_of_any_labels_are_accepted_and_hold_them(data: st.DataObject):
    volume = data.draw(st.booleans())
    shape = tuple(data.draw(st.integers(2, 12)) for _ in range(3 if volume else 2))
    masks = []
    for _ in range(data.draw(st.integers(1, 3))):
        mask = np.zeros(shape, dtype=bool)
        low = [data.draw(st.integers(0, n - 2)) for n in shape]
        mask[tuple(slice(a, data.draw(st.integers(a + 2, n))) for a, n in zip(low, shape, strict=True))] = True
        masks.append(mask)
    labels = scene.label_objects(shape, masks, least=1)
    assert sorted(set(np.unique(labels)) - {0}) == list(range(1, labels.max() + 1))
    found = boxes.boxes_of(labels, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert found.shape == (labels.max(), 2 * labels.ndim)
    size = np.array(shape)[::-1]
    for number, box in enumerate(found, start=1):
        points = np.argwhere(labels == number)[:, ::-1]
        assert (box[: labels.ndim] <= points.min(axis=0)).all()
        assert (box[labels.ndim :] >= points.max(axis=0)).all()
        assert (box[: labels.ndim] >= 0).all()
        assert (box[labels.ndim :] <= size).all()


def test_objects_that_vanish_leave_no_gap_in_the_numbers():
    hidden, over, apart = (np.zeros((9, 9), dtype=bool) for _ in range(3))
    hidden[0:3, 0:3] = over[0:4, 0:4] = apart[6:9, 6:9] = True
    labels = scene.label_objects((9, 9), [hidden, over, apart])
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[0, 0] == 1
    assert labels[8, 8] == 2


# --------------------------------------------------------------------------- the command


def test_the_command_writes_both_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["samples", "--out", str(tmp_path / "new"), "--size", "tiny", "--seed", "3"]) == 0
    assert sorted(p.stem for p in (tmp_path / "new" / "imgs").iterdir()) == sorted(NAMES)
    assert sorted(p.stem for p in (tmp_path / "new" / "gts").iterdir()) == sorted(NAMES)
    assert "13 cases" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--per-task", "0"], ["--per-task", "-2"], ["--seed", "-1"]])
def test_the_command_refuses_what_it_cannot_make(tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["samples", "--out", str(tmp_path), *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err


def test_the_command_refuses_a_file_as_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "taken").write_text("")
    assert main(["samples", "--out", str(tmp_path / "taken")]) == 2
    assert "Give a folder" in capsys.readouterr().err
