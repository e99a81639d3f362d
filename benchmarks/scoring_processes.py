"""`harness score` measured from outside: CPU seconds, throughput of workers, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

#: Does what `harness score` does with its arguments, then prints the process's highest resident memory in bytes
#: (the kernel's word on this process: getrusage's figure can be the parent's).
_PEAK = """\
import sys
from pathlib import Path
from harness.cli.main import run_command
code = run_command("score", sys.argv[1:])
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)
sys.exit(code)
"""


def score_command(preds: Path, gts: Path, csv: Path, workers: int = 1) -> list[str]:
    """`harness score` as a command."""
    return [sys.executable, "-m", "harness", "score", *_arguments(preds, gts, csv, workers)]


def _arguments(preds: Path, gts: Path, csv: Path, workers: int) -> list[str]:
    return ["--preds", str(preds), "--gts", str(gts), "--csv", str(csv), "--workers", str(workers)]


def linked(folder: Path, pairs: list[tuple[Path, Path]], copies: int) -> tuple[Path, Path]:
    """Folders with every pair of reference and prediction under so many names; returns (preds, gts)."""
    for index, files in enumerate(pairs):
        for copy in range(copies):
            for kind, source in zip(("gts", "preds"), files, strict=True):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                target = folder / kind / f"{source.stem}_{index}_{copy}.npz"
                os.link(source, target)
    return folder / "preds", folder / "gts"


def warm_cpu_s(pair: tuple[Path, Path], repeats: int) -> float:
    """CPU seconds, user and system, of a whole `harness score` of one case; the median after one run to warm up."""
    seconds = []
    with tempfile.TemporaryDirectory(dir=pair[0].parents[1]) as name:
        folder = Path(name)
        preds, gts = linked(folder, [pair], 1)
        for number in range(repeats + 1):
            command = score_command(preds, gts, folder / f"{number}.csv", workers=2)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            _check(process.returncode)
            seconds.append(usage.ru_utime + usage.ru_stime)
    return statistics.median(seconds[1:])


def worker_ratio(pairs: list[tuple[Path, Path]], copies: int, repeats: int) -> tuple[float, float]:
    """Throughput of two workers over that of two independent one-worker processes on half of the cases each.

    Both are timed from the start of the commands to the end of the last one, in turns.

    Returns:
        the ratio of the medians, and the median seconds that two workers took.
    """
    workers_s, apart_s = [], []
    with tempfile.TemporaryDirectory(dir=pairs[0][0].parents[1]) as name:
        folder = Path(name)
        both = linked(folder / "both", pairs, 2 * copies)
        halves = [linked(folder / half, pairs, copies) for half in ("left", "right")]
        for number in range(repeats):
            workers_s.append(_seconds([score_command(*both, folder / f"both{number}.csv", workers=2)]))
            commands = [
                score_command(*half, folder / f"half{index}{number}.csv", workers=1)
                for index, half in enumerate(halves)
            ]
            apart_s.append(_seconds(commands))
    return statistics.median(apart_s) / statistics.median(workers_s), statistics.median(workers_s)


def _seconds(commands: list[list[str]]) -> float:
    """Wall seconds until all of the commands, started together, have ended."""
    began = time.perf_counter()
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL)) for command in commands]
        for process in running:
            _check(process.wait())
    return time.perf_counter() - began


def peak_bytes(pair: tuple[Path, Path], copies: int) -> int:
    """Highest resident memory of one process that scores a case under so many names, one after the other."""
    with tempfile.TemporaryDirectory(dir=pair[0].parents[1]) as name:
        folder = Path(name)
        preds, gts = linked(folder, [pair], copies)
        command = [sys.executable, "-c", _PEAK, *_arguments(preds, gts, folder / "metrics.csv", workers=1)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    _check(done.returncode)
    return int(done.stdout.split()[-1])


def _check(code: int) -> None:
    if code != 0:
        sys.exit(f"`harness score` ended with exit code {code}, so nothing was measured")
