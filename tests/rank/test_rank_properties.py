"""What must hold of any ranking, from tables to files' worth of results, for random tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.rank.analysis import Settings, analyse
from harness.rank.bootstrap import Resampling, read_resamples, write_resamples
from harness.rank.quantiles import copies_quantile, weighted_quantile
from harness.rank.schemes import SCHEMES
from harness.rank.table import TaskTable

METRICS = ("dsc", "nsd", "runtime_s")
BOOTSTRAPS = 8
#: Hypothesis calls a test many times with one fixture: each call overwrites the files of the one before.
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw, least_teams=3):
    """Values of two tasks and all metrics: task -> (cases, teams, metrics), scores with ties, all above 0."""
    teams = draw(st.integers(least_teams, 5))
    return {
        task: draw(
            arrays(float, (draw(st.integers(3, 6)), teams, 3), elements=st.integers(1, 12).map(lambda k: k / 16))
        )
        for task in ("CT", "US")
    }


def rows_of(values, teams=None):
    return [
        {"team": (teams or "ABCDEFG")[t], "case": f"2D_{task}_{c:03d}", "outcome": "ok"}
        | dict(zip(METRICS, values[task][c, t].tolist(), strict=True))
        for task in values
        for c in range(len(values[task]))
        for t in range(values[task].shape[1])
    ]


def ranked(csv, rows, scheme="cvpr24", **options):
    return analyse([csv(rows)], Settings(scheme=scheme, **{"bootstrap": BOOTSTRAPS} | options))


def everything(ranking):
    """All that hangs on the values: ranks, scores, samples' ranks and taus."""
    boot = ranking.bootstrap
    return [ranking.main.ranks, ranking.main.scores, ranking.main.final, boot.ranks, boot.tau]


