"""Final rankings under other settings, side by side: from the ranking's sensitivity table, pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.report.data import FloatArray, ReportData

AS_RANKED = "as ranked"


@dataclass(frozen=True)
class Setting:
    """One way to rank.

    Attributes:
        question: what is changed; `AS_RANKED` for the ranking shown.
        name: to what.
        ranks: (T,) final ranks in the report's order of teams, NaN where a team has none.
        tau: Kendall's tau-b with the ranking shown, NaN where undefined.
    """

    question: str
    name: str
    ranks: FloatArray
    tau: float

    @property
    def label(self) -> str:
        """In a few words."""
        return self.question if self.question == AS_RANKED else f"{self.question}: {self.name}"


def settings_ranks(data: ReportData) -> list[Setting]:
    """Every setting of the sensitivity table, the ranking as it is first; empty without."""
    frame = data.table("sensitivity")
    if frame is None:
        return []
    found = []
    for (question, name), mine in frame.groupby(["question", "setting"], sort=False):
        ranks = dict(zip(mine["team"], mine["rank"], strict=True))
        values = np.array([ranks.get(team, math.nan) for team in data.teams], dtype=np.float64)
        found.append(Setting(str(question), str(name), values, float(mine["tau"].iloc[0])))
    return sorted(found, key=lambda setting: setting.question != AS_RANKED)


def winners(data: ReportData, ranks: FloatArray) -> list[str]:
    """Teams that nobody is ranked before; none where no rank is known."""
    if not np.isfinite(ranks).any():
        return []
    return [data.teams[i] for i in np.flatnonzero(ranks == np.nanmin(ranks))]


def scheme_settings(data: ReportData) -> list[Setting]:
    """The ranking shown and those by other schemes and aggregates; from ranking.csv where nothing else tells."""
    told = [s for s in settings_ranks(data) if s.question in (AS_RANKED, "scheme", "aggregate")]
    if len(told) > 1:
        return told
    found = []
    for scheme, ranks in data.schemes.items():
        values = np.array([ranks.get(team, math.nan) for team in data.teams], dtype=np.float64)
        found.append(Setting(AS_RANKED if scheme == data.scheme else "scheme", scheme, values, math.nan))
    return sorted(found, key=lambda setting: setting.question != AS_RANKED)
