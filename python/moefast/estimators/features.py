"""Which columns experts and gates see: by name, by position, or as a boolean mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from moefast.samples import Samples

__all__ = ["Features", "check_features", "feature_columns"]

Features: TypeAlias = "Sequence[str] | Sequence[int] | Sequence[bool] | npt.NDArray[Any] | None"
"""Names, positions or a mask of the columns of X; None is all of them."""


def check_features(name: str, given: Any) -> None:
    """Raise unless `given` is None, or names, positions or a mask of columns, whatever columns there are.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For a column that is named twice, or a position below 0.
    """
    if given is None:
        return
    listing = np.iterable(given) and not isinstance(given, (str, bytes, dict, set, frozenset))
    if not listing or getattr(given, "ndim", 1) != 1:
        raise TypeError(f"{name} must be names or positions of columns, a mask or None, got {given!r}")
    entries = list(given)
    if not any(all(isinstance(e, kind) for e in entries) for kind in ((bool, np.bool_), str)):
        for entry in entries:
            if isinstance(entry, (bool, np.bool_)) or not isinstance(entry, (int, np.integer)):
                raise TypeError(f"{name} must be all names, all positions or a mask, got {given!r}")
            if entry < 0:
                raise ValueError(f"{name} must have positions not below 0, got {entry}")
    if not _is_mask(entries):
        for i, entry in enumerate(entries):
            if entry in entries[:i]:
                raise ValueError(f"{name} must name each column once, got {entry!r} twice")


def _is_mask(entries: list[Any]) -> bool:
    return bool(entries) and isinstance(entries[0], (bool, np.bool_))


def feature_columns(name: str, given: Features, samples: Samples) -> tuple[int, ...] | None:
    """Return the positions that checked features mean on these samples; None for all.

    Raises
    ------
    ValueError
        For a column that is not there, a name that two columns have, or a mask of another length.
    """
    if given is None:
        return None
    entries, d = list(given), samples.n_features
    if _is_mask(entries):
        if len(entries) != d:
            raise ValueError(
                f"{name} must have an entry for each of the {d} columns of X, got a mask of {len(entries)}"
            )
        return tuple(int(j) for j in np.flatnonzero(entries))
    return tuple(_position(name, entry, samples) for entry in entries)


def _position(name: str, entry: str | int, samples: Samples) -> int:
    if not isinstance(entry, str):
        if entry >= samples.n_features:
            raise ValueError(f"{name} must be columns of X, of which there are {samples.n_features}, got {entry}")
        return int(entry)
    if samples.names is None:
        raise ValueError(f"{name} must be positions or a mask where X has no column names, got {entry!r}")
    found = [j for j, other in enumerate(samples.names) if other == entry]
    if len(found) != 1:
        there = ", ".join(samples.names)
        raise ValueError(f"{name} must be columns of X, each with a name of its own, got {entry!r}; X has {there}")
    return found[0]
