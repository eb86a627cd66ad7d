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
from moefast.l4.loss import LARGEST_FACTOR, L4Loss, StochasticL4Loss
from moefast.l4.solvers import Descent, descend_by_batches, descend_by_curvature
from moefast.links import Link, get_link
from moefast.moments.two_pass import TwoPassMoments
from moefast.randomness import RandomState, get_generator
from moefast.spectral.directions import (
    MomentSource,
    ResponseScale,
    ScaledExperts,
    check_number_of_experts,
    scale_directions,
)
from moefast.spectral.recover import first_pass, scaled_samples, strategy_for
from moefast.standardisation import coef_in_units
from moefast.tensors.power_method import subspace_whitening
from moefast.tensors.symmetric import SymmetricTensor
from moefast.validation import check_choice, check_flag, check_function, check_integer, check_number, check_samples

__all__ = ["L4Experts", "L4Run", "recover_experts"]


# mu T4(u, u, u, u) / lam along the heaviest direction when mu is chosen: bounded from below by far, and the
# experts' own values still count.
_SHARE = 0.25
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
    check_choice("solver", solver, ("tensor", "sgd"))
    check_choice("strategy", strategy, ("auto", "one_pass", "two_pass"))
    check_choice("transform", transform, ("polynomial", "optimal"))
    counts = {"n_experts": n_experts, "n_starts": n_starts, "max_iter": max_iter, "n_epochs": n_epochs}
    for name, count in counts.items():
        check_integer(name, count)
    check_flag("whiten", whiten)
    check_function("on_epoch", on_epoch)
    for name, value in (("mu", mu), ("learning_rate", learning_rate), ("batch_size", batch_size)):
        if isinstance(value, str) and value == "auto":
            continue
        if name == "batch_size":
            check_integer(name, value)
        else:
            check_number(name, value, open_low=name == "learning_rate", high=LARGEST_FACTOR)
    check_number("lam", lam, open_low=True, high=LARGEST_FACTOR)
    if sigma is not None:
        check_number("sigma", sigma)
    check_flag("fit_intercept", fit_intercept)
    link = get_link(link)
    samples = check_samples(X, y, sample_weight)
    X, y, weights = samples.X, samples.y, samples.sample_weight
    found = recover_from_samples(
        X,
        y,
        weights,
        n_experts,
        link=link,
        sigma=sigma,
        solver=solver,
        whiten=bool(whiten),
        mu=mu,
        lam=lam,
        n_starts=n_starts,
        max_iter=max_iter,
        n_epochs=n_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        strategy=strategy,
        transform=transform,
        fit_intercept=fit_intercept,
        on_epoch=on_epoch,
        random_state=random_state,
        n_threads=n_threads,
    )
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
    X: Floats,
    y: Floats,
    weights: Floats,
    n_experts: int,
    *,
    link: Link,
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
    on_epoch: Callable[[int, Floats], None] | None = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> L4Experts:
    """Do the same as :func:`recover_experts` from checked samples, without warnings; parameters as there."""
    samples, x_scale, y_scale = scaled_samples(X, y, weights, link)
    n_directions = n_experts if whiten else X.shape[1]
    strategy = strategy_for(strategy, transform, link)
    first = first_pass(*samples, n_directions, order=4, strategy=strategy, n_threads=n_threads)
    check_number_of_experts(n_experts, first)
    scaled_sigma = None if sigma is None else sigma / y_scale
    optimal = transform == "optimal"
    response = ResponseScale.of(first, link, scaled_sigma, fit_intercept, optimal=optimal, samples=samples)
    source = TwoPassMoments(*samples, first, n_threads)
    problem = _Problem(samples, source, response, n_experts, whiten)

    largest = L4Loss(problem.tensor, 0.0, lam).largest_value()
    factor = _SHARE * lam / (largest or 1.0) if mu == "auto" else float(mu)
    whole = L4Loss(problem.tensor, factor, lam)
    rng = get_generator(random_state)
    starts = rng.normal(size=(n_starts, n_experts, whole.dim))
    starts /= np.linalg.norm(starts, axis=-1, keepdims=True)

    def tell(epoch: int, candidates: Floats) -> None:
        assert on_epoch is not None
        on_epoch(epoch, coef_in_units(np.stack([problem.experts(A).coef for A in candidates]), x_scale, y_scale))

    if solver == "tensor":
        descents = [descend_by_curvature(whole, start, max_iter) for start in starts]
    else:
        descents = descend_by_batches(
            problem.stochastic_loss(factor, lam),
            whole,
            starts,
            n_epochs=n_epochs,
            batch_size=max(1, len(y) // 100) if batch_size == "auto" else int(batch_size),
            learning_rate=None if learning_rate == "auto" else float(learning_rate),
            rng=rng,
            on_epoch=tell if on_epoch is not None else None,
        )
    runs = tuple(problem.run(descent, x_scale, y_scale) for descent in descents)
    return L4Experts(
        runs=runs,
        best=_lowest([float(run.losses[-1]) for run in runs]),
        spectrum=problem.spectrum,
        mu=factor,
        lam=float(lam),
        largest_value=largest,
        link=link,
    )


class _Problem:
    """T4 in the coordinates of the loss, and the way from candidates in them to experts."""

    def __init__(
        self,
        samples: tuple[Floats, Floats, Floats],
        moments: MomentSource,
        response: ResponseScale,
        k: int,
        whiten: bool,
    ) -> None:
        self.samples, self.moments, self.response = samples, moments, response
        second, self.fourth = response.transform(2), response.transform(4)
        self.T2 = moments.score_tensor(2, second) / second.constant
        W, back, self.spectrum = subspace_whitening(self.T2, k, moments.whitening)
        if whiten:
            self.W, self.back, self.scale = W, back, float(k)
        else:
            # Unit experts are what |a|^2 - 1 wants; T2 has sum_i p_i |a_i|^2 for its trace.
            square = float(np.maximum(self.spectrum[:k], 0.0).sum()) if response.link.is_linear else 1.0
            self.W = self.back = np.eye(moments.rank)
            self.scale = square**2 or 1.0
        T4 = moments.score_tensor(4, self.fourth, self.W) / (self.fourth.constant * self.scale)
        self.tensor = T4 if whiten else SymmetricTensor.from_dense(T4)

    def stochastic_loss(self, mu: float, lam: float) -> StochasticL4Loss:
        """Return the loss whose mean over all rows is that on the tensor."""
        X, y, weights = self.samples
        Q = self.fourth(y)
        return StochasticL4Loss(
            (X - self.moments.x_mean) @ (self.moments.whitening @ self.W),
            (Q - np.average(Q, weights=weights)) / (self.fourth.constant * self.scale),
            mu,
            lam,
            gram=self.W.T @ self.W,
            sample_weight=weights,
        )

    def experts(self, candidates: Floats) -> ScaledExperts:
        """Return the experts of candidates of shape (k, dim), in the units of the moments."""
        return scale_directions(candidates @ self.back.T, self.moments, self.T2, self.response)

    def run(self, descent: Descent, x_scale: Floats, y_scale: float) -> L4Run:
        """Return the experts of a descent in the units of the data."""
        found = self.experts(descent.candidates)
        return L4Run(
            coef=coef_in_units(found.coef, x_scale, y_scale),
            intercept=found.intercept * y_scale,
            weights=found.weights,
            sigma=found.sigma * y_scale,
            directions=found.directions,
            losses=descent.losses,
            status=descent.status,
            n_iter=descent.n_iter,
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
