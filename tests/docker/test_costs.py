"""Costs of a real container: its labels and its phases line, from the image to costs.csv and the report."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pandas as pd
import pytest

from harness.cli.main import main
from harness.run.roots import reap_folders
from tests.run.run_daemon import Daemon
from tests.run.run_kit import make_cases

pytestmark = pytest.mark.docker

CASE = "2DBox_US_0001"
PREDICT = """\
for f in /workspace/inputs/*.npz; do
  n=${f##*/}
  sleep 0.4
  cp /ready/${n%%Box_*}.npz /workspace/outputs/$n
  echo "phases ${n%.npz} import 0.050 load 0.040 read 0.030 encode 0.120 decode 0.020 other 0.010 write 0.005" \\
    "slices 1 masks 2" >&2
done
"""
LABELS = 'LABEL cvpr24.weights="random, seed 2024" cvpr24.mode="published" cvpr24.variant="f32-int8-stride1" other="x"'


@pytest.fixture(scope="module")
def daemon(client: docker.APIClient) -> Iterator[Daemon]:
    """The engine, with tiny images that go with the test."""
    with Daemon(f"coststest{uuid.uuid4().hex[:8]}") as found:
        yield found


def test_what_an_image_tells_reaches_the_tables(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    monkeypatch.setenv("HARNESS_SCRATCH", str(scratch))
    imgs, _ = make_cases(tmp_path / "data", [CASE])
    tag = f"{daemon.name('teller')}:v1"
    daemon.build(daemon.folder(tmp_path / "teller", PREDICT, LABELS), tag)
    out = tmp_path / "out"
    try:
        assert main(["run", f"teller={tag}", "--cases", str(imgs), "--out", str(out)]) == 0
    finally:
        reap_folders(scratch)
    assert main(["costs", "--out", str(out), "--baseline", "teller"]) == 0
    (row,) = pd.read_csv(out / "costs.csv").to_dict("records")
    assert (row["team"], row["case"], row["size"], row["boxes"], row["outcome"]) == ("teller", CASE, "24x24", 2, "ok")
    told = [row[f"{name}_s"] for name in ("import", "load", "read", "encode", "decode", "other", "write")]
    assert told == [0.05, 0.04, 0.03, 0.12, 0.02, 0.01, 0.005]
    assert (row["slices"], row["masks"]) == (1, 2)
    # The table gives it to the microsecond, so it is off by half of one at most.
    assert row["container_s"] == pytest.approx(row["wall_s"] - sum(told), rel=0, abs=0.6e-6)
    assert row["wall_s"] > row["run_s"] > 0.4
    (submission,) = json.loads((out / "manifest.json").read_text())["submissions"]
    assert submission["labels"] == {
        "cvpr24.weights": "random, seed 2024", "cvpr24.mode": "published", "cvpr24.variant": "f32-int8-stride1"
    }  # fmt: skip
    page = (out / "costs.md").read_text()
    assert "| random, seed 2024 | published | f32-int8-stride1 |" in page
    assert (out / "phases.svg").stat().st_size > 1000
    assert main(["report", "--out", str(out)]) == 0
    report = (out / "report.html").read_text()
    for text in ("Random weights: teller.", "random, seed 2024", "Where the time goes"):
        assert text in report
