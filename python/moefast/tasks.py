"""Independent pieces of work: one after the other or in processes, in the order given, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed

from moefast.progress import progress_bar

__all__ = ["check_jobs", "run_all"]

Result = TypeVar("Result")


def check_jobs(n_jobs: object) -> None:
    """Raise unless `n_jobs` is None or an integer other than 0."""
    if n_jobs is None:
        return
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)):
        raise TypeError(f"n_jobs must be an integer or None, got {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0; 1 means one process, -1 as many as there are CPUs")


def run_all(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    n_jobs: int | None,
    *,
    desc: str,
    shown: bool,
) -> list[Result]:
    """Return ``function(*task)`` for every task.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it.
    tasks : sequence of tuple
    n_jobs : int or None
        Processes, in joblib's way of counting: None is 1 unless ``joblib.parallel_config`` says otherwise.
    desc : str
        What the progress bar calls it.
    shown : bool
        Whether there is a bar.
    """
    results = []
    with progress_bar(shown=shown, total=len(tasks), desc=desc, leave=False) as bar:
        # A generator, so that the bar moves.
        for result in Parallel(n_jobs=n_jobs, return_as="generator")(delayed(function)(*task) for task in tasks):
            results.append(result)
            bar.update()
    return results
