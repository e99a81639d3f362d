"""The parts of the page, each from the report's data; a part without its input holds a sentence that says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.costs import fold
from harness.report import analysis_tables as analysis
from harness.report import tables, told
from harness.report.data import RUNTIME, SCORES, ReportData
from harness.report.figures import (
    attempts,
    baseline,
    bubble,
    clusters,
    comparisons,
    confidence,
    corrected,
    dots,
    effects,
    friedman,
    influence,
    podium,
    sensitivity,
    significance,
    stability,
    task_stability,
)
from harness.report.figures.phases import TITLE, means_of, phases_drawing
from harness.report.figures.style import Drawing, ranked_names
from harness.report.overlays import Overlay, make_overlays
from harness.report.tables import Table

#: Overlay notes that the page lists at most.
_MOST_NOTES = 60
#: Phases lines not used that the page names at most.
_MOST_REFUSED = 20


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        notes: sentences above everything else in it.
        drawings: figures.
        tables: tables, below the figures.
        overlays: pictures, below the tables.
        raw: text shown on demand as it is.
    """

    anchor: str
    title: str
    notes: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    overlays: Sequence[Overlay] = ()
    raw: str = ""


def make_sections(data: ReportData, cases: Path | None = None, gts: Path | None = None) -> list[Section]:
    """All parts in the order of the page."""
    return [
        _ranking(data),
        _distribution(data),
        _case_ranks(data),
        _speed(data),
        _tasks(data),
        _stability(data),
        _confidence(data),
        _sensitivity(data),
        _significance(data),
        _effects(data),
        _comparisons(data),
        _outcomes(data),
        *_phases(data),
        _overlays(data, cases, gts),
        _manifest(data),
    ]


def _ranking(data: ReportData) -> Section:
    notes = absent(data, "ranking.csv", "ranks.csv", "consensus.csv")
    if data.scheme is not None:
        notes.append(
            f"Scheme {data.scheme}. Ranks and scores: lower is better. DSC, NSD and runtime are over all cases alike, "
            "whereas the rank weighs every task alike."
        )
    undefined = sorted(set().union(*data.left_out.values()))
    if undefined:
        listed = ", ".join(undefined[:10]) + (f" and {len(undefined) - 10} more" if len(undefined) > 10 else "")
        are = "1 case is" if len(undefined) == 1 else f"{len(undefined)} cases are"
        notes.append(f"{are} left out for all teams in some metric, undefined there: {listed}.")
    made = _known(tables.ranking_table(data), told.submissions_table(data), analysis.consensus_table(data))
    return Section("ranking", "Ranking", notes, tables=made)


def _distribution(data: ReportData) -> Section:
    drawn = dots.drawings(data)
    notes = (
        [] if drawn else ["Left out: the results table holds no DSC or NSD; evaluate.py --score-only fills them in."]
    )
    return Section("distribution", "Accuracy, case by case", notes, drawn)


def _case_ranks(data: ReportData) -> Section:
    drawn = podium.drawings(data)
    notes = [] if drawn else ["Left out: it needs two teams with values of one metric."]
    return Section("case-ranks", "Ranks within single cases", notes, drawn)


def _speed(data: ReportData) -> Section:
    drawn = bubble.drawings(data)
    notes = [] if drawn else ["Left out: it needs DSC and runtime of at least one team in the results table."]
    return Section("speed", "Accuracy and runtime", notes, drawn)


def _tasks(data: ReportData) -> Section:
    metrics = [m for m in (*SCORES, RUNTIME) if m in data.metrics]
    notes = [] if metrics else ["Left out: the results table holds no DSC, NSD or runtime."]
    against = baseline.drawings(data)
    if metrics and not against:
        told = data.baseline()
        notes.append(
            "The comparison with a baseline is left out: "
            + ("no team is named litemedsam or baseline; harness rank --baseline names one." if told is None
               else f"there is none but {told}.")
        )  # fmt: skip
    alike = clusters.drawings(data)
    if not alike:
        notes.append(
            "Which tasks rank the teams alike is left out: it needs the ranks (ranks.csv) of three tasks or more."
        )
    return Section("tasks", "By task", notes, [*against, *alike], [tables.task_table(data, m) for m in data.metrics])


def _stability(data: ReportData) -> Section:
    drawn = [*stability.drawings(data), *task_stability.drawings(data)]
    return Section("stability", "Stability of the ranking", absent(data, "bootstrap.npz"), drawn)


def _confidence(data: ReportData) -> Section:
    made = _known(*analysis.confidence_tables(data), *analysis.cases_needed_tables(data), analysis.repeats_table(data))
    notes = absent(data, "confidence.csv", "cases_needed.csv")
    notes += [f"{note} It is there when attempts were repeated." for note in absent(data, "repeats.csv")]
    return Section("confidence", "What the data can tell apart", notes, confidence.drawings(data), made)


def _sensitivity(data: ReportData) -> Section:
    notes = absent(data, "sensitivity.csv", "influence.csv")
    lines = sensitivity.line_drawings(data)
    if not lines:
        notes.append("Ranks across schemes are left out: the ranking holds one scheme only, or one team.")
    official = corrected.drawings(data)
    if not official:
        notes.append(
            "Official against corrected scores is left out: the results table holds no dsc_corrected or nsd_corrected."
        )
    drawn = [*lines, *sensitivity.matrix_drawings(data), *influence.drawings(data), *official]
    made = _known(analysis.winners_table(data), *analysis.influence_tables(data), analysis.corrected_table(data))
    return Section("sensitivity", "Who would win if", notes, drawn, made)


