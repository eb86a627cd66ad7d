r"""Gates with the experts frozen, as in the last step of both papers: by EM or by gradient descent.

Both climb the same log-likelihood, the loss :math:`L_{\log}` of the second paper with its sign turned,

.. math::

    \sum_n w_n \log \sum_i p_i(x_n)\, N(y_n \mid \mu_i(x_n), s_i^2),

less the gates' ridge. EM: E-step :math:`r_i \propto p_i(x)\, N(y \mid \mu_i(x), s_i^2)`; M-step: one Newton step,
halved until the likelihood does not fall, of the multinomial logistic regression of r on x. Gradient descent:
steps along :math:`\sum_n w_n (r_i - p_i) x_n` for each gate.

Sources: Makkuva, Oh, Kannan, Viswanath, ICML 2019, Section on learning the gating; the same, "Learning in Gated
Neural Networks", AISTATS 2020 (L_log).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.em.fit import EmFit
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.gating.descent import descend_gates
from moefast.links import Link
from moefast.mixture import Mixture, check_experts
from moefast.validation import check_choice, check_flag, check_samples

__all__ = ["fit_gates", "gates_of_problem"]


# Decades between the noise and y beyond which densities leave the range.
_FAR = 100.0


class Experts(Protocol):
    """What a set of experts has to tell: a Mixture, SpectralExperts or an object of yours."""

    @property
    def coef(self) -> Floats:
        """a_i, shape (k, d)."""

    @property
    def intercept(self) -> Floats:
        """b_i, shape (k,)."""

    @property
    def link(self) -> Link:
        """The link g."""


def fit_gates(
    X: Any,
    y: Any,
    experts: Experts,
    *,
    sigma: float | npt.ArrayLike,
    method: Literal["em", "gradient"] = "em",
    update_noise: bool = False,
    sample_weight: Any = None,
    options: EmOptions | None = None,
) -> EmFit:
    """Fit the softmax gates with the experts held fixed.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    experts : Mixture, SpectralExperts or any object with coef (k, d), intercept (k,) and link
        In the units of the data.
    sigma : float or array-like of shape (k,)
        The noise's standard deviation, positive.
    method : {"em", "gradient"}
        "gradient" is gradient descent on all rows, see
        :func:`moefast.gating.descend_gates`: the same optimum, in more
        iterations.
    update_noise : bool
        Take `sigma` as a start and fit it too; by EM only.
    sample_weight : array-like of shape (n,), optional
    options : EmOptions, optional
        `fit_gate_intercept`, `gate_columns`, `gate_alpha`, `noise`, `noise_floor`, `max_iter`, `tol` and
        `n_threads` matter.

    Returns
    -------
    EmFit
        In the units of the data: the experts given, the gates found and the noise. Its trace is the learning
        curve, whichever the method: the objective above, in standard units.

    Raises
    ------
    ValueError, TypeError
        For bad input (the column is named), experts of another shape, a sigma that is not positive, or
        update_noise with gradient descent.

    Examples
    --------
    >>> from moefast.datasets import make_moe
    >>> from moefast.gating import fit_gates
    >>> X, y, truth = make_moe(5000, 3, 2, random_state=0)
    >>> gates = fit_gates(X, y, truth, sigma=0.1)
    >>> bool(abs(gates.mixture.gate_coef - truth.gate_coef).max() < 0.3)
    True
    """
    check_choice("method", method, ("em", "gradient"))
    check_flag("update_noise", update_noise)
    if method == "gradient" and update_noise:
        raise ValueError("update_noise needs method='em': gradient descent keeps the noise")
    samples = check_samples(X, y, sample_weight)
    problem = EmProblem(samples, EmOptions.given(options))
    return gates_of_problem(problem, samples.X, experts, sigma, method=method, update_noise=update_noise)


def gates_of_problem(
    problem: EmProblem,
    X: Floats,
    experts: Experts,
    sigma: float | npt.ArrayLike,
    *,
    method: Literal["em", "gradient"] = "em",
    update_noise: bool,
) -> EmFit:
    """Do the same as :func:`fit_gates` on samples already in standard units; X is in the units of the data."""
    check_experts("experts", experts, X.shape[1])
    k, d = experts.coef.shape
    noise, s = _checked_noise(sigma, k), problem.standardisation
    if not update_noise and (np.abs(np.log10(noise) - np.log10(s.y_scale)) > _FAR).any():
        raise ValueError(f"sigma={sigma!r} is out of all proportion to y, whose unit is {s.y_scale:.3g}")
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.ascontiguousarray(s.response(experts.link(X @ experts.coef.T + experts.intercept)))
    if not np.abs(means).max() < 10**_FAR:
        raise ValueError("experts predict values out of all proportion to y; were they fitted to other units?")
    start = Mixture(np.zeros((k, d)), np.zeros(k), np.zeros((k, d)), np.zeros(k), noise / s.y_scale)
    if method == "gradient":
        run = descend_gates(problem, start, means)
    else:
        run = problem.run(start, means=means, update_noise=update_noise)
    fit = problem.result(run)
    # The run knows the experts by their predictions alone.
    mixture = replace(
        fit.mixture, coef=np.array(experts.coef), intercept=np.array(experts.intercept), link=experts.link
    )
    return replace(fit, mixture=mixture)


def _checked_noise(sigma: float | npt.ArrayLike, k: int) -> Floats:
    """Return sigma for each of k experts."""
    try:
        noise = np.asarray(sigma, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"sigma is not numeric: {error}") from None
    if noise.shape not in ((), (k,)):
        raise ValueError(f"sigma must be a number or have shape ({k},), got shape {noise.shape}")
    if not (np.isfinite(noise).all() and (noise > 0).all()):
        raise ValueError(f"sigma must be positive and finite, got {sigma!r}")
    return np.full(k, noise)
