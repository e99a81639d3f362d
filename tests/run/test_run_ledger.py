"""The ledger: durable, resumable, never answering from what has changed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import LedgerError
from harness.ledger import AttemptKey, open_ledger
from harness.records import Outcome, Score
from tests.run.run_kit import PYTHON, ROOT, attempt, case, key, submission


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    with open_ledger(path) as opened:
        opened.register_submission(submission())
        opened.register_cases([case()])
        opened.set_meta("settings", "s")
        yield opened


def tries(path: Path) -> list[tuple]:
    with sqlite3.connect(path) as db:
        return db.execute("SELECT team, case_name, repeat, outcome, tries FROM attempts ORDER BY 1, 2, 3").fetchall()


class TestRecords:
    def test_what_goes_in_comes_out_after_reopening(self, ledger, path):
        made = attempt(reason="exit_code=1; ä", repeat=1)
        ledger.add_attempt(key(), made, "host")
        ledger.add_score("p", "r", "1", Score({"dsc": 0.5, "nsd": float("nan")}, Outcome.OK, "note"))
        with open_ledger(path) as again:
            assert again.attempts("s") == again.attempts() == [made]
            assert again.submissions() == [submission()]
            assert again.cases() == [case()]
            found = again.score("p", "r", "1")
            assert found.values["dsc"] == 0.5
            assert found.values["nsd"] != found.values["nsd"]
            assert (found.outcome, found.reason) == (Outcome.OK, "note")
            assert again.settled() == {key().digest()}

    def test_a_score_is_keyed_by_both_files_and_the_scorer(self, ledger):
        ledger.add_score("p", "r", "1", Score({"dsc": 1.0}, Outcome.OK))
        assert ledger.score("p", "r", "2") is ledger.score("p", "x", "1") is ledger.score("x", "r", "1") is None

    def test_attempts_come_in_order(self, ledger):
        for team in ("b", "a"):
            ledger.register_submission(submission(team))
        ledger.register_cases([case("2DBox_US_0002"), case("2DBox_US_0001")])
        for team, name, repeat in [("b", 1, 1), ("a", 2, 1), ("a", 1, 2), ("a", 1, 1)]:
            full = f"2DBox_US_000{name}"
            ledger.add_attempt(key(team, full, repeat=repeat), attempt(team, full, repeat=repeat), "h")
        found = [(a.team, a.case[-1], a.repeat) for a in ledger.attempts()]
        assert found == [("a", "1", 1), ("a", "1", 2), ("a", "2", 1), ("b", "1", 1)]


class TestSettling:
    @pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.HARNESS_FAULT])
    def test_a_settled_attempt_cannot_be_replaced(self, ledger, outcome):
        ledger.add_attempt(key(), attempt(outcome=outcome), "h")
        for again in (Outcome.OK, Outcome.HARNESS_FAULT):
            with pytest.raises(LedgerError, match=rf"alpha on 2DBox_US_0001 has a result already \({outcome}\)"):
                ledger.add_attempt(key(), attempt(outcome=again), "h")
        assert [a.outcome for a in ledger.attempts()] == [outcome]

    def test_a_fault_is_tried_again_and_counted(self, ledger, path):
        for _ in range(2):
            ledger.add_attempt(key(), attempt(outcome=Outcome.HARNESS_FAULT), "h")
            assert ledger.settled() == set()
        ledger.add_attempt(key(), attempt(), "h")
        assert ledger.settled() == {key().digest()}
        assert tries(path) == [("alpha", "2DBox_US_0001", 1, "ok", 3)]
        assert [a.outcome for a in ledger.attempts()] == [Outcome.OK]


class TestCurrency:
    """A changed image, case or limit is never answered from an old result."""

    def test_every_part_of_the_key_counts(self):
        base = key()
        changes = {"team": "x", "case": "x", "repeat": 2, "identity": "x", "case_digest": "x"}
        changes |= {"settings": "x", "host_class": "x"}
        assert changes.keys() == AttemptKey.__dataclass_fields__.keys()
        digests = {replace(base, **{name: value}).digest() for name, value in changes.items()}
        assert len(digests | {base.digest()}) == len(changes) + 1

    def test_a_changed_image(self, ledger):
        ledger.add_attempt(key(), attempt(), "h")
        ledger.register_submission(submission(identity="new"))
        assert ledger.attempts() == []
        assert ledger.outdated() == 1
        ledger.register_submission(submission())
        assert len(ledger.attempts()) == 1

    def test_a_changed_case(self, ledger):
        ledger.add_attempt(key(), attempt(), "h")
        ledger.register_cases([case(digest="d" * 64)])
        assert ledger.attempts() == []

    def test_changed_settings(self, ledger):
        ledger.add_attempt(key(), attempt(), "h")
        assert ledger.attempts("other") == []
        ledger.set_meta("settings", "other")
        assert ledger.attempts() == []
        assert len(ledger.attempts("s")) == 1

    def test_another_host_never_doubles_an_attempt(self, ledger):
        """A folder taken to another computer is run anew there: a table must not hold both timings."""
        ledger.add_attempt(key(), attempt(started="first"), "old")
        ledger.add_attempt(key(host_class="other"), attempt(started="second"), "new")
        assert [a.started for a in ledger.attempts()] == ["second"]
        assert ledger.outdated() == 1

    def test_timings_of_two_hosts_are_never_mixed(self, ledger):
        ledger.register_cases([case("2DBox_US_0002")])
        ledger.add_attempt(key(), attempt(), "old")
        ledger.add_attempt(key(name="2DBox_US_0002", host_class="other"), attempt(name="2DBox_US_0002"), "new")
        assert [a.case for a in ledger.attempts()] == ["2DBox_US_0002"]

    def test_facts_of_files_hold_until_the_file_changes(self, ledger, tmp_path):
        file = tmp_path / "x.npz"
        file.write_bytes(b"1234")
        assert ledger.file_facts(file, "case") is None
        ledger.keep_file_facts(file, "case", {"digest": "a"}, file.stat())
        assert ledger.file_facts(file, "case") == {"digest": "a"}
        assert ledger.file_facts(file, "reference") is None
        file.write_bytes(b"12345")
        assert ledger.file_facts(file, "case") is None

    def test_a_file_changed_under_its_old_date_and_size_is_noticed(self, ledger, tmp_path):
        """As ``cp -p`` or ``rsync -t`` may leave it."""
        file = tmp_path / "x.npz"
        file.write_bytes(b"1234")
        before = file.stat()
        ledger.keep_file_facts(file, "case", {"digest": "a"}, file.stat())
        time.sleep(0.02)
        file.write_bytes(b"4321")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert ledger.file_facts(file, "case") is None

    def test_the_same_words_from_another_folder_are_another_file(self, ledger, tmp_path, monkeypatch):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x.npz").write_bytes(name.encode())
            os.utime(tmp_path / name / "x.npz", ns=(1, 1))
        monkeypatch.chdir(tmp_path / "a")
        ledger.keep_file_facts(Path("x.npz"), "case", {"digest": "a"}, Path("x.npz").stat())
        monkeypatch.chdir(tmp_path / "b")
        assert ledger.file_facts(Path("x.npz"), "case") is None


WRITER = """
import sys
from pathlib import Path
from tests.run.run_kit import attempt, key
from harness.ledger import open_ledger
with open_ledger(Path(sys.argv[1])) as ledger:
    for number in range(10_000):
        name = f"2DBox_US_{number:05}"
        ledger.add_attempt(key(name=name), attempt(name=name, reason="x" * 3000), "h")
        print(number, flush=True)
