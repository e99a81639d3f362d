"""Which columns could be ranked in a metric's place."""

from harness.protocol import load_protocol
from harness.rank.variants import variant_columns

KNOWN = load_protocol().metrics


def of(columns, ranked=("dsc", "nsd", "runtime_s"), known=KNOWN):
    return [(v.column, v.metric, v.reading, v.tolerance_mm) for v in variant_columns(columns, ranked, known)]


def test_by_hand():
    columns = ["nsd_0.5mm", "team", "dsc", "nsd_corrected", "nsd_array_order", "dsc_left", "nsd_mm", "hd95_mm", "iou"]
    assert of(columns) == [
        ("nsd_0.5mm", "nsd", "0.5mm", 0.5),
        ("nsd_corrected", "nsd", "corrected", None),
        ("nsd_array_order", "nsd", "array_order", None),
    ]


def test_what_is_ranked_is_no_variant():
    assert of(["nsd", "nsd_1mm"], ranked=("nsd", "nsd_1mm")) == []


def test_the_longest_metric_counts():
    assert of(["nsd_contour_1mm"], ranked=("nsd", "nsd_contour")) == [("nsd_contour_1mm", "nsd_contour", "1mm", 1.0)]


def test_metrics_that_no_protocol_knows_have_variants_too():
    assert of(["dice_corrected", "dice_better"], ranked=("dice",), known={}) == [
        ("dice_corrected", "dice", "corrected", None)
    ]
