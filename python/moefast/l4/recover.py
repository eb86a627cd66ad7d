r"""Method 2 of the papers: expert directions as the minimum of the L4 loss.

The quartic transform gives :math:`E[Q_4(y) S_4(z)] = c_4 \sum_i p_i \|a_i\|^4 v_i^{\otimes 4}`. Whitened by T2
the directions are orthonormal and the loss of :mod:`moefast.l4.loss` has its minima at them; without whitening,
which is how the paper states it, it finds them only where they are nearly orthogonal and as many as features.

Promised under the assumptions of method 1 (:mod:`moefast.spectral`), which gives units, whitening, signs and
weights. The fourth moments are noisier than the third ones of method 1.

Source: Makkuva, Oh, Kannan, Viswanath, "Learning in Gated Neural Networks", AISTATS 2020.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from moefast._typing import Floats
from moefast.l4.experts import L4Experts, L4Run
from moefast.l4.loss import L4Loss
from moefast.l4.options import L4Options
from moefast.l4.problem import L4Problem
from moefast.l4.solvers import descend_by_batches, descend_by_curvature
from moefast.links import Link, get_link
from moefast.moments.options import MomentOptions
from moefast.randomness import RandomState, get_generator
from moefast.samples import Samples
from moefast.standardisation import Standardisation
from moefast.validation import check_integer, check_samples

__all__ = ["L4Experts", "L4Run", "recover_experts"]


# Losses this near each other are of one minimum.
_SAME = 1e-9


def recover_experts(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    link: str | Link | Callable[[Any], Any] = "linear",
    sigma: float | None = None,
    solver: str = "tensor",
    whiten: bool = True,
    mu: float | str = "auto",
    lam: float = 2.0,
    n_starts: int = 10,
    max_iter: int = 200,
    n_epochs: int = 30,
    batch_size: int | str = "auto",
    learning_rate: float | str = "auto",
    strategy: str = "auto",
    transform: str = "polynomial",
    fit_intercept: bool = True,
    sample_weight: Any = None,
    on_epoch: Callable[[int, Floats], None] | None = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> L4Experts:
    r"""Recover the experts of a mixture by minimising the L4 loss of fourth-order cross moments.

    .. math::

        L_4(\hat A) = \sum_{j \ne l} T(\hat a_j, \hat a_j, \hat a_l, \hat a_l)
            - \mu \sum_j T(\hat a_j, \hat a_j, \hat a_j, \hat a_j) + \lambda \sum_j (\|\hat a_j\|^2 - 1)^2

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    n_experts : int
        k, at most d: the directions must be linearly independent.
    link : str, Link or callable
        g.
    sigma : float, optional
        The noise's standard deviation. Linear experts do not need it, nor their common norm: their transform is
        t^4 - 6 t^2 mean(t^2) of the centred response. (With orthogonal gates their norms may also differ: what is
        then left over lies along the gates and is projected away, unless the gates outweigh an expert in T2.) For
        other links the one that makes y most likely is taken when it is not given
        (:func:`moefast.transforms.marginal_sigma`).
    solver : {"tensor", "sgd"}
        "tensor": trust regions with exact second derivatives on T4. "sgd": stochastic gradients of mini-batches
        from all starts together; T4 then serves mu, the rates and the learning curves.
    whiten : bool
        Project and whiten by the k leading eigenvectors of T2 first; T is then T4 divided by k,
        :math:`\sum_i v_i^{\otimes 4} / (k p_i)` with orthonormal v_i. False is the paper's setting, in all d
        dimensions with :math:`T = \sum_i p_i v_i^{\otimes 4}`: for comparison. It finds orthogonal experts; where
        they are not orthogonal its minimum is not at them, and with k < d a candidate orthogonal to all experts
        sits on a plateau. docs/method.md has the numbers.
    mu : float or "auto"
        "auto" is a quarter of lam over the largest :math:`T(u, u, u, u)`, the estimate of
        :math:`\max_i 1 / (k p_i)` (of :math:`\max_i p_i` when not whitened). Beyond four times that the loss has
        no lower bound.
    lam : float
    n_starts : int
        Random candidates, uniform on the sphere.
    max_iter : int
        Of "tensor", each start.
    n_epochs, batch_size, learning_rate
        Of "sgd". The default batch is a hundredth of the rows; `learning_rate` is the first rate, see
        :func:`moefast.l4.solvers.learning_rates` for its default and its decay.
    strategy : {"auto", "one_pass", "two_pass"}
        As in :func:`moefast.spectral.recover_experts`, for order 4.
    transform : {"polynomial", "optimal"}
        As there: the quartic, or the transform of least variance.
    fit_intercept : bool
        As there.
    sample_weight : array-like of shape (n,), optional
    on_epoch : callable, optional
        Of "sgd". Called as ``on_epoch(epoch, coef)`` with the experts of all starts in the units of the data,
        shape (n_starts, k, d), for epoch 0 (the starts) to `n_epochs`.
    random_state : int, Generator, RandomState or None
        For the starts and the order of the rows.
    n_threads : int or None
        Of the moments.

    Returns
    -------
    L4Experts

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
        When the best run did not settle, or the moments show no experts.
    UserWarning
        When the loss has no lower bound with the mu given.

    References
    ----------
    Makkuva, Oh, Kannan, Viswanath, "Learning in Gated Neural Networks", AISTATS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.datasets import make_moe
    >>> from moefast.l4 import recover_experts
    >>> X, y, truth = make_moe(100_000, 5, 2, noise=0.1, orthogonal_gate=True, random_state=0)
    >>> found = recover_experts(X, y, 2, random_state=0)
    >>> cosines = [run.coef @ truth.coef.T / np.linalg.norm(run.coef, axis=1, keepdims=True) for run in found.runs]
    >>> bool(min(c.max(axis=1).min() for c in cosines) > 0.99)  # signs included, from every start
    True
    """
    check_integer("n_experts", n_experts)
    moments = MomentOptions(
        get_link(link), sigma, strategy, transform, fit_intercept=fit_intercept, n_threads=n_threads
    )
    options = L4Options(solver, whiten, mu, lam, n_starts, max_iter, n_epochs, batch_size, learning_rate, on_epoch)
    samples = check_samples(X, y, sample_weight)
    found = recover_from_samples(samples, n_experts, moments, options, random_state=random_state)
    _warn_about(found.largest_value, found.mu, found.lam, bool(whiten))
    if not found.converged:
        best = found.runs[found.best]
        unit = "iterations" if solver == "tensor" else "epochs"
        hint = "; more rows or a larger lam help where T4 is noisy" if best.status == "diverged" else ""
        warnings.warn(
            f"the best of {n_starts} descents of the L4 loss did not settle: {best.status} after {best.n_iter} "
            f"{unit}{hint}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


def recover_from_samples(
    samples: Samples,
    n_experts: int,
    moments: MomentOptions,
    options: L4Options | None = None,
    *,
    random_state: RandomState = None,
) -> L4Experts:
    """Do the same as :func:`recover_experts` from checked samples, without warnings.

    Raises
    ------
    ValueError
        For an `x_distribution` other than "gaussian", which the method does not have.
    """
    options = L4Options.given(options)
    if not isinstance(moments.x_distribution, str):
        raise ValueError(f"x_distribution must be 'gaussian' for the L4 loss, got {moments.x_distribution!r}")
    units = Standardisation.of(samples, y="deviation" if moments.link.is_linear else "own")
    problem = L4Problem.of(units.samples(samples), n_experts, moments.in_units(units), options.whiten)

    largest = L4Loss(problem.tensor, 0.0, options.lam).largest_value()
    loss = L4Loss(problem.tensor, options.mu_for(largest), options.lam)
    rng = get_generator(random_state)
    starts = rng.normal(size=(options.n_starts, n_experts, loss.dim))
    starts /= np.linalg.norm(starts, axis=-1, keepdims=True)

    def tell(epoch: int, candidates: Floats) -> None:
        if options.on_epoch is not None:
            experts = [problem.experts(A) for A in candidates]
            options.on_epoch(
                epoch, np.stack([units.finite_expert_to_units(e.coef, e.intercept)[0] for e in experts])
            )

    if options.solver == "tensor":
        descents = [descend_by_curvature(loss, start, options.max_iter) for start in starts]
    else:
        descents = descend_by_batches(problem.stochastic_loss(loss), loss, starts, options, rng, tell)
    runs = tuple(problem.run(descent, units) for descent in descents)
    return L4Experts(
        runs=runs,
        best=_lowest([float(run.losses[-1]) for run in runs]),
        spectrum=problem.whitening.spectrum,
        mu=loss.mu,
        lam=loss.lam,
        largest_value=largest,
        link=moments.link,
    )


def _lowest(losses: list[float]) -> int:
    """Return the first run whose loss is the lowest up to rounding: most runs share one minimum."""
    least = min(losses)
    return next(i for i, loss in enumerate(losses) if loss <= least + _SAME * max(1.0, abs(least)))


def _warn_about(largest: float, mu: float, lam: float, whiten: bool) -> None:
    """Warn when the moments show nothing or the loss has no lower bound."""
    # Whitened, the largest value is max 1 / (k p_i) >= 1.
    if largest < (0.1 if whiten else 1e-6):
        warnings.warn(
            f"the fourth moments show no experts: T4(u, u, u, u) is at most {largest:.3g}",
            ConvergenceWarning,
            stacklevel=3,
        )
    if lam <= mu * largest:
        heavy = "max 1 / (k p_i)" if whiten else "max p_i"
        warnings.warn(
            f"the L4 loss has no lower bound: lam = {lam:.4g} must exceed mu {heavy} = {mu:.4g} * {largest:.4g}; "
            f"take mu below {lam / largest:.4g}",
            UserWarning,
            stacklevel=3,
        )
