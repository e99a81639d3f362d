"""Tables of the ranking's further outputs; each None where its file is not there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from harness.report.data import FINAL_UNIT, SCORES, ReportData
from harness.report.figures.confidence import by_team
from harness.report.figures.corrected import corrected_means, corrected_metrics, corrected_ranks, final_ranks
from harness.report.reading_analysis import is_true
from harness.report.settings_ranks import AS_RANKED, settings_ranks, winners
from harness.report.tables import DASH, Cell, Column, Table, number, seconds, text, whole

_TEAM = Column("Team", False)
#: Rows of a table in the page at most; the rest is in its file.
MOST_ROWS = 1200
_METHODS = {"euclidean": "Mean rank", "borda": "Borda", "copeland": "Copeland", "kemeny": "Kemeny"}


def p_value(value: float) -> Cell:
    """A p-value with two significant digits."""
    if not math.isfinite(value):
        return Cell(DASH)
    return Cell("< 1e-12" if 0 <= value < 1e-12 else f"{value:.2g}", value)


def signed(value: float, digits: int = 3) -> Cell:
    """A difference with its sign."""
    return Cell(f"{value:+.{digits}f}", value) if math.isfinite(value) else Cell(DASH)


def interval(low: float, high: float, digits: int = 3) -> Cell:
    """Both ends, sorted by the lower one."""
    known = math.isfinite(low) and math.isfinite(high)
    return Cell(f"{low:+.{digits}f} to {high:+.{digits}f}", low) if known else Cell(DASH)


def span(low: float, high: float) -> Cell:
    """Ranks from the lowest to the highest."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return Cell(DASH)
    return Cell(f"{low:g}" if low == high else f"{low:g} to {high:g}", low)


def yes(known: bool) -> Cell:
    """Yes or no."""
    return Cell("yes" if known else "no")


def unit_name(data: ReportData, unit: str) -> str:
    """``task/metric`` in words."""
    task, slash, metric = unit.rpartition("/")
    return f"{task}, {data.label(metric)}" if slash else "final ranking" if unit == FINAL_UNIT else unit


def consensus_table(data: ReportData) -> Table | None:
    """Consensus ranks of every method: of all tasks and metrics, then of each metric."""
    frame = data.table("consensus")
    if frame is None:
        return None
    groups = list(dict.fromkeys(zip(frame["metric"], frame["method"], strict=True)))
    groups.sort(key=lambda group: (group[0] != "all",))
    ranks = {
        (m, h, t): r for m, h, t, r in zip(frame["metric"], frame["method"], frame["team"], frame["rank"], strict=True)
    }
    final = final_ranks(data)
    columns = [_TEAM, Column("Rank")]
    columns += [
        Column(f"{_METHODS.get(h, h)}, {'all' if m == 'all' else data.label(m)}", hint=f"{h} consensus of {m}")
        for m, h in groups
    ]
    rows = [
        [text(team), whole(final[i]), *(whole(ranks.get((m, h, team), math.nan)) for m, h in groups)]
        for i, team in enumerate(data.teams)
    ]
    note = (
        "One ranking out of the rankings of all tasks and metrics (all), or of the tasks in one metric: by mean rank, "
        "Borda's points, Copeland's majorities, and Kemeny's least total distance."
    )
    return Table("Consensus of the tasks' rankings", columns, rows, note=note, folded=True)


def winners_table(data: ReportData) -> Table | None:
    """Who would win if: a line a setting."""
    settings = settings_ranks(data)
    if len(settings) < 2 or settings[0].question != AS_RANKED:
        return None
    base = settings[0].ranks
    first = winners(data, base)
    rows = []
    for setting in settings:
        shift = np.abs(setting.ranks - base)
        known = shift[np.isfinite(shift)]
        mine = winners(data, setting.ranks)
        rows.append(
            [
                text(setting.question),
                text(setting.name),
                text(", ".join(mine) or DASH),
                yes(mine != first),
                number(setting.tau),
                whole(float((known > 0).sum())),
                whole(float(known.max()) if len(known) else math.nan),
            ]
        )
    columns = [
        Column("What is changed", False),
        Column("To", False),
        Column("First", False),
        Column("Another first", False, "whether the teams in first place differ from those as ranked"),
        Column("tau", hint="Kendall's tau-b with the ranking as it is"),
        Column("Ranks that change"),
        Column("Largest shift"),
    ]
    changed = sum(winners(data, setting.ranks) != first for setting in settings[1:])
    note = (
        f"First place as ranked: {', '.join(first) or DASH}; {changed} of {len(settings) - 1} other settings change it."
    )
    return Table("Who would win if", columns, rows, head=1, note=note)


