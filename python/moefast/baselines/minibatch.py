"""Mini-batch descent of many mixtures together, and the choice of its rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from moefast._typing import Floats
from moefast.baselines.losses import MixtureLoss
from moefast.mixture import Mixture

__all__ = ["MinibatchDescent"]


# Half decades. Those of SGD are in units of what the curvature allows, see MinibatchDescent.rate_grid.
_RATES = {"sgd": 10 ** (np.arange(-7, 1) / 2), "adam": 10 ** (np.arange(-7, -1) / 2)}
_TUNING_ROWS = 10_000
_TUNING_STARTS = 5
_TUNING_STEPS = 500
# As in Kingma and Ba, ICLR 2015.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class MinibatchDescent:
    """A loss on one data set, and how it is descended.

    Parameters
    ----------
    loss : MixtureLoss
    U : ndarray of shape (n, d + 1)
        Features in standard units and a column of ones.
    t : ndarray of shape (n,)
    sample_weight : ndarray of shape (n,), optional
        Of mean 1; 1 when left out.
    optimizer : {"sgd", "adam"}
    batch_size : int or None
        None is all rows.
    sigma : float, optional
        The noise when it is known: log s is then not moved.
    fit_intercept, fit_gate_intercept : bool
        Intercepts that are not fitted stay where they are.
    least_log_sigma : float
        log s never falls below.
    """

    loss: MixtureLoss
    U: Floats
    t: Floats
    sample_weight: Floats | None
    optimizer: Literal["sgd", "adam"]
    batch_size: int | None = None
    sigma: float | None = None
    fit_intercept: bool = True
    fit_gate_intercept: bool = True
    least_log_sigma: float = -math.inf

    def begin(self, mixtures: Sequence[Mixture]) -> Floats:
        """Return the parameters of mixtures in standard units, what is known or left out put in its place."""
        flat = self.loss.pack(mixtures)
        rows, log_sigma = self.loss.views(flat)
        if not self.fit_intercept:
            rows[: self.loss.n_experts, :, -1] = 0.0
        if not self.fit_gate_intercept:
            rows[self.loss.n_experts :, :, -1] = 0.0
        if self.sigma is not None:
            log_sigma[:] = math.log(self.sigma)
        return flat

    def value(self, flat: Floats) -> Floats:
        """Return the loss of each mixture on all rows, shape (S,), inf where it is not a number."""
        with np.errstate(all="ignore"):  # mixtures that diverge are told by their loss
            losses = self.loss.value(flat, self.U, self.t, self.sample_weight)
        return np.asarray(np.where(np.isfinite(losses), losses, np.inf))

    def gradient_norms(self, flat: Floats) -> Floats:
        """Return the largest entry of each mixture's gradient on all rows, shape (S,).

        That of the log-likelihood by experts and gates grows like 1 / s and is taken in units of that.
        """
        with np.errstate(all="ignore"):
            gradient = self.loss.gradient(flat, self.U, self.t, self.sample_weight)
        rows, log_sigma = self.loss.views(np.abs(gradient * self._free(flat)))
        unit = np.exp(self.loss.views(flat)[1]) if self.loss.kind == "nll" else 1.0
        norms = np.maximum(rows.max(axis=(0, 2)) * unit, log_sigma)
        return np.asarray(np.where(np.isnan(norms), np.inf, norms))

    def _free(self, flat: Floats) -> Floats:
        """Return 1 for what is fitted and 0 for the rest, of the shape of `flat`."""
        free = np.ones_like(flat)
        rows, log_sigma = self.loss.views(free)
        rows[: self.loss.n_experts, :, -1] = self.fit_intercept
        rows[self.loss.n_experts :, :, -1] = self.fit_gate_intercept
        log_sigma[:] = self.sigma is None
        return free

    def run(
        self,
        flat: Floats,
        rates: Floats,
        n_epochs: int,
        rng: np.random.Generator,
        after_epoch: Callable[[int, Floats, Floats], object] | None = None,
    ) -> tuple[Floats, Floats]:
        """Descend from S mixtures together, all on the same mini-batches.

        Each epoch takes every row once, in a random order. The rate falls to 0 along half a cosine.

        Parameters
        ----------
        flat : ndarray
            See :class:`MixtureLoss`.
        rates : ndarray of shape (S,)
            Each mixture's rate at the first step.
        n_epochs : int
        rng : numpy Generator
        after_epoch : callable, optional
            Called with the epoch, the parameters and their losses, before the first epoch and after each; for a
            mixture that diverged, the last finite ones.

        Returns
        -------
        flat : ndarray
            The end; for a mixture that diverged, its last parameters of finite loss.
        losses : ndarray of shape (S, n_epochs + 1)
            On all rows; inf from where a mixture diverged.
        """
        n = len(self.t)
        n_batches = self._batches(n)
        n_steps = n_epochs * n_batches
        flat, kept = flat.copy(), flat.copy()
        step_sizes = self.loss.spread(rates) * self._free(flat)
        direction = _Adam() if self.optimizer == "adam" else _identity
        log_sigma = self.loss.views(flat)[1]
        losses = np.full((len(rates), n_epochs + 1), np.inf)
        losses[:, 0] = kept_losses = self.value(flat)
        if after_epoch is not None:
            after_epoch(0, kept, kept_losses)
        done = 0
        for epoch in range(1, n_epochs + 1):
            order = rng.permutation(n) if n_batches > 1 else slice(None)
            for rows in np.array_split(order, n_batches) if isinstance(order, np.ndarray) else [order]:
                sample_weight = None if self.sample_weight is None else self.sample_weight[rows]
                decay = 0.5 * (1 + math.cos(math.pi * done / n_steps))
                with np.errstate(all="ignore"):
                    gradient = self.loss.gradient(flat, self.U[rows], self.t[rows], sample_weight)
                    flat -= decay * step_sizes * direction(gradient)
                    if self.sigma is None:
                        np.maximum(log_sigma, self.least_log_sigma, out=log_sigma)
                done += 1
            value = self.value(flat)
            finite = np.isfinite(value) & np.isfinite(losses[:, epoch - 1])
            kept = np.where(self.loss.spread(finite), flat, kept)
            kept_losses = np.where(finite, value, kept_losses)
            losses[finite, epoch] = value[finite]
            if after_epoch is not None:
                after_epoch(epoch, kept, kept_losses)
        return kept, losses

    def _batches(self, n: int) -> int:
        return 1 if self.batch_size is None else max(1, round(n / self.batch_size))

    def rate_grid(self) -> Floats:
        """Return the rates worth trying.

        The curvature of either loss grows with the largest eigenvalue of E[u u'], that of the log-likelihood
        also like 1 / s^2. Adam does not see the scale of the gradient.
        """
        grid = np.asarray(_RATES[self.optimizer])
        if self.optimizer == "adam":
            return grid
        weighted = self.U if self.sample_weight is None else self.U * self.sample_weight[:, None]
        grid = grid / np.linalg.eigvalsh(self.U.T @ weighted / len(self.t))[-1]
        if self.loss.kind == "nll" and self.sigma is not None:
            grid = grid * 3 * self.sigma**2
        return np.asarray(grid)

    def tune(self, flat: Floats, n_epochs: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return the rates of the grid and the median loss each leads to.

        From the first five starts, on 10 000 rows, for 500 steps, each at most, and for no more steps than the
        whole run will take. A rate with which half of the starts diverge leads to inf.
        """
        n = len(self.t)
        chosen = rng.permutation(n)[:_TUNING_ROWS]
        few = replace(
            self,
            U=self.U[chosen],
            t=self.t[chosen],
            sample_weight=None if self.sample_weight is None else self.sample_weight[chosen],
        )
        steps = min(_TUNING_STEPS, n_epochs * self._batches(n))
        grid = self.rate_grid()
        starts = np.arange(min(_TUNING_STARTS, len(self.loss.views(flat)[1])))
        _, losses = few.run(
            self.loss.select(flat, np.tile(starts, len(grid))),
            np.repeat(grid, len(starts)),
            max(1, round(steps / few._batches(len(chosen)))),
            rng,
        )
        return grid, np.asarray(np.median(losses[:, -1].reshape(len(grid), len(starts)), axis=1))


class _Adam:
    """The direction of Adam, with the bias of its running means removed."""

    def __init__(self) -> None:
        self.steps = 0
        self.mean: Floats | float = 0.0
        self.square: Floats | float = 0.0

    def __call__(self, gradient: Floats) -> Floats:
        self.steps += 1
        self.mean = _BETA1 * self.mean + (1 - _BETA1) * gradient
        self.square = _BETA2 * self.square + (1 - _BETA2) * gradient**2
        root = np.sqrt(self.square / (1 - _BETA2**self.steps))
        return np.asarray(self.mean / (1 - _BETA1**self.steps) / (root + _EPSILON))


def _identity(gradient: Floats) -> Floats:
    return gradient
