"""Finding and checking the cases of a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from harness import contract
from harness.errors import HarnessFault, InputError, UsageError
from harness.npz import write_npz
from harness.protocol import Protocol as Challenge
from harness.records import Case

#: Broken cases that one message names.
_MOST_NAMED = 20


class FileFacts(Protocol):
    """Remembers what was found out about unchanged files (the ledger does)."""

    def file_facts(self, path: Path, use: str) -> dict[str, Any] | None:
        """Facts kept for an unchanged file."""

    def keep_file_facts(self, path: Path, use: str, facts: dict[str, Any], seen: os.stat_result) -> None:
        """Keep facts of a file; `seen` is its state from before it was read."""


def case_files(folder: str | Path) -> list[Path]:
    """The case files of a folder, by name.  A folder that has them in ``imgs/`` may be named itself.

    Raises:
        UsageError: no such folder, or no ``.npz`` in it.
    """
    return _npz_files(cases_folder(folder))


def reference_files(folder: str | Path) -> dict[str, Path]:
    """The references of a folder by case name.  A folder that has them in ``gts/`` may be named itself.

    Raises:
        UsageError: no such folder, or no ``.npz`` in it.
    """
    return {contract.case_name(path): path for path in _npz_files(references_folder(folder))}


def cases_folder(folder: str | Path) -> Path:
    """The folder itself or its ``imgs/``, whichever holds the case files.  Raises as `case_files`."""
    return _folder_of(Path(folder), "imgs", "cases")


def references_folder(folder: str | Path) -> Path:
    """The folder itself or its ``gts/``, whichever holds the references.  Raises as `reference_files`."""
    return _folder_of(Path(folder), "gts", "references")


def _folder_of(folder: Path, inner: str, what: str) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of {what}. Give the folder that holds the .npz files.")
    for place in (folder, folder / inner):
        if place.is_dir() and _npz_files(place):
            return place
    raise UsageError(f"{folder}: holds no .npz file. Give the folder that holds the {what}.")


def _npz_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_npz(path))


def _is_npz(path: Path) -> bool:
    """Whether this is a file to be read; ``._NAME.npz``, which some systems' archives hold beside NAME, is none."""
    return path.suffix == ".npz" and not path.name.startswith(".") and path.is_file()


def load_cases(
    folder: str | Path,
    protocol: Challenge,
    memory: FileFacts | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Case]:
    """All cases of a folder, each checked wholly (an unchanged file is not read again if `memory` knows it).

    Args:
        folder: where the ``.npz`` files lie.
        protocol: names the tasks.
        memory: remembers checked files.
        tell: gets each warning.

    Raises:
        UsageError: no cases there.
        InputError: the first broken case, with the others named.
    """
    cases, broken = [], []
    for path in case_files(folder):
        facts = memory.file_facts(path, "case") if memory else None
        if facts is None:
            seen = path.stat()
            try:
                facts = _facts(path)
            except InputError as error:
                broken.append(error)
                continue
            if memory:
                memory.keep_file_facts(path, "case", facts, seen)
        name = contract.case_name(path)
        for warning in facts["warnings"]:
            tell(f"{name}: {warning}")
        cases.append(
            Case(
                name=name,
                task=protocol.task_of(name),
                path=path.resolve(),
                digest=facts["digest"],
                bytes=facts["bytes"],
                image_shape=tuple(facts["image_shape"]),
                boxes=facts["boxes"],
                hidden_keys=tuple(facts["hidden_keys"]),
            )
        )
    if broken:
        raise _one_error(broken)
    hidden = sorted({key for case in cases for key in case.hidden_keys})
    if hidden:
        tell(f"keys that submissions are not shown are left out of the cases: {', '.join(hidden)}")
    return cases


def _one_error(broken: list[InputError]) -> InputError:
    """The first error, with the others named."""
    first, others = broken[0], [f"{error.path.name}: {error.fault}" for error in broken[1:]]
    if not others:
        return first
    named = "; ".join(others[:_MOST_NAMED]) + ("; ..." if len(others) > _MOST_NAMED else "")
    return InputError(first.path, first.fault, f"{first.remedy} {len(others)} more are broken: {named}")


def _facts(path: Path) -> dict[str, Any]:
    found = contract.check_case(path)
    return {
        "digest": file_digest(path),
        "bytes": path.stat().st_size,
        "image_shape": list(found.image_shape),
        "boxes": found.boxes,
        "hidden_keys": list(found.extra_keys),
        "warnings": list(found.warnings),
    }


def visible_file(case: Case, folder: Path) -> Path:
    """The file that a submission gets: the organizer's own, or a copy in `folder` without its hidden keys.

    Raises:
        HarnessFault: the case is not what it was when it was checked.
    """
    if not case.hidden_keys:
        return case.path
    copy = folder / f"{case.digest}.npz"  # by content: one that a killed run left may be of an older case
    if not copy.exists():
        if file_digest(case.path) != case.digest:
            raise HarnessFault(f"{case.path} changed since the run began. Give the same command again.")
        arrays = contract.read_case(case.path)
        keep = {contract.IMAGE_KEY: arrays.imgs, contract.BOXES_KEY: arrays.boxes}
        if arrays.spacing is not None:
            keep[contract.SPACING_KEY] = arrays.spacing
        write_npz(copy, keep, level=1)
    return copy


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remember_digest(path: Path, memory: FileFacts) -> str:
    """SHA-256 of a file's bytes, taken from `memory` while its size and modification time stay."""
    facts = memory.file_facts(path, "digest")
    if facts is None:
        seen = path.stat()
        facts = {"digest": file_digest(path)}
        memory.keep_file_facts(path, "digest", facts, seen)
    return str(facts["digest"])
