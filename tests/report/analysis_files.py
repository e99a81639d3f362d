"""The ranking's further outputs as `harness rank` writes them, with plausible values, for tests of the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from harness.layout import OutDir

Rows = Iterable[tuple[Any, ...]]

QUESTIONS: dict[str, tuple[str, ...]] = {
    "as ranked": ("cvpr24, mean",),
    "scheme": ("rank-then-aggregate", "aggregate-then-rank", "test-then-rank"),
    "aggregate": ("median", "q05"),
    "weights": ("dsc=2", "nsd=2", "runtime_s=2"),
    "failure policy": ("left out", "worst"),
    "tolerance": ("nsd_1mm", "nsd_3mm"),
    "ties": ("average", "max", "dense"),
    "missing values": ("last", "fill"),
    "metrics": ("dsc alone", "nsd alone", "runtime_s alone", "without dsc", "without nsd", "without runtime_s"),
    "scores": ("corrected",),
    "repeats": ("first", "last"),
}


def write_analysis(out: OutDir, teams: tuple[str, ...], tasks: list[str], metrics: tuple[str, ...], rng: Any) -> None:
    """All files of ``analysis/`` and ``consensus.csv``; the options that they answer go into ``ranking.json``."""
    folder = out.root / "analysis"
    folder.mkdir()
    units = [(task, metric) for task in tasks for metric in metrics]

    def table(name: str, columns: str, rows: Rows) -> None:
        pd.DataFrame(list(rows), columns=columns.split(",")).to_csv(folder / name, index=False)

    final = pd.read_csv(out.ranking).query("scheme == 'cvpr24'").set_index("team")
    scores, ranks = final["score"].to_dict(), final["rank"].to_dict()
    _consensus(out, teams, metrics, rng)
    table("effects.csv", "task,metric,team_i,team_j,n,rank_biserial,shift,shift_low,shift_high", _effects(teams, units))
    table(
        "friedman.csv",
        "task,metric,n,teams,chi2,df,p,kendall_w,critical_difference",
        (
            (*unit, 40, len(teams), 88.5, len(teams) - 1, 1e-12 * (u + 1), 0.4 + 0.01 * u, 0.14 * len(teams))
            for u, unit in enumerate(units)
        ),
    )
    table("groups.csv", "task,metric,method,group,team,mean_rank", _groups(teams, units))
    declared = {team: 1 + 2 * (place // 2) for place, team in enumerate(sorted(teams, key=lambda t: scores[t]))}
    table(
        "confidence.csv",
        "unit,team,rank,low,high,declared",
        (
            (unit, team, ranks[team], max(1, ranks[team] - 2), min(len(teams), ranks[team] + 1), declared[team])
            for unit in (*(f"{t}/{m}" for t, m in units), "final")
            for team in teams
        ),
    )
    table("sensitivity.csv", "question,setting,team,score,rank,tau", _sensitivity(teams, scores, rng))
    table("influence.csv", "kind,name,task,cases,tau,winner,changed,largest_shift", _influence(teams, tasks))
    pairs = list(pairwise(teams))
    table(
        "cases_needed.csv",
        "unit,team,rival,cases,separated,cases_needed",
        (
            (unit, team, rival, 40, p % 2 == 0, None if p % 5 == 4 else 12 * 3**p % 5000)
            for unit in (*(f"{t}/{m}" for t, m in units), "final")
            for p, (team, rival) in enumerate(pairs)
        ),
    )
    table(
        "repeats.csv",
        "team,rank_low,rank_high,rank_low_with_repeats,rank_high_with_repeats,median_spread",
        (
            (team, ranks[team], min(len(teams), ranks[team] + 1), max(1, ranks[team] - 1), len(teams), 0.01 + 0.001 * t)
            for t, team in enumerate(teams)
        ),
    )
    _comparisons(out, teams, tasks, metrics, table)


def _consensus(out: OutDir, teams: tuple[str, ...], metrics: tuple[str, ...], rng: Any) -> None:
    rows = []
    for method in ("euclidean", "borda", "copeland", "kemeny"):
        for metric in (*metrics, "all"):
            places = (np.arange(len(teams)) + rng.normal(0, 0.6, len(teams))).argsort().argsort() + 1
            rows += [(method, metric, team, float(place), place) for team, place in zip(teams, places, strict=True)]
    frame = pd.DataFrame(rows, columns=["method", "metric", "team", "score", "rank"])
    frame.to_csv(out.root / "consensus.csv", index=False)


def _effects(teams: tuple[str, ...], units: list[tuple[str, str]]) -> Rows:
    for task, metric in units:
        for i, one in enumerate(teams):
            for j in range(i + 1, len(teams)):
                effect = np.tanh((j - i) / 4) * (-1 if metric == "runtime_s" else 1)
                yield task, metric, one, teams[j], 40, effect, effect / 10, effect / 10 - 0.02, effect / 10 + 0.02


def _groups(teams: tuple[str, ...], units: list[tuple[str, str]]) -> Rows:
    size = max(2, len(teams) // 4)
    for task, metric in units:
        order = teams[::-1] if metric == "runtime_s" else teams
        for method in ("wilcoxon-holm", "nemenyi"):
            starts = range(0, max(1, len(teams) - size + 1), max(1, size // 2))
            for g, start in enumerate(starts, 1):
                stop = len(teams) if g == len(starts) else start + size
                for place in range(start, stop):
                    yield task, metric, method, g, order[place], 1.5 + 0.9 * place


def _sensitivity(teams: tuple[str, ...], scores: Mapping[str, float], rng: Any) -> Rows:
    for question, settings in QUESTIONS.items():
        for s, setting in enumerate(settings):
            noisy = np.array([scores[t] for t in teams]) + (question != "as ranked") * rng.normal(0, 0.5, len(teams))
            places = 1 + (noisy[:, None] > noisy[None]).sum(axis=1)
            for t, team in enumerate(teams):
                yield (
                    question,
                    setting,
                    team,
                    noisy[t],
                    int(places[t]),
                    1.0 if question == "as ranked" else 0.9 - s / 50,
                )


def _influence(teams: tuple[str, ...], tasks: list[str]) -> Rows:
    for k, task in enumerate(tasks):
        yield "modality", task, task, 5 + k, 1 - 0.02 * k, teams[0], k, min(k, 3)
    for k in range(5):
        yield "case", f"2DBox_{tasks[0]}_{k:04d}", tasks[0], 1, 0.99, ";".join(teams[: 1 + k % 2]), 2, 1


def _comparisons(out: OutDir, teams: tuple[str, ...], tasks: list[str], metrics: tuple[str, ...], table: Any) -> None:
    last = teams[-1]
    second = teams[min(1, len(teams) - 1)]
    successors, reproductions = {teams[0]: last}, {second: last}
    rows = []
    for kind, pair in (("successor", (teams[0], last)), ("reproduction", (second, last))):
        for k, task in enumerate((*tasks, "all")):
            for metric in metrics:
                size = -5.0 if metric == "runtime_s" else 0.01 * (k - 2)
                half, margin = abs(size) / 3 + 0.004, (0.02, 0.02, 1.0)[metrics.index(metric)]
                low, high = size - half, size + half
                tested = (margin, -margin < low and high < margin) if kind == "reproduction" else (None, None)
                rows.append((kind, *pair, task, metric, 40, 0.8 + size, 0.8, size, low, high, 0.01 * k, *tested))
    columns = "kind,team,rival,task,metric,n,value_team,value_rival,difference,low,high,p,margin,equivalent"
    table("comparisons.csv", columns, rows)
    facts = json.loads(out.ranking_json.read_text())
    options = {"baseline": last, "successors": successors, "reproductions": reproductions, "margins": {"dsc": 0.02}}
    facts["settings"] |= options
    out.ranking_json.write_text(json.dumps(facts))
