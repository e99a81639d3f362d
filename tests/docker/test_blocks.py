"""Loading no more images at once than there is room for."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import docker
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import contract
from harness.npz import write_npz
from harness.records import Submission
from harness.run.stage import image_blocks
from harness.submissions import Kind, SubmissionSpec

ROOT = Path(__file__).resolve().parents[2]
PREDICT = 'for f in /workspace/inputs/*.npz; do cp /ready.npz "/workspace/outputs/${f##*/}"; done\n'


def entry(number: int, kind: Kind, size: int) -> tuple[SubmissionSpec, Submission]:
    team = f"t{number}"
    return SubmissionSpec(team, kind, team), Submission(team, team, "", team, size)


@given(
    st.lists(st.tuples(st.sampled_from(["tarball", "tag", "folder"]), st.integers(0, 50)), max_size=12),
    st.none() | st.integers(1, 100),
)
def test_blocks_keep_order_and_budget(sizes: list[tuple[Kind, int]], budget: int | None) -> None:
    """All submissions once, in order; tarballs of a block within the budget, unless one alone exceeds it."""
    entries = [entry(number, kind, size) for number, (kind, size) in enumerate(sizes)]
    blocks = image_blocks(entries, budget)
    assert [item for block in blocks for item in block] == entries
    assert all(blocks)
    if budget is None:
        assert len(blocks) <= 1
    for block in blocks:
        loads = [known.bytes for spec, known in block if spec.kind == "tarball" and known.bytes]
        assert budget is None or sum(loads) <= budget or len(loads) == 1


@pytest.mark.docker
def test_two_tarballs_one_at_a_time(client: docker.APIClient, base: str, tmp_path: Path) -> None:
    """Each is loaded when its turn comes, none stays, and none is loaded for what has its results."""
    cases = tmp_path / "cases"
    cases.mkdir()
    arrays = {"imgs": np.zeros((16, 16, 3), np.uint8), "boxes": np.array([[0, 0, 16, 16]])}
    write_npz(cases / "2DBox_US_0001.npz", arrays)
    tarballs = []
    for number in (1, 2):
        folder = tmp_path / f"image{number}"
        folder.mkdir()
        contract.write_prediction(folder / "ready.npz", np.full((16, 16), number, np.uint8))
        (folder / "predict.sh").write_text(PREDICT)
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY ready.npz /\nWORKDIR /workspace\nCOPY predict.sh .\n")
        tag = f"cvpr24-harness/test-block:{number}"
        list(client.build(path=str(folder), tag=tag, rm=True, decode=True))
        tarballs.append(tmp_path / f"block{number}.tar.gz")
        with gzip.open(tarballs[-1], "wb", compresslevel=1) as file:
            for piece in client.get_image(tag):
                file.write(piece)
        client.remove_image(tag, force=True)

    command = [sys.executable, "-m", "harness", "run", *map(str, tarballs), "--cases", str(cases)]
    command += ["--out", str(tmp_path / "out"), "--image-budget", "0.001"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HARNESS_SCRATCH": str(tmp_path / "scratch")}
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not client.images(name="cvpr24-harness/loaded-block1")
        assert not client.images(name="cvpr24-harness/loaded-block2")
    assert "2 of 2 attempts have their result already" in done.stderr
    assert pd.read_csv(tmp_path / "out" / "results.csv")["outcome"].tolist() == ["ok", "ok"]
