"""docs/outcomes.md explains every outcome, and its table of hostile submissions is that of docker/hostile."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.protocol import load_protocol
from harness.records import Outcome

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/outcomes.md").read_text()
ROWS: list[dict[str, Any]] = tomllib.loads((ROOT / "docker/hostile/hostile.toml").read_text())["behaviour"]


def hostile_table() -> str:
    """The table of the page's last section, one line for each row of the table file."""
    lines = ["| Behaviour | Outcome | The reason holds | Programs |", "|---|---|---|---|"]
    for title in dict.fromkeys(row["row"] for row in ROWS):
        rows = [row for row in ROWS if row["row"] == title]
        outcomes = dict.fromkeys(f"`{row['outcome']}`" for row in rows)
        reasons = dict.fromkeys(
            f"`{row.get('reason') or row['fault']}`" for row in rows if {"reason", "fault"} & set(row)
        )
        names = [f"`{row['name']}`" for row in rows]
        lines.append(f"| {title} | {', '.join(outcomes)} | {', '.join(reasons)} | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def test_the_hostile_table_is_that_of_the_table_file() -> None:
    table = hostile_table()
    assert PAGE.endswith(table), f"docs/outcomes.md must end with this table:\n{table}"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_is_explained(outcome: Outcome) -> None:
    """Each has a section that says what it means, and what it does not mean or how to mend it."""
    section = PAGE.split(f"\n### {outcome}\n")[1].split("\n## ")[0].split("\n### ")[0]
    assert "*To mend:*" in section or "To mend |" in section
    assert "*It does not mean*" in section or outcome == Outcome.BAD_REFERENCE


def test_the_order_of_outcomes_is_that_of_the_records() -> None:
    listed = [line.split("`")[1] for line in PAGE.splitlines() if line[:1].isdigit() and "`: " in line]
    assert listed == [o for o in Outcome if o != Outcome.BAD_REFERENCE]


def test_the_limits_named_are_the_protocols() -> None:
    limits = load_protocol().limits
    assert limits.memory_bytes == 8 << 30
    assert limits.swap_bytes == 0
    assert "| memory | 8 GiB, no swap |" in PAGE
    assert f"| time | {limits.time_limit_s:.0f} s |" in PAGE
    assert f"| disk | {limits.disk_bytes >> 30} GiB and {limits.disk_inodes:,} files |" in PAGE
    assert f"| processes | {limits.pids} |" in PAGE
    assert not limits.network
