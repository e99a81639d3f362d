"""Submissions as named on the command line, image identity, and reading tarballs without loading them."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SubmissionError, UsageError
from harness.run.tarballs import read_tarball
from harness.submissions import image_identity, parse_submission, parse_submissions
from tests.run.run_kit import entry, image_config, image_tarball, manifest, member, write_tar


def folder(place: Path) -> Path:
    place.mkdir(parents=True)
    (place / "Dockerfile").write_text("FROM scratch\n")
    return place


class TestTeams:
    """Every rule by which a team gets its name (the protocol's, and the named ones)."""

    @pytest.mark.parametrize(
        ("name", "team"),
        [
            ("hawken.tar.gz", "hawken"),
            ("Hawken.v2.tar.gz", "hawken"),
            ("a.tar", "a"),
            ("team_1.tgz", "team_1"),
            ("noending", "noending"),
        ],
    )
    def test_a_tarball_gives_its_name_up_to_the_first_dot_lower_cased(self, tmp_path, name, team):
        (tmp_path / name).write_bytes(b"x")
        found = parse_submission(str(tmp_path / name))
        assert (found.team, found.kind, found.source) == (team, "tarball", str(tmp_path / name))

    @pytest.mark.parametrize(
        ("tag", "team"),
        [
            ("litemedsam", "litemedsam"),
            ("litemedsam:latest", "litemedsam"),
            ("registry.org/group/sub/Seno:1.2", "seno"),
            ("localhost:5000/seno", "seno"),
            ("localhost:5000/seno:v1", "seno"),
            ("seno@sha256:" + "0" * 64, "seno"),
            ("registry:5000/x/seno:v1@sha256:" + "0" * 64, "seno"),
        ],
    )
    def test_a_tag_gives_the_last_part_of_its_repository(self, tag, team):
        found = parse_submission(tag)
        assert (found.team, found.kind, found.source) == (team, "tag", tag)

    def test_a_folder_gives_its_own_name(self, tmp_path, monkeypatch):
        place = folder(tmp_path / "BoxFill")
        assert parse_submission(f"{place}/").team == "boxfill"
        monkeypatch.chdir(place)
        found = parse_submission(".")
        assert (found.team, found.kind) == ("boxfill", "folder")

    def test_a_named_team_goes_before_all_defaults(self, tmp_path):
        (tmp_path / "x.tar.gz").write_bytes(b"x")
        for source in ("image:v1", str(tmp_path / "x.tar.gz"), str(folder(tmp_path / "y"))):
            found = parse_submission(f"Mine={source}")
            assert (found.team, found.source) == ("mine", source)

    def test_an_equals_sign_in_a_path_names_no_team(self, tmp_path):
        place = tmp_path / "lr=0.1"
        place.mkdir()
        (place / "team.tar").write_bytes(b"x")
        found = parse_submission(f"{place}/team.tar")
        assert (found.team, found.source) == ("team", f"{place}/team.tar")

    def test_two_of_one_team_are_refused_with_a_way_out(self):
        with pytest.raises(UsageError, match=r"a/x:1 and b/x:2 are both team 'x'.*x2=b/x:2"):
            parse_submissions(["a/x:1", "b/x:2"])
        with pytest.raises(UsageError, match="both team 'x'"):
            parse_submissions(["X=a", "x=b"])
        assert [spec.team for spec in parse_submissions(["a/x:1", "y=b/x:2"])] == ["x", "y"]

    def test_one_letter_is_a_name(self):
        assert parse_submission("a=image").team == "a"

    @settings(deadline=None)
    @given(st.text(max_size=20), st.sampled_from(["image", "image:v1", "x/y", ""]))
    def test_whatever_is_typed_is_a_submission_or_a_usage_error(self, team, source):
        try:
            found = parse_submission(f"{team}={source}")
        except UsageError:
            return
        assert found.team == found.team.lower()
        assert found.source


class TestErrors:
    def test_a_folder_without_a_dockerfile(self, tmp_path):
        with pytest.raises(UsageError, match="no Dockerfile"):
            parse_submission(str(tmp_path))

    @pytest.mark.parametrize(
        "name", ["./missing", "/missing", "missing.tar", "missing.tar.gz", "missing.tgz", "missing.tar.xz", "~/missing"]
    )
    def test_a_path_that_is_not_there(self, name):
        with pytest.raises(UsageError, match="no such file or folder"):
            parse_submission(name)

    @pytest.mark.parametrize("text", ["", "team=", "=", "  "])
    def test_nothing_is_not_the_current_folder(self, text, tmp_path, monkeypatch):
        """A shell variable that was never set must not build whatever lies in the current folder."""
        monkeypatch.chdir(folder(tmp_path / "here"))
        with pytest.raises(UsageError, match="names no submission"):
            parse_submission(text)

    @pytest.mark.parametrize("team", ["-x", ".x", "a b", "ä", "a\n"])
    def test_a_name_that_is_no_team_name(self, team):
        with pytest.raises(UsageError):
            parse_submission(f"{team}=image")

    @pytest.mark.parametrize("team", ["predictions", "logs", "results.csv", "ledger.sqlite", "manifest.json"])
    def test_a_name_that_the_output_folder_has_taken(self, team):
        """The folder TEAM/ lies beside these in --out."""
        with pytest.raises(UsageError, match=f"{team}.*taken"):
            parse_submission(f"{team}=image")

    def test_a_name_too_long_for_files(self):
        with pytest.raises(UsageError, match="characters"):
            parse_submission("a" * 101 + "=image")


class TestIdentity:
    """The same image has one identity, however an engine or a file writes it down."""

    INSPECTED = {  # noqa: RUF012
        "Hostname": "",
        "Domainname": "",
        "User": "1000:1000",
        "AttachStdin": False,
        "Tty": False,
        "Env": ["PATH=/bin", "A=1"],
        "Cmd": ["/bin/bash"],
        "Image": "sha256:1234",
        "Volumes": None,
        "WorkingDir": "/workspace",
        "Entrypoint": None,
        "OnBuild": None,
        "Labels": {"b": "2", "a": "1"},
    }
    IN_FILE = {  # noqa: RUF012
        "Env": ["PATH=/bin", "A=1"],
        "Labels": {"a": "1", "b": "2"},
        "User": "1000:1000",
        "Cmd": ["/bin/bash"],
        "WorkingDir": "/workspace",
        "Entrypoint": [],
        "Volumes": {},
    }
    LAYERS = ["sha256:aa", "sha256:bb"]  # noqa: RUF012

    def identity(self, config, architecture="amd64", system="linux", layers=None):
        return image_identity(config, architecture, system, self.LAYERS if layers is None else layers)

    def test_an_inspection_and_a_file_agree(self):
        assert self.identity(self.INSPECTED) == self.identity(self.IN_FILE)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Cmd", ["sh"]),
            ("Entrypoint", ["/x"]),
            ("Env", ["A=1", "PATH=/bin"]),
            ("Env", ["PATH=/bin", "A=2"]),
            ("User", "root"),
            ("WorkingDir", "/"),
            ("Volumes", {"/data": {}}),
            ("Labels", {"a": "1"}),
            ("StopSignal", "SIGKILL"),
            ("Healthcheck", {"Test": ["CMD", "true"]}),
        ],
    )
    def test_what_changes_containers_changes_it(self, name, value):
        assert self.identity(self.IN_FILE) != self.identity(self.IN_FILE | {name: value})

    def test_layers_their_order_and_the_platform_change_it(self):
        found = {
            self.identity(self.IN_FILE),
            self.identity(self.IN_FILE, layers=self.LAYERS[::-1]),
            self.identity(self.IN_FILE, layers=self.LAYERS[:1]),
            self.identity(self.IN_FILE, architecture="arm64"),
            self.identity(self.IN_FILE, system="windows"),
        }
        assert len(found) == 5

    def test_what_only_an_engine_knows_does_not(self):
        changed = self.INSPECTED | {"Hostname": "x", "Image": "sha256:9", "Tty": True}
        assert self.identity(self.INSPECTED) == self.identity(changed)


