"""A run's folder whose costs are known by hand, made by the project's own runner with an engine that runs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.cases import load_cases
from harness.collect import result_rows, write_tables
from harness.layout import OutDir
from harness.ledger import open_ledger
from harness.records import Phases, Resources
from harness.run.manifest import write_manifest
from harness.run.runner import run_attempts
from tests.run.run_kit import FACTS, FakeEngine, Silent, right_answer, settings, submission, write_case

PLANAR = ("2DBox_US_0001", "2DBox_US_0002")
VOLUMES = ("3DBox_CT_0001", "3DBox_CT_0002")

#: (team, case) -> wall times of its repeats; a negative one is an attempt that crashed.
Walls = dict[tuple[str, str], tuple[float, ...]]

WALLS: Walls = {
    ("base", PLANAR[0]): (4.0,),
    ("base", PLANAR[1]): (8.0,),
    ("base", VOLUMES[0]): (40.0,),
    ("base", VOLUMES[1]): (10.0,),
    ("quick", PLANAR[0]): (2.0,),
    ("quick", PLANAR[1]): (2.0,),
    ("quick", VOLUMES[0]): (10.0,),
    ("quick", VOLUMES[1]): (10.0,),
    ("frail", PLANAR[0]): (4.0,),
    ("frail", PLANAR[1]): (-1.0,),
    ("frail", VOLUMES[0]): (-1.0,),
    ("frail", VOLUMES[1]): (-1.0,),
}
#: Time of a container around the submission.
AROUND_S = 0.5
LABELS = {"quick": {"cpvr24.typo": "x", "cvpr24.weights": "random, seed 2024", "cvpr24.mode": "published"}}


def phases_line(case: str, wall_s: float) -> str:
    """Phases that add up to 0.4 s less than the wall time."""
    encode_s = wall_s - 1.0
    return (
        f"phases {case} import 0.100 load 0.200 read 0.050 encode {encode_s:.3f} decode 0.150 other 0.060 write 0.040 "
        "slices 3 masks 6\n"
    )


def make_run(place: Path, walls: Walls = WALLS, tellers: tuple[str, ...] = ("quick",)) -> OutDir:
    """Run, collect, write the manifest; `tellers` print a phases line."""
    cases_dir, out = place / "cases", OutDir(place / "out")
    for folder in (cases_dir, out.root, place / "engine"):
        folder.mkdir()
    for name in dict.fromkeys(case for _, case in walls):
        write_case(cases_dir, name)
    left = {key: list(times) for key, times in walls.items()}

    def behaviour(job, folder):
        wall_s = left[job.team, job.case_name].pop(0)
        crashed, wall_s = wall_s < 0, abs(wall_s)
        more = {
            "phases": Phases(wall_s=wall_s, run_s=wall_s - AROUND_S),
            "resources": Resources(cpu_s=2 * wall_s, peak_bytes=int(wall_s * 1e8), peak_anon_bytes=1000, oom_kills=0),
            "log": phases_line(job.case_name, wall_s) if job.team in tellers else "nothing to tell\n",
            "exit_code": 3 if crashed else 0,
        }
        return (None if crashed else right_answer(job, folder)[0]), more

    used = settings(repeats=max(map(len, walls.values())))
    names = dict.fromkeys(team for team, _ in walls)
    teams = [replace(submission(team), bytes=250_000_000, labels=LABELS.get(team, {})) for team in names]
    engine = FakeEngine(place / "engine", behaviour)
    with open_ledger(out.ledger) as ledger:
        cases = load_cases(cases_dir, used.protocol, ledger)
        for team in teams:
            ledger.register_submission(team)
        ledger.register_cases(cases)
        ledger.set_meta("settings", used.digest())
        run_attempts(out, ledger, used, teams, cases, engine.open, Silent())
        write_manifest(out.manifest, ledger, used, FACTS, cases_dir, None, "wall_s", [])
        write_tables(out, result_rows(ledger.attempts(), {}, used.protocol, "wall_s", used.limits.time_limit_s))
    return out
