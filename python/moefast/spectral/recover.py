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
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from moefast._typing import Floats
from moefast.links import Link, get_link
from moefast.moments.accumulator import MomentAccumulator
from moefast.moments.input_mixture import InputMixture, MixtureMoments, get_input_mixture
from moefast.moments.scores import ScoreMoments
from moefast.moments.strategy import choose_strategy
from moefast.randomness import RandomState
from moefast.spectral.experts import SpectralExperts, recover_from_moments
from moefast.standardisation import coef_in_units, location_and_scale, refuse_denormal_response
from moefast.validation import check_choice, check_flag, check_number, check_samples

__all__ = ["SpectralExperts", "recover_experts", "recover_from_moments", "recover_from_samples"]


def recover_experts(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    link: str | Link | Callable[[Any], Any] = "linear",
    sigma: float | None = None,
    strategy: str = "auto",
    transform: str = "polynomial",
    x_distribution: Any = "gaussian",
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
        The noise's standard deviation. Linear experts do not need it; for other links the one that
        makes y most likely is taken when it is not given (:func:`moefast.transforms.marginal_sigma`).
    strategy : {"auto", "one_pass", "two_pass"}
        How T3 is formed: one pass that accumulates the packed tensor of all features, or a pass for the second
        order and another one for the third along k directions alone. "auto" takes the cheaper one (see
        :mod:`moefast.moments.strategy`); the two agree to rounding.
    transform : {"polynomial", "optimal"}
        The transforms of the ICML 2019 paper, or those of least variance for the link at this noise
        (:mod:`moefast.transforms.optimal`), which take a third reading of the samples and cannot be had in one
        pass. For linear experts they are the same.
    x_distribution : "gaussian", InputMixture or sklearn.mixture.GaussianMixture
        The law of x, whose score functions are used (:mod:`moefast.moments.input_mixture`). A GaussianMixture that
        is not fitted is cloned and fitted to X. A mixture takes the two-pass way, once for every component. Links
        other than the linear one still want a_i.x standard normal; the mixture should part along other directions.
    fit_intercept : bool
        Linear experts have a common intercept, which the mean of y stands for. False is the papers' setting: y
        is taken as it is, and with two experts, no gate intercept and x of mean zero the answer is then
        consistent whatever the gates. Other links never have an intercept here.
    sample_weight : array-like of shape (n,), optional
    random_state : int, Generator, RandomState or None
        For the restarts of the power method, and the fit of a GaussianMixture that has no random_state of its
        own.
    n_threads : int or None

    Returns
    -------
    SpectralExperts

    Raises
    ------
    ValueError
        For bad input, more experts than linearly independent columns, or a link that the method cannot serve
        (the message has the vanishing number).
    OverflowError
        When products of X and y leave the range of float64, or y that of the link.

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
    check_choice("transform", transform, ("polynomial", "optimal"))
    if sigma is not None:
        check_number("sigma", sigma)
    check_flag("fit_intercept", fit_intercept)
    link = get_link(link)
    samples = check_samples(X, y, sample_weight)
    X, y, weights = samples.X, samples.y, samples.sample_weight
    law = get_input_mixture(x_distribution, X, weights, random_state)
    result = recover_from_samples(
        X,
        y,
        weights,
        n_experts,
        link=link,
        sigma=sigma,
        fit_intercept=fit_intercept,
        strategy=strategy,
        transform=transform,
        law=law,
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
    transform: str = "polynomial",
    law: InputMixture | None = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Do the same as :func:`recover_experts` from checked samples; parameters as there, `law` is that of x.

    Columns, and y where the link is linear, are divided by their standard deviations on the way, so that cubes
    stay in range whatever the units.
    """
    samples, x_scale, y_scale = scaled_samples(X, y, weights, link)
    strategy = strategy_for(strategy, transform, link, law)
    first = first_pass(*samples, n_experts, strategy=strategy, n_threads=n_threads)
    source: ScoreMoments | MixtureMoments = first
    if law is not None:
        in_units = law.transformed(np.diag(1.0 / x_scale), np.zeros(len(x_scale)))
        source = MixtureMoments(*samples, first, in_units, n_threads)
    found = recover_from_moments(
        source,
        n_experts,
        samples=samples,
        link=link,
        sigma=None if sigma is None else sigma / y_scale,
        fit_intercept=fit_intercept,
        transform=transform,
        random_state=random_state,
        n_threads=n_threads,
    )
    return replace(
        found,
        coef=coef_in_units(found.coef, x_scale, y_scale),
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
    y_spread = float(location_and_scale(y[:, None], share)[1][0])
    refuse_denormal_response(y_spread)
    y_scale = (y_spread or 1.0) if link.is_linear else 1.0
    return (X / x_scale, y / y_scale, weights), x_scale, y_scale


def strategy_for(strategy: str, transform: str, link: Link, law: InputMixture | None = None) -> str:
    """Return "two_pass" where nothing else will do, and the strategy as it is elsewhere.

    Raises
    ------
    ValueError
        For "one_pass" where it will not do.
    """
    for name, needed in (
        ('transform="optimal"', transform == "optimal" and not link.is_linear),
        ("an input mixture", law is not None),
    ):
        if needed and strategy == "one_pass":
            raise ValueError(
                f'strategy="one_pass" has moments of powers of x and y alone, {name} is no polynomial of them: '
                'use strategy="two_pass" or "auto"'
            )
        strategy = "two_pass" if needed else strategy
    return strategy


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
