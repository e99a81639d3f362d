"""A run's costs as tables: ``costs.csv``, and ``costs.md`` in the manner of Marinov et al., Table 12; pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.contract import is_volume
from harness.costs import PARTS, CaseCost, Cost, Ratio, mean_parts
from harness.labels import MODE, VARIANT, WEIGHTS, are_random, told_labels
from harness.phases import PHASES

GB = 1e9
_DASH = "–"


def cost_rows(costs: Iterable[Cost]) -> list[dict[str, Any]]:
    """Rows of ``costs.csv``, one an attempt; None where a value is not known or not told."""
    rows = []
    for cost in costs:
        phases = cost.told.phases
        row: dict[str, Any] = {
            "case": cost.case,
            "task": cost.task,
            "size": cost.size,
            "boxes": cost.boxes,
            "team": cost.team,
            "repeat": cost.repeat,
            "outcome": cost.outcome,
            "wall_s": cost.wall_s,
            "run_s": cost.run_s,
            "cpu_s": cost.cpu_s,
            "peak_bytes": cost.peak_bytes,
            "peak_anon_bytes": cost.peak_anon_bytes,
            "container_s": None if cost.container_s is None else round(cost.container_s, 6),
        }
        row |= {f"{name}_s": None for name in PHASES} | {"slices": None, "masks": None}
        if phases is not None:
            row |= {f"{name}_s": value for name, value in zip(PHASES, phases.seconds, strict=True)}
            row |= {"slices": phases.slices, "masks": phases.masks}
        rows.append(row)
    return rows


def cost_page(
    costs: Sequence[Cost],
    folded: Mapping[tuple[str, str], CaseCost],
    ratios: Sequence[Ratio],
    manifest: Mapping[str, Any],
    baseline: str | None,
) -> str:
    """``costs.md``: tables with a sentence above each, without headings, so that it fits into any page.

    Args:
        costs: the attempts.
        folded: the same by team and case (`harness.costs.fold`).
        ratios: to the baseline; empty without one.
        manifest: the run's manifest; empty where there is none.
        baseline: its name, None without one.
    """
    teams = sorted({cost.team for cost in costs}, key=lambda team: (team != baseline, team))
    blocks = [
        *_host(manifest),
        *_submissions(manifest, teams),
        *_cases(costs, folded, teams),
        *_failures(costs, teams),
        *_ratios(ratios, baseline, teams),
        *_parts(folded, teams),
        *_refused(costs),
    ]
    return "\n\n".join(blocks) + "\n"


def seconds(value: float | None) -> str:
    """Seconds with about three significant digits."""
    if value is None:
        return _DASH
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A Markdown table; the columns `left` flush left, the others flush right."""
    rule = ["---" if i in left else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in ([*map(escaped, head)], rule, *rows))


