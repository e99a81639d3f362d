"""The bootstrap against a loop that copies rows and ranks them again, given the same draws."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.errors import InputError
from harness.rank.analysis import Settings, analyse
from harness.rank.bootstrap import (
    Resampling,
    bootstrap,
    cluster_draws,
    random_draws,
    rank_interval,
    rank_shares,
    read_resamples,
    resamples_frames,
    share_won,
    write_resamples,
)
from harness.rank.missing import prepared
from harness.rank.schemes import make_scheme
from harness.rank.table import TaskTable

METRICS = ("dsc", "nsd", "runtime_s")
SAMPLES = 25


def drawn(random, n):
    return random.integers(0, n, size=n)


@pytest.fixture
def resamples(csv):
    """A file of draws of tasks with the given numbers of cases, and the draws."""

    def write(sizes, seed=7):
        random = np.random.default_rng(seed)
        draws = {task: [drawn(random, n) for _ in range(SAMPLES)] for task, n in sizes.items()}
        rows = [
            {"task": task, "b": b, "idx": " ".join(map(str, draw))}
            for task, of_task in draws.items()
            for b, draw in enumerate(of_task)
        ]
        random.shuffle(rows)
        return csv(rows, "resamples.csv"), draws

    return write


def naive_rank(values, ties, missing_last):
    """One list ranked by scipy, the missing ones put last by the letter of the rule."""
    values = np.array(values, dtype=float)
    ranks = np.full(len(values), np.nan)
    there = ~np.isnan(values)
    ranks[there] = stats.rankdata(np.round(values[there], 10), method=ties)
    m = int((~there).sum())
    if missing_last and m:
        worst = ranks[there].max() if there.any() else 0
        ranks[~there] = worst + {"min": 1, "dense": 1, "average": (m + 1) / 2, "max": m}[ties]
    return ranks


def naive_unit(values, smaller, draw, scheme, aggregate, ties, mode):
    """Aggregates of one sample, row by row: (cases, teams) values already free of gaps but for `last`."""
    signed = values if smaller else -values
    teams = values.shape[1]
    kept = [[] for _ in range(teams)]
    if scheme != "rank-then-aggregate":
        for case in draw:
            for t in range(teams):
                kept[t].append(values[case, t])
    elif mode == "distinct":
        for case in draw:
            for t, r in enumerate(naive_rank(signed[case], ties, missing_last=True)):
                kept[t].append(r)
    else:
        for case in np.unique(draw):
            copies = np.tile(signed[case], int((draw == case).sum()))
            for position, r in enumerate(naive_rank(copies, ties, missing_last=True)):
                kept[position % teams].append(r)
    function = {"mean": np.mean, "median": np.median, "q25": lambda v: np.quantile(v, 0.25)}[aggregate]
    result = np.array([function(v) for v in kept])
    return result if smaller or scheme == "rank-then-aggregate" else -result


def naive_ranks(table, draws, scheme, aggregate, ties, mode, b):
    """(units + 1, teams) ranks of sample b; b None: the full data."""
    units = []
    for task in table.tasks:
        draw = np.arange(len(task.cases)) if b is None else draws[task.name][b]
        for metric in table.metrics:
            values = task.values[metric.name]
            if scheme != "rank-then-aggregate":
                values = np.where(np.isnan(values), metric.failure_value, values)
            aggregates = naive_unit(values, metric.smaller_is_better, draw, scheme, aggregate, ties, mode)
            units.append(naive_rank(aggregates, ties, missing_last=False))
    return np.array([*units, naive_rank(np.mean(units, axis=0), ties, missing_last=False)])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ties", ["min", "average", "max", "dense"])
@pytest.mark.parametrize(
    ("scheme", "aggregate", "mode"),
    [
        ("cvpr24", "mean", "distinct"),
        ("cvpr24", "mean", "challenger"),
        ("aggregate-then-rank", "q25", "distinct"),
        ("rank-then-aggregate", "mean", "distinct"),
        ("rank-then-aggregate", "mean", "challenger"),
        ("rank-then-aggregate", "median", "distinct"),
        ("rank-then-aggregate", "median", "challenger"),
    ],
)
def test_equal_to_a_loop(csv, random_rows, resamples, scheme, aggregate, mode, ties):
    path, draws = resamples({"CT": 6, "US": 9})
    settings = Settings(scheme=scheme, aggregate=aggregate, boot_mode=mode, ties=ties, resamples=path)
    ranking = analyse([csv(random_rows(3))], settings)
    full = naive_ranks(ranking.table, draws, scheme, aggregate, ties, mode, None)
    np.testing.assert_array_equal(np.concatenate([ranking.main.ranks, ranking.main.final[None]]), full)
    assert ranking.bootstrap.ranks.shape == (SAMPLES, 7, 5)
    for b in range(SAMPLES):
        ranks = naive_ranks(ranking.table, draws, scheme, aggregate, ties, mode, b)
        np.testing.assert_array_equal(ranking.bootstrap.ranks[b], ranks)
        tau = [stats.kendalltau(x, y).statistic for x, y in zip(full, ranks, strict=True)]
        np.testing.assert_allclose(ranking.bootstrap.tau[b], tau, atol=1e-12)


def test_in_mode_challenger_a_case_drawn_twice_weighs_four_times(csv, resamples):
    """Cases 0 and 1 of three drawn as 0 0 1.  A wins 0, B wins 1.  In case 0 the copies of A have rank
    1 1, of B 3 3; in case 1 A has 2 and B 1: means A 4/3, B 7/3, where distinct draws give 4/3 and 5/3."""
    rows = [
        {"team": team, "case": f"2D_US_{c}", "dsc": score}
        for c, scores in enumerate([(0.9, 0.1), (0.1, 0.9), (0.5, 0.5)])
        for team, score in zip("AB", scores, strict=True)
    ]
    table = analyse([csv(rows)], Settings(metrics=("dsc",), bootstrap=0)).table
    values = prepared(table.tasks[0], table.metrics[0], "last", {})
    for mode, expected in (("challenger", [4 / 3, 7 / 3]), ("distinct", [4 / 3, 5 / 3])):
        unit = make_scheme("rank-then-aggregate").unit(values, False, mode)
        np.testing.assert_allclose(unit.aggregates(np.array([[2, 1, 0]]))[0], expected)


def test_equal_teams_stay_tied_in_every_sample(csv):
    """Twins, with runtimes whose sums are inexact; a matrix product alone could part them."""
    random = np.random.default_rng(0)
    rows = []
    for c in range(128):
        times = random.lognormal(2, 1, size=7)
        for team, seconds in zip("abcdefg", times, strict=True):
            rows.append({"team": team, "case": f"2D_US_{c}", "runtime_s": seconds})
        rows.append({"team": "twin_of_a", "case": f"2D_US_{c}", "runtime_s": times[0]})
    ranks = analyse([csv(rows)], Settings(metrics=("runtime_s",), bootstrap=300)).bootstrap.ranks
    np.testing.assert_array_equal(ranks[..., 0], ranks[..., 7])


def task(name, n):
    return TaskTable(name, tuple(f"c{i}" for i in range(n)), {}, np.zeros(n, dtype=bool))


def test_draws_hang_on_seed_and_task_and_grow_at_the_end():
    first = np.concatenate(list(random_draws(task("CT", 11), 1500, 3, block=1000)))
    assert (first.sum(axis=1) == 11).all()
    np.testing.assert_array_equal(next(random_draws(task("CT", 11), 1000, 3, block=1000)), first[:1000])
    np.testing.assert_array_equal(np.concatenate(list(random_draws(task("CT", 11), 1500, 3, block=7))), first)
    assert (next(random_draws(task("MR", 11), 1000, 3, block=1000)) != first[:1000]).any()
    assert (next(random_draws(task("CT", 11), 1000, 4, block=1000)) != first[:1000]).any()
    # every case is drawn once a sample on average: 1,500 x 11 draws
    np.testing.assert_allclose(first.mean(axis=0), 1, atol=5 / np.sqrt(1500))


def test_other_tasks_do_not_change_a_tasks_samples(csv, random_rows):
    rows = random_rows(5)
    alone = analyse([csv([r for r in rows if "_US_" in r["case"]], "us.csv")], Settings(bootstrap=50))
    both = analyse([csv(rows)], Settings(bootstrap=50))
    np.testing.assert_array_equal(alone.bootstrap.ranks[:, :3], both.bootstrap.ranks[:, 3:6])


def test_summaries_of_samples_by_hand():
    ranks = np.array([[1, 2], [1, 2], [2, 1], [1, 1]], dtype=np.float32)
    np.testing.assert_allclose(share_won(ranks), [0.75, 0.5])
    assert rank_shares(ranks) == [{1: 0.75, 2: 0.25}, {1: 0.5, 2: 0.5}]
    low, high = rank_interval(ranks, 0.5)
    np.testing.assert_array_equal([low, high], [[1, 1], [1, 2]])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"task": "CT", "b": 0}], "'idx' is missing"),
        ([{"task": "CT", "b": "x", "idx": "0 1"}], "not a file of resamples"),
        ([{"task": "CT", "b": 0, "idx": "0 1"}] * 2, "two rows of the same b"),
        ([{"task": "PET", "b": 0, "idx": "0 1"}], "PET, which is no task"),
        ([{"task": "CT", "b": 0, "idx": "0 1"}, {"task": "US", "b": 0, "idx": "0 0 0"}] + [
            {"task": "CT", "b": 1, "idx": "1 1"}], "US has 1 of 2 samples"),
        ([{"task": "CT", "b": 0, "idx": "0 2"}, {"task": "US", "b": 0, "idx": "0 0 0"}], "not 2 positions from 0 to 1"),
        ([{"task": "CT", "b": 0, "idx": "0"}, {"task": "US", "b": 0, "idx": "0 0 0"}], "not 2 positions"),
        ([{"task": "CT", "b": 0, "idx": "a b"}, {"task": "US", "b": 0, "idx": "0 0 0"}], "no position"),
    ],
)  # fmt: skip
def test_faults_of_resamples(csv, rows, words):
    with pytest.raises(InputError, match=words):
        read_resamples(csv(pd.DataFrame(rows), "r.csv"), [task("CT", 2), task("US", 3)])
    with pytest.raises(InputError, match="no such file"):
        read_resamples("nowhere.csv", [task("CT", 2)])


# --------------------------------------------------------------------------- clusters

#: Patients of the two tasks of `random_rows`: the cases of one lie apart, and are one to four.
PATIENTS = {"CT": list("aabcab"), "US": list("pqqqqrpss")}


def test_clusters_are_drawn_whole_and_as_many_as_there_are():
    counts = np.concatenate(list(cluster_draws(task("US", 9), PATIENTS["US"], 500, 3, block=200)))
    of_patient = {patient: np.flatnonzero(np.array(PATIENTS["US"]) == patient) for patient in "pqrs"}
    for cases in of_patient.values():
        assert (counts[:, cases] == counts[:, cases[:1]]).all()
    drawn = np.stack([counts[:, cases[0]] for cases in of_patient.values()], axis=1)
    assert (drawn.sum(axis=1) == 4).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=5 / np.sqrt(500))
    assert len(np.unique(counts.sum(axis=1))) > 5  # the number of cases differs from sample to sample
    smaller = np.concatenate(list(cluster_draws(task("US", 9), PATIENTS["US"], 500, 3, block=7)))
    np.testing.assert_array_equal(smaller, counts)


def test_clusters_of_one_case_are_the_plain_bootstrap():
    labels = [f"patient {k}" for k in range(11)]
    plain = next(random_draws(task("CT", 11), 50, 3, block=50))
    np.testing.assert_array_equal(next(cluster_draws(task("CT", 11), labels, 50, 3, block=50)), plain)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("scheme", "aggregate", "mode"),
    [
        ("cvpr24", "mean", "distinct"),
        ("aggregate-then-rank", "q25", "distinct"),
        ("rank-then-aggregate", "mean", "challenger"),
        ("rank-then-aggregate", "median", "distinct"),
        ("rank-then-aggregate", "median", "challenger"),
    ],
)
def test_cluster_samples_equal_a_loop(csv, random_rows, scheme, aggregate, mode):
    """Samples of different numbers of cases go the same way through every aggregate."""
    table = analyse([csv(random_rows(3))], Settings(bootstrap=0)).table
    chosen = make_scheme(scheme, aggregate)
    resampling = Resampling(table.tasks, SAMPLES, 4, PATIENTS)
    units = [
        [
            chosen.unit(prepared(part, metric, chosen.missing, {}), metric.smaller_is_better, mode)
            for metric in table.metrics
        ]
        for part in table.tasks
    ]
    full = naive_ranks(table, None, scheme, aggregate, "min", mode, None)
    boot = bootstrap(units, resampling.draws(), np.ones(6), full, "min")
    counts = [np.concatenate(list(blocks)) for blocks in resampling.draws()]
    draws = {
        part.name: [np.repeat(np.arange(len(row)), row) for row in of_task]
        for part, of_task in zip(table.tasks, counts, strict=True)
    }
    for b in range(SAMPLES):
        np.testing.assert_array_equal(boot.ranks[b], naive_ranks(table, draws, scheme, aggregate, "min", mode, b))


# --------------------------------------------------------------------------- draws as a file

TASKS = (task("CT", 6), task("US", 9))


@pytest.mark.parametrize("clusters", [None, PATIENTS])
def test_draws_are_written_and_read_back(tmp_path, clusters):
    resampling = Resampling(TASKS, 40, 9, clusters)
    write_resamples(tmp_path / "resamples.csv", resampling)
    frame = pd.read_csv(tmp_path / "resamples.csv")
    assert list(frame) == ["task", "b", "idx"]
    assert len(frame) == 80
    given = read_resamples(tmp_path / "resamples.csv", TASKS, clusters)
    again = Resampling(TASKS, 40, given=given)
    for ours, theirs in zip(resampling.draws(), again.draws(), strict=True):
        np.testing.assert_array_equal(np.concatenate(list(ours)), np.concatenate(list(theirs)))
    write_resamples(tmp_path / "again.csv", again)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "resamples.csv").read_bytes()


def test_exported_draws_make_the_same_ranking(csv, random_rows, tmp_path):
    rows = random_rows(8)
    drawn = analyse([csv(rows)], Settings(bootstrap=30, seed=6))
    write_resamples(tmp_path / "resamples.csv", Resampling(drawn.table.tasks, 30, 6))
    given = analyse([csv(rows)], Settings(resamples=tmp_path / "resamples.csv"))
    np.testing.assert_array_equal(given.bootstrap.ranks, drawn.bootstrap.ranks)
    np.testing.assert_array_equal(given.bootstrap.tau, drawn.bootstrap.tau)


def test_frames_of_draws_are_small_and_go_on(monkeypatch):
    monkeypatch.setattr("harness.rank.bootstrap._SAMPLES", 16)
    frames = list(resamples_frames(Resampling(TASKS, 40)))
    assert [len(frame) for frame in frames] == [16, 16, 8] * 2
    assert pd.concat(frames)["b"].tolist() == [*range(40), *range(40)]


@pytest.mark.parametrize(
    ("idx", "words"),
    [
        ("0 1 4 2 5", "not 3 whole clusters"),  # two patients only
        ("0 1 4 0 1 4 0 1", "not 3 whole clusters"),  # one of them torn apart
        ("0 1 4 2 5 3 3", "not 3 whole clusters"),  # four
        ("", "not 6 positions"),
        ("0 1 6", "not 6 positions"),
    ],
)
def test_draws_that_are_not_of_whole_clusters(csv, idx, words):
    rows = [{"task": "CT", "b": 0, "idx": idx}]
    with pytest.raises(InputError, match=words):
        read_resamples(csv(rows, "r.csv"), [task("CT", 6)], PATIENTS)


def test_cluster_draws_without_the_clusters_name_the_remedy(tmp_path):
    write_resamples(tmp_path / "r.csv", Resampling(TASKS, 40, 9, PATIENTS))
    with pytest.raises(InputError, match="give --cluster as well"):
        read_resamples(tmp_path / "r.csv", TASKS)
