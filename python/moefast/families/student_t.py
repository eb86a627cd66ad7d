"""Responses with outliers."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, stdtr, stdtrit

from moefast._typing import Floats
from moefast.families.family import Family, Predictors
from moefast.samples import RowTerms

__all__ = ["StudentT"]

# Of z, above which z^2 may leave the range.
_FAR = 1e100


class StudentT(Family):
    r"""Student's t around the predictor: :math:`(y - \eta) / s \sim t_\nu`. Outliers count for little.

    Parameters
    ----------
    df : float, optional
        Degrees of freedom nu, at least 1, for all experts. By default each expert's are fitted, between 1 and 200:
        below 1 the likelihood has no maximum, as an expert may meet single rows.

    Raises
    ------
    ValueError
        For degrees of freedom below 1.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> from moefast.families import StudentT
    >>> X, y, _ = make_moe(1000, 3, 2, random_state=0)
    >>> y[:20] += 30.0  # outliers
    >>> model = MixtureOfExpertsRegressor(2, family=StudentT(df=3), random_state=0).fit(X, y)
    >>> bool((model.sigma_ < 0.2).all())
    True
    """

    name = "student_t"
    is_location = True
    absorbs_offset = True
    has_outliers = True
    has_scale = True
    initial_shape = 5.0

    def __init__(self, df: float | None = None) -> None:
        number = isinstance(df, (int, float, np.integer, np.floating)) and not isinstance(df, bool)
        if df is not None and not (number and 1 <= df < np.inf):
            raise ValueError(f"df must be a finite number not below 1, or None to fit it, got {df!r}")
        self.df = df

    def __repr__(self) -> str:
        return f"StudentT(df={self.df})"

    @property
    def shape_name(self) -> str | None:
        """The degrees of freedom, where they are fitted."""
        return "df" if self.df is None else None

    @property
    def in_words(self) -> str:
        """With the degrees of freedom where they are given."""
        return "Student's t responses" + ("" if self.df is None else f" of {self.df:g} degrees of freedom")

    @property
    def core(self) -> tuple[str, float | None]:
        """Built in."""
        return ("student_t", None if self.df is None else float(self.df))

    def _df(self, of: Predictors) -> Floats:
        return of.shape if self.df is None else np.full(np.shape(of.sigma), float(self.df))

    def check(self, y: Floats, terms: RowTerms) -> None:
        """Every y will do."""
        self.refuse_terms(terms)

    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats:
        """Return y."""
        return y

    def mean(self, of: Predictors) -> Floats:
        """Return eta, which is the median too; with one degree of freedom there is no mean."""
        return of.eta

    def std(self, of: Predictors) -> Floats:
        """Return s sqrt(df / (df - 2)), infinite for 2 and less."""
        df = self._df(of)
        factor = np.where(df > 2, df / np.where(df > 2, df - 2.0, 1.0), np.inf)
        return np.broadcast_to(of.sigma * np.sqrt(factor), of.eta.shape)

    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return the logarithm of the density of Student's t."""
        df = self._df(of)
        constant = -betaln(df / 2, 0.5) - 0.5 * np.log(df) - np.log(of.sigma)
        z = (y - of.eta) / of.sigma
        far = np.abs(z) > _FAR  # where squares may leave the range, the 1 is lost beside them
        logarithm = np.log1p(np.where(far, 1.0, z) ** 2 / df)
        logarithm = np.where(far, 2.0 * np.log(np.where(far, np.abs(z), 1.0)) - np.log(df), logarithm)
        return np.asarray(constant - 0.5 * (df + 1) * logarithm)

    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y)."""
        return np.asarray(stdtr(self._df(of), (y - of.eta) / of.sigma))

    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the y below which there is so much."""
        return np.asarray(of.eta + of.sigma * stdtrit(self._df(of), level))

    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return draws of Student's t."""
        df = np.broadcast_to(self._df(of), of.eta.shape)
        return np.asarray(of.eta + of.sigma * rng.standard_t(df))
