"""Images that no container can be started from: the submission's fault, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from harness.records import Case
from harness.run.docker_engine import DockerEngine
from harness.run.judge import judge
from tests.docker.conftest import PROTOCOL, make_job

pytestmark = pytest.mark.docker

IMAGES = {
    "unknown-user": ("USER nobody-of-that-name", "unable to find user"),
    "file-for-folder": ("RUN mkdir /workspace && touch /workspace/inputs", "mount"),
    "folder-gone": ("RUN mkdir /w\nWORKDIR /w\nRUN rm -rf /w && touch /w", "not a directory"),
    "no-bash": ("RUN rm -f /bin/bash /usr/bin/bash", "/bin/bash"),
    "no-entrypoint": ('ENTRYPOINT ["/nowhere"]', "/nowhere"),
    "not-executable": ('ENTRYPOINT ["/etc/hostname"]', "/etc/hostname"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_it_crashes_and_the_run_goes_on(
    name: str, client: docker.APIClient, base: str, engine: DockerEngine, sample: Case, base_id: str, tmp_path: Path
) -> None:
    """One such image must not pass for a broken host, which would end everybody's run."""
    recipe, words = IMAGES[name]
    tag = f"cvpr24-harness/test-bad:{name}"
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\n{recipe}\n")
    list(client.build(path=str(tmp_path), tag=tag, rm=True, decode=True))
    image = str(client.inspect_image(tag)["Id"])
    try:
        execution = engine.execute(make_job(name, image, sample, PROTOCOL.limits))
        engine.finish()
        verdict = judge(execution, sample)
        assert verdict.outcome == "crash"
        assert words in verdict.reason
        assert execution.exit_code in (126, 127, 128)
        after = engine.execute(make_job(f"{name}-after", base_id, sample, PROTOCOL.limits, "exit 3"))
        engine.finish()
        assert after.exit_code == 3
    finally:
        client.remove_image(tag, force=True)


def test_a_link_for_the_inputs_folder_leads_nowhere(
    client: docker.APIClient, base: str, engine: DockerEngine, sample: Case, tmp_path: Path
) -> None:
    """A mount point that is a link stays within the image."""
    tag = "cvpr24-harness/test-bad:link"
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN mkdir /workspace && ln -s /etc /workspace/inputs\n")
    list(client.build(path=str(tmp_path), tag=tag, rm=True, decode=True))
    before = sorted(Path("/etc").iterdir())
    execution = engine.execute(
        make_job("link", str(client.inspect_image(tag)["Id"]), sample, PROTOCOL.limits, "ls /etc; touch /etc/leftover")
    )
    engine.finish()
    client.remove_image(tag, force=True)
    assert f"{sample.name}.npz" in execution.log
    assert sorted(Path("/etc").iterdir()) == before
