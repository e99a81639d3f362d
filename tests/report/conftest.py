"""Builds output folders as `harness run`, `score` and `rank` leave them, with values that tests know."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.contract import write_prediction
from harness.layout import OutDir
from harness.npz import write_npz
from harness.report.figures import style
from harness.results import write_results
from tests.report.analysis_files import write_analysis

TASKS = ("US", "X-Ray", "Endoscopy", "Fundus", "Microscopy", "OCT", "CT", "MR", "PET")
VOLUMES = {"CT", "MR", "PET"}
METRICS = ("dsc", "nsd", "runtime_s")
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a'b&amp;$\\frac{1}{2}$", "]]>--><!--")


@dataclass(frozen=True)
class Folder:
    """An output folder with the truth it was made from."""

    out: OutDir
    cases: Path
    gts: Path
    teams: tuple[str, ...]
    rows: pd.DataFrame


MakeFolder = Callable[..., Folder]


def case_names(count: int) -> list[str]:
    """As many case names, tasks in turn."""
    tasks = [TASKS[i % len(TASKS)] for i in range(count)]
    return [
        f"{'3D' if task in VOLUMES else '2D'}Box_{task.replace('-', '')}_{i:04d}{'x' if i % 50 == 49 else ''}"
        for i, task in enumerate(tasks)
    ]


def long_names(count: int) -> tuple[str, ...]:
    """Team names of twenty characters, all wide ones."""
    return tuple(f"wombat-medical-mwm-{chr(97 + i)}" for i in range(count))


def build(
    root: Path,
    teams: tuple[str, ...] = ("boxfill", "ellipse", "threshold"),
    cases: int = 11,
    repeats: int = 1,
    failures: bool = True,
    pictures: int = 3,
    samples: int = 200,
    reason: str = "exit_code=1",
    size: int = 40,
    analysis: bool = True,
) -> Folder:
    """Make a whole folder; the first `pictures` cases have image, reference and predictions.

    Team i is better than team i + 1 on average and slower.
    """
    rng = np.random.default_rng(7)
    out = OutDir(root / "out")
    out.root.mkdir(parents=True)
    names = case_names(cases)
    rows: list[dict[str, Any]] = []
    for t, team in enumerate(teams):
        base = 0.93 - 0.5 * t / len(teams)
        dsc = np.clip(rng.normal(base, 0.06, cases), 0.01, 0.99).round(4)
        nsd = np.clip(dsc + rng.normal(0.02, 0.03, cases), 0.01, 1).round(4)
        wall = np.exp(rng.normal(np.log(40 / (t + 1)), 0.3, cases))
        for c, case in enumerate(names):
            for repeat in range(1, repeats + 1):
                failed = failures and t > 0 and (c * 7 + t) % 17 == 3
                flagged = failures and not failed and (c + t) % 9 == 4
                outcome = ("timeout", "oom", "crash", "invalid_output", "no_output")[t % 5] if failed else "ok"
                rows.append(
                    {
                        "team": team,
                        "case": case,
                        "modality": TASKS[c % len(TASKS)],
                        "repeat": repeat,
                        "dsc": 0.0 if failed else dsc[c],
                        "nsd": 0.0 if failed else nsd[c],
                        "dsc_corrected": 0.0 if failed else max(0.0, dsc[c] - 0.01 * (c % 3)),
                        "nsd_corrected": 0.0 if failed else max(0.0, nsd[c] - 0.02 * (c % 4)),
                        "runtime_s": 3600.0 if failed else wall[c],
                        "outcome": outcome,
                        "reason": f"{outcome}: {reason}" if failed else (reason if flagged else ""),
                        "exit_code": 137 if failed else int(flagged),
                        "wall_s": wall[c],
                        "run_s": wall[c] - 0.3,
                        "cpu_s": wall[c] * 3,
                        "peak_bytes": int((1.5 + 0.2 * (t % 20) + 0.3 * (c % 5)) * 2**30),
                        "peak_anon_bytes": int((1.0 + 0.2 * (t % 20)) * 2**30),
                        "oom_kills": int(outcome == "oom"),
                    }
                )
    write_results(out.results, rows)
    frame = pd.DataFrame(rows)
    write_ranking(out, frame, teams, samples, rng)
    if analysis:
        write_analysis(out, teams, sorted(frame["modality"].unique()), METRICS, np.random.default_rng(11))
    cases_dir, gts_dir = root / "cases", root / "gts"
    write_pictures(out, frame, cases_dir, gts_dir, names[:pictures] + names[6:7] * (cases > 6), size)
    write_manifest(out, teams, names, cases_dir, gts_dir)
    return Folder(out, cases_dir, gts_dir, teams, frame)


def write_ranking(out: OutDir, frame: pd.DataFrame, teams: tuple[str, ...], samples: int, rng: Any) -> None:
    """The ranking's files: ranks of task means, final ranks of their mean, noisy samples around them."""
    tasks = sorted(frame["modality"].unique())
    units = [(task, metric) for task in tasks for metric in METRICS]
    ranks, aggregates = np.empty((len(units), len(teams))), np.empty((len(units), len(teams)))
    for u, (task, metric) in enumerate(units):
        means = frame[frame["modality"] == task].groupby("team")[metric].mean().reindex(list(teams)).to_numpy()
        aggregates[u] = means
        order = means if metric == "runtime_s" else -means
        ranks[u] = [1 + (order < value).sum() for value in order]
    scores = ranks.mean(axis=0)
    final = np.array([1 + (scores < score).sum() for score in scores])
    rows = [
        (scheme, *unit, team, aggregates[u, t], int(ranks[u, t]))
        for scheme in ("cvpr24", "rank-then-aggregate")
        for u, unit in enumerate(units)
        for t, team in enumerate(teams)
    ]
    columns = ["scheme", "task", "metric", "team", "aggregate", "rank"]
    pd.DataFrame(rows, columns=columns).to_csv(out.ranks, index=False)
    rows = [("cvpr24", team, scores[t], final[t]) for t, team in enumerate(teams)]
    rows += [("rank-then-aggregate", team, scores[t], len(teams) - final[t] + 1) for t, team in enumerate(teams)]
    pd.DataFrame(rows, columns=["scheme", "team", "score", "rank"]).to_csv(out.ranking, index=False)
    settings = {"scheme": "cvpr24", "p_adjust": "holm", "ties": "min", "bootstrap": samples, "seed": 0}
    facts = {"settings": settings, "dropped_cases": [], "warnings": ["Two teams lack a row."], "ranking": []}
    out.ranking_json.write_text(json.dumps(facts))
    noisy = scores + rng.normal(0, 0.5, (samples, len(units) + 1, len(teams)))
    boot = noisy.argsort(axis=2).argsort(axis=2) + 1.0
    tau = np.clip(1 - np.abs(rng.normal(0, 0.1, (samples, len(units) + 1))), -1, 1)
    names = np.array([*(f"{task}/{metric}" for task, metric in units), "final"])
    np.savez_compressed(out.bootstrap, ranks=boot, tau=tau, units=names, teams=np.array(teams))
    pairs = [
        {
            "task": task, "metric": metric, "team_i": teams[i], "team_j": teams[j], "n": 10, "n_nonzero": 10, "V": 1.0,
            "p_i_better": 0.001 if ranks[u, i] + 1 < ranks[u, j] else 0.9,
            "p_i_better_adj": 0.01 if ranks[u, i] + 1 < ranks[u, j] else 1.0, "p_two_sided": 0.02,
        }
        for u, (task, metric) in enumerate(units) for i in range(len(teams)) for j in range(len(teams)) if i != j
    ]  # fmt: skip
    pd.DataFrame(pairs).to_csv(out.wilcoxon, index=False)


