"""Successes among trials."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, betaln, expit

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["BERNOULLI", "Bernoulli", "Binomial"]

# Trials of a row, on average, with fewer of which a mixture takes thousands of rows to be determined.
_FEW_TRIALS = 3


class Binomial(Family):
    r"""Successes among `n_trials`, 1 where they are not given: the log odds of a success are :math:`\eta`.

    What is predicted is the number of successes, without trials their probability.
    """

    name = "binomial"
    takes_trials = True
    is_discrete = True
    may_be_sure = True

    @property
    def predicts(self) -> str:
        """The log odds of a success."""
        return "log odds"

    @property
    def core(self) -> tuple[str]:
        """Built in."""
        return ("binomial",)

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse what is no number of successes."""
        self.refuse_terms(terms)
        trials = np.ones(len(y)) if terms.n_trials is None else terms.n_trials
        self.refuse(~self.is_possible(y), y, "whole numbers not below 0")
        above = y > trials
        if above.any():
            row = int(np.argmax(above))
            raise ValueError(
                f"y must not be above n_trials for family={self.name!r}, got {y[row]:.6g} of {trials[row]:.6g} at "
                f"row {row}" + ("; give n_trials to fit" if terms.n_trials is None else "")
            )

    def row_term(self, y: Floats, terms: RowTerms) -> Floats | None:
        """Return the logarithm of the binomial coefficient."""
        return None if terms.n_trials is None else _log_coefficient(y, terms.n_trials)

    def says_little(self, terms: RowTerms) -> bool:
        """Whether rows are one trial or two: for the same standard errors 20 times as many are needed as of 3."""
        return terms.n_trials is None or float(terms.n_trials.mean()) < _FEW_TRIALS

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return the log odds of y + 1/2 successes and half a failure more."""
        trials = 1.0 if terms.n_trials is None else terms.n_trials
        return np.asarray(np.log(y + 0.5) - np.log(trials - y + 0.5))

    def mean(self, of: Predictors) -> Floats:
        """Return n_trials times the probability."""
        return np.asarray(of.n_trials * expit(of.eta))

    def std(self, of: Predictors) -> Floats:
        """Return the root of n p (1 - p)."""
        return np.asarray(np.sqrt(of.n_trials * expit(of.eta) * expit(-of.eta)))

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return the logarithm of the probability of y."""
        possible = self.is_possible(y, of.n_trials)
        y = np.where(possible, y, 0.0)
        value = y * of.eta - of.n_trials * np.logaddexp(0.0, of.eta)
        return np.where(possible, value + _log_coefficient(y, of.n_trials), -np.inf)

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        inside = np.clip(np.floor(y), 0.0, of.n_trials)
        below = bdtr(inside, np.asarray(of.n_trials, dtype=np.int64), expit(of.eta))
        return np.where(y < 0, 0.0, np.where(y >= of.n_trials, 1.0, below))

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the smallest number that is large enough."""
        from scipy.stats import binom

        return np.asarray(binom.ppf(level, of.n_trials, expit(of.eta)))

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return numbers of successes."""
        trials = np.broadcast_to(np.asarray(of.n_trials, dtype=np.int64), of.eta.shape)
        return rng.binomial(trials, expit(of.eta)).astype(np.float64)


class Bernoulli(Binomial):
    r"""0 or 1: the log odds of 1 are :math:`\eta`."""

    name = "bernoulli"
    takes_trials = False

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Refuse what is neither 0 nor 1."""
        self.refuse_terms(terms)
        self.refuse((y != 0) & (y != 1), y, "0 or 1")


BERNOULLI = Bernoulli()


def _log_coefficient(y: Floats, trials: Floats | float) -> Floats:
    """Of Beta functions: the logarithms of three factorials of many trials would leave nothing but rounding."""
    return np.asarray(-np.log1p(trials) - betaln(np.subtract(trials, y) + 1.0, y + 1.0))
