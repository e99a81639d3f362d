"""What submissions tell of themselves: labels of their images, and the phases line in their logs."""

from __future__ import annotations

import io
import json
import math
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.labels import LONGEST_NAME, LONGEST_VALUE, MOST_LABELS, are_random, told_labels
from harness.ledger import open_ledger
from harness.phases import PHASES, ROUNDING_S, ToldPhases, read_phases
from harness.records import Submission
from harness.run.tarballs import describe_tarball
from harness.submissions import SubmissionSpec
from tests.run.run_kit import entry, image_config, manifest, member

CASE = "2DBox_US_0525"
LINE = (
    f"phases {CASE} import 0.512 load 0.210 read 0.012 encode 9.310 decode 1.201 other 0.080 write 0.009 "
    "slices 28 masks 129"
)
TOLD = ToldPhases(0.512, 0.210, 0.012, 9.310, 1.201, 0.080, 0.009, 28, 129)


class TestLabels:
    def test_only_those_of_the_harness_are_kept_known_ones_first(self):
        labels = {
            "maintainer": "someone",
            "cvpr24.also": "y",
            "cvpr24.mode": "published",
            "cvpr24x": "no",
            "cvpr24.weights": "random, seed 2024",
        }
        told = {"cvpr24.weights": "random, seed 2024", "cvpr24.mode": "published", "cvpr24.also": "y"}
        assert list(told_labels(labels).items()) == list(told.items())
        assert are_random(told)
        assert not are_random({"cvpr24.weights": "lite_medsam.pth"})
        assert not are_random({})

    @pytest.mark.parametrize("labels", [None, 3, ["cvpr24.mode"], {"cvpr24.mode": 5, 7: "x"}, {}])
    def test_what_is_no_label_tells_nothing(self, labels):
        assert told_labels(labels) == {}

    @given(st.dictionaries(st.text().map("cvpr24.".__add__), st.text(max_size=500), max_size=40))
    def test_they_are_few_short_and_printable_and_stay_as_they_are(self, labels):
        told = told_labels(labels)
        assert len(told) <= MOST_LABELS
        for name, value in told.items():
            assert len(name) <= LONGEST_NAME
            assert len(value) <= LONGEST_VALUE
            assert name.isprintable()
            assert value.isprintable()
        assert told_labels(told) == told

    def test_a_tarballs_labels_reach_ledger_and_records(self, tmp_path: Path):
        """Without them, as in an old ledger, nothing is told."""
        config = image_config(config={"Labels": {"cvpr24.weights": "random, seed 2024\x1b[31m", "other": "x" * 9999}})
        with tarfile.open(tmp_path / "team.tar", "w") as tar:
            for info, data in (
                member("manifest.json", manifest(entry())),
                member("config.json", json.dumps(config).encode()),
            ):
                tar.addfile(info, io.BytesIO(data))
        found = describe_tarball(SubmissionSpec("team", "tarball", str(tmp_path / "team.tar")))
        told = {"cvpr24.weights": "random, seed 2024\N{REPLACEMENT CHARACTER}[31m"}
        assert found.labels == told
        with open_ledger(tmp_path / "ledger.sqlite") as ledger:
            ledger.register_submission(found)
            ledger.register_submission(Submission("old", "old:latest", "sha256:0", "i", 1))
            assert [submission.labels for submission in ledger.submissions()] == [{}, told]


