"""What the scoring tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from harness.contract import Labels
from harness.protocol import Scoring
from harness.score.evaluate import score_prediction
from tests.score.score_peer import Peer

OFFICIAL = Scoring(tolerance_mm=2.0, gate_dsc=0.2, digits=4)


@pytest.fixture(scope="session")
def peer():
    """DeepMind's package, made to run under NumPy 2."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("Inf", np.inf), ("NaN", np.nan)):
            if not hasattr(np, name):
                patch.setattr(np, name, value, raising=False)
        yield Peer()


@pytest.fixture(scope="session")
def official():
    """The challenge's scoring settings."""
    return OFFICIAL


@pytest.fixture(scope="session")
def ours():
    """Our figures as the peer gives its own: (gt, pred, spacing or None) -> (dsc, nsd), not rounded."""

    def score(gt, pred, spacing=None, scoring=OFFICIAL):
        reference = Labels(gt, None if spacing is None else np.array(spacing, dtype=np.float64))
        values = score_prediction(Labels(pred, None), reference, scoring, volume=spacing is not None)
        return values["dsc"], values["nsd"]

    return score


@pytest.fixture(scope="session")
def agree():
    """Assert that two (dsc, nsd) are the same: within 1e-12, and to the bit once rounded to 4 decimals."""

    def check(found, expected):
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(np.round(mine, 4), np.round(theirs, 4))

    return check


def _real_folder() -> Path:
    return Path(os.environ.get("HARNESS_REALCASES", Path(__file__).resolve().parents[2].parent / "shared/realcases"))


def real_references() -> list[Path]:
    """Reference files of the real cases, none where the folder is absent."""
    return sorted((_real_folder() / "gts").glob("*.npz"))


def pytest_generate_tests(metafunc):
    if "real_reference" in metafunc.fixturenames:
        found = [pytest.param(path, id=path.stem) for path in real_references()]
        absent = pytest.param(None, marks=pytest.mark.skip(reason="no real cases (HARNESS_REALCASES)"))
        metafunc.parametrize("real_reference", found or [absent])


@pytest.fixture
def folders(tmp_path):
    """Empty folders for predictions and references: (preds, gts)."""
    for name in ("preds", "gts"):
        (tmp_path / name).mkdir()
    return tmp_path / "preds", tmp_path / "gts"


@pytest.fixture
def write_case(folders):
    """A function that writes a small case's files: (name, prediction or None, reference arrays...)."""

    def write(case, segs="shifted", **reference):
        preds, gts = folders
        if not reference:
            gt = np.zeros((6, 12, 12) if case.startswith("3D") else (24, 24), dtype=np.uint8)
            gt[..., 2:8, 2:8] = 1
            gt[..., 9:11, 9:11] = 2
            reference = {"gts": gt}
            if case.startswith("3D"):
                reference["spacing"] = np.array([0.9, 1.1, 2.5])
        np.savez_compressed(gts / f"{case}.npz", **reference)
        if isinstance(segs, str):
            segs = np.roll(reference["gts"], 1, axis=-1)
        if segs is not None:
            np.savez_compressed(preds / f"{case}.npz", segs=segs)

    return write
