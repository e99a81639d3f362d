"""Counting an attempt's memory and CPU by kernel counters that outlive its container.

Each attempt's container is started below a control group made for that attempt.  The container's own
group vanishes with it; the parent's counters (which include it) stay until read.

=============  =====================================  ================================================
implementation where                                  state
=============  =====================================  ================================================
v1-cgroupfs    cgroup v1, driver cgroupfs             tested
v2-cgroupfs    cgroup v2, driver cgroupfs             untested on a real host
v2-systemd     cgroup v2, driver systemd              untested on a real host
daemon         anything else (remote, no rights)      the engine's own figures, sampled
=============  =====================================  ================================================
"""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.records import Resources

CGROUP_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "cvpr24"


class Meter(ABC):
    """Counts one attempt.  Made before its container, asked to sample while it runs, read after removal."""

    #: Name of the implementation, recorded with each attempt.
    source: str
    #: What the engine takes as the container's cgroup parent; None: the engine's default.
    parent: str | None = None

    def __init__(self) -> None:
        self._peak_anon: int | None = None
        self._container: str | None = None

    def started(self, container: str) -> None:
        """The container runs now, under this id."""
        self._container = container

    @abstractmethod
    def sample(self) -> None:
        """Read what only sampling can see (anonymous memory); called about every 50 ms."""

    def ended(self) -> None:
        """The container's init has just ended; its own group may be gone at any moment."""
        self.sample()

    @abstractmethod
    def read(self, daemon_oom: bool) -> Resources:
        """Final figures, once the container is removed.  `daemon_oom`: the engine's own OOM flag."""

    @abstractmethod
    def close(self) -> None:
        """Remove the control group."""

    def _saw_anon(self, value: int | None) -> None:
        if value is not None:
            self._peak_anon = max(self._peak_anon or 0, value)


# --------------------------------------------------------------------------- v1


def v1_mounts(mounts: str) -> dict[str, Path]:
    """Controller -> mount point of its cgroup v1 hierarchy, from the text of /proc/mounts."""
    found: dict[str, Path] = {}
    for line in mounts.splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, Path(where))
        elif kind == "cgroup2":  # beside v1 it holds no controller, but the engine makes groups there too
            found.setdefault("unified", Path(where))
    return {name: where for name, where in found.items() if name in _V1_CONTROLLERS}


