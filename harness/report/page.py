"""The report's page: sections put together, rendered by a template that escapes everything, written whole."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from harness.errors import InputError
from harness.report.data import ReportData
from harness.report.reading import read_report_data
from harness.report.sections import Section, make_sections
from harness.report.summary import summarise
from harness.report.told import random_warning

#: Names of the figures' files: no others in their folder are touched.
_FIGURES = (
    "accuracy-runtime*",
    "against-baseline",
    "confidence-sets",
    "critical-difference-*",
    "dots-2d",
    "dots-3d",
    "effects-*",
    "influence",
    "official-corrected",
    "outcomes",
    "phases",
    "podium-*",
    "rank-frequencies",
    "rank-heatmap-*",
    "rank-stability*",
    "ranks-by-scheme",
    "repeats",
    "reproduction-*",
    "resources",
    "sensitivity*",
    "significance-*",
    "successor-*",
    "task-dendrogram",
    "task-network",
    "tau-final",
    "tau-units",
)


def write(out: Path, cases: Path | None, gts: Path | None) -> Path:
    """Make the page and its figures' files; see `harness.report.write_report`."""
    data = read_report_data(out)
    sections = make_sections(data, cases, gts)
    page = render(data, sections)
    try:
        _write_figures(out / "figures", sections)
        draft = data.out.report.with_name(f".{data.out.report.name}.tmp")
        draft.write_bytes(page.encode("utf-8", "replace"))  # JSON may hold lone surrogates
        draft.replace(data.out.report)
    except OSError as error:
        fault = f"the report cannot be written ({error.strerror or error})"
        raise InputError(out, fault, "Make room and allow writing there, or give another --out.") from error
    return data.out.report


def render(data: ReportData, sections: Sequence[Section]) -> str:
    """The page as text: one file, no request to anywhere, names and reasons escaped."""
    folder = resources.files("harness.report") / "templates"
    loader = jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    protocol = data.manifest.get("protocol")
    title = protocol.get("title") if isinstance(protocol, dict) else None
    return environment.get_template("report.html").render(
        title=str(title or "Results of a run"),
        created=str(data.manifest.get("created") or ""),
        harness=str(data.manifest.get("harness") or ""),
        lead=_lead(data),
        warnings=_warnings(data),
        sections=sections,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=digest,
    )


# --------------------------------------------------------------------------- head and files


def _lead(data: ReportData) -> str:
    """The result in a few sentences."""
    lines = summarise(data)
    cases, tasks = data.scores["case"].nunique(), len(data.tasks)
    failed, total = sum(line.failed for line in lines), sum(line.attempts for line in lines)

    def count(number: int, word: str) -> str:
        return f"{number:,} {word}{'' if number == 1 else 's'}"

    lead = f"{count(len(lines), 'team')} on {count(cases, 'case')} of {count(tasks, 'task')}. "
    ranked = [line for line in lines if math.isfinite(line.rank)]
    first = [line for line in ranked if line.rank == min(other.rank for other in ranked)]
    if first:
        names = " and ".join(line.team for line in first[:3]) + (" and others" if len(first) > 3 else "")
        lead += f"{names} {'comes' if len(first) == 1 else 'come'} first"
        if len(first) == 1 and first[0].won == first[0].won:
            lead += f", also in {100 * first[0].won:.1f} % of the bootstrap samples"
        lead += ". "
    if failed:
        return f"{lead}{failed:,} of {count(total, 'attempt')} did not end ok."
    return f"{lead}All {count(total, 'attempt')} ended ok."


def _warnings(data: ReportData) -> list[str]:
    found = [warning] if (warning := random_warning(data)) else []
    for source in (data.manifest, data.ranking_facts):
        for key in ("warnings", "notes"):
            value = source.get(key)
            found += [str(item) for item in value] if isinstance(value, list) else []
    if data.ranking is not None:
        unranked = sorted(set(data.teams) - set(data.ranking))
        gone = sorted(set(data.ranking) - set(data.teams))
        if unranked or gone:
            names = ", ".join([*unranked, *gone])
            found.append(f"ranking.csv is not of this results table ({names}): run harness rank again.")
    return list(dict.fromkeys(found))


def _data_uri(content: bytes, kind: str) -> str:
    """A file inside the page: images so embedded share no ids with it and may run no script.

    Vector figures are text that stays nearly as it is, a quarter shorter than in base64.
    """
    if kind == "image/svg+xml":
        return f"data:{kind},{quote(content.replace(bytes([10]), b' '), safe=_PLAIN_IN_URI)}"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


#: What a data URI may hold unescaped, beside letters, digits and _.-~, and HTML within double quotes too.
_PLAIN_IN_URI = " !$()*+,/:;=?@"


def _write_figures(folder: Path, sections: Sequence[Section]) -> None:
    """Write every figure's files; those of an earlier report that are not drawn any more go."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _FIGURES:
        for ending in ("svg", "png"):
            for old in folder.glob(f"{pattern}.{ending}"):
                old.unlink()
    for section in sections:
        for drawing in section.drawings:
            (folder / f"{drawing.name}.svg").write_bytes(drawing.svg)
            (folder / f"{drawing.name}.png").write_bytes(drawing.png)