def write_pictures(out: OutDir, frame: pd.DataFrame, cases: Path, gts: Path, names: list[str], size: int) -> None:
    """Discs as references, discs of another radius as predictions."""
    cases.mkdir()
    gts.mkdir()
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - size / 2, x - size / 2)
    shade = np.clip(255 - distance * 255 / size + 20 * np.sin(x / 3), 0, 255).astype(np.uint8)
    ok = set(zip(*frame.loc[frame["outcome"] == "ok", ["team", "case"]].to_numpy().T, strict=True))
    for name in dict.fromkeys(names):
        disc = (distance < size / 4).astype(np.uint8)
        if name.startswith("3D"):
            depth = 5
            weights = np.array([0, 1, 3, 1, 0])[:, None, None]
            gt = (disc[None] * (distance[None] < size * weights / 12)).astype(np.uint8)
            case = {"imgs": np.repeat(shade[None], depth, axis=0), "spacing": np.array([1.0, 1.0, 2.5])}
            case["boxes"] = np.array([[1, 1, 0, size - 1, size - 1, depth]])
            write_npz(gts / f"{name}.npz", {"gts": gt, "spacing": case["spacing"]})
        else:
            gt = disc
            case = {"imgs": np.repeat(shade[..., None], 3, axis=2), "boxes": np.array([[1, 1, size - 1, size - 1]])}
            write_npz(gts / f"{name}.npz", {"gts": gt})
        write_npz(cases / f"{name}.npz", case)
        for t, team in enumerate(dict.fromkeys(frame["team"])):
            if (team, name) in ok and not set(team) & set("/\0"):
                path = out.prediction(team, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                segs = np.broadcast_to(distance < size / 4 + 1 + t % 3, gt.shape).astype(np.uint8)
                write_prediction(path, segs)


def write_manifest(out: OutDir, teams: tuple[str, ...], names: list[str], cases: Path, gts: Path) -> None:
    """As `harness run` writes it."""
    manifest = {
        "harness": "0.1.0",
        "created": "2024-06-01T12:00:00Z",
        "command": ["harness", "run", "<b>x</b>"],
        "protocol": {
            "name": "cvpr24",
            "title": "CVPR 2024: Segment Anything in Medical Images on Laptop",
            "digest": "ab",
        },
        "conditions": "strict",
        "limits": {"memory_bytes": 8 << 30, "swap_bytes": 0, "time_limit_s": 3600.0, "pids": 1024, "cpuset": None},
        "runtime": "wall_s",
        "order": "interleaved",
        "seed": 0,
        "repeats": 1,
        "host": {"cpu": "an old <laptop>", "cores": 2},
        "submissions": [
            {"team": t, "source": f"{t}.tar.gz", "identity": "c" * 64, "image_id": "d" * 64, "bytes": 10, "labels": {}}
            for t in teams
        ],
        "cases_dir": str(cases),
        "gts_dir": str(gts),
        "cases": [
            {"name": n, "task": "US", "digest": "e" * 64, "bytes": 9, "image_shape": [40, 40, 3], "boxes": 1}
            for n in names
        ],
        "warnings": ["The host was <i>busy</i>."],
    }
    out.manifest.write_text(json.dumps(manifest))


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures keep their words and stay empty, for tests of the page around them."""
    monkeypatch.setattr(style, "rendered", lambda name, title, draw: (b"<svg/>", bytes(24)))


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """`build` in the test's own folder."""

    def make(**options: Any) -> Folder:
        return build(tmp_path / f"run{len(list(tmp_path.iterdir()))}", **options)

    return make