_V1_CONTROLLERS = frozenset(
    ["cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "net_cls"]
    + ["perf_event", "net_prio", "hugetlb", "pids", "rdma", "misc", "name=systemd", "unified"]
)


class V1Meter(Meter):
    """cgroup v1, driver cgroupfs.

    v1 counts OOM kills only in the killed process's own group, which the engine removes right after the
    container's end.  It is read while the container runs and once more the moment its init ends; where
    the group was already gone by then, the kernel's host-wide count of OOM kills since the start decides
    (one attempt runs at a time, so they are its own).
    """

    source = "v1-cgroupfs"

    def __init__(self, label: str, attempt: str, mounts: dict[str, Path]) -> None:
        super().__init__()
        self._mounts = mounts
        self.parent = f"/{_PREFIX}-{label}/{attempt}"
        self._relative = self.parent.lstrip("/")
        for controller in ("memory", "cpuacct"):
            (mounts[controller] / self._relative).mkdir(parents=True)
        self._kills = 0
        self._kills_final = False
        self._throttled: float | None = None
        self._host_kills = _host_oom_kills()

    def sample(self) -> None:
        stat = _fields(self._mounts["memory"] / self._relative / "memory.stat")
        self._saw_anon(stat.get("total_rss"))
        self._read_own()

    def ended(self) -> None:
        self._kills_final = self._read_own()

    def _read_own(self) -> bool:
        try:  # engines differ in how they call the container's group; it is the only one below
            with os.scandir(self._mounts["memory"] / self._relative) as entries:
                name = next((entry.name for entry in entries if entry.is_dir()), None)
        except OSError:
            return False
        if name is None:
            return False
        own = Path(self._relative) / name
        kills = _fields(self._mounts["memory"] / own / "memory.oom_control").get("oom_kill")
        if kills is None:
            return False
        self._kills = max(self._kills, kills)
        if "cpu" in self._mounts:
            throttled = _fields(self._mounts["cpu"] / own / "cpu.stat").get("throttled_time")
            self._throttled = None if throttled is None else throttled / 1e9
        return True

    def read(self, daemon_oom: bool) -> Resources:
        memory, source = self._mounts["memory"] / self._relative, "cgroup"
        if not self._kills_final:
            host = _host_oom_kills() - self._host_kills
            self._kills, source = max(self._kills, host), "vmstat"
        cpu = _number(self._mounts["cpuacct"] / self._relative / "cpuacct.usage")
        return Resources(
            cpu_s=None if cpu is None else cpu / 1e9,
            peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
            peak_anon_bytes=self._peak_anon,
            oom_kills=self._kills,
            oom_source=source,
            throttled_s=self._throttled,
            source=self.source,
        )

    def close(self) -> None:
        remove_groups(self._relative, list(self._mounts.values()))


# --------------------------------------------------------------------------- v2


class V2Meter(Meter):
    """cgroup v2, driver cgroupfs: all counters are hierarchical and outlive the container."""

    source = "v2-cgroupfs"

    def __init__(self, label: str, attempt: str) -> None:
        super().__init__()
        self.parent = f"/{_PREFIX}-{label}/{attempt}"
        self._group = CGROUP_ROOT / self.parent.lstrip("/")
        self._group.mkdir(parents=True)
        for folder in (CGROUP_ROOT, self._group.parent, self._group):
            _enable_controllers(folder)

    def sample(self) -> None:
        self._saw_anon(_fields(self._group / "memory.stat").get("anon"))

    def read(self, daemon_oom: bool) -> Resources:
        cpu = _fields(self._group / "cpu.stat")
        kills = _fields(self._group / "memory.events").get("oom_kill")
        return Resources(
            cpu_s=cpu["usage_usec"] / 1e6 if "usage_usec" in cpu else None,
            peak_bytes=_number(self._group / "memory.peak"),
            peak_anon_bytes=self._peak_anon,
            oom_kills=int(daemon_oom) if kills is None else kills,
            oom_source="daemon" if kills is None else "cgroup",
            throttled_s=cpu["throttled_usec"] / 1e6 if "throttled_usec" in cpu else None,
            source=self.source,
        )

    def close(self) -> None:
        remove_groups(self._group.relative_to(CGROUP_ROOT).as_posix(), [CGROUP_ROOT])


class V2SystemdMeter(V2Meter):
    """cgroup v2, driver systemd: parents must be slices, kept alive by starting them explicitly."""

    source = "v2-systemd"

    def __init__(self, label: str, attempt: str) -> None:
        Meter.__init__(self)
        # A dash nests slices in systemd's naming.
        name = f"{_PREFIX}_{label}_{attempt}".replace("-", "_")
        self.parent = f"{name}.slice"
        subprocess.run(["systemctl", "start", self.parent], check=True, capture_output=True)
        accounting = ["MemoryAccounting=yes", "CPUAccounting=yes"]
        subprocess.run(["systemctl", "set-property", "--runtime", self.parent, *accounting], check=True)
        self._group = CGROUP_ROOT / self.parent

    def close(self) -> None:
        assert self.parent is not None
        subprocess.run(["systemctl", "stop", self.parent], capture_output=True, check=False)


# --------------------------------------------------------------------------- none


class DaemonMeter(Meter):
    """No rights on control groups: the engine's own figures, as it reports them while the container runs."""

    source = "daemon"
    #: Asking the engine takes it a millisecond or more, so not at every sample.
    _EVERY = 5

    def __init__(self, stats: Callable[[str], dict[str, Any]]) -> None:
        super().__init__()
        self._stats = stats
        self._samples = 0
        self._cpu_ns: int | None = None
        self._peak: int | None = None

    def sample(self) -> None:
        self._samples += 1
        if self._container is None or self._samples % self._EVERY:
            return
        stats = self._stats(self._container)
        memory = stats.get("memory_stats", {})
        detail = memory.get("stats", {})
        self._saw_anon(detail.get("anon", detail.get("total_rss")))
        now = memory.get("max_usage", memory.get("usage"))
        if now is not None:
            self._peak = max(self._peak or 0, int(now))
        cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
        if cpu:
            self._cpu_ns = int(cpu)

    def read(self, daemon_oom: bool) -> Resources:
        return Resources(
            cpu_s=None if self._cpu_ns is None else self._cpu_ns / 1e9,
            peak_bytes=self._peak,
            peak_anon_bytes=self._peak_anon,
            oom_kills=int(daemon_oom),
            oom_source="daemon",
            source=self.source,
        )

    def close(self) -> None:
        return


# --------------------------------------------------------------------------- choice and cleaning


def choose_meter(
    driver: str, version: str, local: bool, stats: Callable[[str], dict[str, Any]]
) -> Callable[[str, str], Meter]:
    """The accounting that fits an engine: a maker of meters from run label and attempt name.

    Args:
        driver: the engine's cgroup driver, "cgroupfs" or "systemd".
        version: its cgroup version, "1" or "2".
        local: whether the engine runs on this host.
        stats: the engine's own figures of a container, for where nothing better can be had.
    """
    if local and os.getuid() == 0:
        mounts = v1_mounts(Path("/proc/mounts").read_text())
        if (driver, version) == ("cgroupfs", "1") and {"memory", "cpuacct"} <= mounts.keys():
            return lambda label, attempt: V1Meter(label, attempt, mounts)
        if (driver, version) == ("cgroupfs", "2"):
            return V2Meter
        if (driver, version) == ("systemd", "2"):
            return V2SystemdMeter
    return lambda label, attempt: DaemonMeter(stats)


def reap_groups(is_alive: Callable[[str], bool]) -> None:
    """Remove the control groups of runs that died; `is_alive` tells of a run's label whether it lives."""
    roots = [*set(v1_mounts(Path("/proc/mounts").read_text()).values())]
    names = {entry.name for root in roots for entry in root.glob(f"{_PREFIX}-*") if entry.is_dir()}
    for name in sorted(names):
        if not is_alive(name.removeprefix(f"{_PREFIX}-")):
            remove_groups(name, roots)


def remove_groups(relative: str, roots: list[Path]) -> None:
    """Remove a control group and what is below it from each hierarchy; a group in use stays."""
    for root in set(roots):
        top = root / relative
        groups = sorted((Path(folder) for folder, _, _ in os.walk(top)), key=lambda p: len(p.parts), reverse=True)
        for group in groups:
            try:
                group.rmdir()
            except OSError:
                continue


def _enable_controllers(group: Path) -> None:
    for controller in ("memory", "cpu", "pids"):
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue  # not delegated here: its figures stay unknown


def _host_oom_kills() -> int:
    return _fields(Path("/proc/vmstat")).get("oom_kill", 0)


def _fields(path: Path) -> dict[str, int]:
    """A kernel file of ``name value`` lines; empty where it is gone."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
