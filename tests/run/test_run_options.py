"""Options shared by the commands that run containers: what they mean, and that nonsense ends in exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import warnings
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import options
from harness.cli.main import main, run_command
from harness.cli.options import add_run_options, count, cpuset, out_folder, run_settings, seconds, size
from harness.errors import UsageError
from harness.protocol import load_protocol
from tests.run.run_kit import labels, write_case

CPUS = os.cpu_count()


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    return parser.parse_args(words)


class TestTypes:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("8g", 8 << 30),
            ("8G", 8 << 30),
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("64k", 64 << 10),
            ("1t", 1 << 40),
            ("100", 100),
            ("100b", 100),
            ("8GiB", 8 << 30),
            (" 8 GB ", 8 << 30),
            ("8gb", 8 << 30),
        ],
    )
    def test_sizes(self, text, value):
        assert size(text) == value

    @pytest.mark.parametrize("text", ["", "g", "-1g", "0", "0g", "8x", "8gg", "1e3", "8 g b", "nan", "0.1", "9" * 400])
    def test_no_sizes(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="no size; write it as 8g or 512m"):
            size(text)

    @settings(deadline=None)
    @given(st.text(max_size=12))
    def test_any_text_is_a_positive_size_or_an_error(self, text):
        with contextlib.suppress(argparse.ArgumentTypeError):
            assert size(text) >= 1

    def test_seconds(self):
        assert seconds("0.5") == 0.5
        for text in ("0", "-1", "nan", "inf", "x", "", "1e12"):
            with pytest.raises(argparse.ArgumentTypeError):
                seconds(text)

    def test_counts(self):
        assert count("3") == 3
        for text in ("0", "-1", "1.5", "x", "", "9" * 5000):
            with pytest.raises((argparse.ArgumentTypeError, ValueError)):
                count(text)

    def test_cpusets(self, monkeypatch):
        monkeypatch.setattr(options.os, "cpu_count", lambda: 8)
        for text in ("0", "0-3", "0-3,6", "7", "1,1"):
            assert cpuset(text) == text
        for text in ("", "x", "3-1", "0-", "-1", "0,,1", "0-3;6", "8", "0-8", "0-999999999999"):
            with pytest.raises(argparse.ArgumentTypeError):
                cpuset(text)


class TestSettings:
    def test_defaults_are_the_protocols(self):
        found = run_settings(parse())
        assert found.limits == load_protocol().limits
        assert (found.conditions, found.order, found.seed, found.repeats) == ("strict", "interleaved", 0, 1)
        assert found.strict_exit is False

    def test_every_limit_can_be_given(self):
        words = ["--memory", "2g", "--time-limit", "60", "--cpuset", "0", "--pids", "64", "--disk", "1g"]
        limits = run_settings(parse(*words)).limits
        assert (limits.memory_bytes, limits.time_limit_s, limits.cpuset) == (2 << 30, 60.0, "0")
        assert (limits.pids, limits.disk_bytes) == (64, 1 << 30)

    def test_every_limit_changes_the_digest_and_order_does_not(self):
        plain = run_settings(parse()).digest()
        same = [["--seed", "4"], ["--order", "team"], ["--repeats", "3"], ["--runtime", "run_s"]]
        other = [["--memory", "2g"], ["--time-limit", "60"], ["--cpuset", "0"], ["--pids", "64"], ["--disk", "1g"]]
        other += [["--conditions", "official"], ["--strict-exit"]]
        assert {run_settings(parse(*words)).digest() for words in same} == {plain}
        assert len({run_settings(parse(*words)).digest() for words in other} | {plain}) == len(other) + 1

    def test_only_what_reaches_the_container_makes_it_run_again(self):
        """A protocol that scores or ranks otherwise has its attempts already."""
        found = run_settings(parse())
        protocol = found.protocol
        scored = replace(protocol, scoring=replace(protocol.scoring, tolerance_mm=1.0), digest="another")
        assert replace(found, protocol=scored).digest() == found.digest()
        assert replace(found, protocol=replace(protocol, inputs="/in")).digest() != found.digest()

    def test_official_conditions_run_team_by_team(self):
        assert run_settings(parse("--conditions", "official")).order == "team"
        with pytest.raises(UsageError, match="leave --order out"):
            run_settings(parse("--conditions", "official", "--order", "interleaved"))

    def test_memory_without_its_unit(self):
        with pytest.raises(UsageError, match="Write the unit: 8g"):
            run_settings(parse("--memory", "8"))

    def test_an_unknown_protocol(self):
        with pytest.raises(UsageError, match=r"no protocol named 'x'\. Known: cvpr24"):
            run_settings(parse("--protocol", "x"))


class TestOutFolder:
    def test_it_is_made(self, tmp_path):
        assert out_folder(str(tmp_path / "a" / "b")).is_dir()

    def test_a_file_in_the_way(self, tmp_path):
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(UsageError, match="Give another --out folder"):
                out_folder(str(path))


@pytest.fixture
def no_engine(monkeypatch):
    """An address where no container engine answers."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    yield
    with warnings.catch_warnings():  # the docker package leaves a failed connection's socket to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "image"],
        ["run", "image", "--cases", "c"],
        ["run", "image", "--cases", "c", "--out", "o", "--memory", "much"],
        ["run", "image", "--cases", "c", "--out", "o", "--repeats", "0"],
        ["run", "image", "--cases", "c", "--out", "o", "--order", "random"],
        ["run", "image", "--cases", "c", "--out", "o", "--cpuset", "99999"],
        ["run", "image", "--cases", "c", "--out", "o", "--memory", "8"],
        ["run", "image", "--cases", "c", "--out", "o", "--protocol", "none"],
        ["run", "image", "--cases", "missing", "--out", "o"],
        ["run", "a=x", "a=y", "--cases", "c", "--out", "o"],
        ["run", "", "--cases", "c", "--out", "o"],
        ["run", "./missing", "--cases", "c", "--out", "o"],
        ["evaluate", "image", "--cases", "c", "--gts", "missing", "--out", "o"],
        ["evaluate", "--cases", "c", "--gts", "c", "--out", "o"],
        ["evaluate", "image", "--score-only", "--cases", "c", "--gts", "c", "--out", "o"],
        ["evaluate", "--score-only", "--cases", "c", "--gts", "c", "--out", "o"],
        ["evaluate", "image", "--cases", "c", "--gts", "c", "--out", "o", "--workers", "0"],
        ["evaluate", "image", "--cases", "c", "--gts", "c", "--out", "o", "--bootstrap", "-1"],
        ["evaluate", "image", "--cases", "c", "--gts", "c", "--out", "o", "--seed", "-1"],
        ["check"],
        ["check", "image", "--cases", "c", "--gts", "c", "--json", "missing/x.json"],
        ["check", "image", "--cases", "c", "--gts", "c", "--junit", "c"],
        ["check", "image", "--cases", "c", "--gts", "c", "--against", "missing.csv"],
        ["check", "image", "--cases", "c"],
        ["check", "image", "--cases", "c", "--gts", "c", "--out", "file"],
        ["check", "image"],
        ["unknown"],
        [],
    ],
    ids=" ".join,
)
def test_nonsense_ends_in_exit_code_2_without_a_traceback(words, tmp_path, monkeypatch, capfd, no_engine):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").mkdir()
    write_case(tmp_path / "c", "2DBox_US_0001", gts=labels("2D"))
    (tmp_path / "file").touch()
    try:
        code = main(words)
    except SystemExit as left:
        code = left.code
    said = capfd.readouterr()
    assert code == 2, said.err
    assert "Traceback" not in said.err


def test_no_engine_is_a_fault_of_the_host_with_advice(tmp_path, capfd, cases, no_engine):
    code = run_command("run", ["image", "--cases", str(cases[0]), "--out", str(tmp_path / "o")])
    said = capfd.readouterr().err
    assert code == 3
    assert "no container engine answers at unix:///nowhere/docker.sock" in said
    assert "make setup" in said


@pytest.mark.parametrize("name", ["run", "evaluate", "check", "doctor"])
def test_help_teaches_by_examples(name, capsys):
    with pytest.raises(SystemExit) as left:
        run_command(name, ["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert "exit codes:" in said
