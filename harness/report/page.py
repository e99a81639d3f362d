"""The report's page: sections put together, rendered by a template that escapes everything, written whole."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from harness.errors import InputError
from harness.report import tables
from harness.report.data import RUNTIME, SCORES, ReportData
from harness.report.figures import attempts, bubble, dots, significance, stability
from harness.report.figures.style import Drawing
from harness.report.overlays import Overlay, make_overlays
from harness.report.reading import read_report_data
from harness.report.summary import summarise
from harness.report.tables import Table

#: Overlay notes that the page lists at most.
_MOST_NOTES = 60
#: Names of the figures' files: no others in their folder are touched.
_FIGURES = (
    "dots-2d",
    "dots-3d",
    "accuracy-runtime",
    "rank-stability",
    "tau-final",
    "tau-units",
    "outcomes",
    "resources",
    "significance-*",
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        notes: sentences above everything else in it.
        drawings: figures.
        tables: tables, below the figures.
        overlays: pictures, below the tables.
        raw: text shown on demand as it is.
    """

    anchor: str
    title: str
    notes: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    overlays: Sequence[Overlay] = ()
    raw: str = ""


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


def make_sections(data: ReportData, cases: Path | None = None, gts: Path | None = None) -> list[Section]:
    """All parts in the order of the page; a part without its input holds a sentence that says so."""
    return [
        _ranking(data),
        _distribution(data),
        _speed(data),
        _stability(data),
        _tasks(data),
        _outcomes(data),
        _overlays(data, cases, gts),
        _significance(data),
        _manifest(data),
    ]


def render(data: ReportData, sections: Sequence[Section]) -> str:
    """The page as text: one file, no request to anywhere, names and reasons escaped."""
    folder = resources.files("harness.report") / "templates"
    loader = jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    script = (folder / "sort.js").read_text(encoding="utf-8")
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


# --------------------------------------------------------------------------- sections


def _ranking(data: ReportData) -> Section:
    notes = _absent(data, "ranking.csv", "ranks.csv")
    if data.scheme is not None:
        notes.append(
            f"Scheme {data.scheme}. Ranks and scores: lower is better. DSC, NSD and runtime are over all cases alike, "
            "whereas the rank weighs every task alike."
        )
    undefined = sorted(set().union(*data.left_out.values()))
    if undefined:
        listed = ", ".join(undefined[:10]) + (f" and {len(undefined) - 10} more" if len(undefined) > 10 else "")
        are = "1 case is" if len(undefined) == 1 else f"{len(undefined)} cases are"
        notes.append(f"{are} left out for all teams in some metric, undefined there: {listed}.")
    return Section("ranking", "Ranking", notes, tables=[tables.ranking_table(data)])


def _distribution(data: ReportData) -> Section:
    drawn = dots.drawings(data)
    notes = [] if drawn else ["Left out: the results table holds no DSC or NSD; harness score fills them in."]
    return Section("distribution", "Accuracy, case by case", notes, drawn)


def _speed(data: ReportData) -> Section:
    drawn = bubble.drawings(data)
    notes = [] if drawn else ["Left out: it needs DSC and runtime of at least one team in the results table."]
    return Section("speed", "Accuracy and runtime", notes, drawn)


def _stability(data: ReportData) -> Section:
    return Section("stability", "Stability of the ranking", _absent(data, "bootstrap.npz"), stability.drawings(data))


def _tasks(data: ReportData) -> Section:
    metrics = [m for m in (*SCORES, RUNTIME) if m in data.metrics]
    notes = [] if metrics else ["Left out: the results table holds no DSC, NSD or runtime."]
    return Section("tasks", "By task", notes, tables=[tables.task_table(data, m) for m in data.metrics])


def _outcomes(data: ReportData) -> Section:
    resources_drawn = attempts.resource_drawing(data)
    resources_table = tables.resource_table(data)
    notes = [] if resources_table else ["Time and memory are left out: the results table does not hold them."]
    return Section(
        "outcomes",
        "Outcomes and resources",
        notes,
        [attempts.outcome_drawing(data), *([resources_drawn] if resources_drawn else [])],
        [tables.outcome_table(data), *([resources_table] if resources_table else []), *tables.attempt_tables(data)],
    )


def _overlays(data: ReportData, cases: Path | None, gts: Path | None) -> Section:
    made, notes = make_overlays(data, cases, gts)
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"And {len(notes) - _MOST_NOTES} more such remarks."]
    if made:
        gap = [o.dsc for o in made if o.kind == "worst"]
        low = f"; the worst ones have a DSC from {min(gap):.3f} to {max(gap):.3f}" if gap else ""
        notes.insert(
            0,
            "Each team's case of highest and of lowest DSC: orange the reference, blue the prediction, dashes of both "
            f"where the outlines agree; of a volume the slice with the largest reference{low}.",
        )
    return Section("overlays", "Best and worst cases", notes, overlays=made)


def _significance(data: ReportData) -> Section:
    drawn = significance.drawings(data)
    notes = _absent(data, "wilcoxon.csv")
    if not notes and not drawn:
        notes = ["Left out: wilcoxon.csv tests none of the metrics in the results table."]
    return Section("significance", "Significance", notes, drawn)


def _manifest(data: ReportData) -> Section:
    if not data.manifest:
        return Section("manifest", "Manifest", _absent(data, "manifest.json") or ["Left out: manifest.json is empty."])
    lists = {k: v for k, v in data.manifest.items() if isinstance(v, list) and k in ("submissions", "cases")}
    facts = {k: v for k, v in data.manifest.items() if k not in lists}
    made = [tables.facts_table("The run", facts)]
    for name, records in lists.items():
        table = tables.records_table(name.capitalize(), records, folded=len(records) > 60)
        made += [table] if table else []
    if data.settings:
        made.append(tables.facts_table("The ranking", {k: v for k, v in data.settings.items() if k != "metrics"}))
        listed = data.settings.get("metrics")
        metrics = tables.records_table("Ranked metrics", listed if isinstance(listed, list) else [])
        made += [metrics] if metrics else []
    raw = json.dumps(data.manifest, indent=1, ensure_ascii=False, sort_keys=False)
    return Section("manifest", "Manifest", (), tables=made, raw=raw)


def _absent(data: ReportData, *names: str) -> list[str]:
    return [f"Left out: {data.absent[name]}" for name in names if name in data.absent]


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
    found: list[str] = []
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
    """A file inside the page: images so embedded share no ids with it and may run no script."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _write_figures(folder: Path, sections: Sequence[Section]) -> None:
    """Write every figure's file; those of an earlier report that are not drawn any more go."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _FIGURES:
        for old in folder.glob(f"{pattern}.svg"):
            old.unlink()
    for section in sections:
        for drawing in section.drawings:
            (folder / f"{drawing.name}.svg").write_bytes(drawing.svg)