def _significance(data: ReportData) -> Section:
    drawn = significance.drawings(data)
    notes = absent(data, "wilcoxon.csv", "friedman.csv", "groups.csv")
    if "wilcoxon.csv" not in data.absent and not drawn:
        notes = ["Left out: wilcoxon.csv tests none of the metrics in the results table.", *notes]
    made = _known(analysis.friedman_table(data), analysis.groups_table(data))
    return Section("significance", "Significance", notes, [*drawn, *friedman.drawings(data)], made)


def _effects(data: ReportData) -> Section:
    made = _known(analysis.effects_table(data))
    return Section("effects", "Size of the differences", absent(data, "effects.csv"), effects.drawings(data), made)


def _comparisons(data: ReportData) -> Section:
    drawn, made = comparisons.drawings(data), analysis.comparison_tables(data)
    notes = absent(data, "comparisons.csv")
    if notes:
        notes = [f"{notes[0]} It is there when --successor NEW=OLD or --reproduction COPY=ORIGINAL was given."]
    more = len(comparisons.pairs(data)) - comparisons.MOST_PAIRS
    if more > 0:
        notes.append(f"The first {comparisons.MOST_PAIRS} pairs are drawn; {more} more are in the tables.")
    return Section("after", "After the challenge", notes, drawn, made)


def _outcomes(data: ReportData) -> Section:
    resources_drawn = attempts.resource_drawing(data)
    resources_table = tables.resource_table(data)
    notes = [] if resources_table else ["Time and memory are left out: the results table does not hold them."]
    return Section(
        "outcomes",
        "Outcomes and resources",
        notes,
        [attempts.outcome_drawing(data), *([resources_drawn] if resources_drawn else [])],
        [tables.outcome_table(data), *([resources_table] if resources_table else []), *tables.attempt_tables(data)],
    )


def _phases(data: ReportData) -> list[Section]:
    """Only where some submission tells its phases."""
    if not data.costs:
        return []
    means = means_of(list(fold(data.costs).values()))
    drawn = phases_drawing(means, data.teams, ranked_names(data.teams, data.ranking is not None))
    notes = [
        "Import to write are what submissions say themselves, by a line in their log (docs/running.md); the container "
        "is what this leaves of the measured wall time: its start and removal, the shell, the end of the process. Of "
        "submissions that say nothing only the measured time inside is known."
    ]
    refused = [f"{cost.team} on {cost.case}: {cost.told.reason}" for cost in data.costs if cost.told.reason]
    if refused:
        more = f"; and {len(refused) - _MOST_REFUSED} more" if len(refused) > _MOST_REFUSED else ""
        notes.append(f"Phases lines that are not used: {'; '.join(refused[:_MOST_REFUSED])}{more}.")
    made = told.phase_tables(means, data.teams)
    return [Section("phases", TITLE, notes, [drawn] if drawn else [], made)]


def _overlays(data: ReportData, cases: Path | None, gts: Path | None) -> Section:
    made, notes = make_overlays(data, cases, gts)
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"And {len(notes) - _MOST_NOTES} more such remarks."]
    if made:
        gap = [o.dsc for o in made if o.kind == "worst"]
        low = f"; the worst ones have a DSC from {min(gap):.3f} to {max(gap):.3f}" if gap else ""
        notes.insert(
            0,
            "Each team's case of highest and of lowest DSC: orange the reference, blue the prediction, dashes of both "
            f"where the outlines agree; of a volume the slice with the largest reference{low}.",
        )
    return Section("overlays", "Best and worst cases", notes, overlays=made)


def _manifest(data: ReportData) -> Section:
    if not data.manifest:
        return Section("manifest", "Manifest", absent(data, "manifest.json") or ["Left out: manifest.json is empty."])
    lists = {k: v for k, v in data.manifest.items() if isinstance(v, list) and k in ("submissions", "cases")}
    facts = {k: v for k, v in data.manifest.items() if k not in lists}
    made = [tables.facts_table("The run", facts, folded=True)]
    for name, records in lists.items():
        table = tables.records_table(name.capitalize(), records, folded=True)
        made += [table] if table else []
    if data.settings:
        mine = {k: v for k, v in data.settings.items() if k != "metrics"}
        made.append(tables.facts_table("The ranking", mine, folded=True))
        listed = data.settings.get("metrics")
        metrics = tables.records_table("Ranked metrics", listed if isinstance(listed, list) else [])
        made += [metrics] if metrics else []
    raw = json.dumps(data.manifest, indent=1, ensure_ascii=False, sort_keys=False)
    return Section("manifest", "Manifest", (), tables=made, raw=raw)


def absent(data: ReportData, *names: str) -> list[str]:
    """A sentence for each of these files that could not be used."""
    return [f"Left out: {data.absent[name]}" for name in names if name in data.absent]


def _known(*found: Table | None) -> list[Table]:
    return [table for table in found if table is not None]