@FEW
@given(values=tables(), scheme=st.sampled_from(SCHEMES), random=st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(csv, values, scheme, random):
    rows = rows_of(values)
    before = everything(ranked(csv, rows, scheme))
    random.shuffle(rows)
    for a, b in zip(before, everything(ranked(csv, rows, scheme)), strict=True):
        np.testing.assert_array_equal(a, b)


@FEW
@given(values=tables(), scheme=st.sampled_from(SCHEMES), random=st.randoms(use_true_random=False))
def test_names_of_teams_do_not_matter(csv, values, scheme, random):
    """Teams under other names, so in another order, keep their ranks in the full data and in every sample."""
    teams = len(values["CT"][0])
    names = list("ABCDEFG"[:teams])
    random.shuffle(names)
    before, after = ranked(csv, rows_of(values), scheme), ranked(csv, rows_of(values, names), scheme)
    place = [after.table.teams.index(name) for name in names]
    np.testing.assert_array_equal(after.main.ranks[:, place], before.main.ranks)
    np.testing.assert_array_equal(after.main.final[place], before.main.final)
    np.testing.assert_array_equal(after.bootstrap.ranks[:, :, place], before.bootstrap.ranks)
    np.testing.assert_allclose(after.bootstrap.tau, before.bootstrap.tau, atol=1e-12)


@FEW
@given(values=tables(), random=st.randoms(use_true_random=False))
def test_order_of_cases_does_not_matter_given_the_same_draws(csv, tmp_path, values, random):
    """Cases under other names, so in another order, with the same cases drawn."""
    rows = rows_of(values)
    plain = ranked(csv, rows)
    new = {task: list(range(len(values[task]))) for task in values}
    for order in new.values():
        random.shuffle(order)
    renamed = [
        row | {"case": f"2D_{task}_{new[task][int(number)]:03d}"}
        for row in rows
        for _, task, number in [row["case"].split("_")]
    ]
    write_resamples(tmp_path / "r.csv", Resampling(plain.table.tasks, BOOTSTRAPS))
    draws = pd.read_csv(tmp_path / "r.csv", dtype=str)
    draws["idx"] = [
        " ".join(str(new[task][int(k)]) for k in idx.split())
        for task, idx in zip(draws["task"], draws["idx"], strict=True)
    ]
    other = ranked(csv, renamed, resamples=csv(draws, "renamed.csv"))
    for a, b in zip(everything(plain), everything(other), strict=True):
        np.testing.assert_array_equal(a, b)


@FEW
@given(values=tables(), aggregate=st.sampled_from(["mean", "median"]), mode=st.sampled_from(["distinct", "challenger"]))
def test_ranks_within_cases_do_not_hang_on_the_scale(csv, values, aggregate, mode):
    """A metric through any increasing function: the same ranks, whatever is aggregated of them."""
    options = {"scheme": "rank-then-aggregate", "aggregate": aggregate, "boot_mode": mode}
    before = everything(ranked(csv, rows_of(values), **options))
    changed = {task: np.stack([v[..., 0] ** 3, np.log(v[..., 1]) + 9, np.exp(v[..., 2])], axis=2)
               for task, v in values.items()}  # fmt: skip
    for a, b in zip(before, everything(ranked(csv, rows_of(changed), **options)), strict=True):
        np.testing.assert_array_equal(a, b)


@FEW
@given(values=tables(), scheme=st.sampled_from(SCHEMES), ties=st.sampled_from(["min", "average", "max", "dense"]))
def test_twins_are_tied_in_every_sample(csv, values, scheme, ties):
    doubled = {task: np.concatenate([v, v[:, :1]], axis=1) for task, v in values.items()}
    made = ranked(csv, rows_of(doubled), scheme, ties=ties)
    np.testing.assert_array_equal(made.main.ranks[:, -1], made.main.ranks[:, 0])
    np.testing.assert_array_equal(made.bootstrap.ranks[:, :, -1], made.bootstrap.ranks[:, :, 0])


@FEW
@given(values=tables(), scheme=st.sampled_from(SCHEMES))
def test_a_dominated_team_is_never_ahead_in_any_sample(csv, values, scheme):
    """The last team is worse than the first in every metric of every case; by cvpr24 it is strictly behind."""
    worse = {task: np.concatenate([v, v[:, :1] + np.array([-0.01, -0.01, 0.01])], axis=1) for task, v in values.items()}
    made = ranked(csv, rows_of(worse), scheme)
    assert (made.main.ranks[:, -1] >= made.main.ranks[:, 0]).all()
    assert made.main.final[-1] >= made.main.final[0]
    assert (made.bootstrap.ranks[:, :, -1] >= made.bootstrap.ranks[:, :, 0]).all()
    if scheme == "cvpr24":
        assert made.main.final[-1] > made.main.final[0]
        assert (made.bootstrap.ranks[:, -1, -1] > made.bootstrap.ranks[:, -1, 0]).all()


@FEW
@given(values=tables(), factor=st.sampled_from([0.5, 3.0, 100.0]))
def test_only_the_ratio_of_weights_counts(csv, values, factor):
    rows = rows_of(values)
    weights = {"dsc": 2.0, "nsd": 1.0, "runtime_s": 0.5}
    before = everything(ranked(csv, rows, weights=weights))
    after = everything(ranked(csv, rows, weights={name: factor * weight for name, weight in weights.items()}))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@FEW
@given(values=tables())
def test_a_metric_of_weight_zero_might_as_well_not_be_there(csv, values):
    rows = rows_of(values)
    without = ranked(csv, rows, metrics=("dsc", "runtime_s"))
    weightless = ranked(csv, rows, weights={"nsd": 0.0})
    np.testing.assert_allclose(weightless.main.scores, without.main.scores, atol=1e-12)
    np.testing.assert_array_equal(weightless.bootstrap.ranks[:, -1], without.bootstrap.ranks[:, -1])


@st.composite
def resamplings(draw):
    """Draws of tasks of any size, of cases or of clusters."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    tasks = tuple(
        TaskTable(f"T{u}", tuple(f"c{k}" for k in range(n)), {}, np.zeros(n, dtype=bool)) for u, n in enumerate(sizes)
    )
    clusters = {task.name: [draw(st.sampled_from("pqr")) for _ in task.cases] for task in tasks}
    return Resampling(tasks, draw(st.integers(1, 5)), draw(st.integers(0, 99)), draw(st.sampled_from([None, clusters])))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(resampling=resamplings())
def test_exported_draws_are_read_back_as_they_were(tmp_path, resampling):
    write_resamples(tmp_path / "r.csv", resampling)
    given_ = read_resamples(tmp_path / "r.csv", resampling.tasks, resampling.clusters)
    again = Resampling(resampling.tasks, resampling.samples, given=given_)
    for ours, theirs in zip(resampling.draws(), again.draws(), strict=True):
        np.testing.assert_array_equal(np.concatenate(list(ours)), np.concatenate(list(theirs)))


# --------------------------------------------------------------------------- quantiles

ranks_of = arrays(
    float, st.tuples(st.integers(1, 7), st.integers(1, 4)), elements=st.integers(0, 8).map(lambda k: k / 2)
)


@settings(deadline=None)
@given(ranks_of, st.sampled_from([0.05, 0.25, 0.5, 0.9]), st.integers(0, 1000))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_quantiles_equal_numpys_of_the_drawn_values(values, share, seed):
    """Samples of any size, gaps, and samples in which a team has no value."""
    random = np.random.default_rng(seed)
    values = np.where(random.random(values.shape) < 0.2, np.nan, values)
    counts = random.integers(0, 4, size=(5, len(values)))
    counts[:, 0] += 1
    got = weighted_quantile(values, counts, share)
    for row, count in zip(got, counts, strict=True):
        for result, column in zip(row, np.repeat(values, count, axis=0).T, strict=True):
            known = column[~np.isnan(column)]
            expected = np.quantile(known, share) if len(known) else np.nan
            np.testing.assert_allclose(result, expected, atol=1e-12)


@settings(deadline=None)
@given(ranks_of, ranks_of, st.sampled_from([0.25, 0.5]), st.integers(0, 1000))
def test_quantiles_of_copies_equal_numpys_of_the_copies(slope, level, share, seed):
    random = np.random.default_rng(seed)
    n, teams = min(len(slope), len(level)), min(slope.shape[1], level.shape[1])
    slope, level = slope[:n, :teams], level[:n, :teams].copy()
    level[random.random(level.shape) < 0.2] = np.nan
    slope = np.where(np.isnan(level), np.nan, slope)
    counts = random.integers(0, 4, size=(5, n))
    got = copies_quantile(slope, level, counts, share)
    for row, count in zip(got, counts, strict=True):
        for t in range(teams):
            copies = [level[c, t] + k * slope[c, t] for c, k in enumerate(count) for _ in range(k)]
            known = [value for value in copies if not np.isnan(value)]
            np.testing.assert_allclose(row[t], np.quantile(known, share) if known else np.nan, atol=1e-12)
