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
