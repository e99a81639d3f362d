"""The submissions' Dockerfiles, read as text: what the challenge and old engines need of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "Dockerfile",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docker/*/Dockerfile") if "hostile" not in str(p)),
)


def instructions(name: str) -> list[list[str]]:
    lines = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [line.split() for line in lines if line.strip()]


@pytest.mark.parametrize("name", NAMES)
def test_runs_as_a_plain_user_without_entrypoint(name: str):
    lines = instructions(name)
    if ["FROM", "scratch"] in lines:  # without a base image's own command it needs one to be started by hand
        assert " ".join(lines.pop()) == 'CMD ["/bin/bash", "-c", "sh predict.sh"]'
    assert lines[-1] == ["USER", "1000:1000"]
    assert not {"ENTRYPOINT", "CMD", "HEALTHCHECK", "VOLUME"} & {line[0] for line in lines}
    assert lines[0] == ["ARG", "BASE=python:3.11-slim-bookworm"]


@pytest.mark.parametrize("name", NAMES)
def test_needs_no_buildkit(name: str):
    text = (ROOT / name).read_text()
    assert "# syntax" not in text
    assert "--mount" not in text
    assert "--link" not in text
    assert "<<" not in text


@pytest.mark.parametrize("name", NAMES)
def test_copies_only_what_is_in_the_repository(name: str):
    for words in instructions(name):
        if words[0] == "COPY" and not words[1].startswith("--from"):
            for source in words[1:-1]:
                # A user's checkpoints may be missing, which the pattern allows.
                assert source == "checkpoint[s]" or (ROOT / source).exists(), source


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_told_where_there_are_any(name: str):
    """Runs with random weights must say so."""
    if "CHECKPOINT" in (text := (ROOT / name).read_text()):
        assert 'LABEL cvpr24.weights="${CHECKPOINT:-random, seed 2024}"' in text


OF_FAST = [name for name in NAMES if "models.fast.bake" in (ROOT / name).read_text()]


def test_images_of_the_fast_pipeline_differ_in_what_they_build_alone():
    """Docker has no way to share the rest; a change to one of these files is a change to all."""
    assert len(OF_FAST) > 5
    bodies = {(ROOT / name).read_text().partition("\n# The networks, from torch to OpenVINO.\n")[2] for name in OF_FAST}
    assert len(bodies) == 1
    assert bodies != {""}
    heads = [[words[1].partition("=") for words in instructions(name) if "=" in words[1]] for name in OF_FAST]
    for head in heads:
        assert {key for key, _, _ in head} >= {"ALGORITHM", "CHECKPOINT", "MODE", "PRECISION", "STORED", "STRIDE"}


#: What images trade accuracy by.
VARIANTS = {
    "docker/litemedsam-bf16/Dockerfile": ("bf16", "f32", "1"),
    "docker/litemedsam-int8/Dockerfile": ("f32", "int8", "1"),
    "docker/litemedsam-stride/Dockerfile": ("f32", "f32", "3"),
}


@pytest.mark.parametrize("name", OF_FAST)
def test_an_image_trades_no_accuracy_unless_its_name_says_so(name: str):
    declared = {words[1].partition("=")[0]: words[1].partition("=")[2] for words in instructions(name)[:7]}
    assert tuple(declared[key] for key in ("PRECISION", "STORED", "STRIDE")) == VARIANTS.get(name, ("f32", "f32", "1"))
    assert declared["ALGORITHM"] == name.split("/")[1].partition("-")[0]
    assert 'cvpr24.variant="${PRECISION}-${STORED}-stride${STRIDE}"' in (ROOT / name).read_text()


def test_versions_are_those_of_the_lock():
    locked = (ROOT / "requirements.lock").read_text()
    for line in (ROOT / "docker" / "requirements-demo.txt").read_text().splitlines():
        if not line.startswith("#"):
            assert f"\n{line} \\\n" in locked


def test_versions_of_networks_are_those_of_the_environment():
    wanted = set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements-models.txt").read_text(), re.MULTILINE))
    for name in ("requirements-torch.txt", "requirements-openvino.txt"):
        for line in (ROOT / "docker" / name).read_text().splitlines():
            package = line.split("==")[0]
            same = {known for known in wanted if known.split("==")[0] == package}
            assert not same or line in same


def test_the_docker_folder_is_no_package():
    """A package named docker would hide the Docker client's."""
    assert not list((ROOT / "docker").rglob("__init__.py"))
