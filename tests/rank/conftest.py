"""Small tables for the ranking tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def csv(tmp_path):
    """Writes a table and gives its path: csv(rows or frame, name="results.csv")."""

    def write(rows, name="results.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False)
        return path

    return write


@pytest.fixture
def random_rows():
    """Rows of a random table with ties, missing values and failures: random_rows(seed, teams, cases)."""

    def make(seed, teams=5, cases=(6, 9), gaps=0.1, metrics=("dsc", "nsd", "runtime_s")):
        random = np.random.default_rng(seed)
        rows = []
        for task, n in zip(("CT", "US", "MR"), cases, strict=False):
            for c in range(n):
                for t in range(teams):
                    values = {m: round(float(random.integers(0, 6)) / 5 + 0.01, 4) for m in metrics}
                    values = {m: None if random.random() < gaps else v for m, v in values.items()}
                    rows.append({"team": f"team{t}", "case": f"2D_{task}_{c:03d}"} | values)
        return rows

    return make
