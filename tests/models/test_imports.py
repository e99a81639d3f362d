"""What may import what: submissions see only the contract, and the harness never loads a network library."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported(path: Path) -> set[str]:
    """Full names that a file imports, anywhere in it; relative imports with their dots."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            first = node.args[0] if node.args else None
            if called in ("import_module", "__import__") and isinstance(first, ast.Constant):
                names.add(str(first.value))
    return names


def is_or_under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_models_import_only_the_contract_of_the_harness(path: Path):
    of_harness = {name for name in imported(path) if is_or_under(name, "harness")}
    assert all(is_or_under(name, "harness.contract") for name in of_harness), of_harness


@pytest.mark.parametrize("name", ["boxfill", "ellipse"])
def test_these_need_numpy_alone(name: str):
    paths = [*(ROOT / "models" / name).glob("*.py"), *(ROOT / "models").glob("*.py")]
    assert not {found for path in paths for found in imported(path) if is_or_under(found, "scipy")}


def test_the_harness_never_imports_networks_nor_models():
    for path in sorted((ROOT / "harness").rglob("*.py")):
        for forbidden in ("torch", "openvino", "torchvision", "models"):
            assert not any(is_or_under(name, forbidden) for name in imported(path)), (path, forbidden)


def test_nothing_reports_what_is_imported():
    """openvino's dependency does, to its makers; `make setup-models` removes it, as the images do."""
    assert importlib.util.find_spec("openvino_telemetry") is None


def test_the_rule_sees_every_way_of_importing(tmp_path: Path):
    source = "import torch.nn as nn\ndef f():\n    from openvino import Core\nimport importlib\n"
    source += "importlib.import_module('harness.score')\n__import__('scipy')\n"
    (tmp_path / "sly.py").write_text(source)
    found = imported(tmp_path / "sly.py")
    assert {"torch.nn", "openvino.Core", "harness.score", "scipy"} <= found
