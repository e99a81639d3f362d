"""Tables as the page shows them: plain text cells with what to sort by; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.report.data import RUNTIME, ReportData
from harness.report.summary import STATUSES, outcome_counts, summarise, task_ranks, task_values

#: Rows of single attempts that the page lists at most; the rest is in the results table.
MOST_FAILURES = 1500
MOST_FLAGGED = 300
#: Longest reason shown, in characters.
LONGEST_REASON = 240
#: Shades of the heat-shaded cells, 0 (worst) to this (best).
SHADES = 8
GIB = 1 << 30
DASH = "–"


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what it says.
        key: what it is sorted by, where that is not its text; None otherwise.
        shade: 0 to `SHADES`, None for none.
        small: text in small type behind it.
    """

    text: str
    key: float | None = None
    shade: int | None = None
    small: str = ""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its head.
        number: whether it is sorted as numbers and set flush right.
        hint: what it means, where the head does not say it all.
    """

    title: str
    number: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it is.
        columns: its columns.
        rows: cells, as many in each row as there are columns.
        head: index of the column that names the row.
        note: a sentence above it.
        folded: whether it is shown only on demand.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    head: int = 0
    note: str = ""
    folded: bool = False


def number(value: float, digits: int = 3) -> Cell:
    """A number with so many decimals; a dash where unknown."""
    return Cell(f"{value:.{digits}f}", value) if math.isfinite(value) else Cell(DASH)


def seconds(value: float) -> Cell:
    """Seconds with about three significant digits."""
    if not math.isfinite(value):
        return Cell(DASH)
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3)


def whole(value: float) -> Cell:
    """A count or rank, without decimals where it has none."""
    return Cell(f"{value:g}", value) if math.isfinite(value) else Cell(DASH)


def text(value: object) -> Cell:
    """Text as it is."""
    return Cell(str(value))


def ranking_table(data: ReportData) -> Table:
    """A line a team; columns whose input is missing are left out."""
    lines = summarise(data)
    ranked = data.ranking is not None
    metrics = [m for m in data.metrics if any(m in line.mean_ranks for line in lines)]
    boot = any(math.isfinite(line.rank_low) for line in lines)
    columns = [Column("Rank"), Column("Team", False), Column("Score", hint="the scheme's score, lower is better")]
    columns = columns if ranked else [columns[1]]
    columns += [Column(f"Mean {data.label(m).split(' (')[0]} rank", hint="mean over the tasks") for m in metrics]
    columns += [Column("Mean DSC", hint="over all cases"), Column("Mean NSD", hint="over all cases")]
    columns += [Column("Median runtime (s)", hint="over all cases")]
    if boot:
        columns += [Column("95 % of ranks", hint="2.5 and 97.5 percentile of the rank over the bootstrap samples")]
        columns += [Column("Samples won", hint="share of bootstrap samples in which the team comes first")]
    columns += [Column("Failed", hint="attempts that did not end ok")]
    rows = []
    for line in lines:
        row = [whole(line.rank), text(line.team), number(line.score)] if ranked else [text(line.team)]
        row += [number(line.mean_ranks.get(m, math.nan), 2) for m in metrics]
        row += [number(line.dsc, 4), number(line.nsd, 4), seconds(line.runtime_s)]
        if boot:
            known = math.isfinite(line.rank_low)
            row += [Cell(f"{line.rank_low:g} to {line.rank_high:g}", line.rank_low) if known else Cell(DASH)]
            row += [Cell(f"{100 * line.won:.1f} %", line.won) if math.isfinite(line.won) else Cell(DASH)]
        row += [Cell(f"{line.failed} of {line.attempts}", line.failed)]
        rows.append(row)
    return Table("Teams in order of final rank" if ranked else "Teams by name", columns, rows, head=1 if ranked else 0)


def task_table(data: ReportData, metric: str) -> Table:
    """Teams x tasks: mean of a metric with the rank behind it, shaded within each task."""
    values, ranks = task_values(data, metric), task_ranks(data, metric)
    log = metric == RUNTIME
    rows: list[list[Cell]] = [[text(team)] for team in values.index]
    for task in values.columns:
        shades = _shades(values[task].to_numpy(dtype=float), data.smaller_is_better(metric), log)
        for i, value in enumerate(values[task]):
            cell = seconds(value) if metric.endswith("_s") else number(value)
            rank = math.nan if ranks is None else float(ranks[task].iloc[i])
            small = f"{rank:g}" if math.isfinite(rank) else ""
            rows[i].append(Cell(cell.text, cell.key, shades[i], small))
    label = data.label(metric)
    best = "lowest" if data.smaller_is_better(metric) else "highest"
    note = f"The stronger the colour, the better within the task ({best} {label})" + (
        ", small figures are the ranks." if ranks is not None else "."
    )
    columns = [Column("Team", False), *(Column(str(task)) for task in values.columns)]
    return Table(f"Mean {label} by task", columns, rows, note=note)


def outcome_table(data: ReportData) -> Table:
    """Counts of attempts by team and status, statuses that occur."""
    counts = outcome_counts(data)
    known = [*STATUSES, *sorted({s for row in counts.values() for s in row} - set(STATUSES))]
    present = [s for s in known if any(row.get(s) for row in counts.values())]
    rows = [[text(team), *(whole(counts[team].get(s, 0)) for s in present)] for team in data.teams]
    return Table("Attempts by outcome", [Column("Team", False), *(Column(s) for s in present)], rows)


def attempt_tables(data: ReportData) -> list[Table]:
    """Every attempt that did not end ok with its reason, and the flagged ones; long lists are cut and say so."""
    made = []
    place = {team: i for i, team in enumerate(data.teams)}
    frame = data.attempts.assign(place=data.attempts["team"].map(place)).sort_values(["place", "case", "repeat"])
    failed, flagged = ~frame["status"].str.startswith("ok"), frame["status"] == "ok, flagged"
    for caption, mine, most in (
        ("Attempts that did not end ok", frame[failed], MOST_FAILURES),
        ("Attempts that ended ok, with something worth knowing", frame[flagged], MOST_FLAGGED),
    ):
        if mine.empty:
            continue
        note = f"The first {most} of {len(mine)}; all of them are in results.csv." if len(mine) > most else ""
        columns = [Column(title, False) for title in ("Team", "Case", "Task", "Outcome", "Reason")]
        columns[2:2] = [Column("Repeat")]
        columns += [Column("Exit code")]
        exits = mine["exit_code"].astype("Float64").to_numpy(dtype=float, na_value=math.nan)
        rows = [
            [text(who), text(case), whole(repeat), text(task), text(outcome or "ok"), text(_short(why)), whole(code)]
            for who, case, repeat, task, outcome, why, code in zip(
                *(mine[name].head(most) for name in ("team", "case", "repeat", "task", "outcome", "reason")),
                exits[:most],
                strict=True,
            )
        ]
        made.append(Table(caption, columns, rows, note=note, folded=len(rows) > 60))
    return made


def resource_table(data: ReportData) -> Table | None:
    """What each team's attempts used, both measured times included; None where nothing was measured."""
    wanted = [
        ("wall_s", "median", "Median wall_s", "create to removal of the container", seconds),
        ("run_s", "median", "Median run_s", "inside the container", seconds),
        ("cpu_s", "median", "Median CPU (s)", "user and system, all processes", seconds),
        ("peak_bytes", "median", "Median peak (GiB)", "page cache included", _gib),
        ("peak_bytes", "max", "Highest peak (GiB)", "page cache included", _gib),
        ("peak_anon_bytes", "max", "Highest anonymous (GiB)", "sampled, a lower bound", _gib),
        ("oom_kills", "sum", "OOM kills", "processes killed for memory", whole),
    ]
    have = [entry for entry in wanted if data.attempts[entry[0]].notna().any()]
    if not have:
        return None
    found = data.attempts.groupby("team")
    by_column = {(name, how): found[name].agg(how) for name, how, *_ in have}
    rows = [[text(team), *(show(float(by_column[n, h][team])) for n, h, *_, show in have)] for team in data.teams]
    columns = [Column("Team", False), *(Column(title, hint=hint) for _, _, title, hint, _ in have)]
    return Table("Time and memory by team", columns, rows)


