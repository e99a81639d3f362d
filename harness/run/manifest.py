"""The manifest: everything that determines a run's results, written beside them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.ledger import Ledger
from harness.records import as_json
from harness.run.engine import EngineFacts
from harness.run.host import NOISE_RULE, host_facts
from harness.run.runner import RunSettings


def write_manifest(
    path: Path,
    ledger: Ledger,
    settings: RunSettings,
    engine: EngineFacts | None,
    cases_dir: Path,
    gts_dir: Path | None,
    runtime: str,
    warnings: list[str],
) -> None:
    """Write ``manifest.json``.

    Args:
        path: the file.
        ledger: knows the current submissions, cases and attempts.
        settings: how the run was made.
        engine: None where no container had to be run; an earlier manifest's word is kept then.
        cases_dir, gts_dir: where cases and references lie.
        runtime: which measured time is ranked.
        warnings: oddities met on the way.
    """
    earlier: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    attempts = ledger.attempts(settings.digest())
    noisy = [a for a in attempts if a.host.get("noisy")]
    manifest = {
        "harness": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "protocol": {
            "name": settings.protocol.name,
            "title": settings.protocol.title,
            "digest": settings.protocol.digest,
            "command": list(settings.protocol.command),
        },
        "conditions": settings.conditions,
        "strict_exit": settings.strict_exit,
        "limits": asdict(settings.limits),
        "runtime": runtime,
        "order": settings.order,
        "seed": settings.seed,
        "repeats": settings.repeats,
        "image_budget_bytes": settings.image_budget,
        "retry_noisy": settings.retry_noisy,
        "host": host_facts(),
        "engine": asdict(engine) if engine else earlier.get("engine", {}),
        "noise": {"rule": NOISE_RULE, "noisy_attempts": len(noisy), "attempts": len(attempts)},
        "submissions": [as_json(submission) for submission in ledger.submissions()],
        "cases_dir": str(cases_dir.resolve()),
        "gts_dir": str(gts_dir.resolve()) if gts_dir else None,
        "cases": [
            {
                "name": case.name,
                "task": case.task,
                "digest": case.digest,
                "bytes": case.bytes,
                "image_shape": list(case.image_shape),
                "boxes": case.boxes,
            }
            for case in ledger.cases()
        ],
        "outdated_attempts": ledger.outdated(),
        "warnings": warnings,
    }
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(manifest, indent=1) + "\n")
    draft.replace(path)
