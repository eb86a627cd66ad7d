"""How well replicates predict the rows that they have not seen, and the spread that serves them best."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from moefast._typing import Floats
from moefast.bagging.averaged import can_be_drawn_together
from moefast.best_scale import best_scale
from moefast.calibration import Calibration
from moefast.mixture import GatedExperts
from moefast.samples import Samples

__all__ = ["OutOfBag"]

# c lies between these.
_LEAST, _MOST = 0.3, 2.0
# Rows from which c is learnt, at most.
_ROWS = 3000


@dataclass(frozen=True, eq=False)
class OutOfBag:
    """Rows beside the average of the mixtures that have not seen them.

    Attributes
    ----------
    parts : tuple of GatedExperts
    unseen : ndarray of bool of shape (B, n)
        Which mixture has not seen which row.
    samples : Samples
        The rows, in the order of `unseen`.
    """

    parts: tuple[GatedExperts, ...]
    unseen: npt.NDArray[np.bool_]
    samples: Samples

    @property
    def times(self) -> npt.NDArray[np.intp]:
        """How many mixtures have not seen a row, shape (n,)."""
        return np.asarray(self.unseen.sum(axis=0))

    @cached_property
    def means(self) -> Floats:
        """E[y | x] by each mixture, shape (B, n); NaN where it has seen the row."""
        values = np.full(self.unseen.shape, np.nan)
        for part, rows, into in zip(self.parts, self.unseen, values, strict=True):
            into[rows] = part.mean(self.samples.X[rows], self.samples.terms[rows])
        return values

    @cached_property
    def mean(self) -> Floats:
        """The average of these, shape (n,); NaN where all mixtures have seen the row."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of columns of NaN
            return np.asarray(np.nanmean(self.means, axis=0))

    def log_density(self, spread: float = 1.0, shrunk: float = 1.0) -> Floats:
        """Return log P(y | x) of each row, shape (n,); NaN where all mixtures have seen it.

        Parameters
        ----------
        spread : float
            c, as in :class:`AveragedMixture`.
        shrunk : float
            In place of y is taken what lies by so much nearer to the mean.
        """
        values = self._of_each("log_density", spread, shrunk, -np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            averaged = logsumexp(values, axis=0) - np.log(self.times) - np.log(spread)
        return np.where(self.times > 0, averaged, np.nan)

    def cdf(self, spread: float = 1.0, shrunk: float = 1.0) -> Floats:
        """Return P(Y <= y | x) of each row likewise, shape (n,)."""
        values = self._of_each("cdf", spread, shrunk, 0.0)
        with np.errstate(invalid="ignore"):
            return np.asarray(values.sum(axis=0) / self.times)

    def _of_each(self, what: str, spread: float, shrunk: float, seen: float) -> Floats:
        """Return a function of y by each mixture that has not seen the row, else `seen`, shape (B, n)."""
        X, y, terms = self.samples.X, self.samples.y, self.samples.terms
        if spread != 1.0 or shrunk != 1.0:  # the law of m + c (Y - m) at y is that of Y at m + (y - m) / c
            y = self.mean + (y - self.mean) * (shrunk / spread)
        values = np.full(self.unseen.shape, seen)
        for part, rows, into in zip(self.parts, self.unseen, values, strict=True):
            into[rows] = getattr(part, what)(X[rows], y[rows], terms[rows])
        return values

    def of_row(self, spread: float = 1.0, shrunk: float = 1.0) -> float:
        """Return the mean of log P(y | x) over the rows that some mixture has not seen, with their weights."""
        known = self.times > 0
        weights = self.samples.sample_weight[known]
        return float(self.log_density(spread, shrunk)[known] @ weights / weights.sum())

    def best_spread(self, n_replicates: int) -> float:
        r"""Return the c for which the rows are likeliest, for an average of so many mixtures.

        A row is predicted here by the few mixtures that have not seen it, a new one by all. The errors of a mean
        of m mixtures have the variance :math:`s^2 + v / m`, with v that between mixtures: those seen here are
        shrunk accordingly. For families that cannot be drawn together c is 1.
        """
        if not can_be_drawn_together(self.parts[0].family):
            return 1.0
        some, shrunk = self._some(), self.shrunk(n_replicates)
        return best_scale(lambda c: -some.of_row(c, shrunk), _LEAST, _MOST)

    def calibration(self, spread: float, n_replicates: int) -> Calibration | None:
        """Return how far intervals of an average with this c of so many mixtures should reach.

        None where responses are whole numbers, or may be at a limit, so that no interval holds any given share of
        them; and where all mixtures have seen all rows.
        """
        family, known = self.parts[0].family, self.times > 0
        if not (family.is_continuous and known.any()):
            return None
        below = self.cdf(spread, self.shrunk(n_replicates))
        return Calibration.of(below[known], self.samples.sample_weight[known])

    def score(self, n_replicates: int) -> float:
        """Return what :meth:`of_row` would be with that c and so many mixtures, about."""
        return self.of_row(self.best_spread(n_replicates), self.shrunk(n_replicates))

    def shrunk(self, n_replicates: int) -> float:
        """Return by how much errors of the mean of so many mixtures are smaller than those seen here."""
        known, weights = self.times > 1, self.samples.sample_weight
        if not known.any() or not can_be_drawn_together(self.parts[0].family):
            return 1.0
        errors = (self.samples.y - self.mean)[known]
        unit = float(np.abs(errors).max()) or 1.0  # their squares may leave the range of floats
        between = np.nanvar((self.means - self.mean)[:, known] / unit, axis=0, ddof=1)
        fewer = between * (1.0 / self.times[known] - 1.0 / n_replicates)
        error = weights[known] @ (errors / unit) ** 2
        return float(np.sqrt(np.clip(1.0 - weights[known] @ fewer / error, 0.1, 1.0))) if error > 0 else 1.0

    def _some(self) -> OutOfBag:
        n = self.samples.n_rows
        if n <= _ROWS:
            return self
        rows = np.linspace(0, n - 1, _ROWS).astype(np.intp)
        s = self.samples
        some = replace(
            s, X=s.X[rows], y=s.y[rows], sample_weight=s.sample_weight[rows], terms=s.terms[rows], groups=None
        )
        return OutOfBag(self.parts, self.unseen[:, rows], some)
