"""One assumption and how far data are from it, and the departure from normality, which both methods ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast._typing import Floats

__all__ = ["CHANCE", "MOMENT_TOLERANCE", "Check", "departure_from_normality", "gap_check"]

MOMENT_TOLERANCE = 0.2
"""Moments that depart by so much from those of a normal law leave a bias of a few hundredths (docs/method.md)."""
CHANCE = 4.0
"""Standard errors that are granted to chance."""
_GAP_TOLERANCE = 0.5


@dataclass(frozen=True)
class Check:
    """One assumption.

    Attributes
    ----------
    name : str
    value : float
        How far from it the data are; NaN where the model given does not tell.
    limit : float
        The tolerance plus the share of chance.
    meaning : str
        What a value beyond the limit does to the answer.
    """

    name: str
    value: float
    limit: float
    meaning: str

    @property
    def holds(self) -> bool | None:
        """Whether the value is within the limit; None where it is not known."""
        return None if np.isnan(self.value) else bool(self.value <= self.limit)


def departure_from_normality(Z: Floats, share: Floats, rows: float) -> tuple[float, float]:
    """Return E[|z|^2 z z'] - (r + 2) I and E[|z|^2 z], 0 for a normal z, by their largest size, and the limit.

    For independent columns that is the largest excess kurtosis, or the length of the vector of skewnesses. The
    limit is the tolerance plus what chance brings about at this worth of rows.
    """
    r = Z.shape[1]
    heavy = (share * np.einsum("ni,ni->n", Z, Z))[:, None] * Z
    kurtosis = float(np.abs(np.linalg.eigvalsh(heavy.T @ Z - (r + 2) * np.eye(r))).max())
    skewness = float(np.linalg.norm(heavy.sum(axis=0)))
    # By chance, after whitening: entries of variance (2 r + 8) / n and (2 r + 4) / n.
    chance = 2.5 * np.sqrt(r * (2 * r + 8) / rows)
    return max(kurtosis, skewness), float(MOMENT_TOLERANCE + chance)


def gap_check(name: str, spectrum: Floats, k: int) -> Check:
    """Return the largest absolute eigenvalue beyond the k-th, over the k-th; infinite where there is no k-th."""
    rest = float(np.abs(spectrum[k:]).max(initial=0.0))
    last = float(spectrum[min(k, len(spectrum)) - 1])
    return Check(
        name,
        rest / last if last > 0 and k <= len(spectrum) else np.inf,
        _GAP_TOLERANCE,
        "the k directions are not told from the rest: too few rows, too many experts, or gates that show",
    )
