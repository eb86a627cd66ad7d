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

from sklearn.exceptions import ConvergenceWarning

from moefast.links import Link, get_link
from moefast.moments.input_mixture import input_law_of
from moefast.moments.options import MomentOptions
from moefast.moments.source import moment_source
from moefast.randomness import RandomState
from moefast.samples import Samples
from moefast.spectral.experts import SpectralExperts, recover_from_moments
from moefast.standardisation import Standardisation
from moefast.validation import check_integer, check_samples

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
    check_integer("n_experts", n_experts, low=-(2**31))  # what is too few is told with what is too many
    options = MomentOptions(get_link(link), sigma, strategy, transform, x_distribution, fit_intercept, n_threads)
    found = recover_from_samples(check_samples(X, y, sample_weight), n_experts, options, random_state=random_state)
    if not found.converged:
        warnings.warn(
            f"the tensor power method did not settle on {n_experts} directions: "
            + ", ".join(found.pairs.statuses),
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


def recover_from_samples(
    samples: Samples, n_experts: int, options: MomentOptions, *, random_state: RandomState = None
) -> SpectralExperts:
    """Do the same as :func:`recover_experts` from checked samples, without warnings.

    Columns, and y where the link is linear, are divided by their standard deviations on the way, so that cubes
    stay in range whatever the units.
    """
    law = input_law_of(options.x_distribution, samples, random_state)
    options = replace(options, x_distribution=law)
    units = Standardisation.of(samples, y="deviation" if options.link.is_linear else "own")
    options = options.in_units(units)
    source = moment_source(units.samples(samples), n_experts, options)
    return recover_from_moments(source, n_experts, options, random_state=random_state).to_units(units)
