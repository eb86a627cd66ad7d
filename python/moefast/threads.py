"""The one rule for the number of threads, and buffers of BLAS."""

from __future__ import annotations

import os
from numbers import Integral

import numpy as np
from joblib import cpu_count
from scipy.linalg.blas import dsyrk

__all__ = ["resolve_threads", "take_blas_buffers"]


def take_blas_buffers() -> None:
    """Let numpy's and scipy's BLAS take the memory they work in.

    OpenBLAS takes it when it is first used and keeps it; where there is none left it waits, then ends the process.
    Taken early, what is short of memory later is an array, for which there is a MemoryError.
    """
    square = np.ones((64, 64))
    np.matmul(square, square.T)  # a matrix and itself: for small products of others nothing is taken
    dsyrk(1.0, square)


def resolve_threads(n_threads: int | None) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    n_threads : int or None
        A positive number is taken as it is. None means the CPUs this process may use: its affinity
        mask and container limits are respected, and ``OMP_NUM_THREADS`` when it is set to fewer.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    TypeError
        When `n_threads` is neither an integer nor None.
    ValueError
        When `n_threads` is below 1.

    Examples
    --------
    >>> from moefast.threads import resolve_threads
    >>> resolve_threads(3)
    3
    """
    if n_threads is None:
        available = int(cpu_count())
        limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        return max(1, min(available, int(limit))) if limit.isdigit() and int(limit) > 0 else available
    if isinstance(n_threads, bool) or not isinstance(n_threads, Integral):
        raise TypeError(f"n_threads must be a positive integer or None, got {n_threads!r}")
    if not 1 <= n_threads <= 4096:
        raise ValueError(
            f"n_threads must be at least 1 and at most 4096, got {n_threads}; None means all CPUs available"
        )
    return int(n_threads)
