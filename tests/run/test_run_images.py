"""Images on the real daemon: built, loaded and looked up without touching anybody else's tags."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
from pathlib import Path

import pytest

from harness.errors import SubmissionError
from harness.run import images
from harness.run.images import build_arguments, build_context, remove_loaded, resolve
from harness.run.tarballs import read_tarball
from harness.submissions import SubmissionSpec, image_identity, parse_submission
from tests.run.run_daemon import GOOD, Daemon, other_architecture
from tests.run.run_kit import HERE, ROOT

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def built(daemon: Daemon, tmp_path_factory) -> tuple[str, str]:
    """A tiny submission as a tagged image: tag and id."""
    place = daemon.folder(
        tmp_path_factory.mktemp("built") / "good", GOOD, "ENV A=1", "LABEL kind=tiny cvpr24.weights=tiny"
    )
    tag = f"{daemon.name('good')}:v1"
    return tag, daemon.build(place, tag)


def tiny(daemon: Daemon, tag: str, text: str) -> str:
    """An image of one small file, made in no time; its id."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text.encode()))
    repository, _, name = tag.rpartition(":")
    daemon.api.import_image_from_data(data.getvalue(), repository=repository, tag=name)
    return daemon.id_of(tag)


@pytest.fixture
def saved(daemon: Daemon, tmp_path):
    """A tiny image as a tarball, gone from the daemon: (tarball, tag, id)."""
    tag = f"{daemon.name('saved')}:latest"
    image = tiny(daemon, tag, f"{tmp_path} {time.time()}")
    path = daemon.save(tag, tmp_path / "saved.tar")
    daemon.remove(tag)
    assert daemon.id_of(image) is None
    yield path, tag, image
    daemon.remove(tag)


def load(daemon: Daemon, path: Path):
    return resolve(daemon.api, SubmissionSpec(daemon.name("saved"), "tarball", str(path)))


class TestTags:
    def test_an_image_is_looked_up(self, daemon, built):
        tag, image = built
        found = resolve(daemon.api, parse_submission(f"x={tag}"))
        assert found.tag is None
        assert (found.submission.team, found.submission.source, found.submission.image_id) == ("x", tag, image)
        assert found.submission.labels == {"cvpr24.weights": "tiny"}
        assert found.submission.bytes > 0
        remove_loaded(daemon.api, [found])
        assert daemon.id_of(tag) == image

    def test_one_that_is_not_here_is_never_pulled(self, daemon):
        with pytest.raises(SubmissionError, match=r"nobody/has-this:v1: no such image here, and none is pulled"):
            resolve(daemon.api, parse_submission("nobody/has-this:v1"))

    @pytest.mark.parametrize("tag", ["UPPER/Case", "two:tags:here", "a//b", "x@sha256:12"])
    def test_a_name_that_no_image_can_have(self, daemon, tag):
        with pytest.raises(SubmissionError, match=r"no such image|no name of an image"):
            resolve(daemon.api, SubmissionSpec("x", "tag", tag))

    def test_an_image_for_another_processor(self, daemon, saved, tmp_path):
        other = "arm64" if HERE == "amd64" else "amd64"
        path = other_architecture(saved[0], tmp_path / "other.tar", other)
        with path.open("rb") as file:
            list(daemon.api.load_image(file))
        with pytest.raises(SubmissionError, match=rf"an image for linux/{other}, this host runs linux/{HERE}.*--platf"):
            resolve(daemon.api, SubmissionSpec("x", "tag", saved[1]))