def corrected_table(data: ReportData) -> Table | None:
    """Official and corrected means and both final ranks."""
    metrics = corrected_metrics(data)
    if not metrics:
        return None
    ranks, final = corrected_ranks(data), final_ranks(data)
    columns, parts = [_TEAM], []
    for metric in metrics:
        label = data.label(metric)
        columns += [Column(f"{label}, official"), Column(f"{label}, corrected"), Column(f"{label}, change")]
        parts.append(corrected_means(data, metric))
    if ranks is not None:
        columns += [Column("Rank, official"), Column("Rank, corrected"), Column("Rank, change")]
    rows = []
    for i, team in enumerate(data.teams):
        row = [text(team)]
        for means in parts:
            row += [number(means[i, 0], 4), number(means[i, 1], 4), signed(means[i, 1] - means[i, 0], 4)]
        if ranks is not None:
            change = ranks[i] - final[i]
            row += [whole(final[i]), whole(ranks[i])]
            row += [Cell(f"{change:+g}" if change else "0", change) if math.isfinite(change) else Cell(DASH)]
        rows.append(row)
    note = "Means over the cases that have both scores."
    if ranks is not None:
        differ = [t for t, a, b in zip(data.teams, ranks, final, strict=True) if math.isfinite(a) and a != b]
        shown = ", ".join(differ[:8]) + (f" and {len(differ) - 8} more" if len(differ) > 8 else "")
        note += f" Final ranks differ for {len(differ)} of {len(data.teams)} teams{': ' + shown if differ else ''}."
    return Table("Official and corrected scores", columns, rows, note=note)


def influence_tables(data: ReportData) -> list[Table]:
    """What leaving a modality or a case out does."""
    made = []
    for kind, caption in (
        ("modality", "One modality left out"),
        ("case", "Cases that change a final rank when left out"),
    ):
        frame = data.table("influence", kind=kind)
        if frame is None:
            continue
        columns = [Column("Without", False), *([Column("Task", False)] if kind == "case" else [Column("Cases")])]
        columns += [Column("tau"), Column("First", False), Column("Ranks that change"), Column("Largest shift")]
        rows = [
            [
                text(row.name),
                text(row.task) if kind == "case" else whole(row.cases),
                number(row.tau),
                text(row.winner.replace(";", ", ")),
                whole(row.changed),
                whole(row.largest_shift),
            ]
            for row in _records(frame)
        ]
        made.append(Table(caption, columns, rows, folded=kind == "case"))
    return made


def confidence_tables(data: ReportData) -> list[Table]:
    """Confidence sets of the final ranking, and on demand of every task and metric."""
    frame = data.table("confidence")
    if frame is None:
        return []
    made = []
    final = frame[frame["unit"] == FINAL_UNIT]
    if len(final):
        rows = [
            [whole(r.rank), text(r.team), span(r.low, r.high), whole(r.declared)]
            for r in _records(_ordered(data, final))
        ]
        columns = [
            Column("Rank"),
            _TEAM,
            Column("95 % confidence set", hint="holds the true ranks of all teams at once"),
            Column("Declared rank", hint="teams that the data do not separate share it"),
        ]
        made.append(Table("Confidence sets of the final ranks", columns, rows, head=1, folded=True))
    units = [unit for unit in dict.fromkeys(frame["unit"]) if unit != FINAL_UNIT]
    if units:
        cells = {(r.unit, r.team): span(r.low, r.high) for r in _records(frame)}
        columns = [_TEAM, *(Column(unit_name(data, unit)) for unit in units)]
        rows = [[text(team), *(cells.get((unit, team), Cell(DASH)) for unit in units)] for team in data.teams]
        made.append(Table("Confidence sets by task and metric", columns, rows, folded=True))
    return made


