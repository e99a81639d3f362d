"""What a challenge is, read from a file of `harness/protocols` into a frozen `Protocol`."""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from harness.errors import InputError, UsageError
from harness.records import Limits

DEFAULT_PROTOCOL = "cvpr24"


@dataclass(frozen=True)
class Metric:
    """One ranked quantity.

    Attributes:
        name: its column in the results table.
        label: its name in figures.
        unit: "" for a share, "s" for seconds.
        smaller_is_better: its direction.
        on_failure: what a failed attempt gets; "time_limit" stands for the run's time limit, "undefined"
            for no value.
        drop_case: whether the metric judges nobody on a case whose reference lacks one of its classes.
    """

    name: str
    label: str
    unit: str
    smaller_is_better: bool
    on_failure: float | Literal["time_limit", "undefined"]
    drop_case: bool = False

    def failure_value(self, time_limit_s: float) -> float:
        """The value that a failed attempt gets in a run with this time limit; NaN where it gets none."""
        if self.on_failure == "time_limit":
            return time_limit_s
        return math.nan if self.on_failure == "undefined" else float(self.on_failure)


@dataclass(frozen=True)
class Scoring:
    """How predictions are scored.

    Attributes:
        tolerance_mm: NSD's tolerance.
        gate_dsc: NSD is computed only where a case's mean DSC exceeds this, else it is 0.
        digits: decimals that scores are rounded to.
        also: further metrics, beside dsc and nsd (`harness.score.further` tells of them).
    """

    tolerance_mm: float
    gate_dsc: float
    digits: int
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """A challenge as data.

    Attributes:
        name: short name, as `--protocol` takes it.
        title: the challenge's full name.
        command: what a container runs, under the image's own entrypoint and working directory.
        inputs, outputs: mount points inside the container.
        limits: the limits of an attempt.
        tasks: folded second field of a case's name -> task.
        metrics: by name, in the order of the file.
        scoring: how predictions are scored.
        scheme: the ranking's default scheme.
        ranked: names of the metrics that are ranked.
        runtime: which measured time is `runtime_s`: "wall_s" or "run_s".
        bootstrap: default number of bootstrap samples.
        digest: SHA-256 of the file's bytes.
    """

    name: str
    title: str
    command: tuple[str, ...]
    inputs: str
    outputs: str
    limits: Limits
    tasks: dict[str, str]
    metrics: dict[str, Metric]
    scoring: Scoring
    scheme: str
    ranked: tuple[str, ...]
    runtime: str
    bootstrap: int
    digest: str

    def task_of(self, case: str) -> str:
        """The task (modality) of a case by its name's second underscore field; unknown ones stay as they are."""
        fields = case.split("_")
        field = fields[1] if len(fields) > 1 else case
        return self.task_named(field)

    def task_named(self, word: str) -> str:
        """The task that a word names, without regard to case or hyphens; unknown words stay as they are."""
        return self.tasks.get(word.replace("-", "").lower(), word)


def load_protocol(name_or_file: str | Path = DEFAULT_PROTOCOL) -> Protocol:
    """Read a protocol shipped with the harness by name, or any by its file.

    Raises:
        UsageError: no such protocol.
        InputError: the file lacks something or holds the wrong type.
    """
    path = Path(name_or_file)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(
                f"{path}: no such protocol file. Give a name ({', '.join(protocol_names())}) or a .toml file."
            )
        raw = path.read_bytes()
    else:
        if str(name_or_file) not in protocol_names():
            raise UsageError(
                f"no protocol named {str(name_or_file)!r}. Known: {', '.join(protocol_names())}; or give a .toml file."
            )
        raw = (resources.files("harness") / "protocols" / f"{name_or_file}.toml").read_bytes()
    remedy = "Compare it with harness/protocols/cvpr24.toml."
    try:
        return _parse(tomllib.loads(raw.decode()), hashlib.sha256(raw).hexdigest())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"it is not TOML ({error})", remedy) from error
    except KeyError as error:
        raise InputError(path, f"{error} is missing", remedy) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(path, f"a value has the wrong type ({error})", remedy) from error


def protocol_names() -> list[str]:
    """Names of the protocols shipped with the harness."""
    folder = resources.files("harness") / "protocols"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _parse(data: dict[str, Any], digest: str) -> Protocol:
    container, scoring, ranking = data["container"], data["scoring"], data["ranking"]
    metrics = {
        name: Metric(
            name=name,
            label=str(spec["label"]),
            unit=str(spec["unit"]),
            smaller_is_better=bool(spec["smaller_is_better"]),
            on_failure=value if (value := spec["on_failure"]) in ("time_limit", "undefined") else float(value),
            drop_case=bool(spec.get("drop_case", False)),
        )
        for name, spec in data["metrics"].items()
    }
    ranked = tuple(str(name) for name in ranking["metrics"])
    also = tuple(str(name) for name in scoring.get("also", ()))
    for place, names in (("ranking.metrics", ranked), ("scoring.also", also)):
        if unknown := set(names) - set(metrics):
            raise ValueError(f"{place} names {sorted(unknown)}, which [metrics] does not define")
    return Protocol(
        name=str(data["name"]),
        title=str(data["title"]),
        command=tuple(str(word) for word in container["command"]),
        inputs=str(container["inputs"]),
        outputs=str(container["outputs"]),
        limits=Limits(**data["limits"]),
        tasks={str(k): str(v) for k, v in data["tasks"].items()},
        metrics=metrics,
        scoring=Scoring(
            tolerance_mm=float(scoring["tolerance_mm"]),
            gate_dsc=float(scoring["gate_dsc"]),
            digits=int(scoring["digits"]),
            also=also,
        ),
        scheme=str(ranking["scheme"]),
        ranked=ranked,
        runtime=str(ranking["runtime"]),
        bootstrap=int(ranking["bootstrap"]),
        digest=digest,
    )
