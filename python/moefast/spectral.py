r"""Method 1 of the papers: expert directions from the cubic and quadratic transforms.

.. math::

    E[P_2(y) S_2(z)] = c_2 \sum_i p_i \|a_i\|^2 v_i v_i^T, \qquad
    E[P_3(y) S_3(z)] = c_3 \sum_i p_i \|a_i\|^3 v_i^{\otimes 3}

with z the whitened input and :math:`v_i` the unit direction of expert i in z.

Promised when, after whitening x, it is standard normal, all experts have one common norm and one common
intercept, and the gates are orthogonal to the span of the experts. Elsewhere (intercepts, generic gates, a
nonzero mean of x together with intercepts, non-Gaussian x) a bias is left that no sample size removes; the
answer is then a start for EM, not an estimate.

Source: Makkuva, Oh, Kannan, Viswanath, "Breaking the gridlock in Mixture-of-Experts", ICML 2019.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from moefast.decomposition import TensorPairs, power_iteration, subspace_whitening
from moefast.links import Link, get_link
from moefast.moments import MomentAccumulator
from moefast.projection import projected_score_tensor
from moefast.randomness import RandomState
from moefast.scores import ScoreMoments
from moefast.standardisation import location_and_scale
from moefast.strategy import choose_strategy
from moefast.transforms import (
    PolynomialTransform,
    check_sigma,
    cubic_transform,
    hermite_moment,
    mean_slope,
    quadratic_transform,
    quartic_transform,
)
from moefast.validation import check_choice, check_samples

__all__ = ["SpectralExperts", "recover_experts", "recover_from_moments", "recover_from_samples"]

Floats: TypeAlias = npt.NDArray[np.float64]


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


def recover_experts(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    link: str | Link | Callable[[Any], Any] = "linear",
    sigma: float | None = None,
    strategy: str = "auto",
    transform: str = "polynomial",
    fit_intercept: bool = True,
    sample_weight: Any = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Recover the experts of a mixture from third-order cross moments.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    n_experts : int
        k, at most d: the directions must be linearly independent.
    link : str, Link or callable
        g.
    sigma : float, optional
        The noise's standard deviation. Linear experts do not need it; for other links it is estimated as
        mean(y^2) - E[g(Z)^2] when it is not given.
    strategy : {"auto", "one_pass", "two_pass"}
        How T3 is formed: one pass that accumulates the packed tensor of all features, or a pass for the second
        order and another one for the third along k directions alone. "auto" takes the cheaper one (see
        :mod:`moefast.strategy`); the two agree to rounding.
    transform : {"polynomial"}
        The transforms of the ICML 2019 paper.
    fit_intercept : bool
        Linear experts have a common intercept, which the mean of y stands for. False is the papers' setting: y
        is taken as it is, and with two experts, no gate intercept and x of mean zero the answer is then
        consistent whatever the gates. Other links never have an intercept here.
    sample_weight : array-like of shape (n,), optional
    random_state : int, Generator, RandomState or None
        For the restarts of the power method.
    n_threads : int or None

    Returns
    -------
    SpectralExperts

    Raises
    ------
    ValueError
        For bad input, more experts than linearly independent columns, or a link that the method cannot serve
        (the message has the vanishing number).

    Warns
    -----
    ConvergenceWarning
        When a direction did not settle: as a rule there are fewer experts in the moments than asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.datasets import make_moe
    >>> from moefast.spectral import recover_experts
    >>> X, y, truth = make_moe(100_000, 5, 2, noise=0.1, orthogonal_gate=True, random_state=0)
    >>> found = recover_experts(X, y, 2, random_state=0).coef
    >>> cosines = found @ truth.coef.T / np.linalg.norm(found, axis=1, keepdims=True)
    >>> bool(cosines.max(axis=1).min() > 0.99)
    True
    """
    check_choice("strategy", strategy, ("auto", "one_pass", "two_pass"))
    check_choice("transform", transform, ("polynomial",))
    link = get_link(link)
    X, y, weights = check_samples(X, y, sample_weight)
    result = recover_from_samples(
        X,
        y,
        weights,
        n_experts,
        link=link,
        sigma=sigma,
        fit_intercept=fit_intercept,
        strategy=strategy,
        random_state=random_state,
        n_threads=n_threads,
    )
    if not result.converged:
        warnings.warn(
            f"the tensor power method did not settle on {n_experts} directions: "
            + ", ".join(result.pairs.statuses),
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def recover_from_samples(
    X: Floats,
    y: Floats,
    weights: Floats,
    n_experts: int,
    *,
    link: Link,
    sigma: float | None = None,
    fit_intercept: bool = True,
    strategy: str = "auto",
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Do the same as :func:`recover_experts` from checked samples; parameters as there.

    Columns, and y where the link is linear, are divided by their standard deviations on the way, so that cubes
    stay in range whatever the units.
    """
    samples, x_scale, y_scale = scaled_samples(X, y, weights, link)
    found = recover_from_moments(
        first_pass(*samples, n_experts, strategy=strategy, n_threads=n_threads),
        n_experts,
        samples=samples,
        link=link,
        sigma=None if sigma is None else sigma / y_scale,
        fit_intercept=fit_intercept,
        random_state=random_state,
        n_threads=n_threads,
    )
    return replace(
        found,
        coef=found.coef * (y_scale / x_scale),
        intercept=found.intercept * y_scale,
        sigma=found.sigma * y_scale,
    )


def scaled_samples(
    X: Floats, y: Floats, weights: Floats, link: Link
) -> tuple[tuple[Floats, Floats, Floats], Floats, float]:
    """Return the samples with columns, and y where the link is linear, divided by their spread; both scales."""
    share = weights / weights.sum()
    x_scale = location_and_scale(X, share)[1]
    x_scale = np.where(x_scale > 0, x_scale, 1.0)
    y_scale = float(location_and_scale(y[:, None], share)[1][0] or 1.0) if link.is_linear else 1.0
    return (X / x_scale, y / y_scale, weights), x_scale, y_scale


def first_pass(
    X: Floats,
    y: Floats,
    weights: Floats,
    n_directions: int,
    *,
    order: int = 3,
    strategy: str = "auto",
    n_threads: int | None = None,
) -> ScoreMoments:
    """Return what :func:`recover_from_moments` starts from: moments of an order, or of 2 before a second pass.

    Parameters as for :func:`recover_experts`, checked.
    """
    chosen = choose_strategy(X.shape[1], n_directions, order) if strategy == "auto" else strategy
    first = order if chosen == "one_pass" else 2
    return MomentAccumulator(X.shape[1], first, n_threads=n_threads).update(X, y, weights).score_moments()


def recover_from_moments(
    moments: ScoreMoments,
    n_experts: int,
    *,
    link: Link,
    sigma: float | None = None,
    fit_intercept: bool = True,
    samples: tuple[Floats, Floats, Floats] | None = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Do the same as :func:`recover_experts` from accumulated moments; parameters as there.

    Moments of order 2 need `samples`, the (X, y, weights) they are of, for a second pass.
    """
    if moments.order < 3 and samples is None:
        raise ValueError("moments of order 3 are needed, or order 2 and the samples for a second pass")
    k = n_experts
    check_number_of_experts(k, moments)
    response = response_scale(moments, link, sigma, fit_intercept)
    second, third = response.transform(2), response.transform(3)

    T2 = moments.score_tensor(2, second) / second.constant
    W, back, spectrum = subspace_whitening(T2, k, moments.whitening)
    if moments.order >= 3 or samples is None:
        T3 = moments.score_tensor(3, third, W)
    else:
        T3 = projected_score_tensor(*samples, moments, 3, third, W, n_threads)
    pairs = power_iteration(T3 / third.constant, k, random_state=random_state)
    scaled = scale_directions(pairs.vectors @ back.T, moments, T2, response)
    return SpectralExperts(**vars(scaled), spectrum=spectrum, pairs=pairs, link=link)


def check_number_of_experts(k: int, moments: ScoreMoments) -> None:
    """Raise unless k directions can be linearly independent."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"n_experts must be an integer, got {k!r}")
    if not 1 <= k <= moments.rank:
        raise ValueError(
            f"n_experts must lie between 1 and {moments.rank}, the number of linearly independent columns of X, "
            f"for the spectral method, got {k}"
        )


@dataclass(frozen=True)
class ResponseScale:
    """What the transforms and the scales of experts need to know of the response.

    Attributes
    ----------
    link : Link
    about : float
        The level that stands for the common intercept; 0 for links other than linear.
    square : float
        Mean of (y - about)^2.
    sigma : float or None
        The noise, given or estimated; None for linear experts whose noise nobody gave.
    fit_intercept : bool
    """

    link: Link
    about: float
    square: float
    sigma: float | None
    fit_intercept: bool

    def transform(self, order: int) -> PolynomialTransform:
        """Return the transform for the score tensor of an order.

        Linear experts of one norm need neither it nor the noise: with t = y - about these are t^2,
        t^3 - 3 t mean(t^2) and t^4 - 6 t^2 mean(t^2).
        """
        if not self.link.is_linear:
            make = {2: quadratic_transform, 3: cubic_transform, 4: quartic_transform}[order]
            return make(self.link, float(self.sigma or 0.0))
        coefficients, constant = {
            2: ((0.0, 0.0, 1.0), 2.0),
            3: ((0.0, -3.0 * self.square, 0.0, 1.0), 6.0),
            4: ((0.0, 0.0, -6.0 * self.square, 0.0, 1.0), 24.0),
        }[order]
        return PolynomialTransform(coefficients, constant, order=order, about=self.about)


def response_scale(moments: ScoreMoments, link: Link, sigma: float | None, fit_intercept: bool) -> ResponseScale:
    """Read level, mean square and noise off the moments."""
    if sigma is not None:
        check_sigma(sigma)
    elif not link.is_linear:
        sigma = _estimate_sigma(moments, link)
    about = moments.y_mean if link.is_linear and fit_intercept else 0.0
    square = moments.y_variance + (moments.y_mean - about) ** 2
    return ResponseScale(link, about, square, sigma, fit_intercept)


@dataclass(frozen=True)
class ScaledExperts:
    """Experts made of directions: fields as of :class:`SpectralExperts`."""

    coef: Floats
    intercept: Floats
    weights: Floats
    sigma: float
    directions: Floats


def scale_directions(raw: Floats, moments: ScoreMoments, T2: Floats, response: ResponseScale) -> ScaledExperts:
    """Give directions in whitened coordinates, of any sign and length, signs, norms and weights.

    They come from the lowest moment, which has the least variance: E[y z] = E[g'] sum_i q_i v_i.
    """
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    V = np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)
    q = np.linalg.lstsq(V.T, moments.cross_moment(), rcond=1e-6)[0] / mean_slope(response.link)
    V = V * np.where(q < 0, -1.0, 1.0)[:, None]
    q = np.abs(q)
    square, noise = response.square, response.sigma
    if response.link.is_linear:
        scales, weights = _linear_scales(V, q, T2, square)
        if noise is None:
            noise = np.sqrt(max(square - float(weights @ scales**2), 1e-4 * square))
    else:
        scales, weights = np.ones(len(q)), q
    weights = np.maximum(weights, 1e-3 * float(weights.max())) if weights.max() > 0 else np.ones(len(q))
    coef = scales[:, None] * V @ moments.whitening.T
    return ScaledExperts(
        coef=coef,
        intercept=response.about - coef @ moments.x_mean if response.fit_intercept else np.zeros(len(q)),
        weights=weights / weights.sum(),
        sigma=float(noise or 0.0),
        directions=V,
    )


def _linear_scales(V: Floats, q: Floats, T2: Floats, variance: float) -> tuple[Floats, Floats]:
    """Norms and weights of linear experts from q_i = p_i |a_i| and T2 = sum_i p_i |a_i|^2 v_i v_i'."""
    inverse = np.linalg.pinv(V, rcond=1e-6)
    energy = np.maximum(np.einsum("ai,ab,bi->i", inverse, T2, inverse), 0.0)
    common = np.sqrt(max(float(energy.sum()), 1e-6 * variance))
    ratio = np.divide(energy, q, out=np.full_like(q, common), where=q > 1e-6 * common)
    scales = np.clip(ratio, 0.25 * common, 4.0 * common)
    return scales, np.divide(q, scales, out=np.zeros_like(q), where=scales > 0)


def _estimate_sigma(moments: ScoreMoments, link: Link) -> float:
    """Return s from s^2 = mean(y^2) - E[g(Z)^2], at least a hundredth of the spread of y."""
    square = moments.y_variance + moments.y_mean**2
    return float(np.sqrt(max(square - hermite_moment(link, 2, 0)[0], 1e-4 * moments.y_variance)))
