"""How quiet the host was: the rule declared beforehand, from made-up readings; and the progress of a run."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from harness.cli import progress
from harness.cli.progress import Bar, RunProgress
from harness.records import Outcome
from harness.run.host import HostReading, certificate, host_class, host_facts, read_host
from harness.run.plan import Planned
from tests.run.run_kit import attempt

QUIET = HostReading(busy_s=100.0, steal_s=1.0, swapped=0, load=0.1, pressure=0.0)


class TestCertificate:
    def after(self, **more):
        return replace(QUIET, busy_s=104.0, **more)

    def test_a_quiet_host(self):
        found = certificate(QUIET, self.after(), wall_s=10.0, cpu_s=3.5)
        assert (found["noisy"], found["foreign_cpu_s"], found["steal_s"], found["swapped_bytes"]) == (False, 0.5, 0, 0)

    @pytest.mark.parametrize(
        ("after", "cpu_s", "noisy"),
        [
            ({"busy_s": 106.5}, 3.5, False),  # 3 s of others: just 1 s + 20 % of 10 s
            ({"busy_s": 106.6}, 3.5, True),
            ({"steal_s": 1.5}, 4.0, False),
            ({"steal_s": 1.51}, 4.0, True),
            ({"swapped": 4096}, 4.0, True),
            ({"swapped": 4096}, None, True),
            ({}, None, None),  # nothing speaks against it, but nobody knows
            ({"busy_s": 100.0}, 4.0, False),  # counters are coarse: never below zero
        ],
    )
    def test_the_rule(self, after, cpu_s, noisy):
        found = certificate(QUIET, replace(self.after(), **after), wall_s=10.0, cpu_s=cpu_s)
        assert found["noisy"] is noisy
        assert cpu_s is None or found["foreign_cpu_s"] >= 0


def test_a_reading_of_this_host():
    first, second = read_host(), read_host()
    assert second.busy_s >= first.busy_s > 0
    assert first.pressure is None or 0 <= first.pressure <= 1


def test_the_class_of_this_host_does_not_change():
    assert host_class() == host_class()
    assert host_facts()["cpus"] >= 1


class TestProgress:
    @pytest.fixture
    def said(self, monkeypatch):
        """A bar where there is no terminal, and what it says."""
        monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.0)
        text = io.StringIO()
        with Bar(Console(file=text, width=200, soft_wrap=True), "run") as bar:
            yield RunProgress(bar), text

    def test_plain_lines_tell_how_far_it_is(self, said):
        run, text = said
        run.planned(4, 2)
        for name in ("2DBox_US_0001", "2DBox_US_0002"):
            run.began(Planned("alpha", name, 1))
            run.ended(attempt("alpha", name))
        lines = text.getvalue().splitlines()
        assert lines[0] == "2 of 4 attempts have their result already"
        assert lines[1].startswith("run 1/2, 0 s elapsed, about 0 s left; alpha on 2DBox_US_0001: ok")
        assert lines[2].startswith("run 2/2")

    def test_each_failure_is_told_with_its_reason_as_it_is(self, said):
        run, text = said
        run.planned(1, 1)
        run.ended(attempt("alpha", "x", Outcome.CRASH, reason="exit code 1; [red]no markup[/red]"))
        assert "alpha on x: crash (exit code 1; [red]no markup[/red])" in text.getvalue()
