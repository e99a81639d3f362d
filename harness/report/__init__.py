"""One self-contained HTML page about a run, made from the files of its output folder alone."""

from __future__ import annotations

from pathlib import Path


def write_report(out: Path, cases: Path | None = None, gts: Path | None = None) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` into a run's output folder.

    Only the results table is needed; each part of the report whose input is missing or broken is left
    out with a sentence that says so.  The same files give the same bytes.

    Args:
        out: the folder of a run (`harness.layout`).
        cases: folder of the case files, for overlays; None: the manifest's ``cases_dir``.
        gts: folder of the references, for overlays; None: the manifest's ``gts_dir``.

    Returns:
        The path of the page.

    Raises:
        InputError: the results table is missing, unreadable or empty, or the page cannot be written.
    """
    from harness.report.page import write  # drawing libraries load only when a report is made

    return write(Path(out), cases, gts)
