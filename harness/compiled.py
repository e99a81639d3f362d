"""Functions compiled to machine code by numba, kept on disk: compiling is paid once per installation.

Modules that use `compiled` load numba, which takes a third of a second; import them only where they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """A function compiled at its first call with arguments of each type; it runs without the interpreter's lock.

    The machine code is kept beside the module, else in the user's cache folder (``NUMBA_CACHE_DIR`` names
    another one).  Where neither can be written, every process compiles for itself.
    """
    try:
        made = njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # no folder to keep it in
        made = njit(function, nogil=True, error_model="numpy")
    return cast(Callable[P, R], made)
