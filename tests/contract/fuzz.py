"""Mutated npz files, read by the contract and by numpy.

`python -m tests.contract.fuzz FOLDER FILES SEED` prints a summary as JSON.

The oracle is `numpy.load(allow_pickle=False)`.  For each file:

* the contract accepts it only where numpy reads the same arrays;
* otherwise it raises InputError or PredictionError, with a message fit for a terminal;
* the memory that reading adds (counted by tracemalloc, which sees numpy's arrays too) stays below
  the arrays declared in the file plus 256 MiB.

The process limits its own data segment, so that an allocation out of bounds fails here and not in
the machine; the oracle, which has no such bounds, runs only on files that the contract accepted.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import check_case, read_case, read_prediction, read_reference
from harness.errors import InputError, PredictionError
from harness.npz import MAX_ARRAY_BYTES, open_npz
from harness.npz import _deflate as inflater
from tests.contract.forge import archive
from tests.contract.mutations import honest_files, mutate

ALLOWANCE_BYTES = 256 << 20


def declared(path: Path) -> int:
    """Bytes of all arrays that the file declares within limits, as far as its headers can be read."""
    total = 0
    try:
        with open_npz(path) as npz:
            for key in npz.keys:
                try:
                    nbytes = npz.header(key).nbytes
                except Exception:
                    continue
                total += nbytes if nbytes <= MAX_ARRAY_BYTES else 0
    except InputError:
        pass
    return total


def same(ours: np.ndarray, theirs: Any) -> bool:
    """Whether two arrays are one: shape, dtype but for byte order, order in memory, every value, NaN included."""
    if not isinstance(theirs, np.ndarray) or ours.shape != theirs.shape:
        return False
    if ours.dtype != theirs.dtype.newbyteorder("=") or ours.flags.f_contiguous != theirs.flags.f_contiguous:
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.array_equal(ours, theirs, equal_nan=ours.dtype.kind in "fc"))


def read_all(path: Path) -> dict[str, np.ndarray]:
    with open_npz(path) as npz:
        return {key: npz.read(key) for key in npz.keys}


def read_any(path: Path) -> dict[str, np.ndarray]:
    """Every array that can be read; those that cannot are left out."""
    found = {}
    with open_npz(path) as npz:
        keys = npz.keys
    for key in keys:
        try:
            with open_npz(path) as npz:
                found[key] = npz.read(key)
        except InputError:
            continue
    return found


def case_arrays(path: Path) -> dict[str, np.ndarray]:
    case = read_case(path)
    check_case(path)
    return {"imgs": case.imgs, "boxes": case.boxes} | ({} if case.spacing is None else {"spacing": case.spacing})


def readers(shape: tuple[int, ...]) -> dict[str, Callable[[Path], dict[str, np.ndarray]]]:
    return {
        "prediction": lambda path: {"segs": read_prediction(path, shape).array},
        "case": case_arrays,
        "reference": lambda path: {"gts": read_reference(path).array},
        "any": read_any,
        "all": read_all,
    }


def complaint(error: Exception) -> str | None:
    """What is wrong with an error, if anything."""
    if not isinstance(error, InputError | PredictionError):
        return "".join(traceback.format_exception(error))[-1500:]
    if not error.fault.isprintable() or len(error.fault) > 400:
        return f"a message unfit for a terminal: {error.fault!r}"
    return None


def judge(path: Path, arrays: dict[str, np.ndarray]) -> str | None:
    """What is wrong with accepted arrays, if anything, by the oracle."""
    try:
        with np.load(path, allow_pickle=False) as npz:
            wrong = [key for key, array in arrays.items() if not same(array, npz[key])]
    except Exception as error:
        return f"accepted {sorted(arrays)}, refused by numpy: {type(error).__name__}: {error}"
    return f"other arrays than numpy's: {wrong}" if wrong else None


def main(folder: Path, files: int, seed: int) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    rng = random.Random(seed)
    honest = honest_files(rng)
    np.load  # noqa: B018 - loads numpy's lazy parts before the memory is limited
    read_all(_written(folder / "2DBox_US_1.npz", archive(honest[0][2])))
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    limit = used + ALLOWANCE_BYTES + (64 << 20)  # 64 MiB for the mutations themselves
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    counts: Counter[str] = Counter()
    failures: list[str] = []
    peak, slowest, began = 0, 0.0, time.monotonic()
    for index in range(files):
        name, shape, members = rng.choice(honest)
        raw, done = mutate(members, rng)
        path = _written(folder / f"{name}.npz", raw)
        kind = ("prediction", "prediction", "case", "reference", "any", "all")[index % 6]
        arrays: dict[str, np.ndarray] = {}
        fault = None
        tracemalloc.start()
        start = time.monotonic()
        try:
            arrays = readers(shape)[kind](path)
        except Exception as error:
            fault = complaint(error)
        slowest = max(slowest, time.monotonic() - start)
        added = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        peak = max(peak, added)
        if fault is None and arrays:
            fault = judge(path, arrays)
        if fault is None and added > 1 << 20 and added > declared(path) + ALLOWANCE_BYTES:
            fault = f"took {added} bytes"
        counts[f"{kind}_{'accepted' if arrays else 'refused'}"] += 1
        if fault:
            failures.append(f"file {index} ({kind}: {done}): {fault}")
            (folder / f"failure_{index}.npz").write_bytes(raw)
    return {
        "files": files,
        "inflater": inflater.__name__,
        "counts": dict(sorted(counts.items())),
        "failures": failures[:10],
        "failed": len(failures),
        "peak_added_bytes": peak,
        "peak_rss_bytes": _peak_rss_bytes(),
        "slowest_s": round(slowest, 3),
        "seconds": round(time.monotonic() - began, 1),
    }


def _peak_rss_bytes() -> int:
    """The process's highest resident memory (not getrusage's, which a child inherits from its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _written(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