def cases_needed_tables(data: ReportData) -> list[Table]:
    """How many cases would separate neighbours: of the final ranking, and on demand elsewhere."""
    frame = data.table("cases_needed")
    if frame is None:
        return []
    final = frame["unit"] == FINAL_UNIT
    made = []
    for caption, mine in (
        ("Cases needed to separate neighbours in the final ranking", frame[final]),
        ("Cases needed to separate neighbours within tasks", frame[~final]),
    ):
        if mine.empty:
            continue
        within = not final[mine.index[0]]
        columns = [Column("Task and metric", False)] if within else []
        columns += [_TEAM, Column("Next", False), Column("Cases there are"), Column("Separated", False)]
        columns += [Column("Cases needed", hint="for a power of 0.8 of the one-sided test at 0.05")]
        rows = [
            [
                *([text(unit_name(data, r.unit))] if within else []),
                text(r.team),
                text(r.rival),
                whole(r.cases),
                yes(sure),
                Cell(f"{r.cases_needed:,.0f}", r.cases_needed) if math.isfinite(r.cases_needed) else Cell(DASH),
            ]
            for r, sure in zip(_records(mine), is_true(mine["separated"]), strict=True)
        ]
        note = "A dash: it cannot be told, because the two do not differ at all."
        made.append(
            _cut(Table(caption, columns, rows, head=1 if within else 0, note=note, folded=True), "cases_needed.csv")
        )
    return made


def repeats_table(data: ReportData) -> Table | None:
    """Intervals of the rank without and with the repeats' noise."""
    values = by_team(
        data,
        data.table("repeats"),
        ("rank_low", "rank_high", "rank_low_with_repeats", "rank_high_with_repeats", "median_spread"),
    )
    if values is None:
        return None
    columns = [
        _TEAM,
        Column("95 % of ranks"),
        Column("95 % of ranks, repeats drawn too"),
        Column("Median spread (s)", hint="of the runtime over a case's repeats"),
    ]
    rows = [[text(t), span(*v[:2]), span(*v[2:4]), seconds(v[4])] for t, v in zip(data.teams, values, strict=True)]
    return Table("Ranks with the noise of the runtime in them", columns, rows, folded=True)


def effects_table(data: ReportData) -> Table | None:
    """Effects between neighbours in the final ranking, by task and metric."""
    frame = data.table("effects")
    if frame is None:
        return None
    place = {team: i for i, team in enumerate(data.teams)}
    rows = []
    for r in _records(frame):
        if r.team_i not in place or r.team_j not in place or abs(place[r.team_i] - place[r.team_j]) != 1:
            continue
        sign = 1 if place[r.team_i] < place[r.team_j] else -1
        one, other = (r.team_i, r.team_j) if sign == 1 else (r.team_j, r.team_i)
        low, high = sorted((sign * r.shift_low, sign * r.shift_high))
        digits = 4 if r.metric in SCORES else 3
        row = [text(one), text(other), text(r.task), text(data.label(r.metric)), whole(r.n)]
        row += [signed(sign * r.rank_biserial), signed(sign * r.shift, digits), interval(low, high, digits)]
        rows.append((place[one], row))
    if not rows:
        return None
    columns = [_TEAM, Column("Next in rank", False), Column("Task", False), Column("Metric", False), Column("Cases")]
    columns += [
        Column("Rank-biserial", hint="matched pairs; 1: better in every case, -1: worse in every case"),
        Column("Shift", hint="Hodges-Lehmann estimate of the paired difference; above 0: the team is better"),
        Column("95 % interval", hint="of the shift"),
    ]
    note = "Above 0 the first team is the better one; all other pairs are in analysis/effects.csv."
    ordered = [row for _, row in sorted(rows, key=lambda entry: entry[0])]
    return _cut(
        Table("Effects between neighbours in the final ranking", columns, ordered, note=note, folded=True),
        "effects.csv",
    )


