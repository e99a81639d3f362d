"""The exported networks on OpenVINO, from models compiled beforehand where this processor can run them.

What compiling yields depends on the processor's instruction sets and on OpenVINO's version.  It is kept under a
key of both (`cache_key`), beside the precision; under another the network is compiled from its IR, which takes longer.
Weights stored as int24 (`models.packed`) are widened when they are read, and nothing of them is compiled beforehand.
"""

from __future__ import annotations

import hashlib
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino

from models.fast.pipeline import PARTS, Precision
from models.geometry import FloatArray

#: Weights stay in the IR's own file, so that what was compiled is small.
_CACHING = {"CACHE_MODE": "OPTIMIZE_SIZE"}


class OpenVinoNetwork:
    """Encoder and decoder of one folder.

    Args:
        folder: holds an .xml and a .bin for each of `PARTS`, and may hold compiled models.
        threads: number of them, by default the number of CPUs that this process may use.
        precision: what it computes in.
    """

    def __init__(self, folder: Path, threads: int | None = None, precision: Precision = "f32") -> None:
        core, options = _core(folder), properties(threads, precision)
        core.get_versions("CPU")  # the plugin, which both need

        def load(part: str) -> openvino.InferRequest:
            return _load(core, folder, part, options, _compiled_path(folder, part, precision))

        with ThreadPoolExecutor(len(PARTS)) as at_once:
            self._begin, self._end, self._shared, self._decoder = at_once.map(load, PARTS)
        for source, target in ((self._begin, self._end), (self._shared, self._decoder)):
            for output in source.model_outputs:
                target.set_tensor(output.any_name, source.get_tensor(output))
        self._embedding: FloatArray | None = None

    def encode(self, image: FloatArray) -> FloatArray:
        """(1, 3, S, S) -> (1, 256, 64, 64), a copy: the next inference overwrites the network's own tensor."""
        self._begin.infer({"image": image}, share_inputs=True, share_outputs=True)
        return np.array(self._end.infer(share_outputs=True)["embedding"])

    def decode(self, embedding: FloatArray, box: FloatArray) -> FloatArray:
        """(1, 256, 64, 64), never changed once it is given, and a box (4,) -> logits (256, 256), overwritten by the
        next call.

        What all boxes on an embedding share is computed at the first of those that follow one another.
        """
        if self._embedding is not embedding:
            self._shared.infer({"embedding": embedding}, share_inputs=True, share_outputs=True)
            self._embedding = embedding
        found = self._decoder.infer({"boxes": box[None]}, share_inputs=True, share_outputs=True)
        return found["low_res_logits"][0]


def properties(threads: int | None = None, precision: Precision = "f32") -> dict[str, object]:
    """How OpenVINO computes: in this precision, one inference at a time on all CPUs given."""
    return {
        "INFERENCE_PRECISION_HINT": precision,
        # Where weights are stored as int8, activations would otherwise be rounded to 8 bits too.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads or len(os.sched_getaffinity(0))),
        # Kernels written for a few operations together take twice as long to load, and gain a tenth at most.
        "SNIPPETS_MODE": "DISABLE",
    }


def compile_beforehand(folder: Path, precision: Precision = "f32") -> list[Path]:
    """Compile a folder's networks for this processor; returns the files made."""
    core, made = _core(folder), []
    for part in PARTS:
        if _packed(folder, part):
            continue  # it would hold its weights as floats
        compiled = _compiled(core, folder, part, properties(precision=precision) | _CACHING)
        path = _compiled_path(folder, part, precision)
        path.write_bytes(compiled.export_model().getvalue())
        made.append(path)
    return made


def cache_key() -> str:
    """What compiled models depend on beside the network: OpenVINO's version and the processor's instructions."""
    flags = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            flags = " ".join(sorted(line.partition(":")[2].split()))
            break
    facts = f"{openvino.__version__} {platform.machine()} {flags}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _compiled_path(folder: Path, part: str, precision: Precision) -> Path:
    return folder / f"{part}-{precision}-{cache_key()}.blob"


def _core(folder: Path) -> openvino.Core:
    """One that can read all of a folder's models."""
    core = openvino.Core()
    if any(_packed(folder, part) for part in PARTS):
        from models.packed import Widened

        core.add_extension(Widened)
    return core


def _load(
    core: openvino.Core, folder: Path, part: str, options: dict[str, object], compiled: Path
) -> openvino.InferRequest:
    if compiled.is_file():
        try:
            given = options | _CACHING | {"WEIGHTS_PATH": str(folder / f"{part}.bin")}
            return core.import_model(compiled.read_bytes(), "CPU", given).create_infer_request()
        except RuntimeError:
            pass  # a blob that OpenVINO refuses is as good as none
    return _compiled(core, folder, part, options).create_infer_request()


def _compiled(core: openvino.Core, folder: Path, part: str, options: dict[str, object]) -> openvino.CompiledModel:
    model = core.read_model(folder / f"{part}.xml")
    if _packed(folder, part):
        from models.packed import with_floats

        model = with_floats(model)
    return core.compile_model(model, "CPU", options)


def _packed(folder: Path, part: str) -> bool:
    """Whether a model has packed weights."""
    return b'type="Widened"' in (folder / f"{part}.xml").read_bytes()
