"""Figures by team and by task, computed from the report's data: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from harness.records import Outcome
from harness.report.data import RUNTIME, ReportData

#: Statuses in the order shown: good, good with a flag, the submission's failures, not the submission's.
STATUSES = (
    "ok",
    "ok, flagged",
    *(str(o) for o in (Outcome.TIMEOUT, Outcome.OOM, Outcome.CRASH, Outcome.INVALID_OUTPUT, Outcome.NO_OUTPUT)),
    str(Outcome.BAD_REFERENCE),
    str(Outcome.HARNESS_FAULT),
)


@dataclass(frozen=True)
class TeamSummary:
    """A team's line in the ranking table; NaN where unknown.

    Attributes:
        team: its name.
        rank, score: final, of the scheme shown.
        mean_ranks: by metric, the mean of its ranks over the tasks.
        dsc, nsd: mean over the cases where they are defined; the ranking's own figures where it states them.
        runtime_s: median over the cases; the same.
        rank_low, rank_high: 2.5 and 97.5 percentile of its final rank over the bootstrap samples.
        won: share of bootstrap samples in which it comes first.
        failed, attempts: attempts that did not end ok, and all.
    """

    team: str
    rank: float
    score: float
    mean_ranks: Mapping[str, float]
    dsc: float
    nsd: float
    runtime_s: float
    rank_low: float
    rank_high: float
    won: float
    failed: int
    attempts: int


def summarise(data: ReportData) -> list[TeamSummary]:
    """All teams in the order of the report."""
    by_team = data.scores.groupby("team")
    mean_ranks: dict[tuple[str, str], float] = {}
    if data.ranks is not None:
        means = data.ranks.groupby(["team", "metric"])["rank"].mean()
        mean_ranks = cast("dict[tuple[str, str], float]", means.to_dict())
    counts = outcome_counts(data)
    stated = _stated(data)
    lines = []
    for team in data.teams:
        mine = by_team.get_group(team)
        rank, score = math.nan, math.nan
        if data.ranking is not None and team in data.ranking:
            score, rank = data.ranking[team]
        times = mine[RUNTIME].dropna() if RUNTIME in mine else mine["failed"].iloc[:0]
        low, high = rank_interval(data, team)
        won = data.bootstrap.share_won(team) if data.bootstrap is not None else None
        lines.append(
            TeamSummary(
                team=team,
                rank=rank,
                score=score,
                mean_ranks={metric: value for (name, metric), value in mean_ranks.items() if name == team},
                dsc=stated.get((team, "dsc"), _mean(mine, "dsc")),
                nsd=stated.get((team, "nsd"), _mean(mine, "nsd")),
                runtime_s=stated.get((team, RUNTIME), float(times.median()) if len(times) else math.nan),
                rank_low=low,
                rank_high=high,
                won=math.nan if won is None else won,
                failed=int(sum(n for status, n in counts[team].items() if not status.startswith("ok"))),
                attempts=int(sum(counts[team].values())),
            )
        )
    return lines


def rank_interval(data: ReportData, team: str) -> tuple[float, float]:
    """2.5 and 97.5 percentile of a team's final rank over the samples, as ranks that occurred; NaN without."""
    ranks = data.bootstrap.final_ranks(team) if data.bootstrap is not None else None
    if ranks is None or not np.isfinite(ranks).any():
        return math.nan, math.nan
    low, high = np.percentile(ranks[np.isfinite(ranks)], (2.5, 97.5), method="inverted_cdf")
    return float(low), float(high)


def outcome_counts(data: ReportData) -> dict[str, dict[str, int]]:
    """Number of attempts by team and status, statuses in the order of `STATUSES`, unknown ones last."""
    found = data.attempts.groupby(["team", "status"]).size()
    extra = sorted(set(data.attempts["status"]) - set(STATUSES))
    return {team: {s: int(found.get((team, s), 0)) for s in (*STATUSES, *extra)} for team in data.teams}


def task_values(data: ReportData, metric: str) -> pd.DataFrame:
    """Teams x tasks: mean over the cases where the metric is defined (of the runtime too).

    Under the scheme that ranks these very means they are its own.
    """
    if data.scheme == "cvpr24" and data.ranks is not None and (data.ranks["metric"] == metric).any():
        means = data.ranks[data.ranks["metric"] == metric]
        own = means.pivot_table(index="team", columns="task", values="aggregate", aggfunc="first", observed=True)
        return own.reindex(index=list(data.teams), columns=list(data.tasks))
    values = data.scores.pivot_table(index="team", columns="task", values=metric, aggfunc="mean", observed=True)
    return values.reindex(index=list(data.teams), columns=list(data.tasks))


def task_ranks(data: ReportData, metric: str) -> pd.DataFrame | None:
    """Teams x tasks: ranks of the scheme shown; None without ranks of this metric."""
    if data.ranks is None or not (mine := data.ranks[data.ranks["metric"] == metric]).size:
        return None
    ranks = mine.pivot_table(index="team", columns="task", values="rank", aggfunc="first", observed=True)
    return ranks.reindex(index=list(data.teams), columns=list(data.tasks))


def rank_shares(data: ReportData) -> pd.DataFrame | None:
    """Teams x possible final ranks: share of bootstrap samples; None without bootstrap."""
    if data.bootstrap is None:
        return None
    shares = {}
    for team in data.teams:
        ranks = data.bootstrap.final_ranks(team)
        if ranks is not None and np.isfinite(ranks).any():
            values, counts = np.unique(ranks[np.isfinite(ranks)], return_counts=True)
            shares[team] = dict(zip(values.tolist(), (counts / counts.sum()).tolist(), strict=True))
    if not shares:
        return None
    frame = pd.DataFrame.from_dict(shares, orient="index").reindex(index=list(data.teams))
    return frame[sorted(frame.columns)].fillna(0.0)


def _mean(frame: pd.DataFrame, column: str) -> float:
    return float(frame[column].mean()) if column in frame and frame[column].notna().any() else math.nan


def _stated(data: ReportData) -> dict[tuple[str, str], float]:
    """(team, metric) -> the summary over all cases that the ranking states."""
    entries = data.ranking_facts.get("ranking")
    return {
        (str(entry.get("team")), str(metric)): float(value)
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("summary"), dict)
        for metric, value in entry["summary"].items()
        if isinstance(value, int | float)
    }
