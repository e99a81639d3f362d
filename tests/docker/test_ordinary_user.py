"""A participant without root: in the engine's group, no loop devices, no control groups."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import numpy as np
import pandas as pd
import pytest

from harness import contract
from harness.npz import write_npz

ROOT = Path(__file__).resolve().parents[2]
SOCKET = Path("/var/run/docker.sock")

#: Leaves a folder that only root can remove, and a prediction that only root can read.
PREDICT = """\
cd /workspace/outputs
mkdir -p cache/deep && echo x > cache/deep/file && chmod 700 cache
for file in /workspace/inputs/*.npz; do
  cp /ready.npz "${file##*/}" && chmod 600 "${file##*/}"
done
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user can reach (pytest's own are private)."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name) / "home"


@pytest.mark.docker
@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root to become another user")
def test_run_as_an_ordinary_user(client: docker.APIClient, base: str, home: Path) -> None:
    """Everything works, with figures by the engine's own sampling; root's files are cleared away."""
    if not SOCKET.exists():
        pytest.skip("the engine has no local socket")
    image, cases = home / "rooted", home / "cases"
    image.mkdir(parents=True)
    cases.mkdir()
    for number in (1, 2):
        arrays = {"imgs": np.zeros((16, 16, 3), np.uint8), "boxes": np.array([[0, 0, 16, 16]])}
        write_npz(cases / f"2DBox_US_000{number}.npz", arrays)
    contract.write_prediction(image / "ready.npz", np.ones((16, 16), np.uint8))
    (image / "predict.sh").write_text(PREDICT)
    (image / "Dockerfile").write_text(
        f"FROM {base}\nCOPY ready.npz /ready.npz\nWORKDIR /workspace\nCOPY predict.sh .\n"
    )
    for path in (home, *home.rglob("*")):
        os.chown(path, 65534, 65534)
    group = str(SOCKET.stat().st_gid)
    command = ["setpriv", "--reuid=65534", "--regid=65534", f"--groups={group}", sys.executable, "-m", "harness"]
    command += ["run", str(image), "--cases", str(cases), "--out", str(home / "out")]
    environment = {**os.environ, "HARNESS_SCRATCH": str(home / "scratch"), "HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=home)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(home / "out" / "results.csv")
    assert table["outcome"].tolist() == ["ok", "ok"]
    assert table["reason"].tolist() == ["other files in outputs: cache"] * 2
    assert not [path for path in (home / "scratch").iterdir() if path.is_dir()]
