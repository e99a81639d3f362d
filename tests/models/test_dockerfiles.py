"""The demo submissions' Dockerfiles, read as text: what the challenge and old engines need of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("boxfill", "ellipse", "threshold")


def instructions(name: str) -> list[list[str]]:
    text = (ROOT / "docker" / name / "Dockerfile").read_text()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [line.split() for line in lines if line.strip()]


@pytest.mark.parametrize("name", NAMES)
def test_runs_as_a_plain_user_without_entrypoint(name: str):
    lines = instructions(name)
    assert lines[-1] == ["USER", "1000:1000"]
    assert not {"ENTRYPOINT", "CMD", "HEALTHCHECK", "VOLUME"} & {line[0] for line in lines}
    assert lines[0] == ["ARG", "BASE=python:3.11-slim-bookworm"]


@pytest.mark.parametrize("name", NAMES)
def test_needs_no_buildkit(name: str):
    text = (ROOT / "docker" / name / "Dockerfile").read_text()
    assert "# syntax" not in text
    assert "--mount" not in text
    assert "--link" not in text
    assert "<<" not in text


@pytest.mark.parametrize("name", NAMES)
def test_copies_only_what_is_in_the_repository(name: str):
    for words in instructions(name):
        if words[0] == "COPY" and not words[1].startswith("--from"):
            for source in words[1:-1]:
                # The folder of wheels is empty in the repository; git may hold it by a placeholder alone.
                assert source == "wheels/" or (ROOT / source).exists(), source


def test_versions_are_those_of_the_lock():
    locked = (ROOT / "requirements.lock").read_text()
    for line in (ROOT / "docker" / "requirements-demo.txt").read_text().splitlines():
        if not line.startswith("#"):
            assert f"\n{line} \\\n" in locked


def test_the_docker_folder_is_no_package():
    """A package named docker would hide the Docker client's."""
    assert not list((ROOT / "docker").rglob("__init__.py"))
