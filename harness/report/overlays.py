"""Small pictures of a team's best and worst case: the image with the reference's and the prediction's outline."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from harness.cases import cases_folder, references_folder
from harness.contract import Labels, is_volume, read_case, read_prediction, read_reference
from harness.errors import HarnessError
from harness.report.data import ReportData

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: Longest side of a picture in pixels; smaller images are enlarged by a whole number towards it.
LONGEST_PX = 320
#: Colours left to the image; two more are the outlines'.
_IMAGE_COLOURS = 62
REFERENCE_RGB = (230, 159, 0)
PREDICTION_RGB = (86, 180, 233)
#: Length of the dashes, along either axis, in which both colours take turns where the outlines agree.
DASH_PX = 5


@dataclass(frozen=True)
class Overlay:
    """One picture.

    Attributes:
        team, case, task: whose, of what.
        kind: "best" or "worst".
        dsc, nsd: the case's scores.
        slice_index: index of the slice along the first axis; None for 2D.
        png: the picture's bytes; empty while only chosen.
    """

    team: str
    case: str
    task: str
    kind: str
    dsc: float
    nsd: float
    slice_index: int | None = None
    png: bytes = b""


def make_overlays(data: ReportData, cases: Path | None, gts: Path | None) -> tuple[list[Overlay], list[str]]:
    """Pictures in the order of the teams, best before worst, and sentences on what could not be shown.

    Args:
        data: the report's data.
        cases: folder of case files; None: the manifest's.
        gts: folder of references; None: the manifest's.
    """
    folders = {}
    wanted = (("cases", cases, "cases_dir", "--cases"), ("references", gts, "gts_dir", "--gts"))
    for what, given, key, option in wanted:
        named = given if given is not None else data.manifest.get(key)
        if not isinstance(named, str | Path) or not str(named):
            return [], [f"Left out: no folder of {what} is known. Give it with {option}."]
        if not Path(named).is_dir():
            return [], [f"Left out: the folder of {what}, {named}, is not there."]
        try:
            folders[what] = (cases_folder if what == "cases" else references_folder)(named)
        except HarnessError as error:
            return [], [f"Left out: {error}"]
    chosen, notes = choose(data)
    made: dict[tuple[str, str], Overlay] = {}
    for case in sorted({overlay.case for overlay in chosen}):
        mine = [overlay for overlay in chosen if overlay.case == case]
        try:
            for overlay in _draw_case(data, mine, folders["cases"], folders["references"], notes):
                made[overlay.team, overlay.kind] = overlay
        except HarnessError as error:
            notes.append(f"Case {case} is not shown: {error}")
    return [made[o.team, o.kind] for o in chosen if (o.team, o.kind) in made], notes


def choose(data: ReportData) -> tuple[list[Overlay], list[str]]:
    """Each team's case of highest and of lowest DSC among those with a prediction of the first repeat.

    Ties are decided by NSD, then by the case's name.  A team with one such case gets it once, as best.
    """
    chosen, notes, without = [], [], []
    table = data.attempts[data.attempts["status"].str.startswith("ok") & data.attempts["dsc"].notna()]
    table = table[table["repeat"] == 1].assign(nsd=table["nsd"].fillna(0.0))
    for team in data.teams:
        mine = table[table["team"] == team].sort_values(["dsc", "nsd", "case"], ascending=[False, False, True])
        best = _first_with_prediction(data, mine.itertuples(index=False))
        if best is None:
            notes.append(f"{team}: nothing to show, no scored prediction is in the folder.")
            continue
        chosen.append(_overlay(best, "best"))
        backwards = mine.sort_values(["dsc", "nsd", "case"]).itertuples(index=False)
        worst = _first_with_prediction(data, backwards)
        if worst is not None and worst.case != best.case:
            chosen.append(_overlay(worst, "worst"))
        failed = int(data.scores.loc[data.scores["team"] == team, "failed"].sum())
        if failed:
            without.append(f"{team} ({failed})")
    if without:
        names = ", ".join(without)
        notes.append(f"Failed attempts have no prediction, so these teams' worst case is the worst real one: {names}.")
    return chosen, notes


def outline(labels: Array) -> Mask:
    """Pixels of an object that touch, by a side, a pixel of another label; the picture's rim does not count.

    Args:
        labels: (H, W), 0 is background.
    """
    edge = np.zeros(labels.shape, dtype=np.bool_)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    edge &= labels != 0
    return edge


def thick_outline(labels: Array) -> Mask:
    """The same, two pixels wide."""
    edge = outline(labels)
    edge |= outline(np.where(edge, 0, labels))
    return edge


def paint(image: Array, reference: Array, prediction: Array) -> bytes:
    """A PNG with both outlines over the image, of at most 64 colours; where they agree, in dashes of both.

    Args:
        image: uint8 (H, W) or (H, W, 3).
        reference: labels (H, W).
        prediction: labels (H, W).
    """
    height, width = reference.shape
    longest = max(height, width)
    scale = LONGEST_PX // longest if longest <= LONGEST_PX else LONGEST_PX / longest
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    picture = picture.resize(size, Image.Resampling.BICUBIC if scale >= 1 else Image.Resampling.BOX)
    base = picture.quantize(_IMAGE_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    pixels = np.array(base)
    palette = (base.getpalette() or [])[: 3 * _IMAGE_COLOURS]
    palette += [0] * (3 * _IMAGE_COLOURS - len(palette))
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(np.intp)
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(np.intp)
    truth, found = (thick_outline(labels[rows][:, columns]) for labels in (reference, prediction))
    turn = (np.add.outer(np.arange(size[1]), np.arange(size[0])) // DASH_PX) % 2 == 0
    pixels[truth & (turn | ~found)] = _IMAGE_COLOURS
    pixels[found & ~(truth & turn)] = _IMAGE_COLOURS + 1
    palette += (*REFERENCE_RGB, *PREDICTION_RGB)
    result = Image.fromarray(pixels)
    result.putpalette(palette)
    buffer = io.BytesIO()
    result.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _overlay(row: Any, kind: str) -> Overlay:
    return Overlay(row.team, row.case, row.task, kind, float(row.dsc), float(row.nsd))


def _first_with_prediction(data: ReportData, rows: Iterator[Any]) -> Any | None:
    return next((row for row in rows if (path := _prediction(data, row.team, row.case)) and path.is_file()), None)


def _prediction(data: ReportData, team: str, case: str) -> Path | None:
    """Where a prediction lies; None for names that would lead out of the folder."""
    if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in (team, case)):
        return None
    return data.out.prediction(team, case)


def _draw_case(data: ReportData, chosen: list[Overlay], cases: Path, gts: Path, notes: list[str]) -> Iterator[Overlay]:
    """Draw all overlays of one case, so that its image and reference are read once."""
    case = chosen[0].case
    reference = read_reference(gts / f"{case}.npz").array
    image = read_case(cases / f"{case}.npz").imgs
    index = None
    if is_volume(case):
        index = int(np.argmax(np.count_nonzero(reference, axis=(1, 2))))
    shape = reference.shape
    if image.shape[: len(shape)] != shape:
        notes.append(f"Case {case} is not shown: image {image.shape} and reference {shape} differ in shape.")
        return
    if index is not None:  # copies, so that the volumes can be freed
        image, reference = image[index].copy(), reference[index].copy()
    for overlay in chosen:
        path = _prediction(data, overlay.team, case)
        assert path is not None
        try:
            labels: Labels = read_prediction(path, shape)
        except HarnessError as error:
            notes.append(f"{overlay.team}, {case}: not shown: {error}")
            continue
        array = labels.array if index is None else labels.array[index]
        yield replace(overlay, slice_index=index, png=paint(image, reference, array))
