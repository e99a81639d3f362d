"""The ranking's further outputs: which files there are, and the columns that the report needs of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A table of the ranking.

    Attributes:
        path: below the output folder.
        text: columns kept to the letter.
        numbers: columns read as float64, NaN where empty.
    """

    path: Path
    text: tuple[str, ...]
    numbers: tuple[str, ...]


def _source(path: str, text: str, numbers: str) -> Source:
    return Source(Path(path), tuple(text.split()), tuple(numbers.split()))


#: By the name under which the report keeps them.
SOURCES: Mapping[str, Source] = {
    "consensus": _source("consensus.csv", "method metric team", "score rank"),
    "effects": _source(
        "analysis/effects.csv", "task metric team_i team_j", "n rank_biserial shift shift_low shift_high"
    ),
    "friedman": _source("analysis/friedman.csv", "task metric", "n teams chi2 df p kendall_w critical_difference"),
    "groups": _source("analysis/groups.csv", "task metric method team", "group mean_rank"),
    "confidence": _source("analysis/confidence.csv", "unit team", "rank low high declared"),
    "sensitivity": _source("analysis/sensitivity.csv", "question setting team", "score rank tau"),
    "influence": _source("analysis/influence.csv", "kind name task winner", "cases tau changed largest_shift"),
    "cases_needed": _source("analysis/cases_needed.csv", "unit team rival separated", "cases cases_needed"),
    "repeats": _source(
        "analysis/repeats.csv",
        "team",
        "rank_low rank_high rank_low_with_repeats rank_high_with_repeats median_spread",
    ),
    "comparisons": _source(
        "analysis/comparisons.csv",
        "kind team rival task metric equivalent",
        "n value_team value_rival difference low high p margin",
    ),
}


def is_true(cells: Iterable[str]) -> list[bool]:
    """Truth values as pandas or a person writes them; everything else is false."""
    return [cell.strip().lower() in ("true", "1", "yes") for cell in cells]
