r"""Gradient descent and Adam on the l2 loss and on the log-likelihood: what both papers compare with.

.. math::

    L_2 = \frac1n \sum_n \Big(y_n - \sum_i p_i(x_n)\, g(a_i \cdot x_n + b_i)\Big)^2,

    L = -\frac1n \sum_n \log \sum_i p_i(x_n)\, N(y_n \mid g(a_i \cdot x_n + b_i), s^2)

All starts go on together on the same mini-batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from moefast._typing import Floats
from moefast.baselines.losses import MixtureLoss
from moefast.baselines.minibatch import MinibatchDescent
from moefast.em.finite import refuse_infinite
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.links import Link, get_link
from moefast.mixture import Mixture, check_mixture
from moefast.randomness import RandomState, get_generator
from moefast.search.starts import random_parameters
from moefast.validation import check_choice, check_function, check_integer, check_number, check_samples

__all__ = ["GradientFit", "fit_gradient_descent"]


# Of a response whose squares stay in range.
_LARGEST_UNIT = 1e150


@dataclass(frozen=True)
class GradientFit:
    """The end of gradient descent from S starts.

    Attributes
    ----------
    mixtures : tuple of Mixture
        One for each start, in the units of the data. A start that diverged is given as it was after the last
        epoch before.
    losses : ndarray of shape (S, n_epochs + 1)
        The loss on all rows, in the units of the data, at the start and after each epoch; inf from where a
        start diverged.
    learning_rate : float
        At the first step.
    tuning : tuple of (float, float)
        With ``learning_rate="auto"`` each rate tried and the median loss it led to, inf where it diverged.
    gradient_norms : ndarray of shape (S,)
        Largest entry of the gradient on all rows at the end, in standard units; for "nll" that of experts and
        gates times s, since it grows like 1 / s.
    diverged : ndarray of shape (S,), bool
        Whether the loss left the range of float64.
    converged : ndarray of shape (S,), bool
        Whether the gradient norm is at most `tol`.
    """

    mixtures: tuple[Mixture, ...]
    losses: Floats
    learning_rate: float
    tuning: tuple[tuple[float, float], ...]
    gradient_norms: Floats
    diverged: npt.NDArray[np.bool_]
    converged: npt.NDArray[np.bool_]

    @property
    def best(self) -> int:
        """The start with the lowest loss at the end."""
        return int(np.argmin(self.losses[:, -1]))

    @property
    def mixture(self) -> Mixture:
        """The mixture of the best start."""
        return self.mixtures[self.best]


def fit_gradient_descent(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    loss: Literal["l2", "nll"] = "l2",
    link: str | Link | Callable[[Any], Any] = "linear",
    optimizer: Literal["sgd", "adam"] = "sgd",
    learning_rate: float | Literal["auto"] = "auto",
    n_epochs: int = 50,
    batch_size: int | None = 1000,
    n_starts: int = 1,
    start: Mixture | Sequence[Mixture] | None = None,
    sigma: float | None = None,
    fit_intercept: bool = True,
    fit_gate_intercept: bool = True,
    tol: float = 1e-2,
    sample_weight: Any = None,
    on_epoch: Callable[[int, list[Mixture]], None] | None = None,
    random_state: RandomState = None,
) -> GradientFit:
    r"""Fit a mixture of experts by (stochastic) gradient descent, from one start or many at once.

    Features are brought to standard units first, centred when experts and gates both have intercepts, and so
    is the response of linear experts: the learning rate is one for data in those units. Parameters and losses
    come back in the units of the data. The rate falls from `learning_rate` to 0 along half a cosine.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    n_experts : int
        k.
    loss : {"l2", "nll"}
        Mean squared error of the mixture's mean, or minus the mean log-likelihood with one s for all experts.
    link : str, Link or callable
        The link g. Without a derivative of its own it is differentiated by central differences.
    optimizer : {"sgd", "adam"}
    learning_rate : float or "auto"
        "auto" tries rates half a decade apart from the same starts (five of them at most) for 500 steps and on
        10 000 rows at most, and takes the one with the lowest median loss there. Adam: 3e-4 to 0.1. SGD: 3e-4
        to 1, divided by the largest eigenvalue of the second moments of the features and the constant, and
        times 3 s^2 in standard units when "nll" knows s, since its curvature grows like 1 / s^2.
    n_epochs : int
    batch_size : int or None
        Rows of a mini-batch; all starts see the same. None is all rows: gradient descent proper.
    n_starts : int
        Starts drawn at random: experts of norm 1 and random direction, gates of standard deviation 0.1, no
        intercepts, all in standard units, s the standard deviation of y.
    start : Mixture or sequence of Mixture, optional
        Begin here instead, in the units of the data; s is the root of the mean variance.
    sigma : float, optional
        The noise's standard deviation, kept for "nll"; without it log s is learnt with the rest, and held
        above 0.02 standard deviations of y as in EM. The l2 loss does not need it: it is only handed on to the
        mixtures, which otherwise get the root of the mean squared error.
    fit_intercept, fit_gate_intercept : bool
    tol : float
        A start has converged when its :attr:`GradientFit.gradient_norms` is at most this.
    sample_weight : array-like of shape (n,), optional
    on_epoch : callable, optional
        Called as ``on_epoch(epoch, mixtures)`` with the mixtures of all starts in the units of the data, for
        epoch 0 (the starts) to `n_epochs`.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    GradientFit

    Raises
    ------
    ValueError, TypeError
        For bad input; the message names the argument or the column.
    OverflowError
        When the squares of y leave the range of float64.

    Warns
    -----
    ConvergenceWarning
        When starts diverged or did not converge.

    References
    ----------
    Makkuva, Oh, Kannan, Viswanath, "Learning in Gated Neural Networks", AISTATS 2020, compares with both losses.
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> from moefast.datasets import make_moe
    >>> from moefast.baselines import fit_gradient_descent
    >>> X, y, truth = make_moe(4000, 3, 2, random_state=0)
    >>> fit = fit_gradient_descent(X, y, 2, loss="nll", optimizer="adam", n_starts=4, random_state=0)
    >>> fit.losses.shape, bool(fit.mixture.sigma[0] < 0.12)
    ((4, 51), True)
    """
    check_choice("loss", loss, ("l2", "nll"))
    check_choice("optimizer", optimizer, ("sgd", "adam"))
    link = get_link(link)
    for name, count in (("n_experts", n_experts), ("n_epochs", n_epochs), ("n_starts", n_starts)):
        check_integer(name, count)
    if batch_size is not None:
        check_integer("batch_size", batch_size)
    if isinstance(learning_rate, str):
        check_choice("learning_rate", learning_rate, ("auto",))
    else:
        check_number("learning_rate", learning_rate, open_low=True)
    if sigma is not None:
        check_number("sigma", sigma, open_low=True)
    check_number("tol", tol)
    check_function("on_epoch", on_epoch)
    samples = check_samples(X, y, sample_weight)
    sample_weight = samples.sample_weight
    options = EmOptions(fit_intercept=fit_intercept, fit_gate_intercept=fit_gate_intercept)
    problem = EmProblem(samples, options, link)
    unit = float(problem.standardisation.y_scale)
    if loss == "l2" and not 1 / _LARGEST_UNIT < unit < _LARGEST_UNIT:
        raise OverflowError(f"squares of y, whose scale is {unit:.3g}, leave the range of float64; rescale y")
    rng = get_generator(random_state)
    tuning_rng, batch_rng = (np.random.default_rng(seed) for seed in rng.integers(2**63, size=2))
    mixtures = _starts(problem, n_experts, n_starts, start, link, rng)
    descent = MinibatchDescent(
        loss=MixtureLoss(loss, link, n_experts, samples.n_features),
        U=np.column_stack([problem.Z, np.ones(samples.n_rows)]),
        t=problem.t,
        sample_weight=None if np.ptp(sample_weight) == 0 else sample_weight / sample_weight.mean(),
        optimizer=optimizer,
        batch_size=batch_size,
        sigma=None if sigma is None else sigma / unit,
        fit_intercept=fit_intercept,
        fit_gate_intercept=fit_gate_intercept,
        least_log_sigma=float(np.log(options.noise_floor * problem.response_std / unit)),
    )

    def in_units(losses: Floats) -> Floats:
        return losses * unit**2 if loss == "l2" else losses + np.log(unit)

    def mixtures_of(flat: Floats, losses: Floats) -> list[Mixture]:
        found = descent.loss.unpack(flat)
        if loss == "l2":
            noise = np.sqrt(losses) if sigma is None else np.full(len(losses), sigma / unit)
            found = [replace(m, sigma=np.full(n_experts, s)) for m, s in zip(found, noise, strict=True)]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused at the end
            return [mixture.to_units(problem.standardisation) for mixture in found]

    flat = descent.begin(mixtures)
    tuning: tuple[tuple[float, float], ...] = ()
    if isinstance(learning_rate, str):
        rates, medians = descent.tune(flat, n_epochs, tuning_rng)
        learning_rate = float(rates[np.argmin(medians)])
        tuning = tuple(zip(rates.tolist(), in_units(medians).tolist(), strict=True))
    flat, losses = descent.run(
        flat,
        np.full(len(mixtures), float(learning_rate)),
        n_epochs,
        batch_rng,
        None if on_epoch is None else lambda epoch, at, value: on_epoch(epoch, mixtures_of(at, value)),
    )
    norms = descent.gradient_norms(flat)
    diverged = np.isinf(losses[:, -1])
    converged = (norms <= tol) & ~diverged
    if not converged.all():
        warnings.warn(
            f"{(~converged).sum()} of {len(converged)} starts did not come to a gradient of {tol:g} in {n_epochs} "
            f"epochs at learning rate {learning_rate:.3g}, {diverged.sum()} of them diverged; raise n_epochs or "
            "lower learning_rate",
            ConvergenceWarning,
            stacklevel=2,
        )
    found = mixtures_of(flat, descent.value(flat))
    for mixture in (m for m, lost in zip(found, diverged, strict=True) if not lost):
        refuse_infinite(problem, (mixture.coef, mixture.intercept, mixture.gate_coef, mixture.gate_intercept), 0.0)
    return GradientFit(
        mixtures=tuple(found),
        losses=in_units(losses),
        learning_rate=float(learning_rate),
        tuning=tuning,
        gradient_norms=norms,
        diverged=diverged,
        converged=converged,
    )


def _starts(
    problem: EmProblem,
    n_experts: int,
    n_starts: int,
    start: Mixture | Sequence[Mixture] | None,
    link: Link,
    rng: np.random.Generator,
) -> list[Mixture]:
    """Return the starts in standard units."""
    if start is None:
        return [random_parameters(problem, n_experts, rng) for _ in range(n_starts)]
    given = [start] if isinstance(start, Mixture) else start
    if not isinstance(given, Sequence) or not all(isinstance(mixture, Mixture) for mixture in given):
        raise TypeError(f"start must be a Mixture or a sequence of them, got {start!r}")
    if n_starts not in (1, len(given)) or not given:
        raise ValueError(f"start holds {len(given)} mixtures, n_starts is {n_starts}; leave n_starts out")
    shape = (n_experts, problem.Z.shape[1])
    for mixture in given:
        if mixture.coef.shape != shape:
            raise ValueError(f"start must have experts of shape {shape}, got {mixture.coef.shape}")
        check_mixture("start", mixture, shape[1])
        if mixture.link.function is not link.function:
            raise ValueError(f"start has link {mixture.link.name!r}, link is {link.name!r}")
    return [mixture.to_standard(problem.standardisation) for mixture in given]
