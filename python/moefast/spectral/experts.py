r"""From score moments to experts: T2, T3, directions, signs, weights, noise; see :mod:`moefast.spectral`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast._typing import Floats
from moefast.links import Link
from moefast.moments.scores import ScoreMoments
from moefast.moments.two_pass import TwoPassMoments
from moefast.randomness import RandomState
from moefast.spectral.directions import MomentSource, ResponseScale, check_number_of_experts, scale_directions
from moefast.tensors.power_method import TensorPairs, power_iteration, subspace_whitening

__all__ = ["SpectralExperts", "recover_from_moments"]


@dataclass(frozen=True)
class SpectralExperts:
    """What the spectral method finds, in the units of the data.

    Attributes
    ----------
    coef : ndarray of shape (k, d)
        a_i. For a link other than linear the norm is 1 in whitened coordinates.
    intercept : ndarray of shape (k,)
        b_i: the common one; the moments do not show differences.
    weights : ndarray of shape (k,)
        p_i = E[p_i(x)], estimated.
    sigma : float
        The common noise, given or estimated.
    directions : ndarray of shape (k, rank)
        Unit vectors v_i in whitened coordinates.
    spectrum : ndarray of shape (rank,)
        Eigenvalues of T2 over c_2, in units of the variance of y where the link is linear. A clear drop after
        the k-th supports the number of experts.
    pairs : TensorPairs
        The power method's report.
    link : Link
    """

    coef: Floats
    intercept: Floats
    weights: Floats
    sigma: float
    directions: Floats
    spectrum: Floats
    pairs: TensorPairs
    link: Link

    @property
    def converged(self) -> bool:
        """Whether every direction settled."""
        return self.pairs.converged


def recover_from_moments(
    moments: ScoreMoments | MomentSource,
    n_experts: int,
    *,
    link: Link,
    sigma: float | None = None,
    fit_intercept: bool = True,
    transform: str = "polynomial",
    samples: tuple[Floats, Floats, Floats] | None = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Do the same as :func:`moefast.spectral.recover_experts` from moments; parameters as there.

    Accumulated moments of order 2 need `samples`, the (X, y, weights) they are of, for a second pass. So does
    ``transform="optimal"``.
    """
    source: MomentSource = moments
    if isinstance(moments, ScoreMoments) and (moments.order < 3 or transform == "optimal"):
        if samples is None:
            raise ValueError("moments of order 3 are needed, or order 2 and the samples for a second pass")
        source = TwoPassMoments(*samples, moments, n_threads)
    check_number_of_experts(n_experts, source)
    optimal = transform == "optimal"
    response = ResponseScale.of(source, link, sigma, fit_intercept, optimal=optimal, samples=samples)
    second, third = response.transform(2), response.transform(3)

    T2 = source.score_tensor(2, second) / second.constant
    W, back, spectrum = subspace_whitening(T2, n_experts, source.whitening)
    T3 = source.score_tensor(3, third, W)
    if source.y_variance == 0:  # P(y) - mean P(y) of a constant response is rounding, not to be decomposed
        T3 = np.zeros_like(T3)
    pairs = power_iteration(T3 / third.constant, n_experts, random_state=random_state)
    scaled = scale_directions(pairs.vectors @ back.T, source, T2, response)
    return SpectralExperts(**vars(scaled), spectrum=spectrum, pairs=pairs, link=link)
