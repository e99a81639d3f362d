"""Pictures of the best and worst cases."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.contract import read_reference, write_prediction
from harness.layout import OutDir
from harness.report.overlays import (
    DASH_PX,
    LONGEST_PX,
    PREDICTION_RGB,
    REFERENCE_RGB,
    choose,
    make_overlays,
    outline,
    paint,
    thick_outline,
)
from harness.report.reading import read_report_data
from harness.results import write_results
from tests.report.conftest import MakeFolder

REAL = Path(os.environ.get("HARNESS_REALCASES") or Path(__file__).parents[2].parent / "shared" / "realcases")


def test_outline_of_a_square_by_hand() -> None:
    labels = np.zeros((6, 6), dtype=np.uint8)
    labels[1:5, 1:5] = 3
    expected = labels.astype(bool)
    expected[2:4, 2:4] = False
    assert (outline(labels) == expected).all()


def test_touching_objects_are_outlined_apart_and_the_rim_is_not_an_edge() -> None:
    labels = np.array([[1, 1, 2, 2]] * 3)
    assert (outline(labels) == np.array([[False, True, True, False]] * 3)).all()
    assert not outline(np.ones((4, 4), dtype=bool)).any()


def test_thick_outline_is_two_pixels_wide_within_the_object() -> None:
    labels = np.zeros((12, 12), dtype=np.uint8)
    labels[2:10, 2:10] = 1
    hollow = labels.astype(bool)
    hollow[4:8, 4:8] = False
    assert (thick_outline(labels) == hollow).all()


def colours(png: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(png))
    assert picture.mode == "P"
    assert len(picture.getcolors()) <= 64
    return np.array(picture.convert("RGB"))


@pytest.mark.parametrize(("side", "scale"), [(320, 1), (100, 3), (40, 8)])
def test_paint_marks_each_outline_where_it_is(side: int, scale: int) -> None:
    image = np.full((side, side, 3), 90, dtype=np.uint8)
    reference = np.zeros((side, side), dtype=np.uint8)
    prediction = reference.copy()
    reference[10:20, 10:20] = 1
    prediction[10:20, 10:30] = 1
    pixels = colours(paint(image, reference, prediction))
    assert pixels.shape == (side * scale, side * scale, 3)
    big = (
        np.kron(reference, np.ones((scale, scale), dtype=np.uint8)),
        np.kron(prediction, np.ones((scale, scale), dtype=np.uint8)),
    )
    truth, found = thick_outline(big[0]), thick_outline(big[1])
    assert (pixels[truth & ~found] == REFERENCE_RGB).all()
    assert (pixels[found & ~truth] == PREDICTION_RGB).all()
    both = pixels[truth & found]
    shares = [(both == colour).all(axis=1).mean() for colour in (REFERENCE_RGB, PREDICTION_RGB)]
    assert sum(shares) == 1
    assert len(both) > 2 * DASH_PX
    assert min(shares) > 0.3
    assert (pixels[~truth & ~found] == 90).all()


def test_large_and_long_images_are_scaled_down() -> None:
    image = np.random.default_rng(0).integers(0, 255, (900, 3000), dtype=np.uint8)
    labels = np.zeros((900, 3000), dtype=np.uint8)
    png = paint(image, labels, labels)
    assert colours(png).shape == (96, LONGEST_PX, 3)
    assert len(png) < 60_000


def test_best_and_worst_are_chosen_among_predictions_that_exist(make_folder: MakeFolder) -> None:
    folder = make_folder(cases=11, pictures=3)
    data = read_report_data(folder.out.root)
    chosen, notes = choose(data)
    for team in data.teams:
        rows = folder.rows[(folder.rows["team"] == team) & (folder.rows["outcome"] == "ok")]
        rows = rows[[folder.out.prediction(team, case).is_file() for case in rows["case"]]]
        mine = {o.kind: o for o in chosen if o.team == team}
        assert mine["best"].dsc == rows["dsc"].max()
        assert mine["worst"].dsc == rows["dsc"].min()
    assert len(notes) == 1
    assert "ellipse (1)" in notes[0]


def test_a_volume_is_shown_at_the_slice_with_the_largest_reference(make_folder: MakeFolder) -> None:
    folder = make_folder(cases=11, pictures=0)
    data = read_report_data(folder.out.root)
    made, _ = make_overlays(data, None, None)
    volumes = [o for o in made if o.case.startswith("3D")]
    assert volumes
    for overlay in volumes:
        area = np.count_nonzero(read_reference(folder.gts / f"{overlay.case}.npz").array, axis=(1, 2))
        assert overlay.slice_index == int(area.argmax()) == 2


def test_folders_that_are_not_known_or_not_there_are_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder()
    folder.out.manifest.unlink()
    data = read_report_data(folder.out.root)
    made, notes = make_overlays(data, None, None)
    assert (made, "--cases" in notes[0]) == ([], True)
    made, notes = make_overlays(data, folder.cases, tmp_path / "nowhere")
    assert (made, "nowhere" in notes[0]) == ([], True)
    made, _ = make_overlays(data, folder.cases, folder.gts)
    assert len(made) == 6
    # The folder above them serves as well, where they are called imgs and gts as in the published data.
    (tmp_path / "imgs").symlink_to(folder.cases)
    (tmp_path / "gts").symlink_to(folder.gts)
    assert len(make_overlays(data, tmp_path, tmp_path)[0]) == 6


def test_broken_files_cost_only_their_own_picture(make_folder: MakeFolder) -> None:
    folder = make_folder(failures=False)
    data = read_report_data(folder.out.root)
    chosen, _ = choose(data)
    first = chosen[0]
    folder.out.prediction(first.team, first.case).write_bytes(b"PK\x03\x04 not a zip")
    gone = next(o.case for o in chosen if o.case != first.case)
    (folder.cases / f"{gone}.npz").unlink()
    made, notes = make_overlays(data, None, None)
    expected = {(o.team, o.kind) for o in chosen if o.case != gone and (o.team, o.case) != (first.team, first.case)}
    assert {(o.team, o.kind) for o in made} == expected
    assert any(first.team in note and "not a whole npz" in note for note in notes)
    assert any(gone in note for note in notes)


def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    """A results table from a stranger must not make the report read files elsewhere."""
    out = OutDir(tmp_path / "out")
    rows = [
        {"team": team, "case": case, "dsc": 0.5, "nsd": 0.5, "outcome": "ok"}
        for team, case in (("../..", "2D_US_1"), ("a", "../2D_US_1"), ("..", "2D_US_2"))
    ]
    out.root.mkdir()
    write_results(out.results, rows)
    for path in (tmp_path / "2D_US_1.npz", out.root / "predictions" / "2D_US_1.npz", out.root / "2D_US_2.npz"):
        path.parent.mkdir(exist_ok=True)
        write_prediction(path, np.ones((4, 4), dtype=np.uint8))
    chosen, notes = choose(read_report_data(out.root))
    assert not chosen
    assert len(notes) == 3


@pytest.mark.skipif(not REAL.is_dir(), reason="no folder of real cases")
def test_real_cases_of_all_kinds_are_painted(tmp_path: Path) -> None:
    out = OutDir(tmp_path)
    rows = []
    for name in ("2DBox_Microscopy_0001", "2DBox_Fundus_0001", "3DBox_CT_0001", "3DBox_PET_0001"):
        for team, shift in (("near", 1), ("far", 9)):
            segs = np.roll(read_reference(REAL / "gts" / f"{name}.npz").array, shift, axis=-1)
            path = out.prediction(f"{team}-{name[:8].lower()}", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_prediction(path, segs)
            rows.append({"team": path.parent.name, "case": name, "dsc": 1 - shift / 10, "outcome": "ok"})
    write_results(out.results, rows)
    made, notes = make_overlays(read_report_data(tmp_path), REAL / "imgs", REAL / "gts")
    assert not notes
    assert {o.case for o in made} == {row["case"] for row in rows}
    for overlay in made:
        pixels = colours(overlay.png)
        assert max(pixels.shape) <= LONGEST_PX
        assert (pixels == REFERENCE_RGB).all(axis=2).any()
        assert (pixels == PREDICTION_RGB).all(axis=2).any()
        assert len(overlay.png) < 80_000