"""


class TestKilling:
    def test_a_killed_writer_loses_at_most_the_attempt_under_way(self, tmp_path):
        """Killed with SIGKILL at random moments; what it had told of must be there, once, in order."""
        rng = random.Random(3)
        environment = os.environ | {"PYTHONPATH": f"{ROOT}"}
        for number in range(5):
            path = tmp_path / f"{number}.sqlite"
            command = [PYTHON, "-c", WRITER, path]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
                child.stdout.readline()
                time.sleep(rng.uniform(0.0, 0.2))
                child.send_signal(signal.SIGKILL)
                told = 1 + len(child.stdout.read().splitlines())
            with open_ledger(path) as ledger:
                settled = len(ledger.settled())
            rows = tries(path)
            assert told <= settled <= told + 1
            assert [row[1] for row in rows] == [f"2DBox_US_{n:05}" for n in range(settled)]
            assert all(row[4] == 1 for row in rows)

    def test_a_power_cut_within_a_transaction_loses_that_one_alone(self, ledger, path, tmp_path):
        """The files as they are on disk while a second transaction is open hold the first one."""
        ledger.add_attempt(key(), attempt(), "h")
        ledger._db.execute("BEGIN")
        ledger._db.execute("DELETE FROM attempts")
        for file in path.parent.glob("ledger.sqlite*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, tmp_path / f"copy{file.name.removeprefix('ledger')}")
        ledger._db.rollback()
        with open_ledger(tmp_path / "copy.sqlite") as copy:
            assert len(copy.attempts("s")) == 1

    def test_writes_are_durable(self, ledger):
        assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)


class TestDamage:
    def test_what_is_no_ledger(self, path):
        path.write_bytes(b"hello, this is some text " * 100)
        with pytest.raises(LedgerError, match=r"ledger\.sqlite.*move it away"), open_ledger(path):
            pass

    def test_another_version(self, path):
        with open_ledger(path) as ledger:
            ledger.set_meta("version", "99")
        with pytest.raises(LedgerError, match=r"version 99.*new --out folder"), open_ledger(path):
            pass

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(LedgerError, match="gone"), open_ledger(tmp_path / "gone" / "ledger.sqlite"):
            pass

    def test_damaged_pages_are_an_error_not_a_traceback(self, path):
        with open_ledger(path) as ledger:
            ledger.register_submission(submission())
            for number in range(200):
                name = f"2DBox_US_{number:04}"
                ledger.register_cases([case(name)])
                ledger.add_attempt(key(name=name), attempt(name=name, reason="x" * 500), "h")
            ledger.set_meta("settings", "s")
        data = bytearray(path.read_bytes())
        for start in range(4096 * 2, len(data), 4096):
            data[start : start + 64] = b"\xff" * 64
        path.write_bytes(data)

        def read_all():
            with open_ledger(path) as ledger:
                ledger.meta("settings")
                ledger.settled()
                ledger.cases()
                ledger.submissions()
                ledger.score("p", "r", "1")
                ledger.file_facts(path, "case")
                ledger.attempts("s")
                ledger.outdated()

        with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
            read_all()

    def test_a_second_writer_waits_then_says_so(self, ledger, path, monkeypatch):
        with open_ledger(path) as other:
            other._db.execute("PRAGMA busy_timeout=50")
            ledger._db.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError, match="another process"):
                other.add_attempt(key(), attempt(), "h")
            ledger._db.rollback()
            other.add_attempt(key(), attempt(), "h")
