"""`harness doctor`: what this host offers a timed run, and what to mend before one."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace

import psutil
from rich.table import Table

from harness.cli.console import output_console
from harness.errors import EXIT_OK
from harness.protocol import load_protocol
from harness.run.daemon import connect
from harness.run.docker_engine import open_docker_engine
from harness.run.host import host_facts, read_host
from harness.run.roots import scratch_root

SUMMARY = "Say what this host offers a timed run, and what to mend before one."
EPILOG = """\
The engine is the one that DOCKER_HOST names, else the local one. "accounting" tells how memory and CPU time are
measured: by the kernel's own counters or, where it says daemon, by the engine's samples. "scratch" is where cases and
outputs lie while containers run; HARNESS_SCRATCH moves it. Each note says what would make a run less exact, and what
helps (docs/running.md).

examples:
  harness doctor
  DOCKER_HOST=unix:///run/podman/podman.sock harness doctor

exit codes: 0 runs can be made here, 2 a timed run is under way here, 3 no runs can be made (the error says why)."""


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def execute(args: argparse.Namespace) -> int:
    """Look, and tell."""
    limits = load_protocol().limits
    connect()
    facts = host_facts()
    table = Table(show_header=False, box=None)
    problems = []
    with open_docker_engine(replace(limits, disk_bytes=64 << 20, disk_inodes=1000), 0) as engine:
        found = engine.facts
    table.add_row("host", f"{facts['cpu']}, {facts['cpus']} CPUs, {facts['memory_bytes'] / 2**30:.1f} GiB")
    table.add_row("system", f"{facts['system']}, kernel {facts['kernel']}")
    table.add_row("engine", f"{found.name}, API {found.api}, {found.storage}, cgroup {found.cgroup}")
    table.add_row("accounting", found.accounting)
    table.add_row("disk limit", f"enforced by a {found.disk}")
    free = shutil.disk_usage(scratch_root()).free
    table.add_row("scratch", f"{scratch_root()}, {free / 2**30:.1f} GiB free")
    now = read_host()
    table.add_row("load", f"{now.load:.2f} (1 minute)")
    if found.accounting == "daemon":
        problems.append("memory and CPU are only sampled by the engine: run as root beside it for exact figures")
    if found.disk != "file system":
        problems.append("outputs are watched, not limited by a file system: run as root, with loop devices")
    if facts["memory_bytes"] < limits.memory_bytes:
        limit = f"{limits.memory_bytes / 2**30:.0f} GiB"
        problems.append(f"the host has less memory than the limit of {limit}: use a larger one, or lower --memory")
    if free < limits.disk_bytes:
        problems.append("scratch space is short: set HARNESS_SCRATCH to another disk")
    if now.load > 0.5 * (facts["cpus"] or 1):
        problems.append("the host is busy: timings will be noisy; end other work, or give --retry-noisy 2")
    if psutil.swap_memory().used > 0:
        problems.append("swap is in use: timings may be noisy; free memory before a run")
    output_console().print(table)
    for problem in problems:
        output_console().print(f"note: {problem}", style="yellow", markup=False, highlight=False)
    output_console().print("runs can be made here", style="green")
    return EXIT_OK
