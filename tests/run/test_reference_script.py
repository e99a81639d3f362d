"""scripts/reference-submissions: which submissions and cases it takes, and how it fills the page."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from harness.run.images import build_context
from harness.submissions import parse_submissions
from tests.run.run_kit import ROOT

SCRIPT = ROOT / "scripts" / "reference-submissions"
PAGE = ROOT / "docs" / "reference-submissions.md"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module; its bytecode is not kept beside it."""
    loader = SourceFileLoader("reference_submissions", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setitem(sys.modules, loader.name, module)
        loader.exec_module(module)
        yield module


def test_every_image_with_weights_is_a_reference_and_parses_as_a_submission(script, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = script.references(ROOT)
    assert next(iter(found)) == "litemedsam"
    assert {"litemedsam-fast", "litemedsam-cpp", "medficientsam", "daft", "daft-cpp", "repmedsam"} <= found.keys()
    assert not found.keys() & {"boxfill", "ellipse", "threshold", "hostile", "base"}
    specs = parse_submissions(list(found.values()))
    assert [spec.team for spec in specs] == list(found)
    assert build_context(Path(specs[0].source)) == (ROOT, "Dockerfile")
    assert build_context(Path("docker/daft")) == (ROOT, "docker/daft/Dockerfile")


def test_the_page_names_every_reference_and_has_the_markers(script):
    page = PAGE.read_text()
    for name in script.references(ROOT):
        assert f"`{name}`" in page, name
    for name in ("samples", "real"):
        assert page.count(f"<!-- {name}: begin -->") == page.count(f"<!-- {name}: end -->") == 1


def test_tables_go_between_their_markers_and_nothing_else_changes(script):
    page = "a\n<!-- samples: begin -->\nold\n<!-- samples: end -->\nb\n<!-- real: begin -->\n<!-- real: end -->\nc\n"
    new = script.between(page, "samples", "| new |")
    assert new == page.replace("\nold\n", "\n\n| new |\n\n")
    assert script.between(new, "samples", "| new |") == new
    with pytest.raises(SystemExit, match="are not there"):
        script.between(page, "other", "x")


def test_writing_puts_figure_and_tables_in_place(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "PAGE", tmp_path / "docs" / "page.md")
    cases = script.CaseSet("samples", tmp_path)
    (tmp_path / "docs").mkdir()
    cases.out.mkdir(parents=True)
    script.PAGE.write_text("<!-- samples: begin -->\n<!-- samples: end -->\n")
    (cases.out / "costs.md").write_text("| case |\n")
    (cases.out / "phases.svg").write_text("<svg/>")
    script.write(cases)
    text = script.PAGE.read_text()
    assert "| case |" in text
    assert "](reference-samples.svg)" in text
    assert (tmp_path / "docs" / "reference-samples.svg").read_text() == "<svg/>"
    assert str(tmp_path) not in text


def test_real_cases_are_taken_where_they_are_named_and_left_out_elsewhere(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HARNESS_REALCASES", str(tmp_path))
    assert [cases.name for cases in script.case_sets(["samples", "real"])] == ["samples"]
    assert "real: left out" in capsys.readouterr().out
    for name in ("imgs", "gts"):
        (tmp_path / name).mkdir()
    assert [(cases.name, cases.folder) for cases in script.case_sets(["real"])] == [("real", tmp_path)]


def test_a_run_goes_on_to_costs_and_stops_at_faults(script, tmp_path, monkeypatch, capsys):
    """evaluate.py's 1 (some submission failed) is kept; its 2, 3 and 130 end everything."""
    monkeypatch.setattr(script, "ROOT", tmp_path)
    cases, called = script.CaseSet("samples", tmp_path / "inputs"), []
    cases.out.mkdir(parents=True)
    (cases.out / "results.csv").write_text("team,case\nlitemedsam,x\n")
    codes = [1, 0]
    monkeypatch.setattr(script, "call", lambda *words: called.append(words) or codes[len(called) - 1])
    assert script.run(cases, ["litemedsam=."], ["--repeats", "3"]) == 1
    assert called[0][:2] == ("evaluate.py", "litemedsam=.")
    assert called[0][-2:] == ("--repeats", "3")
    assert called[1][:3] == ("-m", "harness", "costs")
    assert called[1][-2:] == ("--baseline", "litemedsam")
    called.clear()
    codes[0] = 3
    assert script.run(cases, ["litemedsam=."], []) == 3
    assert len(called) == 1


@pytest.mark.parametrize("words", [["--only", "nobody"], ["--only", ","], ["--sets", "mine"]])
def test_unknown_names_end_with_2_and_say_which_there_are(words):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert done.returncode == 2
    assert "litemedsam" in done.stderr or "samples" in done.stderr