def facts_table(caption: str, facts: Mapping[str, Any], folded: bool = False) -> Table:
    """Names and values, nested ones with dotted names."""
    rows = [[text(key), text(value)] for key, value in _flatten(facts)]
    return Table(caption, [Column("What", False), Column("Value", False)], rows, folded=folded)


def records_table(caption: str, records: Sequence[Any], folded: bool = False) -> Table | None:
    """A table of JSON objects, columns in order of first appearance; None where there is none."""
    objects = [record for record in records if isinstance(record, dict)]
    names = list(dict.fromkeys(str(key) for record in objects for key in record))
    if not names:
        return None
    numeric = {n for n in names if all(_is_number(record.get(n)) for record in objects)}
    rows = [
        [Cell(_value(r.get(n)), float(r[n]) if n in numeric else None) for n in names] for r in objects
    ]  # fmt: skip
    return Table(caption, [Column(n, n in numeric) for n in names], rows, folded=folded)


def _gib(value: float) -> Cell:
    return number(value / GIB, 2)


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> str:
    if value is None:
        return DASH
    if isinstance(value, list):
        return " × ".join(map(str, value)) if all(_is_number(item) for item in value) else ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or DASH
    return str(value)


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        elif key == "command" and isinstance(value, list):
            yield f"{prefix}{key}", " ".join(map(str, value))
        elif key.endswith("bytes") and isinstance(value, int) and value >= GIB:
            yield f"{prefix}{key}", f"{value} ({value / GIB:.4g} GiB)"
        else:
            yield f"{prefix}{key}", _value(value)


def _shades(values: np.ndarray[Any, np.dtype[np.float64]], smaller: bool, log: bool) -> list[int | None]:
    """Shade by position between the column's worst and best value."""
    known = np.isfinite(values) & ((values > 0) if log else True)
    scaled = np.log(values, where=known, out=np.zeros_like(values)) if log else np.where(known, values, 0.0)
    if not known.any():
        return [None] * len(values)
    low, high = scaled[known].min(), scaled[known].max()
    if high == low:
        return [SHADES // 2 if k else None for k in known]
    share = (scaled - low) / (high - low)
    share = 1 - share if smaller else share
    return [round(float(s) * SHADES) if k else None for s, k in zip(share, known, strict=True)]
