"""What a user names as a submission: ``[TEAM=]SUBMISSION``, parsed without touching an engine."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import UsageError
from harness.layout import OutDir

Kind = Literal["tarball", "folder", "tag"]

_TEAM = re.compile(r"[a-z0-9][a-z0-9_.-]*")
#: A team's name is part of file names, of which none may pass 255 characters.
_LONGEST_TEAM = 100
_ARCHIVES = tuple(f".{kind}" for kind in ("tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "txz", "tar.zst"))


def _taken_names() -> frozenset[str]:
    """What a team cannot be called: the folder TEAM/ lies beside these in an output folder."""
    out = OutDir(Path())
    files = (getattr(out, name) for name in dir(OutDir) if isinstance(getattr(OutDir, name), property))
    return frozenset(path.name for path in (*files, out.prediction("t", "c").parents[1], out.log("t", "c").parents[1]))


@dataclass(frozen=True)
class SubmissionSpec:
    """A submission as named on the command line.

    Attributes:
        team: lower-case team name.
        kind: a ``docker save`` tarball, a folder with a Dockerfile, or an image tag.
        source: path or tag.
    """

    team: str
    kind: Kind
    source: str


def parse_submission(text: str) -> SubmissionSpec:
    """Parse ``[TEAM=]SUBMISSION``.

    Without TEAM the team is the tarball's name up to the first dot, the last path component of the
    tag's repository, or the folder's name, lower-cased.

    Raises:
        UsageError: a folder without a Dockerfile, a path that is not there, an unusable team name.
    """
    team, separator, source = text.partition("=")
    if not separator or "/" in team:
        team, source = "", text
    if not source.strip():  # a shell variable that was never set; the path "" would be the current folder
        raise UsageError(f"{text!r} names no submission. Give a docker save tarball, a folder or an image tag.")
    path = Path(source)
    kind: Kind
    if path.is_dir():
        kind = "folder"
        if not (path / "Dockerfile").is_file():
            raise UsageError(f"{source}: this folder has no Dockerfile. Add one, or give a tarball or an image tag.")
        default = path.resolve().name
    elif path.is_file():
        kind = "tarball"
        default = path.name.split(".")[0]
    elif source.endswith(_ARCHIVES) or source.startswith((".", "/", "~")):
        raise UsageError(f"{source}: no such file or folder. Give a docker save tarball, a folder or an image tag.")
    else:
        kind = "tag"
        default = _repository(source).split("/")[-1]
    name = (team or default).lower()
    if not _TEAM.fullmatch(name):
        raise UsageError(
            f"{text}: {name!r} is no team name (letters, digits, '-', '_', '.'). Name the team: TEAM={source}"
        )
    if len(name) > _LONGEST_TEAM:
        raise UsageError(f"{name}: more than {_LONGEST_TEAM} characters. Name the team shorter: TEAM={source}")
    if name in _taken_names():
        raise UsageError(f"{name}: this name is taken in the output folder. Name the team: TEAM={source}")
    return SubmissionSpec(name, kind, source)


def parse_submissions(texts: list[str]) -> list[SubmissionSpec]:
    """Parse several; two of one team are refused.

    Raises:
        UsageError: as `parse_submission`, and for two alike.
    """
    specs: dict[str, SubmissionSpec] = {}
    for text in texts:
        spec = parse_submission(text)
        if (other := specs.get(spec.team)) is not None:
            raise UsageError(
                f"{other.source} and {spec.source} are both team {spec.team!r}. "
                f"Name one of them: {spec.team}2={spec.source}"
            )
        specs[spec.team] = spec
    return list(specs.values())


def _repository(tag: str) -> str:
    """An image reference without its digest and tag (a port's colon stays)."""
    name = tag.split("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


#: Fields of an image's configuration that can change what its containers do.
_CONFIG_FIELDS = (
    "Cmd",
    "Entrypoint",
    "Env",
    "Healthcheck",
    "Labels",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)


def image_identity(config: dict[str, Any], architecture: str, system: str, layers: list[str]) -> str:
    """SHA-256 over an image's configuration and layer diff-ids.

    An engine's own id means different things in different image stores; this does not.  Empty fields
    count as absent, since stores disagree on how to write them.

    Args:
        config: the image's configuration (``Config`` of an inspection, ``config`` of an image file).
        architecture, system: as "amd64", "linux".
        layers: diff-ids in order.
    """
    kept = {field: config[field] for field in _CONFIG_FIELDS if config.get(field)}
    text = json.dumps([kept, architecture, system, layers], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
