"""The layout that docs/architecture.md promises, read from the import statements."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("run", "score", "rank", "report")
#: What joins stages: the chain of a run, its results table, and the import of others' runs.
JOINERS = ("chain", "collect", "imports", "import_folder")


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever the statement stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_one_another(stage: str) -> None:
    """Each stage hands its work on by files alone, and none knows of the command line."""
    others = {f"harness.{other}" for other in (*STAGES, "cli", *JOINERS) if other != stage}
    for path in (ROOT / "harness" / stage).rglob("*.py"):
        for name in imports(path):
            assert ".".join(name.split(".")[:2]) not in others, f"{path}: imports {name}"


def test_the_vocabulary_imports_no_stage() -> None:
    """What all share depends on none of them; a few modules are what joins them."""
    for path in (ROOT / "harness").glob("*.py"):
        if path.stem not in (*JOINERS, "__main__"):
            strange = {
                name for name in imports(path) if name.split(".")[:2] in [["harness", s] for s in (*STAGES, "cli")]
            }
            assert not strange, f"{path}: imports {strange}"


def test_only_the_command_line_prints() -> None:
    """Everything else hands back values, raises, or calls what it was given."""
    for path in (ROOT / "harness").rglob("*.py"):
        if "cli" in path.parts or "data" in path.parts:
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], path


def test_docker_folder_does_not_hide_the_package() -> None:
    """An __init__.py there would take the place of the docker package for whoever runs from the root."""
    assert not list((ROOT / "docker").rglob("__init__.py"))


def test_the_lock_holds_every_dependency() -> None:
    """requirements.lock pins what pyproject.toml names, each with hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    for line in project["dependencies"] + project["optional-dependencies"]["dev"]:
        name = line.split(">")[0].split("=")[0]
        assert f"\n{name}==" in lock, name
    pins = [line for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert lock.count("--hash=sha256:") >= len(pins)
