"""What else a ranking tells: everything beside ranks, bootstrap and tests, as the tables that are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from harness.rank.analysis import Ranking
from harness.rank.comparisons import comparisons, comparisons_frame
from harness.rank.confidence import confidence_frame, rank_sets
from harness.rank.consensus import Consensus, consensus_frame, consensus_rankings
from harness.rank.effects import effects, effects_frame
from harness.rank.friedman import friedman, friedman_frame
from harness.rank.groups import groups, groups_frame
from harness.rank.influence import influence, influence_frame
from harness.rank.needed import cases_needed, needed_frame
from harness.rank.noise import repeat_noise, repeats_frame
from harness.rank.ranked import units_of
from harness.rank.sensitivity import sensitivity, sensitivity_frame

#: Seconds at most for one exact consensus of very many teams.
_KEMENY_S = 5.0


@dataclass(frozen=True)
class Further:
    """Tables beside the ranking.

    Attributes:
        consensus: joint rankings of the units.
        consensus_table: the same as a table.
        tables: name of the file below ``analysis/``, without ``.csv`` -> table; those without a subject (no
            repeats, no pairs to compare, no bootstrap) are left out.
    """

    consensus: tuple[Consensus, ...]
    consensus_table: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]


def further(ranking: Ranking, questions: bool = True) -> Further:
    """Work out all further tables.

    Args:
        ranking: the ranking.
        questions: whether to rank under changed settings too (``sensitivity``, ``influence``).

    Raises:
        UsageError: teams to compare that are not there, or a margin that is none.
    """
    main, table, settings, weights = ranking.main, ranking.table, ranking.settings, ranking.weights
    teams, names = table.teams, ranking.unit_names
    joint = consensus_rankings(main.ranks, ranking.units, teams, weights, main.scheme.ties, _KEMENY_S)
    tables = _statistics(ranking)
    distinct = units_of(main.scheme, ranking.values, table)
    sampled = None if ranking.bootstrap is None else ranking.bootstrap.ranks
    needed = cases_needed(table, main, ranking.values, ranking.tests, weights, sampled)
    tables["cases_needed"] = needed_frame(names, teams, needed)
    if settings.successors or settings.reproductions:
        draws = [iter(()) for _ in table.tasks] if ranking.resampling is None else ranking.resampling.draws()
        pairs = comparisons(table, ranking.values, draws, settings.successors, settings.reproductions, settings.margins)
        tables["comparisons"] = comparisons_frame(pairs)
    if questions:
        asked = sensitivity(table, main.scheme, weights, settings.fill, settings.na)
        tables["sensitivity"] = sensitivity_frame(teams, asked)
        tables["influence"] = influence_frame(influence(table, distinct, weights, main))
    if ranking.resampling is not None and sampled is not None:
        sets = rank_sets(table, main, distinct, ranking.resampling.draws(), sampled, weights, ranking.tests)
        tables["confidence"] = confidence_frame(names, teams, main.with_final, sets)
        noise = repeat_noise(
            table,
            main.scheme,
            settings.fill,
            weights,
            ranking.resampling.draws(),
            main.with_final,
            settings.seed,
        )
        if noise is not None:
            tables["repeats"] = repeats_frame(teams, noise)
    return Further(joint, consensus_frame(joint, teams), tables)


def _statistics(ranking: Ranking) -> dict[str, pd.DataFrame]:
    """Effect sizes, Friedman tests and groups of every unit."""
    columns = [
        (unit, metric.smaller_is_better)
        for task in ranking.values
        for unit, metric in zip(task, ranking.table.metrics, strict=True)
    ]
    teams = ranking.table.teams
    tested = [friedman(values, smaller) for values, smaller in columns]
    grouped = [groups(tests, of) for tests, of in zip(ranking.tests, tested, strict=True)]
    digits = ranking.settings.wilcoxon_digits
    sizes = [effects(values, smaller, digits) for values, smaller in columns]
    return {
        "effects": effects_frame(ranking.units, teams, sizes),
        "friedman": friedman_frame(ranking.units, tested),
        "groups": groups_frame(ranking.units, teams, grouped),
    }