def friedman_table(data: ReportData) -> Table | None:
    """Friedman's test by task and metric."""
    frame = data.table("friedman")
    if frame is None:
        return None
    columns = [Column("Task", False), Column("Metric", False), Column("Cases"), Column("Teams"), Column("chi²")]
    columns += [Column("df"), Column("p"), Column("Kendall's W", hint="agreement of the cases, 0 to 1")]
    columns += [Column("Critical difference", hint="of mean ranks, Nemenyi's test at 0.05")]
    rows = [
        [text(r.task), text(data.label(r.metric)), whole(r.n), whole(r.teams), number(r.chi2, 1), whole(r.df)]
        + [p_value(r.p), number(r.kendall_w), number(r.critical_difference)]
        for r in _records(frame)
    ]
    below = int((frame["p"] < 0.05).sum())
    note = f"Some team differs from another (p below 0.05) in {below} of {len(frame)} tasks and metrics."
    return Table("Friedman's test", columns, rows, note=note, folded=True)


def groups_table(data: ReportData) -> Table | None:
    """Groups of teams that are not told apart, both methods."""
    frame = data.table("groups")
    if frame is None:
        return None
    rows = []
    for key, mine in frame.groupby(["task", "metric", "method", "group"], sort=False):
        task, metric, method, group = (str(part) for part in key)
        members = mine.sort_values("mean_rank", kind="stable")
        row = [text(task), text(data.label(metric)), text(method), whole(float(group))]
        row += [text(", ".join(members["team"])), whole(float(len(members)))]
        rows.append([*row, number(float(members["mean_rank"].min()), 2), number(float(members["mean_rank"].max()), 2)])
    columns = [Column("Task", False), Column("Metric", False), Column("Test", False), Column("Group")]
    columns += [Column("Teams", False), Column("Number"), Column("Best mean rank"), Column("Worst mean rank")]
    return _cut(Table("Groups of teams that are not told apart", columns, rows, folded=True), "groups.csv")


def comparison_tables(data: ReportData) -> list[Table]:
    """Successors and reproductions with all figures."""
    made = []
    for kind, caption in (("successor", "Successors against those before them"), ("reproduction", "Reproductions")):
        frame = data.table("comparisons", kind=kind)
        if frame is None:
            continue
        copy = kind == "reproduction"
        columns = [_TEAM, Column("Against", False), Column("Task", False), Column("Metric", False), Column("Cases")]
        columns += [Column("Mean"), Column("Its mean", hint="of the other one"), Column("Difference")]
        columns += [Column("90 % interval" if copy else "95 % interval"), Column("p")]
        columns += [Column("Margin"), Column("Equivalent", False)] if copy else []
        rows = []
        for r, same in zip(_records(frame), is_true(frame["equivalent"]), strict=True):
            row = [text(r.team), text(r.rival), text(r.task), text(data.label(r.metric)), whole(r.n)]
            row += [number(r.value_team, 4), number(r.value_rival, 4), signed(r.difference, 4)]
            row += [interval(r.low, r.high, 4), p_value(r.p)]
            rows.append([*row, whole(r.margin), yes(same)] if copy else row)
        made.append(_cut(Table(caption, columns, rows, folded=len(rows) > 60), "comparisons.csv"))
    return made


def _ordered(data: ReportData, frame: pd.DataFrame) -> pd.DataFrame:
    place = {team: i for i, team in enumerate(data.teams)}
    known = frame[frame["team"].isin(place)]
    return known.sort_values("team", key=lambda names: names.map(place), kind="stable")


def _cut(table: Table, file: str) -> Table:
    """The table with at most `MOST_ROWS` rows; its note then says where the rest is."""
    if len(table.rows) <= MOST_ROWS:
        return table
    note = f"{table.note} The first {MOST_ROWS} of {len(table.rows)} rows; all of them are in analysis/{file}.".strip()
    return Table(table.caption, table.columns, table.rows[:MOST_ROWS], table.head, note, table.folded)


def _records(frame: pd.DataFrame) -> list[Any]:
    """Rows whose columns are attributes."""
    return list(frame.itertuples(index=False))
