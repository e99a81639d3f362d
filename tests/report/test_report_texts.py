"""No text of any figure lies on another one or leaves its figure, whatever the teams are called."""

from __future__ import annotations

import numpy as np
import pytest

from harness.report.reading import read_report_data
from harness.report.sections import make_sections
from tests.report.conftest import MakeFolder, long_names
from tests.report.texts import caught, outside, overlapping

WIDE = tuple("W" * 40 + str(i) for i in range(23))


@pytest.mark.parametrize(("teams", "cases"), [(long_names(23), 45), (WIDE, 18), (("a", "b"), 2)])
def test_texts_neither_overlap_nor_leave_their_figure(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, teams: tuple[str, ...], cases: int
) -> None:
    folder = make_folder(teams=teams, cases=cases, pictures=0)
    with caught(monkeypatch) as kept:
        make_sections(read_report_data(folder.out.root))
    assert len(kept.figures) > 25
    faults = {}
    for name, figure in kept.figures.items():
        boxes = kept.boxes(name)
        assert boxes, name
        assert all(np.isfinite(box.extents).all() for _, box in boxes), name
        faults[name] = (overlapping(boxes)[:4], outside(boxes, figure)[:4])
    assert {name: fault for name, fault in faults.items() if any(fault)} == {}