def escaped(text: str) -> str:
    """Text of strangers as one cell of a Markdown table."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    for char, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\"), ("|", "\\|"), ("`", "\\`")):
        plain = plain.replace(char, instead)
    for char in "*[]":
        plain = plain.replace(char, f"\\{char}")
    return plain


# --------------------------------------------------------------------------- the blocks


def _host(manifest: Mapping[str, Any]) -> list[str]:
    """Where and how it was measured, of what the manifest says."""
    host, limits, noise, engine = (_dict(manifest.get(key)) for key in ("host", "limits", "noise", "engine"))
    parts = [str(host["cpu"])] if host.get("cpu") else []
    parts += [f"{host['cpus']} CPUs"] if host.get("cpus") else []
    if limits.get("cpuset"):
        parts.append(f"pinned to {limits['cpuset']}")
    parts += [f"{memory / 2**30:.0f} GiB of memory"] if (memory := _number(host.get("memory_bytes"))) else []
    parts += [str(engine["name"])] if engine.get("name") else []
    if limit := _number(limits.get("memory_bytes")):
        parts.append(f"{limit / 2**30:.3g} GiB a container")
    if repeats := _number(manifest.get("repeats")):
        parts.append("one attempt a case" if repeats == 1 else f"medians of {repeats:g} attempts a case")
    if not parts:
        return []
    made = f" on {str(manifest['created'])[:10]}" if manifest.get("created") else ""
    text = f"Measured{made}: {escaped(', '.join(parts))}."
    noisy, attempts = _number(noise.get("noisy_attempts")), _number(noise.get("attempts"))
    if noisy and attempts:
        text += f" Other work disturbed {noisy:g} of {attempts:g} attempts, by the harness's own rule."
    return [text]


def _submissions(manifest: Mapping[str, Any], teams: Sequence[str]) -> list[str]:
    listed = manifest.get("submissions")
    entries = {str(e.get("team")): e for e in listed if isinstance(e, dict)} if isinstance(listed, list) else {}
    rows, random = [], []
    for team in teams:
        entry = entries.get(team)
        if entry is None:
            continue
        told = told_labels(entry.get("labels"))
        size = _number(entry.get("bytes"))
        cells = [escaped(told.get(name, "not told")) for name in (WEIGHTS, MODE, VARIANT)]
        rows.append([escaped(team), f"{size / 1e6:.0f}" if size else _DASH, *cells])
        random += [team] if are_random(told) else []
    if not rows:
        return []
    text = "What each image says of itself (its labels), and its size in MB (10^6 bytes)."
    if random:
        names = ", ".join(map(escaped, random))
        text += f" **Random weights: {names}. Scores of random weights say nothing of the algorithm.**"
    return [text, table(["submission", "MB", "weights", "mode", "variant"], rows, (0, 2, 3, 4))]


def _cases(costs: Sequence[Cost], folded: Mapping[tuple[str, str], CaseCost], teams: Sequence[str]) -> list[str]:
    facts = {cost.case: (cost.size, cost.boxes) for cost in costs}
    names = sorted(facts, key=lambda case: (is_volume(case), case))
    rows = []
    for case in names:
        size, boxes = facts[case]
        cells = [_cell(folded.get((team, case))) for team in teams]
        rows.append([escaped(case), size or _DASH, _DASH if boxes is None else str(boxes), *cells])
    for volume, kind in ((False, "2D"), (True, "3D")):
        mine = [case for case in names if is_volume(case) == volume]
        if mine:
            cells = [
                _median([folded[team, case] for case in mine if (team, case) in folded], len(mine)) for team in teams
            ]
            rows.append([f"**median, {kind}**", f"{len(mine)} cases" if len(mine) > 1 else "1 case", "", *cells])
    text = (
        "Seconds of wall time, from the container's creation to its removal / peak memory in GB (10^9 bytes, the "
        "kernel's high-water mark, page cache included). An attempt that failed shows how; medians are over the cases "
        "that a submission finished, with their number where it is not all."
    )
    return [text, table(["case", "size", "objects", *teams], rows)]


def _cell(own: CaseCost | None) -> str:
    if own is None:
        return _DASH
    if own.outcome != "ok":
        return escaped(own.outcome)
    return f"{seconds(own.wall_s)} / {_gb(own.peak_bytes)}"


def _median(own: Sequence[CaseCost], cases: int) -> str:
    walls = [cost.wall_s for cost in own if cost.wall_s is not None]
    peaks = [cost.peak_bytes for cost in own if cost.peak_bytes is not None]
    if not walls:
        return _DASH
    few = f" ({len(walls)})" if len(walls) < cases else ""
    return f"{seconds(statistics.median(walls))} / {_gb(statistics.median(peaks) if peaks else None)}{few}"


def _failures(costs: Sequence[Cost], teams: Sequence[str]) -> list[str]:
    counts = Counter((cost.team, cost.outcome) for cost in costs if not cost.finished)
    if not counts:
        return [f"All {len(costs)} attempts finished."]
    kinds = sorted({outcome for _, outcome in counts})
    rows = [
        [escaped(team), *(str(counts[team, kind]) for kind in kinds)]
        for team in teams
        if any(counts[team, kind] for kind in kinds)
    ]
    text = f"{sum(counts.values())} of {len(costs)} attempts did not finish, by outcome:"
    return [text, table(["submission", *kinds], rows)]


def _ratios(ratios: Sequence[Ratio], baseline: str | None, teams: Sequence[str]) -> list[str]:
    if baseline is None:
        return []
    known = {(ratio.team, ratio.volume): ratio for ratio in ratios}
    rows = []
    for team in teams:
        cells: list[str] = []
        for volume in (False, True):
            ratio = known.get((team, volume))
            cells += [_DASH] * 3 if ratio is None else [
                str(ratio.cases), f"{ratio.median:.3f}", f"{ratio.geometric_mean:.3f}"
            ]  # fmt: skip
        if any((team, volume) in known for volume in (False, True)):
            rows.append([escaped(team), *cells])
    if not rows:
        return [f"No other submission finished a case that {escaped(baseline)} finished: there are no ratios."]
    head = [f"{kind} {what}" for kind in ("2D", "3D") for what in ("cases", "median", "geometric mean")]
    text = (
        f"Wall time over {escaped(baseline)}'s, on the cases that both finished (below 1 is faster; the whole "
        "container, its start included):"
    )
    return [text, table(["submission", *head], rows)]


def _parts(folded: Mapping[tuple[str, str], CaseCost], teams: Sequence[str]) -> list[str]:
    blocks = []
    for volume, kind in ((False, "2D"), (True, "3D")):
        means = mean_parts(folded.values(), volume)
        present = [part for part in PARTS if any(part in mean for _, mean in means.values())]
        rows = [
            [escaped(team), str(means[team][0]), *(_mean(means[team][1].get(part)) for part in present)]
            for team in teams
            if team in means
        ]
        if rows:
            blocks.append(f"Where the time goes, mean seconds over the {kind} cases that a submission finished:")
            blocks.append(table(["submission", "cases", *present], rows))
    if blocks:
        blocks.append(
            "The phases are the submissions' own word; container is what they leave of the measured wall time, or "
            "without them what the measured time inside leaves of it."
        )
    return blocks


def _refused(costs: Sequence[Cost]) -> list[str]:
    refused = [cost for cost in costs if cost.told.reason]
    if not refused:
        return []
    lines = [f"- {escaped(cost.team)}, {escaped(cost.case)}: {escaped(cost.told.reason)}" for cost in refused[:20]]
    more = f"\n- and {len(refused) - 20} more" if len(refused) > 20 else ""
    return ["Phases lines that are not used:", "\n".join(lines) + more]


def _mean(value: float | None) -> str:
    return _DASH if value is None else f"{value:.3f}"


def _gb(value: float | None) -> str:
    return _DASH if value is None else f"{value / GB:.2f}"


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
