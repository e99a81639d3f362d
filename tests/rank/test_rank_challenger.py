"""Parity with challengeR 1.0.5: full data, resamples, taus, p-values and consensus, against `challenger_oracle`.

The values are sixteenths, so that sums are exact and ties are ties in any order of summation: challengeR compares
aggregates as they are, we after rounding.
"""

import math

import numpy as np
import pandas as pd
import pytest

from harness.rank.analysis import Settings, analyse
from harness.rank.consensus import consensus
from harness.rank.schemes import make_scheme
from tests.rank import challenger_oracle as oracle

SAMPLES = 12
TEAMS = ("alpha", "beta", "gamma", "delta", "twin", "zero")
METRIC = "MetricValue"


def planted(seed, small_better, absent=False, complete=False):
    """(task, case, team, value) of two tasks with every corner case that a table can have.

    Teams `alpha` and `twin` are identical; cases 2 and 3 are all ties; nobody has a value in case 4; `zero` has real
    zeros beside missing values; times run out at 64; of some rows there is no trace.  With `absent` the team
    `delta` has no row of task T2.
    """
    random = np.random.default_rng(seed)
    table = []
    for task, n in (("T1", 14), ("T2", 17)):
        for c in range(n):
            base = random.integers(1, 17, size=len(TEAMS)) / 16 + (np.arange(len(TEAMS)) >= 3) / 4
            if small_better:
                base = np.where(random.random(len(TEAMS)) < 0.15, 64.0, base)
            for team, value in zip(TEAMS, base.tolist(), strict=True):
                if team == "twin":
                    value = float(base[0])
                if c in (2, 3):
                    value = 0.5
                if not complete:
                    if c == 4 or (team == "beta" and c % 5 == 1) or (team == "zero" and c % 4 == 1):
                        value = None
                    if team == "gamma" and c % 6 == 5:
                        continue
                if team == "zero" and c % 4 == 0 and value is not None:
                    value = 0.0
                if absent and team == "delta" and task == "T2":
                    continue
                table.append((task, f"case{c:02d}", team, value))
    return table


def drawn(table, seed=1):
    """Draws of each task, (SAMPLES, n), by their positions, and the cases."""
    random = np.random.default_rng(seed)
    cases = {task: sorted({row[1] for row in table if row[0] == task}) for task in ("T1", "T2")}
    return {
        task: [random.integers(0, len(names), size=len(names)).tolist() for _ in range(SAMPLES)]
        for task, names in cases.items()
    }, cases


@pytest.fixture
def ranked(csv):
    """Our ranking of a table in challengeR's long form, with given resamples, in challengeR's mode."""

    def analysed(table, draws, small_better, **settings):
        rows = [dict(zip(("Task", "TestCase", "Algorithm", METRIC), row, strict=True)) for row in table]
        resamples = [
            {"task": task, "b": b, "idx": " ".join(map(str, draw))}
            for task, of_task in draws.items()
            for b, draw in enumerate(of_task)
        ]
        return analyse(
            [csv(rows, "long.csv")],
            Settings(
                boot_mode="challenger",
                resamples=csv(resamples, "resamples.csv"),
                smaller_better=(METRIC,) if small_better else (),
                **settings,
            ),
        )

    return analysed


def compare(ours, table, draws, cases, challenge, scheme):
    """Ranks and aggregates of the full data, ranks and taus of all samples."""
    teams = ours.table.teams
    full = oracle.ranking(challenge, scheme)
    samples, taus = oracle.bootstrapped(challenge, scheme, cases, draws)
    for u, task in enumerate(("T1", "T2")):
        got = {
            team: (a, r)
            for team, a, r in zip(teams, ours.main.aggregates[u], ours.main.ranks[u], strict=True)
            if not np.isnan(r)
        }
        assert {team: rank for team, (_, rank) in got.items()} == {t: rank for t, (_, rank) in full[task].items()}
        for team, (aggregate, _) in full[task].items():
            assert got[team][0] == pytest.approx(aggregate, rel=1e-9, abs=1e-9)
        for b, sample in enumerate(samples[task]):
            of_sample = ours.bootstrap.ranks[b, u]
            assert {t: of_sample[teams.index(t)] for t in sample} == {t: rank for t, (_, rank) in sample.items()}
        assert len(samples[task][0]) == len(full[task])  # else challengeR's taus are of fewer teams than ours
        np.testing.assert_allclose(ours.bootstrap.tau[:, u], taus[task], atol=1e-9)


