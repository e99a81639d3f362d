"""The order in which attempts are made."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.run.plan import Planned, make_plan

TEAMS = ["c", "a", "b"]
CASES = [f"case{number}" for number in range(40)]


def test_interleaved_runs_all_teams_on_a_case_before_the_next_case():
    plan = make_plan(TEAMS, CASES, 2, "interleaved", seed=7)
    blocks = [plan[start : start + 3] for start in range(0, len(plan), 3)]
    assert [(block[0].case, block[0].repeat) for block in blocks] == [(c, r) for r in (1, 2) for c in CASES]
    for block in blocks:
        assert {item.team for item in block} == set(TEAMS)
        assert len({(item.case, item.repeat) for item in block}) == 1


def test_the_order_of_teams_is_drawn_anew_for_each_case_by_the_seed():
    plan = make_plan(TEAMS, CASES, 1, "interleaved", seed=7)
    orders = {tuple(item.team for item in plan[start : start + 3]) for start in range(0, len(plan), 3)}
    assert len(orders) == 6  # forty cases: each of the six orders comes up
    first = [plan[start].team for start in range(0, len(plan), 3)]
    assert all(first.count(team) >= 5 for team in TEAMS)  # none is always first
    assert plan == make_plan(TEAMS, CASES, 1, "interleaved", seed=7)
    assert plan != make_plan(TEAMS, CASES, 1, "interleaved", seed=8)


def test_by_team_runs_one_team_after_another_as_named():
    plan = make_plan(TEAMS, ["x", "y"], 2, "team", seed=7)
    one = [Planned(team, case, 1) for team in TEAMS for case in ("x", "y")]
    assert plan == one + [Planned(item.team, item.case, 2) for item in one]


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=3), unique=True, max_size=4),
    st.lists(st.text(max_size=3), unique=True, max_size=5),
    st.integers(1, 3),
    st.sampled_from(["interleaved", "team"]),
    st.integers(),
)
def test_every_attempt_is_planned_exactly_once(teams, cases, repeats, order, seed):
    plan = make_plan(teams, cases, repeats, order, seed)
    wanted = {Planned(t, c, r) for t in teams for c in cases for r in range(1, repeats + 1)}
    assert set(plan) == wanted
    assert len(plan) == len(wanted)