class TestTarballs:
    """Tarballs are read before they are loaded, and a forged one is an error, never a traceback."""

    @pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
    def test_a_good_one(self, tmp_path, mode):
        path = image_tarball(tmp_path / "team.tar.gz", mode, tags=("team:latest", "x/team:v1"))
        found = read_tarball(path)
        assert found.tags == ("team:latest", "x/team:v1")
        assert found.config == image_config()

    def test_one_without_tags(self, tmp_path):
        assert read_tarball(image_tarball(tmp_path / "t.tar", tags=None)).tags == ()

    def refused(self, path: Path, match: str = "not a docker save tarball") -> None:
        with pytest.raises(SubmissionError, match=match) as caught:
            read_tarball(path)
        assert str(path) in str(caught.value)
        assert "docker save" in str(caught.value)

    def test_several_images_and_none(self, tmp_path):
        config = member("config.json", json.dumps(image_config()).encode())
        two = write_tar(tmp_path / "two.tar", [config, member("manifest.json", manifest(entry(), entry()))])
        self.refused(two, "holds 2 images, not one")
        none = write_tar(tmp_path / "none.tar", [member("manifest.json", manifest())])
        self.refused(none, "holds 0 images, not one")

    def test_no_manifest(self, tmp_path):
        self.refused(write_tar(tmp_path / "bare.tar", [member("layer.tar", b"x")]))

    def test_a_manifest_that_is_a_link_a_device_or_a_folder(self, tmp_path):
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)):
            info = member("manifest.json", type=kind, linkname="/etc/passwd")
            self.refused(write_tar(tmp_path / f"{number}.tar", [info]))

    def test_a_manifest_too_large_to_read(self, tmp_path):
        data = b"[" + b" " * (17 << 20) + b"]"
        self.refused(write_tar(tmp_path / "large.tar.gz", [member("manifest.json", data)], "w:gz"), "sensible size")

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"{}",
            b"5",
            b"[5]",
            b'["x"]',
            b"[{}]",
            b'[{"Config": 5}]',
            b'[{"Config": null}]',
            b'[{"Config": "config.json", "RepoTags": "team:latest"}]',
            b'[{"Config": "config.json", "RepoTags": [5]}]',
            b"[" * 100_000,
            b'[{"Config": "missing.json"}]',
        ],
        ids=lambda text: text[:24].decode(errors="replace"),
    )
    def test_a_manifest_of_nonsense(self, tmp_path, text):
        config = member("config.json", json.dumps(image_config()).encode())
        with pytest.raises(SubmissionError):
            read_tarball(write_tar(tmp_path / "t.tar", [config, member("manifest.json", text)]))

    @pytest.mark.parametrize(
        "config",
        [
            [],
            "x",
            {"config": [1]},
            {"config": {"Labels": [1]}},
            {"rootfs": "x"},
            {"rootfs": {"diff_ids": 5}},
            {"rootfs": {"diff_ids": [5]}},
            {"os": 5},
            {"architecture": None},
        ],
        ids=str,
    )
    def test_a_configuration_of_nonsense(self, tmp_path, config):
        full = image_config(**config) if isinstance(config, dict) else config
        self.refused(image_tarball(tmp_path / "t.tar", config=full or [1]))

    def test_a_truncated_one_at_any_length(self, tmp_path):
        whole = image_tarball(tmp_path / "whole.tar.gz", "w:gz").read_bytes()
        cut = tmp_path / "cut.tar.gz"
        for length in range(0, len(whole), 7):
            cut.write_bytes(whole[:length])
            if length < len(whole) // 2:
                self.refused(cut)
                continue
            try:  # what lies behind the last file may be missing
                assert read_tarball(cut).config == image_config()
            except SubmissionError:
                continue

    def test_a_damaged_one_at_any_byte(self, tmp_path):
        whole = bytearray(image_tarball(tmp_path / "whole.tar.gz", "w:gz").read_bytes())
        for position in range(0, len(whole), 5):
            damaged = bytearray(whole)
            damaged[position] ^= 0x55
            path = tmp_path / "damaged.tar.gz"
            path.write_bytes(damaged)
            try:
                read_tarball(path)
            except SubmissionError:
                continue

    def test_things_that_are_no_tar(self, tmp_path):
        for name, data in (("empty", b""), ("text", b"hello"), ("gz", gzip.compress(b"hello" * 1000))):
            path = tmp_path / f"{name}.tar"
            path.write_bytes(data)
            self.refused(path)