SCHEMES = {
    "aggregate-then-rank mean": lambda ties: oracle.aggregate_then_rank(oracle.FUNCTIONS["mean"], ties),
    "aggregate-then-rank median": lambda ties: oracle.aggregate_then_rank(oracle.FUNCTIONS["median"], ties),
    "aggregate-then-rank q05": lambda ties: oracle.aggregate_then_rank(oracle.FUNCTIONS["q05"], ties),
    "rank-then-aggregate mean": lambda ties: oracle.rank_then_aggregate(oracle.FUNCTIONS["mean"], ties),
    "rank-then-aggregate median": lambda ties: oracle.rank_then_aggregate(oracle.FUNCTIONS["median"], ties),
    "test-then-rank share": lambda ties: oracle.test_then_rank("none", ties),
}

#: Rules for missing values; only ranks of cases can put a missing one last.
RULES = {name: ("fill", "drop", "last") if name.startswith("rank") else ("fill", "drop") for name in SCHEMES}


@pytest.mark.parametrize("small_better", [False, True])
@pytest.mark.parametrize(("ties", "complete"), [("min", False), ("average", False), ("max", True)])
@pytest.mark.parametrize(("name", "na"), [(name, na) for name, rules in RULES.items() for na in rules])
def test_ranks_aggregates_and_taus(ranked, name, na, ties, complete, small_better):
    scheme, aggregate = name.split()
    table = planted(5, small_better, complete=complete)
    draws, cases = drawn(table)
    charge = 64.0 if small_better else 0.0
    fill = {"fill": {METRIC: charge}}.get(na, {})
    ours = ranked(table, draws, small_better, scheme=scheme, aggregate=aggregate, na=na, ties=ties, fill=fill)
    treat = {"fill": charge, "drop": "na.rm", "last": None}[na]
    compare(ours, table, draws, cases, oracle.as_challenge(table, small_better, treat), SCHEMES[name](ties))


@pytest.mark.parametrize("ties", ["min", "average"])
@pytest.mark.parametrize(
    ("name", "na"),
    [(name, na) for name, rules in RULES.items() for na in rules],
)
def test_a_team_without_a_row_of_a_task_is_no_candidate_there(ranked, name, na, ties):
    scheme, aggregate = name.split()
    table = planted(6, False, absent=True)
    draws, cases = drawn(table)
    fill = {"fill": {METRIC: 0.0}}.get(na, {})
    ours = ranked(table, draws, False, scheme=scheme, aggregate=aggregate, na=na, ties=ties, fill=fill)
    treat = {"fill": 0.0, "drop": "na.rm", "last": None}[na]
    compare(ours, table, draws, cases, oracle.as_challenge(table, False, treat), SCHEMES[name](ties))


