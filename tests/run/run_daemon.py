"""Tiny images on the real daemon, all named so that they can be told apart and removed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import docker
import docker.utils
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from harness.run.daemon import LABEL
from harness.run.images import OFFICIAL_BASE, OWN_BASE

#: A submission that fills nothing: writes what is ready for a case of `run_kit.write_case`.
GOOD = "for f in /workspace/inputs/*.npz; do n=${f##*/}; cp /ready/${n%%Box_*}.npz /workspace/outputs/$n; done\n"


def daemon_missing() -> str:
    """Why no test can use a daemon here, "" if they can."""
    try:
        client = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=5)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        return f"no container engine answers ({type(error).__name__})"
    try:
        _base(client)
    except ImageNotFound:
        return "no base image here (make setup makes one)"
    finally:
        client.close()
    return ""


def _base(client: docker.APIClient) -> str:
    for name in (OFFICIAL_BASE, OWN_BASE):
        try:
            client.inspect_image(name)
        except ImageNotFound:
            continue
        return name
    raise ImageNotFound(OWN_BASE)


class Daemon:
    """The daemon, and the images that tests made on it; use as a context manager."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.api = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=60)
        self.base = _base(self.api)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        for image in self.api.images():
            for tag in image["RepoTags"] or []:
                if self.mark in tag:
                    self.api.remove_image(tag, force=True)
        self.api.close()

    def name(self, word: str) -> str:
        """An image name of this daemon's own."""
        return f"{self.mark}-{word}"

    def folder(self, place: Path, script: str, *lines: str) -> Path:
        """A submission as a folder: its Dockerfile and predict.sh."""
        from harness import contract
        from tests.run.run_kit import labels

        place.mkdir(parents=True)
        ready = place / "ready"
        ready.mkdir()
        for kind in ("2D", "3D"):
            contract.write_prediction(ready / f"{kind}.npz", labels(kind))
        (place / "predict.sh").write_text(script)
        text = [f"FROM {self.base}", "WORKDIR /workspace", "COPY ready /ready", "COPY predict.sh .", *lines]
        (place / "Dockerfile").write_text("\n".join([*text, "USER 1000:1000", ""]))
        return place

    def build(self, place: Path, tag: str) -> str:
        """Build a folder; its image's id."""
        for event in self.api.build(path=str(place), tag=tag, rm=True, decode=True):
            assert "error" not in event, event
        return self.id_of(tag)

    def id_of(self, reference: str) -> str | None:
        """An image's id, None where there is none."""
        try:
            return self.api.inspect_image(reference)["Id"]
        except ImageNotFound:
            return None

    def save(self, tag: str, path: Path) -> Path:
        """``docker save``."""
        with open(path, "wb") as file:
            for piece in self.api.get_image(tag):
                file.write(piece)
        return path

    def remove(self, tag: str) -> None:
        """``docker rmi``, where it is there."""
        try:
            self.api.remove_image(tag, force=True)
        except (ImageNotFound, APIError):
            return

    def containers(self, prefix: str) -> list[str]:
        """Ids of containers whose run label begins so."""
        found = self.api.containers(all=True, filters={"label": LABEL})
        return [item["Id"] for item in found if item["Labels"][LABEL].startswith(prefix)]


def other_architecture(tarball: Path, target: Path, architecture: str) -> Path:
    """A saved image that claims another processor."""
    with tarfile.open(tarball) as source, tarfile.open(target, "w") as out:
        listed = json.load(source.extractfile("manifest.json"))
        for info in source:
            data = source.extractfile(info).read() if info.isfile() else None
            if info.name == listed[0]["Config"]:
                data = json.dumps(json.loads(data) | {"architecture": architecture}).encode()
                info.size = len(data)
            out.addfile(info, io.BytesIO(data) if data is not None else None)
    return target
