"""The host that runs are timed on: what it is, and how quiet it was."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

#: The rule for a noisy attempt, declared beforehand: CPU time of others beyond the engine's own work ...
FOREIGN_CPU_S = 1.0
FOREIGN_CPU_SHARE = 0.2
#: ... or time stolen by a hypervisor beyond this share of the attempt's wall time ...
STEAL_SHARE = 0.05
#: ... or pages swapped.
NOISE_RULE = (
    f"CPU seconds of other processes above {FOREIGN_CPU_S} s + {FOREIGN_CPU_SHARE:.0%} of the wall time, "
    f"steal above {STEAL_SHARE:.0%} of the wall time, or any swapping"
)


def host_facts() -> dict[str, Any]:
    """What this host is, for the manifest."""
    frequency = psutil.cpu_freq()
    return {
        "name": platform.node(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "cpu_mhz": round(frequency.current) if frequency else None,
        "memory_bytes": psutil.virtual_memory().total,
        "swap_bytes": psutil.swap_memory().total,
        "kernel": platform.release(),
        "system": _system_name(),
        "python": platform.python_version(),
    }


def host_class() -> str:
    """Digest of what makes timings comparable: processor model, number of CPUs, memory in GiB."""
    memory = round(psutil.virtual_memory().total / 2**30)
    return hashlib.sha256(f"{_cpu_model()}|{os.cpu_count()}|{memory}".encode()).hexdigest()[:16]


def _cpu_model() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _system_name() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return platform.system()


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


@dataclass(frozen=True)
class HostReading:
    """Counters of the host at one moment.

    Attributes:
        busy_s, steal_s: CPU seconds since boot, all CPUs.
        swapped: bytes swapped in and out since boot.
        load: 1-minute load average.
        pressure: share of the last 10 s in which some process waited for a CPU; None where unknown.
    """

    busy_s: float
    steal_s: float
    swapped: int
    load: float
    pressure: float | None


def read_host() -> HostReading:
    """Read the host's counters now (about a millisecond)."""
    times = psutil.cpu_times()
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    pages = {}
    for line in _text("/proc/vmstat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("pswpin", "pswpout"):
            pages[name] = int(value)
    return HostReading(
        busy_s=busy,
        steal_s=getattr(times, "steal", 0.0),
        swapped=sum(pages.values()) * os.sysconf("SC_PAGE_SIZE"),
        load=os.getloadavg()[0],
        pressure=_pressure(),
    )


def _pressure() -> float | None:
    for line in _text("/proc/pressure/cpu").splitlines():
        if line.startswith("some"):
            return float(line.split("avg10=")[1].split()[0]) / 100
    return None


def certificate(before: HostReading, after: HostReading, wall_s: float, cpu_s: float | None) -> dict[str, Any]:
    """How quiet the host was during an attempt, judged by the rule above.

    Args:
        before, after: readings around the attempt.
        wall_s: its wall time.
        cpu_s: CPU seconds of its container, None where unknown.

    Returns:
        The readings, and ``noisy``: true, false, or None where it cannot be told.
    """
    foreign = None if cpu_s is None else max(0.0, after.busy_s - before.busy_s - cpu_s)
    steal = after.steal_s - before.steal_s
    swapped = after.swapped - before.swapped
    noisy: bool | None = steal > STEAL_SHARE * wall_s or swapped > 0
    if not noisy:
        noisy = None if foreign is None else foreign > FOREIGN_CPU_S + FOREIGN_CPU_SHARE * wall_s
    return {
        "noisy": noisy,
        "foreign_cpu_s": None if foreign is None else round(foreign, 3),
        "steal_s": round(steal, 3),
        "swapped_bytes": swapped,
        "load_before": before.load,
        "pressure_before": before.pressure,
        "pressure_after": after.pressure,
    }
