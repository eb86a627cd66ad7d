r"""Two logistic experts for a response of 0 or 1, from the response as it is.

With :math:`P(y = 1 \mid x) = p\, \sigma(a_1 \cdot x) + (1 - p)\, \sigma(a_2 \cdot x)`,
:math:`p = \sigma(w \cdot x)`, no intercepts and :math:`x \sim N(0, \Sigma)`: :math:`\sigma - \tfrac12` is odd, so
the odd part of the right-hand side is half the sum of the two experts, whatever the gate. :math:`S_1` and
:math:`S_3` are odd, hence

.. math::

    E[y\, S_1(x)] = \tfrac12 \sum_i E[\sigma'(|a_i| Z)]\, a_i, \qquad
    E[y\, S_3(x)] = \tfrac12 \sum_i E[\sigma'''(|a_i| Z)]\, a_i^{\otimes 3}, \qquad E[\sigma'''] < 0,

for any direction of the gate and any norms. A transform of y could do no more, since y takes two values; and
:math:`E[y\, S_2]` holds no expert alone (:math:`E[\sigma''(|a_i| Z)] = 0`), so there is nothing to whiten by and
the tensor is taken apart by Jennrich's method. Intercepts of experts or gate leave a bias, and so does a mean of
x, which acts like intercepts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from moefast._typing import Floats
from moefast.families import BERNOULLI
from moefast.moments.options import MomentOptions
from moefast.moments.source import moment_source
from moefast.randomness import RandomState
from moefast.samples import NO_TERMS
from moefast.standardisation import Standardisation
from moefast.tensors.jennrich import jennrich
from moefast.transforms.polynomial import PolynomialTransform
from moefast.validation import check_samples

__all__ = ["recover_two_logistic_experts"]


# Norms of experts in whitened x. Beyond the largest an expert is a step and its norm does not show.
_NORMS = (1e-3, 20.0)
# Trapezoidal rule for means over Z.
_Z = np.linspace(-9.0, 9.0, 3601)
_SHARE = np.exp(-0.5 * _Z**2) / np.exp(-0.5 * _Z**2).sum()


def recover_two_logistic_experts(
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> Floats:
    """Recover two logistic experts without intercepts behind a gate without intercept, of any direction.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Of mean 0.
    y : array-like of shape (n,)
        0 or 1.
    sample_weight : array-like of shape (n,), optional
    random_state : int, Generator, RandomState or None
        For the contractions of the tensor.
    n_threads : int or None

    Returns
    -------
    ndarray of shape (2, d)
        a_1 and a_2; P(y = 1) of an expert is 1 / (1 + exp(-a.x)).

    Raises
    ------
    ValueError, TypeError
        For bad input, a y of other values, or fewer than two linearly independent columns.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.special import expit
    >>> from moefast.spectral import recover_two_logistic_experts
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200_000, 3))
    >>> first = rng.random(200_000) < expit(2 * X[:, 0] + 2 * X[:, 2])
    >>> y = rng.random(200_000) < expit(np.where(first, 3 * X[:, 0], -2 * X[:, 1]))
    >>> found = recover_two_logistic_experts(X, y, random_state=0)
    >>> found[np.argsort(-found[:, 0])].round().astype(int)
    array([[ 3,  0,  0],
           [ 0, -2,  0]])
    """
    samples = check_samples(X, y, sample_weight)
    BERNOULLI.check(samples.y, NO_TERMS)
    units = Standardisation.of(samples, y="own")
    moments = moment_source(units.samples(samples), 2, MomentOptions(strategy="one_pass", n_threads=n_threads))
    if moments.rank < 2:
        raise ValueError(f"two experts need two linearly independent columns, X has {moments.rank}")
    T3 = moments.score_tensor(3, PolynomialTransform((0.0, 1.0), 1.0, order=3))
    directions = -jennrich(T3, 2, random_state=random_state).vectors  # E[sigma'''] is negative
    slopes = np.linalg.lstsq(directions.T, moments.cross_moment(), rcond=1e-6)[0]
    norms = np.array([_norm_of(float(slope)) for slope in slopes])
    return np.asarray(norms[:, None] * directions @ moments.whitening.T / units.x_scale)


def _slope_of(norm: float) -> float:
    """Return |a| E[sigma'(|a| Z)] / 2."""
    shares = expit(norm * _Z)
    return float(0.5 * norm * (_SHARE @ (shares * (1.0 - shares))))


def _norm_of(slope: float) -> float:
    """Return |a|, of which the slope is an increasing function."""
    low, high = _NORMS
    slope = float(np.clip(slope, _slope_of(low), _slope_of(high)))
    return float(brentq(lambda norm: _slope_of(norm) - slope, low, high))