class TestFolders:
    def test_a_folder_is_built(self, daemon, tmp_path):
        team = daemon.name("folder")
        place = daemon.folder(tmp_path / "mine", GOOD, "ENV A=2")
        found = resolve(daemon.api, SubmissionSpec(team, "folder", str(place)))
        assert found.tag is None
        assert daemon.id_of(f"cvpr24-harness/{team}:latest") == found.submission.image_id
        again = resolve(daemon.api, SubmissionSpec(team, "folder", str(place)))
        assert again.submission == found.submission

    @pytest.mark.parametrize("suffix", ["", "..x", "-", "_.", "a__b", "."])
    def test_every_team_name_can_be_built(self, daemon, tmp_path, suffix):
        """Engines are stricter about image names than we are about teams."""
        team = daemon.name("f") + suffix
        place = daemon.folder(tmp_path / "mine", GOOD)
        assert resolve(daemon.api, SubmissionSpec(team, "folder", str(place))).submission.team == team

    def test_a_team_of_one_letter(self, daemon, tmp_path):
        place = daemon.folder(tmp_path / "z", GOOD)
        before = daemon.id_of("cvpr24-harness/z:latest")
        try:
            assert resolve(daemon.api, parse_submission(str(place))).submission.team == "z"
        finally:
            if before is None:
                daemon.remove("cvpr24-harness/z:latest")

    def test_a_failing_build_shows_the_end_of_its_log(self, daemon, tmp_path):
        place = daemon.folder(tmp_path / "mine", GOOD, "RUN echo no such wheel: torchh; exit 3")
        with pytest.raises(SubmissionError) as caught:
            resolve(daemon.api, SubmissionSpec(daemon.name("bad"), "folder", str(place)))
        text = str(caught.value)
        assert f"{place}: docker build failed" in text
        assert "no such wheel: torchh" in text
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize("dockerfile", ["", "FRM x\n", "FROM\n", "FROM UPPER/Case\n", "FROM a b c\n", "RUN true\n"])
    def test_a_broken_dockerfile_is_the_submissions_fault(self, daemon, tmp_path, dockerfile):
        (tmp_path / "Dockerfile").write_text(dockerfile)
        with pytest.raises(SubmissionError, match="docker build failed") as caught:
            resolve(daemon.api, SubmissionSpec(daemon.name("broken"), "folder", str(tmp_path)))
        assert caught.value.exit_code == 2

    def test_a_context_that_cannot_be_packed(self, daemon, tmp_path):
        place = daemon.folder(tmp_path / "mine", GOOD)
        (place / ".dockerignore").write_bytes(b"\xff\xfe[")
        with pytest.raises(SubmissionError, match="docker build failed"):
            resolve(daemon.api, SubmissionSpec(daemon.name("pack"), "folder", str(place)))

    def test_the_projects_own_folders_are_built_from_its_root(self, daemon, tmp_path):
        assert build_context(ROOT / "docker" / "boxfill") == (ROOT, "docker/boxfill/Dockerfile")
        (tmp_path / "docker" / "x").mkdir(parents=True)
        assert build_context(tmp_path / "docker" / "x") == (tmp_path / "docker" / "x", "Dockerfile")

    def test_a_base_of_ones_own_only_for_dockerfiles_that_ask(self, daemon, tmp_path):
        (tmp_path / "Dockerfile").write_text("FROM scratch\n")
        assert build_arguments(daemon.api, tmp_path / "Dockerfile") == {}
        (tmp_path / "Dockerfile").write_text("ARG BASE=python:3.11-slim-bookworm\nFROM ${BASE}\n")
        found = build_arguments(daemon.api, tmp_path / "Dockerfile")
        assert found == ({} if daemon.base == images.OFFICIAL_BASE else {"BASE": images.OWN_BASE, "PIP_NO_INDEX": "1"})


