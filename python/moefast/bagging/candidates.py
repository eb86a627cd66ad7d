"""What is fitted where nothing is given: mixtures of several sizes, of which the rows left out choose."""

from __future__ import annotations

from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.samples import Samples

__all__ = ["default_candidates"]

# Numbers of experts and ridges on them.
_GRID = ((1, 1.0), (3, 3.0), (8, 1.0), (20, 1.0), (8, 0.1), (20, 0.1))


def default_candidates(samples: Samples) -> list[MixtureOfExpertsRegressor]:
    """Return estimators for these rows."""
    most = max(1, samples.n_units // (2 * (samples.n_features + 1)))
    grid = dict.fromkeys((min(k, most), alpha) for k, alpha in _GRID)
    return [
        MixtureOfExpertsRegressor(k, alpha=alpha, gate_alpha=1e-3, n_init=4, max_iter=200, tol=1e-5, n_threads=1)
        for k, alpha in grid
    ]
