"""``docker save`` tarballs, read without loading them and without trust."""

from __future__ import annotations

import json
import lzma
import platform
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.errors import SubmissionError
from harness.labels import told_labels
from harness.records import Submission
from harness.submissions import SubmissionSpec, image_identity

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MAX_JSON = 16 << 20


@dataclass(frozen=True)
class TarballFacts:
    """What a tarball declares.

    Attributes:
        tags: names that loading it would move.
        config: the image's configuration file.
        bytes: size of its members, unpacked.
    """

    tags: tuple[str, ...]
    config: dict[str, Any]
    bytes: int


def read_tarball(path: Path) -> TarballFacts:
    """What a ``docker save`` tarball holds, read without loading it.

    Raises:
        SubmissionError: it is no such tarball, or holds other than one image.
    """
    remedy = "Make it with: docker save IMAGE | gzip > TEAM.tar.gz"
    try:
        with tarfile.open(path, "r:*") as tar:
            manifest = _json_member(tar, "manifest.json")
            if not isinstance(manifest, list) or len(manifest) != 1:
                count = len(manifest) if isinstance(manifest, list) else 0
                raise SubmissionError(f"{path}: holds {count} images, not one. {remedy}")
            tags, name = manifest[0].get("RepoTags") or [], manifest[0]["Config"]
            _demand(isinstance(name, str) and _are_texts(tags), "its manifest is not as docker save writes it")
            config = _json_member(tar, name)
            _demand(_is_image_config(config), f"{name} is no image configuration")
            return TarballFacts(tuple(tags), config, sum(member.size for member in tar.getmembers()))
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise SubmissionError(f"{path}: not a docker save tarball ({error}). {remedy}") from error
    except (KeyError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise SubmissionError(f"{path}: not a docker save tarball ({error}). {remedy}") from error


def _demand(holds: bool, fault: str) -> None:
    if not holds:
        raise ValueError(fault)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _is_image_config(config: Any) -> bool:
    """Whether an image file's configuration has the types that are relied on here; the engine checks the rest."""
    if not isinstance(config, dict):
        return False
    container, layers = config.get("config") or {}, config.get("rootfs") or {}
    return (
        isinstance(config.get("os"), str)
        and isinstance(config.get("architecture"), str)
        and isinstance(container, dict)
        and isinstance(container.get("Labels") or {}, dict)
        and isinstance(layers, dict)
        and _are_texts(layers.get("diff_ids") or [])
    )


def _json_member(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.getmember(name)
    if not member.isfile() or member.size > _MAX_JSON:
        raise ValueError(f"{name} is not a plain file of sensible size")
    stream: IO[bytes] | None = tar.extractfile(member)
    if stream is None:
        raise ValueError(f"{name} cannot be read")
    return json.loads(stream.read())


def describe_tarball(spec: SubmissionSpec) -> Submission:
    """A tarball's submission without loading it: no image id yet, but its identity, labels and size unpacked.

    Raises:
        SubmissionError: it is no usable tarball, or is for another processor.
    """
    return as_submission(spec, read_tarball(Path(spec.source)))


def as_submission(spec: SubmissionSpec, facts: TarballFacts) -> Submission:
    """What a tarball holds, as a submission without an image id."""
    config = facts.config
    check_platform(spec, config.get("os", ""), config.get("architecture", ""))
    layers = (config.get("rootfs") or {}).get("diff_ids") or []
    container = config.get("config") or {}
    return Submission(
        team=spec.team,
        source=spec.source,
        image_id="",
        identity=image_identity(container, config["architecture"], config["os"], layers),
        bytes=facts.bytes,
        labels=told_labels(container.get("Labels")),
    )


def check_platform(spec: SubmissionSpec, system: str, architecture: str) -> None:
    """Refuse an image for another processor or system than this host's.

    Raises:
        SubmissionError: with what to build instead.
    """
    here = _ARCHITECTURES.get(platform.machine(), platform.machine())
    if (system, architecture) != ("linux", here):
        raise SubmissionError(
            f"{spec.source}: an image for {system}/{architecture}, this host runs linux/{here}. "
            f"Build it with: docker build --platform linux/{here} ."
        )
