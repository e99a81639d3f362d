"""The C++ images' Dockerfiles differ in their first lines alone, which name algorithm and variant."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("docker/*-cpp/Dockerfile"))
#: What each image is by default.
DEFAULTS = {
    "daft-cpp": ("daft", "f32"),
    "daft-shared-cpp": ("daft-shared", "f32"),
    "litemedsam-cpp": ("litemedsam", "f32"),
    "medficientsam-cpp": ("medficientsam", "int24"),
    "repmedsam-cpp": ("repmedsam", "f32"),
}
FIRST_STAGE = "# The networks, from torch to OpenVINO.\n"


def test_there_is_one_for_each_algorithm() -> None:
    assert [path.parent.name for path in FILES] == list(DEFAULTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_stages_are_the_same_for_all(path: Path) -> None:
    head, stages = path.read_text().split(FIRST_STAGE)
    assert stages == FILES[0].read_text().split(FIRST_STAGE)[1]
    algorithm, stored = DEFAULTS[path.parent.name]
    arguments = [line for line in head.splitlines() if not line.startswith("#") and line]
    assert arguments == [
        "ARG BASE=python:3.11-slim-bookworm",
        f"ARG ALGORITHM={algorithm}",
        "ARG CHECKPOINT=",
        "ARG MODE=published",
        "ARG PRECISION=f32",
        f"ARG STORED={stored}",
        "ARG STRIDE=1",
    ]
    assert f"docker build -f docker/{path.parent.name}/Dockerfile -t {path.parent.name} ." in head


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_variants_are_told(path: Path) -> None:
    """The last stage takes up the arguments that its labels name."""
    text = path.read_text()
    last = text[text.index("FROM scratch") :]
    for name in ("CHECKPOINT", "MODE", "PRECISION", "STORED", "STRIDE"):
        assert f"\nARG {name}\n" in last
    assert 'cvpr24.variant="${PRECISION}-${STORED}-stride${STRIDE}"' in last