class TestTarballs:
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
    def test_loaded_for_the_run_and_removed_after(self, daemon, saved, packed):
        path, tag, image = saved
        if packed:
            path = path.with_name("Saved.v1.tar.gz")
            path.write_bytes(gzip.compress(saved[0].read_bytes()))
        spec = parse_submission(str(path))
        assert spec.team == "saved"
        found = resolve(daemon.api, spec)
        assert found.submission.image_id == image
        assert daemon.id_of(found.tag) == image
        assert daemon.id_of(tag) is None  # nobody's tag is left behind
        remove_loaded(daemon.api, [found])
        assert daemon.id_of(image) is None

    def test_a_real_image_has_the_same_identity_in_every_form(self, daemon, built, tmp_path):
        tag, image = built
        path = daemon.save(tag, tmp_path / "t.tar")
        config = read_tarball(path).config
        in_file = image_identity(config["config"], config["architecture"], config["os"], config["rootfs"]["diff_ids"])
        looked_up = resolve(daemon.api, parse_submission(f"x={tag}"))
        loaded = load(daemon, path)
        assert in_file == looked_up.submission.identity == loaded.submission.identity
        assert loaded.submission.image_id == image
        remove_loaded(daemon.api, [loaded])
        assert daemon.id_of(tag) == image

    def test_a_tag_that_the_load_would_move_is_put_back(self, daemon, saved):
        path, tag, image = saved
        mine = tiny(daemon, tag, "my own image of that name")
        found = load(daemon, path)
        assert found.submission.image_id == image
        assert daemon.id_of(tag) == mine
        remove_loaded(daemon.api, [found])
        assert daemon.id_of(tag) == mine
        assert daemon.id_of(image) is None

    def test_an_image_that_was_here_before_stays(self, daemon, saved):
        path, tag, image = saved
        with path.open("rb") as file:
            list(daemon.api.load_image(file))
        remove_loaded(daemon.api, [load(daemon, path)])
        assert daemon.id_of(tag) == image

    def test_a_tarball_of_our_own_tag(self, daemon, saved, tmp_path):
        """A participant may save what the harness had loaded."""
        path, _, image = saved
        first = load(daemon, path)
        ours = daemon.save(first.tag, tmp_path / "ours.tar")
        remove_loaded(daemon.api, [first])
        again = load(daemon, ours)
        assert again.submission.image_id == image
        remove_loaded(daemon.api, [again])
        assert daemon.id_of(image) is None

    def test_what_a_killed_run_loaded_is_used_and_removed(self, daemon, saved):
        path, _, image = saved
        load(daemon, path)  # and never removed
        found = load(daemon, path)
        remove_loaded(daemon.api, [found])
        assert daemon.id_of(image) is None

    def test_another_processor_is_refused_before_it_is_loaded(self, daemon, saved, tmp_path):
        other = "arm64" if HERE == "amd64" else "amd64"
        path = other_architecture(saved[0], tmp_path / "other.tar", other)
        with pytest.raises(SubmissionError, match=rf"linux/{other}, this host runs linux/{HERE}"):
            load(daemon, path)
        assert daemon.id_of(saved[1]) is None

    def test_a_truncated_one_leaves_nothing(self, daemon, saved, tmp_path):
        whole = saved[0].read_bytes()
        cut = tmp_path / "cut.tar"
        with tarfile.open(saved[0]) as tar:
            layer = next(info for info in tar if info.name.endswith("layer.tar"))
        cut.write_bytes(whole[: layer.offset_data + 10])
        with pytest.raises(SubmissionError, match=str(cut)):
            load(daemon, cut)

    def test_a_layer_that_is_not_the_declared_one(self, daemon, saved, tmp_path):
        """The manifest promises one image, the layer holds another."""
        forged = tmp_path / "forged.tar"
        with tarfile.open(saved[0]) as source, tarfile.open(forged, "w") as out:
            for info in source:
                data = source.extractfile(info).read() if info.isfile() else b""
                if info.name.endswith("layer.tar"):
                    data = data.replace(b"file", b"evil", 1)
                out.addfile(info, io.BytesIO(data) if info.isfile() else None)
        with pytest.raises(SubmissionError, match=f"{forged}: docker load failed"):
            load(daemon, forged)
        assert daemon.id_of(saved[1]) is None
        assert not [t for i in daemon.api.images() for t in i["RepoTags"] or [] if f"loaded-{daemon.mark}" in t]

    def test_tags_are_put_back_when_what_was_loaded_is_not_what_was_declared(self, daemon, saved, tmp_path):
        """Two files under one name: one is read here, the other by the engine."""
        path, tag, _ = saved
        mine = tiny(daemon, tag, "my own")
        forged = tmp_path / "forged.tar"
        with tarfile.open(path) as source, tarfile.open(forged, "w") as out:
            listed = json.load(source.extractfile("manifest.json"))
            for info in source:
                data = source.extractfile(info).read() if info.isfile() else b""
                out.addfile(info, io.BytesIO(data) if info.isfile() else None)
            name = listed[0]["Config"]
            config = json.load(source.extractfile(name))
            config["config"]["Env"] = ["EVIL=1"]
            text = json.dumps(config).encode()
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(text)
            out.addfile(info, io.BytesIO(text))
        with pytest.raises(SubmissionError, match="not what the tarball's manifest declares"):
            load(daemon, forged)
        assert daemon.id_of(tag) == mine
        assert not [t for i in daemon.api.images() for t in i["RepoTags"] or [] if f"loaded-{daemon.mark}" in t]
