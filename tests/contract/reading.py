"""How the tests read a prediction: refused with a proper error, or accepted and equal to what numpy reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.contract import read_prediction
from harness.errors import PredictionError

SHAPE = (6, 5)
SEGS = np.arange(30, dtype=np.uint8).reshape(SHAPE) % 4


def refused(path: Path, shape: tuple[int, ...] = SHAPE) -> str:
    """The fault that `path` is refused for; the message names file and remedy and is fit for a terminal."""
    with pytest.raises(PredictionError) as caught:
        read_prediction(path, shape)
    error = caught.value
    assert error.path == path
    assert str(error).startswith(f"{path}: {error.fault}. ")
    assert "numpy.savez_compressed" in error.remedy
    assert error.fault.isprintable()
    assert len(error.fault) < 400
    return error.fault


def numpy_reads(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as npz:
        return npz["segs"]


def accepted(path: Path, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The array read, after checking that numpy reads the same."""
    array = read_prediction(path, shape).array
    oracle = numpy_reads(path)
    assert array.shape == oracle.shape
    assert array.dtype == oracle.dtype.newbyteorder("=")
    np.testing.assert_array_equal(array, oracle)
    return array
