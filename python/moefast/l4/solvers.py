"""Minimisers of the L4 loss from many starts: second order on the tensor, stochastic gradients on mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from moefast._typing import Floats
from moefast.l4.loss import L4Loss, StochasticL4Loss
from moefast.l4.options import L4Options

__all__ = ["Descent", "descend_by_batches", "descend_by_curvature", "learning_rates"]


# A candidate this long has left every minimum behind: where |a|^2 = lam / (lam - mu T(u, u, u, u)) is the length
# at a minimum, mu T would have to be within a thousandth of lam.
_TOO_LONG = 30.0
# Settled: the largest entry of the gradient, in units of lam. Stochastic descent ends with the noise of its last
# steps; entries at points that are no minima are several times larger.
_EXACT, _STOCHASTIC = 1e-8, 0.1
# No candidate moves further in one stochastic step: fourth powers have heavy tails.
_LONGEST_STEP = 0.1


@dataclass(frozen=True)
class Descent:
    """One minimisation.

    Attributes
    ----------
    candidates : ndarray of shape (m, dim)
        A at the end.
    losses : ndarray
        The loss over all samples: at the start and after every iteration or epoch.
    status : str
        "converged", "iteration_limit" or "diverged": the loss has no lower bound.
    n_iter : int
        Iterations, or epochs.
    """

    candidates: Floats
    losses: Floats
    status: str
    n_iter: int


def descend_by_curvature(loss: L4Loss, start: Floats, max_iter: int) -> Descent:
    """Minimise by trust regions with exact Hessian-vector products (trust-krylov).

    The Krylov space shows directions of negative curvature, so that saddles are left and only minima hold.

    Parameters
    ----------
    loss : L4Loss
    start : ndarray of shape (m, dim)
    max_iter : int

    Returns
    -------
    Descent
    """
    shape = start.shape
    losses, last = [float(loss.value(start))], start.ravel()

    def keep(intermediate_result: OptimizeResult) -> None:
        nonlocal last
        losses.append(float(intermediate_result.fun))
        last = intermediate_result.x
        if _longest(intermediate_result.x.reshape(shape)) > _TOO_LONG:
            raise StopIteration

    def value(a: Floats) -> float:
        try:
            return float(loss.value(a.reshape(shape)))
        except OverflowError:  # a step beyond the range, which is then not taken
            return np.inf

    def bend(a: Floats, v: Floats) -> Floats:
        if not np.isfinite(v).all():
            raise _NoStep
        return loss.hessian_vector(a.reshape(shape), v.reshape(shape)).ravel()

    settings: dict[str, Any] = {
        "fun": value,
        "jac": lambda a: loss.gradient(a.reshape(shape)).ravel(),
        "hessp": bend,
        "callback": keep,
        "options": {"maxiter": max_iter, "gtol": _EXACT * loss.lam},
    }
    # Where the tensor is out of all proportion steps may leave the range.
    with np.errstate(over="ignore", invalid="ignore"):
        with suppress(_NoStep):
            last = minimize(x0=start.ravel(), method="trust-krylov", **settings).x
        A = np.asarray(last, dtype=np.float64).reshape(shape)
        # Judged anew: rounding may end the descent a little above the tolerance given to it.
        settled = np.abs(loss.gradient(A)).max() <= 100.0 * _EXACT * loss.lam
    return Descent(A, np.array(losses), _status(A, bool(settled)), len(losses) - 1)


class _NoStep(Exception):
    """The solver asks about a step that is not finite: it knows none, on a tensor out of all proportion."""


def learning_rates(loss: L4Loss, n_steps: int, first: float | None = None) -> Floats:
    r"""Return the rates of all stochastic steps.

    :math:`\eta_t = \eta_0 (1 - t / n) / (1 + 20 t / n)`, :math:`\eta_0 = 1 / (2 L)` and
    :math:`L = 8 \lambda + (4 + 12 \mu) \max_u T_4(u, u, u, u)`, a bound of the curvature at unit candidates.
    The decay is like 1/t from a twentieth of the steps on, and to nothing at the end, so that the noise of the
    batches averages out.

    Parameters
    ----------
    loss : L4Loss
    n_steps : int
        n.
    first : float, optional
        :math:`\eta_0`, instead of the rule.

    Returns
    -------
    ndarray of shape (n_steps,)
    """
    if first is None:
        first = 0.5 / (8.0 * loss.lam + (4.0 + 12.0 * loss.mu) * loss.largest_value())
    time = np.arange(n_steps) / n_steps
    return np.asarray(first * (1.0 - time) / (1.0 + 20.0 * time))


def descend_by_batches(
    loss: StochasticL4Loss,
    whole: L4Loss,
    starts: Floats,
    options: L4Options,
    rng: np.random.Generator,
    on_epoch: Callable[[int, Floats], None] | None = None,
) -> list[Descent]:
    """Minimise by stochastic gradients from all starts at once, over the same batches.

    Rows are shuffled for every epoch. See :func:`learning_rates` for the rates; no candidate moves by more than
    0.1 in a step.

    Parameters
    ----------
    loss : StochasticL4Loss
    whole : L4Loss
        The same loss over all samples, for the learning curves and the rates.
    starts : ndarray of shape (n_starts, m, dim)
    options : L4Options
        `n_epochs`, `batch_size` and `learning_rate` matter.
    rng : numpy.random.Generator
        For the order of the rows.
    on_epoch : callable, optional
        Called as ``on_epoch(epoch, candidates)``, candidates of the shape of `starts`, for 0 to `n_epochs`.

    Returns
    -------
    list of Descent
    """
    n_epochs, batch_size = options.n_epochs, options.rows_of_batch(loss.n)
    edges = range(0, loss.n, batch_size)
    rates = iter(learning_rates(whole, n_epochs * len(edges), options.first_rate))
    A = starts.copy()
    curves = [np.asarray(whole.value(A))]
    if on_epoch is not None:
        on_epoch(0, A)
    for epoch in range(1, n_epochs + 1):
        Z, h = loss.shuffled(rng)
        for first in edges:
            batch = slice(first, first + batch_size)
            step = next(rates) * loss.batch_gradient(A, Z[batch], h[batch])
            length = np.sqrt((step * step).sum(axis=-1, keepdims=True))
            A -= step * (_LONGEST_STEP / np.maximum(length, _LONGEST_STEP))
        curves.append(np.asarray(whole.value(A)))
        if on_epoch is not None:
            on_epoch(epoch, A)
    settled = np.abs(whole.gradient(A)).max(axis=(-2, -1)) <= _STOCHASTIC * loss.lam
    return [
        Descent(a, curve, _status(a, bool(done)), n_epochs)
        for a, curve, done in zip(A, np.transpose(curves), settled, strict=True)
    ]


def _longest(A: Floats) -> float:
    return float(np.linalg.norm(A, axis=-1).max())


def _status(A: Floats, settled: bool) -> str:
    if not _longest(A) <= _TOO_LONG:
        return "diverged"
    return "converged" if settled else "iteration_limit"
