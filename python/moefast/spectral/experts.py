r"""From score moments to experts: T2, T3, directions, signs, weights, noise; see :mod:`moefast.spectral`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from moefast._typing import Floats
from moefast.links import Link
from moefast.moments.input_mixture import input_law_of
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.source import MomentSource, with_second_pass
from moefast.randomness import RandomState
from moefast.samples import Samples
from moefast.spectral.directions import check_number_of_experts, scale_directions
from moefast.spectral.response import ResponseScale
from moefast.spectral.whitening import subspace_whitening
from moefast.standardisation import Standardisation
from moefast.tensors.power_method import TensorPairs, power_iteration

__all__ = ["SpectralExperts", "recover_from_moments"]


@dataclass(frozen=True)
class SpectralExperts:
    """What the spectral method finds, in the units of the data.

    Attributes
    ----------
    coef : ndarray of shape (k, d)
        a_i. For a link other than linear the norm is 1 in whitened coordinates.
    intercept : ndarray of shape (k,)
        b_i: the common one, as these moments do not show differences; those given the gates' columns do.
    proportions : ndarray of shape (k,)
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
    proportions: Floats
    sigma: float
    directions: Floats
    spectrum: Floats
    pairs: TensorPairs
    link: Link

    @property
    def converged(self) -> bool:
        """Whether every direction settled."""
        return self.pairs.converged

    def to_units(self, units: Standardisation) -> SpectralExperts:
        """Return experts found in standard units in those of the data.

        Raises
        ------
        OverflowError
            When they leave the range of float64; the column is named.
        """
        coef, intercept = units.finite_expert_to_units(self.coef, self.intercept)
        return replace(self, coef=coef, intercept=intercept, sigma=self.sigma * units.y_scale)


def recover_from_moments(
    moments: ScoreMoments | MomentSource,
    n_experts: int,
    options: MomentOptions | None = None,
    *,
    samples: Samples | None = None,
    random_state: RandomState = None,
) -> SpectralExperts:
    """Do the same as :func:`moefast.spectral.recover_experts` from moments.

    Parameters
    ----------
    moments : ScoreMoments or MomentSource
    n_experts : int
    options : MomentOptions, optional
    samples : Samples, optional
        What the moments are of, for a second pass, which moments of order 2 need, ``transform="optimal"``, an
        `x_distribution` and the best estimate of the noise.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    SpectralExperts
        In the units of the moments.

    Raises
    ------
    ValueError
        For more experts than linearly independent columns, a link that the method cannot serve, or a second pass
        without samples.

    Examples
    --------
    >>> from moefast import MomentAccumulator
    >>> from moefast.datasets import make_moe
    >>> from moefast.spectral import recover_from_moments
    >>> X, y, truth = make_moe(10_000, 5, 2, orthogonal_gate=True, random_state=0)
    >>> accumulator = MomentAccumulator(5)
    >>> for start in range(0, 10_000, 1000):
    ...     accumulator = accumulator.update(X[start : start + 1000], y[start : start + 1000])
    >>> recover_from_moments(accumulator.score_moments(), 2, random_state=0).coef.shape
    (2, 5)
    """
    options = MomentOptions.given(options)
    if samples is not None and not isinstance(samples, Samples):
        raise TypeError(f"samples must be a Samples (moefast.samples) or None, got {type(samples).__name__}")
    if samples is not None and isinstance(moments, ScoreMoments):
        options = replace(options, x_distribution=input_law_of(options.x_distribution, samples, random_state))
    source = with_second_pass(moments, samples, options) if isinstance(moments, ScoreMoments) else moments
    check_number_of_experts(n_experts, source)
    response = ResponseScale.of(source, options)
    second, third = response.transform(2), response.transform(3)
    T2 = source.score_tensor(2, second) / second.constant
    whitening = subspace_whitening(T2, n_experts, source.whitening)
    T3 = source.score_tensor(3, third, whitening.into) / third.constant
    pairs = power_iteration(T3, n_experts, random_state=random_state)
    scaled = scale_directions(pairs.vectors @ whitening.back.T, source, T2, response)
    return SpectralExperts(**vars(scaled), spectrum=whitening.spectrum, pairs=pairs, link=options.link)
