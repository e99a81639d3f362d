"""In which order attempts are made."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Order = Literal["interleaved", "team"]


@dataclass(frozen=True)
class Planned:
    """One attempt to be made: whose, on which case, which time."""

    team: str
    case: str
    repeat: int


def make_plan(teams: Sequence[str], cases: Sequence[str], repeats: int, order: Order, seed: int) -> list[Planned]:
    """All attempts in order.

    interleaved: all teams on one case, in an order drawn anew for each case, then the next case; so a
    machine's drift falls on all teams alike.  team: team after team, as the official run did.  Repeats
    are whole rounds in both.
    """
    rng = random.Random(seed)
    plan = []
    for repeat in range(1, repeats + 1):
        if order == "team":
            plan += [Planned(team, case, repeat) for team in teams for case in cases]
            continue
        for case in cases:
            shuffled = list(teams)
            rng.shuffle(shuffled)
            plan += [Planned(team, case, repeat) for team in shuffled]
    return plan