@pytest.mark.parametrize("small_better", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [("none", "none"), ("holm", "holm"), ("bh", "BH")])
def test_p_values(ranked, ours, theirs, small_better):
    """Of the full data, both ways; the decisions too, which are challengeR's significance map."""
    table = planted(7, small_better)
    draws, _ = drawn(table)
    made = ranked(table, draws, small_better, scheme="aggregate-then-rank", na="drop", p_adjust=ours)
    challenge = oracle.as_challenge(table, small_better, "na.rm")
    teams = made.table.teams
    for tests, (task, rows) in zip(made.tests, challenge.tasks.items(), strict=True):
        expected = oracle.decisions(rows, small_better, theirs)
        values = {(team, case): value for team, case, value in rows}
        assert len(tests.i) == len(expected)
        for k in range(len(tests.i)):
            a, b = teams[tests.i[k]], teams[tests.j[k]]
            p, significant = expected[a, b]
            assert tests.p_i_better[k] == pytest.approx(p, rel=1e-10), task
            assert (tests.p_i_better_adj[k] <= 0.05) == significant
            common = [c for t, c in values if t == a and (b, c) in values]
            x, y = [values[a, c] for c in common], [values[b, c] for c in common]
            two_sided = oracle.r_wilcoxon(x, y, "two.sided")
            assert tests.p_two_sided[k] == pytest.approx(two_sided, rel=1e-10, nan_ok=True)


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("bh", "BH")])
def test_test_then_rank_with_adjusted_p_values(ours, theirs):
    """Stronger teams than elsewhere, so that some decisions outlive the adjustment."""
    random = np.random.default_rng(3)
    values = random.integers(0, 16, size=(25, 5)) / 16 + np.arange(5) / 4
    rows = [(f"t{t}", f"c{c:02d}", float(values[c, t])) for c in range(25) for t in range(5)]
    unit = make_scheme("test-then-rank", adjustment=ours).unit(values, False, "challenger")
    counts = random.multinomial(25, np.full(25, 1 / 25), size=10)
    counts[0] = 1
    for shares, count in zip(unit.aggregates(counts), counts, strict=True):
        merged = [row for row in rows for _ in range(count[int(row[1][1:])])]
        expected = oracle.test_then_rank(theirs, "min")(merged, False)
        np.testing.assert_allclose(shares, [expected[f"t{t}"][0] for t in range(5)], atol=1e-12)
    assert 0 < unit.aggregates(counts[:1]).max() <= 1


@pytest.mark.parametrize("ties", ["min", "average", "max"])
@pytest.mark.parametrize("method", ["euclidean", "borda", "copeland"])
def test_consensus_across_tasks(method, ties):
    random = np.random.default_rng(11)
    for _ in range(20):
        values = random.integers(0, 4, size=(5, 6))
        full = {
            f"T{u}": {f"t{t}": (0.0, r) for t, r in enumerate(oracle.r_rank(row.tolist(), ties))}
            for u, row in enumerate(values)
        }
        ranks = np.array([[rank for _, rank in task.values()] for task in full.values()])
        ours = consensus(method, "dsc", ranks, np.ones(5), [f"t{t}" for t in range(6)], "average")
        expected = oracle.consensus(full, method)
        got = ours.scores if method == "euclidean" else ours.ranks
        np.testing.assert_allclose(got, list(expected.values()), atol=1e-9)


def test_the_oracle_against_scipy():
    """The peer itself, on what others have published software for."""
    from scipy import stats

    random = np.random.default_rng(0)
    for _ in range(50):
        x, y = random.integers(0, 8, size=(2, 12)).astype(float)
        for ties in ("min", "max", "average"):
            assert oracle.r_rank(x.tolist(), ties) == stats.rankdata(x, ties).tolist()
        assert oracle.r_quantile(x.tolist(), 0.05) == pytest.approx(np.quantile(x, 0.05), abs=1e-12)
        tau = stats.kendalltau(x, y).statistic
        assert oracle.r_kendall(x.tolist(), y.tolist()) == pytest.approx(tau, abs=1e-12)
        for alternative in ("two-sided", "greater", "less"):
            p = stats.wilcoxon(x, y, "wilcox", True, alternative, method="approx").pvalue
            assert oracle.r_wilcoxon(x.tolist(), y.tolist(), alternative.replace("-", ".")) == pytest.approx(p)
    p = random.random(9).tolist()
    bh = stats.false_discovery_control(p)
    np.testing.assert_allclose(oracle.r_p_adjust(p, "BH"), bh)
    assert oracle.r_p_adjust([0.01, math.nan, 0.04, 0.03], "holm")[:1] == [0.03]
    assert pd.isna(oracle.r_p_adjust([0.01, math.nan], "holm")[1])
