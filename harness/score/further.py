"""Metrics beside the official two, by name.

The official figures keep their names and stay as they are; whatever is defined otherwise is a metric of its own,
asked for by name (`Scoring.also`, ``--also``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.contract import Labels
    from harness.protocol import Protocol, Scoring
    from harness.score.evaluate import ClassScores

#: Name -> what it is.  Larger is better but for distances; docs/scoring.md holds the definitions.
FURTHER = {
    "dsc_corrected": "DSC, all corrections: extra labels penalised, empty classes left out",
    "nsd_corrected": "NSD, all corrections: those two, contours in 2D, spacing in array order",
    "dsc_penalised": "DSC, labels of the prediction beyond the reference's count 0",
    "nsd_penalised": "NSD, likewise",
    "dsc_skip": "DSC, classes empty in both left out",
    "nsd_skip": "NSD, likewise",
    "dsc_one": "DSC, classes empty in both count 1",
    "nsd_one": "NSD, likewise",
    "nsd_contour": "NSD, of images by their contours",
    "nsd_array_order": "NSD, spacing (x, y, z) turned to the array's (z, y, x)",
    "iou": "intersection over union",
    "hd95_mm": "95 % Hausdorff distance, in images pixels",
    "assd_mm": "average symmetric surface distance, in images pixels",
    "f1": "instances found: F1 at IoU 0.5",
    "pq": "instances found and outlined: panoptic quality at IoU 0.5",
    "sq": "outlines of the instances found: their mean IoU",
}


def checked_names(names: Iterable[str], protocol: Protocol) -> tuple[str, ...]:
    """Names of further metrics, each once.

    Raises:
        UsageError: one that does not exist, or that the protocol gives no failure value.
    """
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in FURTHER:
            raise UsageError(f"no further metric is named {name!r}. There are: {', '.join(FURTHER)}.")
        if name not in protocol.metrics:
            raise UsageError(
                f"protocol {protocol.name} does not define {name}. Add it to its [metrics], as "
                "harness/protocols/cvpr24.toml has it."
            )
    return wanted


def further_scores(
    prediction: Labels, reference: Labels, scoring: Scoring, volume: bool, classes: ClassScores
) -> dict[str, float]:
    """The metrics of `scoring.also`, not rounded; NaN where one is undefined.

    Args:
        prediction, reference, scoring, volume: as `evaluate.score_classes` takes them.
        classes: what it gave for them.

    Raises:
        KeyError: a metric that does not exist (see `checked_names`).
    """
    if not scoring.also:
        return {}
    from harness.score import distances, instances, variants
    from harness.score.compared import ComparedCase

    case = ComparedCase(prediction, reference, scoring, volume, classes)
    found: dict[str, float] = {}
    for name in scoring.also:
        if name in found:
            continue
        if name in ("hd95_mm", "assd_mm"):
            found["hd95_mm"], found["assd_mm"] = distances.mean_distances(case)
        elif name in ("f1", "pq", "sq"):
            scores = instances.instance_scores(reference.array, prediction.array)
            found |= {"f1": scores.f1, "pq": scores.pq, "sq": scores.sq}
        elif name == "iou":
            found["iou"] = variants.mean_iou(case)
        else:
            quantity, _, rules = name.partition("_")
            by_name = {"dsc": variants.dsc_variant, "nsd": variants.nsd_variant}
            found[name] = by_name[quantity](case, variants.VARIANTS[rules])
    return {name: found[name] for name in scoring.also}
