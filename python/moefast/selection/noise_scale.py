"""How much more noise the laws of a fit should have than the rows that it was fitted to say.

Maximum likelihood takes the spread of rows around experts that were fitted to them for that of rows to come. With
a few rows for each parameter it is too small, and intervals hold too few. Rows held out know the factor: the c for
which they are likeliest under the laws of their folds, each with c times its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from moefast.best_scale import best_scale
from moefast.mixture import GatedExperts
from moefast.power_of_two import over_power_of_two
from moefast.samples import Samples
from moefast.selection.cross_validation import unit_log_density

Gated = TypeVar("Gated", bound=GatedExperts)

__all__ = ["best_noise_scale", "refuse_noise_out_of_range", "with_noise_times"]

# c lies between these.
_LEAST, _MOST = 0.5, 4.0


def with_noise_times(mixture: Gated, scale: float) -> Gated:
    """Return a mixture of families with a scale whose experts have so many times their noise."""
    with np.errstate(over="ignore"):
        noise = {"sigma": scale * mixture.sigma}
        if mixture.covariance is not None:
            noise["covariance"] = scale**2 * mixture.covariance
        return replace(mixture, **noise)  # type: ignore[type-var]  # all of them are dataclasses


def refuse_noise_out_of_range(mixture: GatedExperts, scale: float) -> None:
    """Raise OverflowError where so many times its noise left nothing, or more than float64 holds."""
    variances = (
        mixture.sigma if mixture.covariance is None else np.diagonal(mixture.covariance, axis1=-2, axis2=-1)
    )
    if not (np.isfinite(variances).all() and (variances > 0).all()):
        raise OverflowError(f"{scale:g} times the noise leaves the range of float64 in the units of y; rescale y")


def best_noise_scale(laws: Sequence[GatedExperts], held_out: Sequence[Samples]) -> float:
    """Return the factor of the noise for which what is held out is likeliest; 1 for laws without a scale.

    Parameters
    ----------
    laws : sequence of GatedExperts
        That of each fold, in the units of the data.
    held_out : sequence of Samples
        What each has not seen.
    """
    if not laws[0].family.has_scale:
        return 1.0

    # Sums of weights in a unit near the end of the range may leave it.
    _, exponent = over_power_of_two(np.concatenate([samples.unit_weight for samples in held_out]))

    def loss(scale: float) -> float:
        of_folds = (
            np.ldexp(samples.unit_weight, -exponent) @ unit_log_density(with_noise_times(law, scale), samples)
            for law, samples in zip(laws, held_out, strict=True)
        )
        return -float(sum(of_folds))

    scale = best_scale(loss, _LEAST, _MOST)
    return scale if loss(scale) < loss(1.0) else 1.0
