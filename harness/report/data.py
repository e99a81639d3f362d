"""Everything that the report shows, as frozen records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.costs import Cost
from harness.layout import OutDir

FloatArray = npt.NDArray[np.float64]

#: Metrics of every results table, in the order shown; further ones follow as the ranks name them.
SCORES = ("dsc", "nsd")
RUNTIME = "runtime_s"
METRIC_LABELS = {"dsc": "DSC", "nsd": "NSD", RUNTIME: "Runtime (s)"}
FINAL_UNIT = "final"


@dataclass(frozen=True)
class Bootstrap:
    """Ranks in bootstrap samples.

    Attributes:
        ranks: (B, U, T) ranks of T teams in U units (``task/metric``, and ``final``) of B samples.
        tau: (B, U) Kendall's tau-b with the full data's ranking, NaN where undefined.
        units: U names.
        teams: T names.
    """

    ranks: FloatArray
    tau: FloatArray
    units: tuple[str, ...]
    teams: tuple[str, ...]

    def final_ranks(self, team: str) -> FloatArray | None:
        """A team's final ranks, (B,); None where the samples do not hold them."""
        if FINAL_UNIT not in self.units or team not in self.teams:
            return None
        return self.ranks[:, self.units.index(FINAL_UNIT), self.teams.index(team)]

    def share_won(self, team: str) -> float | None:
        """Share of samples in which no team is ranked before this one; a tie for the lead counts for each."""
        mine = self.final_ranks(team)
        if mine is None:
            return None
        final = self.ranks[:, self.units.index(FINAL_UNIT), :]
        best = np.where(np.isnan(final), np.inf, final).min(axis=1)
        return float(np.mean(mine == best))


@dataclass(frozen=True)
class ReportData:
    """The files of an output folder, checked and joined.

    Attributes:
        out: the folder.
        attempts: the results table, one row an attempt, with every known column (missing ones empty)
            and ``task``, ``volume`` (3D) and ``status`` (the outcome; ``ok, flagged`` with a reason).
        scores: one row a team and case: ``team, case, task, volume``, the metrics (repeats folded:
            mean, of runtime the median) and ``failed`` (attempts that are not ok).
        corrected: one row a team and case, ``team, case`` and mean values of those corrected scores
            (``dsc_corrected``, ``nsd_corrected``) that the results table has.
        left_out: metric -> cases without a value for any team: those that the ranking dropped, or without
            a ranking those in which some team's attempt is ok and has no value.
        metrics: metric columns that have values, DSC, NSD and runtime first.
        teams: in order of final rank, or by name where there is no ranking.
        scheme: the ranking scheme shown; None without ranking.
        ranking: final score and rank by team; None without ranking.
        ranks: of this scheme, ``task, metric, team, aggregate, rank``; None without.
        ranking_facts: the ranking's own record of its settings; empty without.
        bootstrap, wilcoxon: as the ranking wrote them; None without.
        schemes: scheme -> team -> final rank, of every scheme in the ranking; empty without.
        analysis: the ranking's further tables that there are, by the names in `reading_analysis.SOURCES`.
        manifest: the run's manifest; empty without.
        costs: what the attempts cost, where some submission tells its phases; else empty.
        absent: sentence by file name for each file that could not be used.
    """

    out: OutDir
    attempts: pd.DataFrame
    scores: pd.DataFrame
    corrected: pd.DataFrame
    left_out: Mapping[str, frozenset[str]]
    metrics: tuple[str, ...]
    teams: tuple[str, ...]
    scheme: str | None
    ranking: Mapping[str, tuple[float, float]] | None
    ranks: pd.DataFrame | None
    ranking_facts: Mapping[str, Any]
    bootstrap: Bootstrap | None
    wilcoxon: pd.DataFrame | None
    schemes: Mapping[str, Mapping[str, float]]
    analysis: Mapping[str, pd.DataFrame]
    manifest: Mapping[str, Any]
    costs: tuple[Cost, ...]
    absent: Mapping[str, str]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks by name, 2D before 3D."""
        first = self.scores.groupby("task")["volume"].max()
        return tuple(sorted(first.index, key=lambda task: (bool(first[task]), task.lower(), task)))

    def table(self, name: str, **where: str) -> pd.DataFrame | None:
        """One of the ranking's further tables, only the rows with these values; None without any."""
        frame = self.analysis.get(name)
        for column, value in where.items():
            frame = frame[frame[column] == value] if frame is not None else None
        return frame if frame is not None and len(frame) else None

    def limit(self, name: str) -> float | None:
        """A limit of the run in the manifest, None where it is not known."""
        limits = self.manifest.get("limits")
        value = limits.get(name) if isinstance(limits, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return None
        return float(value)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The ranking's settings; empty without."""
        settings = self.ranking_facts.get("settings")
        return settings if isinstance(settings, dict) else {}

    def label(self, metric: str) -> str:
        """A metric's name in tables and figures."""
        return METRIC_LABELS.get(metric) or str(self._metric_facts(metric).get("label") or metric)

    def baseline(self) -> str | None:
        """The team that others are held against: the ranking's setting, else one named so, else None."""
        named = self.settings.get("baseline")
        return next((team for team in (named, "litemedsam", "baseline") if team in self.teams), None)

    def smaller_is_better(self, metric: str) -> bool:
        """Direction of a metric, as the ranking took it; else times and distances, by their unit."""
        known = self._metric_facts(metric).get("smaller_is_better")
        return known if isinstance(known, bool) else metric.endswith(("_s", "_mm"))

    def _metric_facts(self, metric: str) -> Mapping[str, Any]:
        listed = self.settings.get("metrics")
        entries = listed if isinstance(listed, list) else []
        return next((entry for entry in entries if isinstance(entry, dict) and entry.get("name") == metric), {})
