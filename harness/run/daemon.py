"""Talking to the container daemon outside of attempts: connecting, its name, clearing up after dead runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.utils
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from harness.errors import EngineError
from harness.run import cgroups, roots

log = logging.getLogger(__name__)

#: Container label that carries the run's scratch label: whose it is, and whether its owner lives.
LABEL = "cvpr24.harness.run"
#: A call that should be instant takes this long only when the daemon hangs.
_CALL_TIMEOUT_S = 120


class RefusedError(EngineError):
    """The engine answered, and refused."""


def connect() -> docker.APIClient:
    """A client of the engine that DOCKER_HOST names, or of the local socket.

    Raises:
        EngineError: nothing answers; the message says what to do.
    """
    try:
        client = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=_CALL_TIMEOUT_S)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise EngineError(
            f"no container engine answers at {os.environ.get('DOCKER_HOST', 'unix:///var/run/docker.sock')} ({error}). "
            "Start Docker (`make setup` installs and starts it on Debian), make sure that this user may use its "
            "socket, or point DOCKER_HOST at a running Docker or Podman."
        ) from error
    return client


def engine_name(version: dict[str, Any]) -> str:
    """An engine's name and version from its own word: Podman names itself, Docker says just "Engine"."""
    parts = version.get("Components") or [{}]
    name = str(parts[0].get("Name", "Engine"))
    return f"{'Docker' if name == 'Engine' else name} {version['Version']}"


def call(what: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Make one call of the daemon.

    Raises:
        RefusedError: it answered, and refused.
        EngineError: it did not answer.
    """
    try:
        return function(*args, **named)
    except ImageNotFound as error:  # removed under us: nobody's submission is to blame
        raise EngineError(f"the engine failed to {what}: the image is gone ({error.explanation})") from error
    except APIError as error:
        raise RefusedError(f"the engine failed to {what} ({error.explanation or error})") from error
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the engine failed to {what} ({error})") from error


def remove_container(client: docker.APIClient, container: str) -> None:
    """Kill and remove a container with its anonymous volumes; one that is gone already is fine.

    Raises:
        EngineError: it cannot be removed.
    """
    try:
        client.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the engine failed to remove a container ({error})") from error


def reap(client: docker.APIClient, root: Path) -> None:
    """Remove containers, mounts, folders and control groups of runs that died."""
    remove_containers(client, lambda label: is_others(root, label))
    roots.reap_folders(root)
    if os.getuid() == 0:
        cgroups.reap_groups(lambda label: is_others(root, label))


def is_others(root: Path, label: str) -> bool:
    """Whether a label belongs to a living run, or to none below this root."""
    return not label.startswith(roots.owner_prefix(root)) or roots.is_alive(root, label)


def remove_containers(client: docker.APIClient, is_alive: Callable[[str], bool]) -> None:
    """Remove the harness's containers whose run is dead; `is_alive` tells of a run's label whether it lives.

    Raises:
        EngineError: one cannot be removed.
    """
    try:
        for found in client.containers(all=True, filters={"label": LABEL}):
            if not is_alive(found["Labels"][LABEL]):
                log.info("removing a container that a dead run left: %s", found["Id"][:12])
                remove_container(client, found["Id"])
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"containers that a dead run left cannot be removed ({error})") from error
