"""What submissions tell of themselves: their images' labels, and their phases as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.costs import PARTS
from harness.labels import KNOWN, MODE, VARIANT, WEIGHTS, are_random, told_labels
from harness.report.data import ReportData
from harness.report.figures.phases import Means
from harness.report.tables import DASH, Cell, Column, Table, number, seconds, text, whole

#: Characters of an image id that tell images apart.
_ID_CHARACTERS = 12
NOT_TOLD = "not told"


def submissions_table(data: ReportData) -> Table | None:
    """A line a submission of the manifest, with what its image's labels tell; None without any."""
    entries = _entries(data)
    if not entries:
        return None
    told = {team: told_labels(entry.get("labels")) for team, entry in entries.items()}
    columns = [
        Column("Team", False),
        Column("Image", False, "the beginning of the engine's id"),
        Column("Size (MB)", hint="millions of bytes, unpacked"),
        Column("Weights", False, WEIGHTS),
        Column("Mode", False, MODE),
        Column("Variant", False, VARIANT),
    ]
    others = any(name not in KNOWN for labels in told.values() for name in labels)
    columns += [Column("Further labels", False)] if others else []
    rows = []
    for team, entry in entries.items():
        row = [text(team), text(_image(entry)), _megabytes(entry.get("bytes"))]
        row += [text(told[team].get(name, NOT_TOLD)) for name in (WEIGHTS, MODE, VARIANT)]
        further = ", ".join(f"{name}={value}" for name, value in told[team].items() if name not in KNOWN)
        rows.append([*row, text(further or DASH)] if others else row)
    note = "What each image says of itself by its labels; nobody has checked it."
    if warning := random_warning(data):
        note += f" {warning}"
    return Table("Submissions", columns, rows, note=note, folded=not any(told.values()))


def random_warning(data: ReportData) -> str:
    """A sentence that names the submissions with random weights; "" where there is none."""
    found = [team for team, entry in _entries(data).items() if are_random(told_labels(entry.get("labels")))]
    if not found:
        return ""
    return f"Random weights: {', '.join(found)}. Scores of random weights say nothing of the algorithm."


def phase_tables(means: Means, teams: tuple[str, ...]) -> list[Table]:
    """Mean seconds by part, a table a kind of cases."""
    made = []
    for kind, by_team in means.items():
        present = [part for part in PARTS if any(part in mean for _, mean in by_team.values())]
        rows = [
            [
                text(team),
                whole(by_team[team][0]),
                *(number(by_team[team][1].get(part, math.nan)) for part in present),
                seconds(sum(by_team[team][1].values())),
            ]
            for team in teams
            if team in by_team
        ]
        columns = [Column("Team", False), Column("Cases", hint="that it finished")]
        columns += [*(Column(part.capitalize()) for part in present), Column("Sum")]
        made.append(Table(f"Mean seconds by part, {kind} cases", columns, rows))
    return made


def _entries(data: ReportData) -> dict[str, Mapping[str, Any]]:
    """Submissions of the manifest that are in the results table, in the report's order."""
    listed = data.manifest.get("submissions")
    found = {str(e.get("team")): e for e in listed if isinstance(e, dict)} if isinstance(listed, list) else {}
    return {team: found[team] for team in data.teams if team in found}


def _image(entry: Mapping[str, Any]) -> str:
    image = entry.get("image_id")
    if not isinstance(image, str) or not image:
        return DASH
    return image.rpartition(":")[2][:_ID_CHARACTERS]


def _megabytes(value: object) -> Cell:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return Cell(DASH)
    return number(value / 1e6, 0)
