"""Turning what a user named into an image that containers can be started from."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from harness.errors import EngineError, SubmissionError
from harness.labels import told_labels
from harness.records import Submission
from harness.run.tarballs import as_submission, check_platform, read_tarball
from harness.submissions import SubmissionSpec, image_identity

log = logging.getLogger(__name__)

#: Base image of the project's Dockerfiles, and what `make setup` makes where no registry is reachable.
OFFICIAL_BASE = "python:3.11-slim-bookworm"
OWN_BASE = "cvpr24-base:bookworm"
#: Repository under which the harness tags what it builds and loads.
_REPOSITORY = "cvpr24-harness"


@dataclass(frozen=True)
class LoadedImage:
    """A submission's image, and whether the harness brought it here.

    Attributes:
        submission: the submission.
        tag: the harness's own tag, if the harness loaded the image; it removes it after the run.
    """

    submission: Submission
    tag: str | None = None


def resolve(client: docker.APIClient, spec: SubmissionSpec) -> LoadedImage:
    """Build, load or look up a submission's image.

    Raises:
        SubmissionError: it cannot be built or loaded, is no image, or is for another processor.
        EngineError: the engine failed.
    """
    try:
        if spec.kind == "folder":
            return LoadedImage(_describe(client, spec, _build(client, spec)))
        if spec.kind == "tarball":
            return _load(client, spec)
        return LoadedImage(_describe(client, spec, spec.source))
    except ImageNotFound as error:
        raise SubmissionError(
            f"{spec.source}: no such image here, and none is pulled (a stranger's could answer to that name). "
            f"Build or load it first, or give its tarball: docker load -i {spec.team}.tar.gz"
        ) from error
    except (DockerException, requests.RequestException) as error:
        if spec.kind == "tag" and isinstance(error, APIError) and error.is_client_error():
            raise SubmissionError(f"{spec.source}: no name of an image ({error.explanation})") from error
        raise EngineError(f"the engine failed on submission {spec.source} ({error})") from error


def _describe(client: docker.APIClient, spec: SubmissionSpec, reference: str) -> Submission:
    facts = client.inspect_image(reference)
    check_platform(spec, facts["Os"], facts["Architecture"])
    config = facts.get("Config") or {}
    return Submission(
        team=spec.team,
        source=spec.source,
        image_id=facts["Id"],
        identity=image_identity(config, facts["Architecture"], facts["Os"], facts["RootFS"].get("Layers") or []),
        bytes=int(facts["Size"]),
        labels=told_labels(config.get("Labels")),
    )


# --------------------------------------------------------------------------- folders


def build_context(folder: Path) -> tuple[Path, str]:
    """Where a submission's folder is built from: its context and its Dockerfile within that.

    A folder ``docker/NAME`` of this project is built from the project's root, any other from itself.
    """
    folder = folder.resolve()
    root = folder.parent.parent
    if folder.parent.name == "docker" and (root / "harness" / "contract.py").is_file():
        return root, f"docker/{folder.name}/Dockerfile"
    return folder, "Dockerfile"


def build_arguments(client: docker.APIClient, dockerfile: Path) -> dict[str, str]:
    """Build arguments for a Dockerfile that takes its base image as BASE, where the official one is not to be had."""
    declares_base = any(line.strip().startswith("ARG BASE") for line in dockerfile.read_text().splitlines())
    if not declares_base or _exists(client, OFFICIAL_BASE) or not _exists(client, OWN_BASE):
        return {}
    return {"BASE": OWN_BASE, "PIP_NO_INDEX": "1"}


def _exists(client: docker.APIClient, reference: str) -> bool:
    try:
        client.inspect_image(reference)
    except ImageNotFound:
        return False
    return True


def _build(client: docker.APIClient, spec: SubmissionSpec) -> str:
    """Build a folder; returns the new image's id."""
    context, dockerfile = build_context(Path(spec.source))
    tag = f"{_REPOSITORY}/{_tag_part(spec.team)}:latest"
    log.info("building %s from %s", tag, context / dockerfile)
    said: list[str] = []
    try:
        for event in client.build(
            path=str(context),
            dockerfile=dockerfile,
            tag=tag,
            buildargs=build_arguments(client, context / dockerfile),
            rm=True,
            forcerm=True,
            decode=True,
        ):
            said.append(str(event.get("stream", "")))
            if "error" in event:
                tail = "".join(said)[-2000:].strip()
                raise SubmissionError(f"{spec.source}: docker build failed: {event['error']}\n{tail}")
    except APIError as error:  # a Dockerfile that the engine will not even begin with
        if error.is_server_error():
            raise
        raise SubmissionError(f"{spec.source}: docker build failed: {error.explanation}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise SubmissionError(f"{spec.source}: docker build failed: the folder cannot be sent ({error})") from error
    return str(client.inspect_image(tag)["Id"])


def _tag_part(team: str) -> str:
    """A team's name as part of an image's name, for which engines allow less than we do for teams."""
    if re.fullmatch(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", team):
        return team
    return f"team-{hashlib.sha256(team.encode()).hexdigest()[:12]}"


# --------------------------------------------------------------------------- tarballs


def _load(client: docker.APIClient, spec: SubmissionSpec) -> LoadedImage:
    path = Path(spec.source)
    facts = read_tarball(path)
    identity = as_submission(spec, facts).identity
    own_tag = f"{_REPOSITORY}/loaded-{_tag_part(spec.team)}:{identity[:12]}"
    if _exists(client, own_tag) and _describe(client, spec, own_tag).identity == identity:
        return LoadedImage(_describe(client, spec, own_tag), own_tag)

    # A tarball saved from an image of ours names our own tag, which is not to be put back.
    before = {tag: _id_of(client, tag) for tag in facts.tags if tag != own_tag}
    log.info("loading %s", path)
    try:
        _tag(client, _load_file(client, path), own_tag)
    finally:
        _put_back(client, before)
    submission = _describe(client, spec, own_tag)
    if submission.identity != identity:
        client.remove_image(own_tag)
        raise SubmissionError(f"{path}: what the engine loaded is not what the tarball's manifest declares")
    return LoadedImage(submission, own_tag)


def _load_file(client: docker.APIClient, path: Path) -> str:
    """``docker load``; the loaded image's id."""
    loaded: str | None = None
    with open(path, "rb") as file:
        events: Iterator[dict[str, Any]] = client.load_image(file)
        for event in events:
            if "error" in event or "errorDetail" in event:
                raise SubmissionError(f"{path}: docker load failed: {event.get('error', event)}")
            for marker in ("Loaded image ID: ", "Loaded image: "):
                if marker in event.get("stream", ""):
                    loaded = event["stream"].split(marker)[1].strip()
    if loaded is None:
        raise SubmissionError(f"{path}: docker load did not say which image it loaded")
    return str(client.inspect_image(loaded)["Id"])


def _put_back(client: docker.APIClient, before: dict[str, str | None]) -> None:
    """Let tags that a load moved name again what they named before it (an id, or None for nothing)."""
    for tag, old in before.items():
        now = _id_of(client, tag)
        if now is not None and old is None:
            client.remove_image(tag, noprune=True)
        elif old is not None and old != now:
            _tag(client, old, tag)


def _tag(client: docker.APIClient, image_id: str, tag: str) -> None:
    repository, _, name = tag.rpartition(":")
    client.tag(image_id, repository, tag=name)


def _id_of(client: docker.APIClient, reference: str) -> str | None:
    try:
        return str(client.inspect_image(reference)["Id"])
    except APIError as error:
        if error.is_server_error():
            raise
        return None  # not here, or no name that an image could have


def remove_loaded(client: docker.APIClient, images: list[LoadedImage]) -> None:
    """Remove the images that the harness itself loaded; those in use by others keep their other tags."""
    for image in images:
        if image.tag is not None:
            try:
                client.remove_image(image.tag)
            except (DockerException, requests.RequestException) as error:
                log.warning("image %s stays: %s", image.tag, error)
