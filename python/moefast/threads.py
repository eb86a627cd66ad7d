"""The one rule for the number of threads."""

from __future__ import annotations

import os
from numbers import Integral

from joblib import cpu_count

__all__ = ["resolve_threads"]


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