class TestPhases:
    def test_the_documented_line(self):
        told = read_phases(f"hello\n{LINE}\nbye\n", CASE, 12.0)
        assert (told.phases, told.reason) == (TOLD, "")
        assert told.phases.total_s == pytest.approx(11.334)

    @pytest.mark.parametrize(
        "log",
        [
            "",
            "no such line\n",
            LINE.replace(CASE, "2DBox_US_0526"),
            LINE.replace(CASE, f"{CASE}x"),
            f"see {LINE}",
            LINE.replace("phases ", "Phases "),
        ],
    )
    def test_no_line_of_this_case_tells_nothing_and_complains_of_nothing(self, log):
        told = read_phases(log, CASE, 12.0)
        assert (told.phases, told.reason) == (None, "")

    def test_of_several_lines_the_last_of_this_case_counts(self):
        earlier = LINE.replace("encode 9.310", "encode 1.000")
        other = LINE.replace(CASE, "3DBox_CT_0001").replace("encode 9.310", "encode 2.000")
        assert read_phases(f"{earlier}\n{LINE}\n{other}\n", CASE, 12.0).phases == TOLD
        assert read_phases(f"{LINE}\n{earlier}\n{other}\n", CASE, 12.0).phases.encode_s == 1.0
        assert read_phases(f"{LINE}\nphases {CASE} nonsense\n", CASE, 12.0).reason == "'nonsense' has no value"

    def test_blanks_order_and_left_out_counts_are_free(self):
        words = LINE.split()
        pairs = [words[i : i + 2] for i in range(2, len(words), 2)]
        turned = "  phases\t" + CASE + "   " + "  ".join(" ".join(pair) for pair in reversed(pairs)) + " \r"
        assert read_phases(turned, CASE, 12.0).phases == TOLD
        assert read_phases(LINE.partition(" slices")[0], CASE, 12.0).phases == ToldPhases(*TOLD.seconds)

    def test_a_case_with_blanks_in_its_name(self):
        log = LINE.replace(CASE, "2D US 1")
        assert read_phases(log, "2D US 1", 12.0).phases == TOLD
        assert read_phases(log, "2D", 12.0).phases is None

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("load 0.210", "load -0.210", "load '-0.210' is no plain number of seconds"),
            ("load 0.210", "load nan", "load 'nan' is no plain number"),
            ("load 0.210", "load inf", "load 'inf' is no plain number"),
            ("load 0.210", "load 1e3", "load '1e3' is no plain number"),
            ("load 0.210", "load ٣", "is no plain number"),
            ("load 0.210", "load 0.2 load 0.3", "'load' is there twice"),
            ("load 0.210 ", "", "'load' is missing"),
            ("load 0.210", "sleep 0.210", "'sleep' is no phase"),
            ("slices 28", "slices 2.5", "slices '2.5' is no whole number"),
            ("slices 28", "slices -1", "slices '-1' is no whole number"),
            (" masks 129", " masks", "'masks' has no value"),
        ],
    )
    def test_nonsense_is_ignored_with_a_reason(self, old, new, reason):
        told = read_phases(LINE.replace(old, new), CASE, 12.0)
        assert told.phases is None
        assert reason in told.reason

    def test_phases_longer_than_the_attempt_are_ignored(self):
        assert read_phases(LINE, CASE, 11.334 - ROUNDING_S / 2).phases == TOLD
        told = read_phases(LINE, CASE, 11.3)
        assert told.phases is None
        assert told.reason == "its phases add up to 11.334 s, more than the 11.300 s measured"
        assert read_phases(LINE, CASE, None).phases == TOLD

    @given(st.lists(st.integers(0, 10**7), min_size=7, max_size=7), st.integers(0, 10**6), st.text(max_size=300))
    def test_whatever_lies_around_a_sound_line_it_is_read(self, thousandths, count, noise):
        values = [value / 1000 for value in thousandths]
        words = " ".join(f"{name} {value:.3f}" for name, value in zip(PHASES, values, strict=True))
        log = f"{noise}\nphases {CASE} {words} slices {count}\n{noise}"
        told = read_phases(log, CASE, math.fsum(values))
        assert told.phases == ToldPhases(*values, slices=count)

    @given(st.text(), st.one_of(st.none(), st.floats(0, 1e6)))
    def test_no_text_breaks_the_reader_and_what_it_takes_is_sound(self, text, wall_s):
        told = read_phases(f"phases {CASE} {text}", CASE, wall_s)
        assert (told.phases is None) == bool(told.reason)
        if told.phases is not None:
            assert all(0 <= value < math.inf for value in told.phases.seconds)
