"""What the laws of folds say of rows that they have not seen: their noise, and how often intervals hold these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moefast.calibration import Calibration
from moefast.mixture import GatedExperts
from moefast.samples import Samples
from moefast.selection.noise_scale import best_noise_scale, with_noise_times

__all__ = ["HeldOutLaws"]


@dataclass(frozen=True, eq=False)
class HeldOutLaws:
    """Laws beside what they have not seen.

    Attributes
    ----------
    laws : sequence of GatedExperts
        That of each fold, in the units of the data.
    held_out : sequence of Samples
        What each has not seen, with the functions of its gates.
    """

    laws: Sequence[GatedExperts]
    held_out: Sequence[Samples]

    def noise_scale(self) -> float:
        """Return how many times their noise the laws should have; see :mod:`moefast.selection.noise_scale`.

        Not less than once where responses are rounded: their density knows no bounds, and their noise has a floor.
        """
        found = best_noise_scale(self.laws, self.held_out)
        return max(found, 1.0) if any(samples.is_rounded for samples in self.held_out) else found

    def calibration(self, noise_scale: float) -> Calibration | None:
        """Return how far intervals of laws with so many times their noise should reach.

        None where responses are whole numbers, or may be at a limit, so that no interval holds any given share of
        them, and for several responses.
        """
        family = self.laws[0].family
        if not family.is_continuous or family.has_covariance:
            return None
        below, weights = [], []
        for law, samples in zip(self.laws, self.held_out, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                below.append(with_noise_times(law, noise_scale).cdf(samples.X, samples.y, samples.terms))
            weights.append(samples.sample_weight)
        return Calibration.of(np.concatenate(below), np.concatenate(weights))
