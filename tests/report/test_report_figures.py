"""Figures against their data: the artists are read back."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from harness.report.data import ReportData
from harness.report.figures import attempts, bubble, dots, significance, stability
from harness.report.figures.style import golden_jitter, house_style, safe_label
from harness.report.reading import read_report_data
from harness.report.sections import make_sections
from harness.report.summary import outcome_counts, rank_shares
from tests.report.conftest import HOSTILE, MakeFolder, long_names


def collection(axes: Axes, gid: str) -> LineCollection | PathCollection:
    found = [artist for artist in axes.collections if artist.get_gid() == gid]
    assert len(found) == 1
    return found[0]


def drawn(figure: Figure) -> Figure:
    figure.draw_without_rendering()
    return figure


@pytest.fixture
def data(make_folder: MakeFolder) -> ReportData:
    return read_report_data(make_folder(cases=60).out.root)


@pytest.mark.parametrize("volume", [False, True])
def test_box_medians_equal_numpys(data: ReportData, volume: bool) -> None:
    with house_style():
        figure = drawn(dots.draw_dots(data, ["dsc", "nsd"], volume))
    for axes, metric in zip(figure.axes, ("dsc", "nsd"), strict=True):
        segments = collection(axes, "medians").get_segments()
        for place, team in enumerate(data.teams):
            mine = data.scores[(data.scores["team"] == team) & (data.scores["volume"] == volume)][metric]
            assert segments[place][0, 0] == pytest.approx(np.median(mine))
            assert segments[place][:, 1].mean() == pytest.approx(place)
        dots_drawn = next(c for c in axes.collections if isinstance(c, PathCollection)).get_offsets()
        assert len(dots_drawn) == (data.scores["volume"] == volume).sum()
        rows = np.round(np.asarray(dots_drawn)[:, 1]).astype(int)
        assert np.abs(np.asarray(dots_drawn)[:, 1] - rows).max() < 0.5
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [
        "boxfill  1",
        "ellipse  2",
        "threshold  3",
    ]
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1], "the best team stands on top"


def test_bubbles_lie_at_runtime_and_dsc_with_nsd_as_area(data: ReportData) -> None:
    with house_style():
        axes = bubble.draw_bubbles(data).axes[0]
    for place, team in enumerate(data.teams, 1):
        mine = data.scores[data.scores["team"] == team]
        mark = collection(axes, f"bubble-{place}")
        assert list(mark.get_offsets()[0]) == pytest.approx([mine["runtime_s"].median(), mine["dsc"].mean()])
        assert mark.get_sizes()[0] == pytest.approx(bubble.FULL_AREA * mine["nsd"].mean())
    assert axes.get_xscale() == "log"


def test_numbers_of_coinciding_bubbles_do_not_lie_on_one_another(make_folder: MakeFolder) -> None:
    folder = make_folder(teams=long_names(23), failures=False)
    rows = folder.rows.assign(dsc=0.5, nsd=0.5, runtime_s=10.0)
    rows.to_csv(folder.out.results, index=False)
    with house_style():
        figure = drawn(bubble.draw_bubbles(read_report_data(folder.out.root)))
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert len(boxes) == 23
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_blob_areas_are_the_samples_shares(data: ReportData) -> None:
    shares = rank_shares(data)
    assert shares is not None
    assert data.bootstrap is not None
    with house_style():
        blobs = collection(stability.draw_blobs(data).axes[0], "blobs")
    assert blobs.get_sizes().sum() == pytest.approx(stability.FULL_AREA * len(data.teams))
    for (x, y), size in zip(np.asarray(blobs.get_offsets()), blobs.get_sizes(), strict=True):
        final = data.bootstrap.final_ranks(data.teams[round(y)])
        assert final is not None
        assert size == pytest.approx(stability.FULL_AREA * (final == x).mean())


def test_tau_histogram_counts_every_sample(data: ReportData) -> None:
    assert data.bootstrap is not None
    with house_style():
        axes = stability.draw_tau(data).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(data.bootstrap.tau)


def test_outcome_bars_add_up(data: ReportData) -> None:
    with house_style():
        axes = attempts.draw_outcomes(data).axes[0]
    for place, team in enumerate(data.teams):
        bars = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == place]
        assert sum(bar.get_width() for bar in bars) == pytest.approx(100)
        total = sum(outcome_counts(data)[team].values())
        assert bars[0].get_width() == pytest.approx(100 * outcome_counts(data)[team]["ok"] / total)


def test_memory_is_shown_against_its_limit(data: ReportData) -> None:
    with house_style():
        axes = attempts.draw_resources(data).axes[0]
    line = next(line for line in axes.lines if line.get_gid() == "memory-limit")
    assert list(line.get_xdata()) == [8.0, 8.0]
    medians = collection(axes, "medians").get_segments()
    peak = data.attempts[data.attempts["team"] == data.teams[0]]["peak_bytes"]
    assert medians[0][0, 0] == pytest.approx(np.median(peak) / 2**30)


def test_significance_matrix_counts_tasks(data: ReportData) -> None:
    wins = significance.better_in(data, "dsc")
    assert data.wilcoxon is not None
    table = data.wilcoxon
    for i, one in enumerate(data.teams):
        for j, other in enumerate(data.teams):
            rows = table[(table["metric"] == "dsc") & (table["team_i"] == one) & (table["team_j"] == other)]
            expected = np.nan if i == j else (rows["p_i_better_adj"] < 0.05).sum()
            assert wins[i, j] == pytest.approx(expected, nan_ok=True)


def test_hostile_names_make_sound_svg(make_folder: MakeFolder) -> None:
    teams = (*HOSTILE, "\x00\x1b[31m", "\U0001f600" * 40, "_private", "müller-北京")
    data = read_report_data(make_folder(teams=teams, pictures=0, cases=5, samples=20).out.root)
    found = [drawing for section in make_sections(data) for drawing in section.drawings]
    assert len(found) > 35
    for drawing in found:
        root = ElementTree.fromstring(drawing.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [e for e in root.iter() if e.tag.endswith(("script", "foreignObject"))]
        assert drawing.sentence
        assert drawing.alt
        assert drawing.title
        assert Image.open(io.BytesIO(drawing.png)).size == drawing.size_px
        ids = {f"#{e.get('id')}" for e in root.iter()}
        links = [value for e in root.iter() for name, value in e.items() if name.endswith("}href")]
        assert all(link in ids or link.startswith("data:image/png") for link in links)


def test_many_dots_become_pixels(make_folder: MakeFolder) -> None:
    few = read_report_data(make_folder(cases=60, pictures=0).out.root)
    many = read_report_data(make_folder(cases=1200, pictures=0).out.root)
    assert b"<image" not in dots.drawings(few)[0].svg
    assert b"<image" in dots.drawings(many)[0].svg
    assert len(dots.drawings(many)[0].svg) < 400_000


def test_safe_label_keeps_what_the_font_has() -> None:
    assert safe_label("Müller-β $x$") == "Müller-β $x$"
    assert safe_label("a\n\x07b\U0001f9ff") == "a□□b□"


def test_jitter_is_spread_and_bounded() -> None:
    jitter = golden_jitter(1000)
    assert jitter.min() >= -0.5
    assert jitter.max() < 0.5
    assert np.histogram(jitter, bins=10)[0].min() > 95
