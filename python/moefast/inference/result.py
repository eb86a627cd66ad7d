"""What inference finds: estimates, standard errors, intervals, and what has none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from moefast._typing import Floats
from moefast.exceptions import DegenerateDataWarning
from moefast.families import Family
from moefast.inference.bootstrap import BootstrapOptions, bootstrap
from moefast.inference.bootstrap_result import BootstrapResult
from moefast.inference.estimate import FunctionEstimate, MeanPrediction, normal_interval, parameter_frame
from moefast.inference.fit import Fit
from moefast.inference.layout import ParameterLayout, ParameterTable
from moefast.inference.mean import mean_slopes
from moefast.mixture import Mixture
from moefast.power_of_two import over_power_of_two
from moefast.randomness import RandomState
from moefast.samples import RowTerms
from moefast.validation import check_function, check_integer, check_terms

__all__ = ["InferenceResult"]

# Step of a central difference, in standard errors: the function is practically linear over it.
_STEP = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class InferenceResult:
    """Standard errors, tests and intervals of the parameters of a fit; made by ``model.inference(X, y)``.

    Experts' coefficients come first, then the gates' (log-odds against the expert `reference`), then log sigma and
    the logarithm of the shape, of families that have them; of several responses log sigma of each and atanh of
    their correlations (Fisher's z). A standard error, test or interval is NaN where the data do not determine the
    parameter; `messages` say why.

    Attributes
    ----------
    names : list of (str, str)
        What each parameter belongs to ("expert 0", "gate 1") and its name there.
    params : ndarray of shape (P,)
        The model's estimates, in the units of the data.
    estimable : ndarray of shape (P,), bool
    cov_type : {"robust", "nonrobust", "cluster"}
    messages : tuple of str
        What to know before the numbers are used.
    reference : int
        The expert against which the gates are.
    fit : Fit
        The fit in standard units.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(2000, 2, 2, random_state=1)
    >>> model = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> result = model.inference(X, y)
    >>> result.names[0], result.conf_int().shape
    (('expert 0', 'x0'), (11, 2))
    >>> difference = result.delta(lambda mixture: mixture.coef[0] - mixture.coef[1])
    >>> difference.bse.shape
    (2,)
    >>> result.predict(X[:3]).conf_int().shape
    (3, 2)
    """

    params: Floats
    cov_type: str
    messages: tuple[str, ...]
    fit: Fit
    layout: ParameterLayout
    _covariance: Floats  # in standard units, of the layout of fit.precision, where nothing is NaN

    def __repr__(self) -> str:
        lost = int((~self.estimable).sum())
        without = f", {lost} of them without" if lost else ""
        return f"<InferenceResult: {self.cov_type} standard errors of {len(self.params)} parameters{without}>"

    @property
    def names(self) -> list[tuple[str, str]]:
        """See above."""
        return self.layout.names

    @property
    def reference(self) -> int:
        """See above."""
        return self.layout.reference

    @property
    def to_units(self) -> tuple[Floats, Floats, Floats]:
        """Return M, T (P, P) and a constant (P,) with `params` = T M theta + constant, theta being the fit's.

        M changes the reference, T the units.
        """
        _, M = self.fit.precision.layout.change_of_reference(self.reference)
        return M, *self.layout.to_units(self.fit.problem.standardisation)

    @property
    def estimable(self) -> npt.NDArray[np.bool_]:
        """See above."""
        M, T, _ = self.to_units
        return np.asarray(self.fit.precision.estimable(T @ M) & ~self._has_separated(M, T) & ~self._has_few_rows())

    def _has_separated(self, M: Floats, T: Floats) -> npt.NDArray[np.bool_]:
        separated = self.fit.precision.separated_gates(M)
        return np.asarray((T[:, separated] != 0).any(axis=1))

    def _has_few_rows(self) -> npt.NDArray[np.bool_]:
        """Whether a parameter is of a gate beside an expert with too few rows."""
        few = np.zeros(self.layout.n_parameters, dtype=np.bool_)
        for i in self.fit.precision.few_rows:
            for j in self.layout.gated if i == self.reference else (i,):
                few[self.layout.gate(j)] = True
        return few

    def cov_params(self) -> Floats:
        """Return the covariance of the estimates, shape (P, P).

        Raises
        ------
        OverflowError
            Where squares in the units of the data leave the range of float64.
        """
        covariance, exponent = self._scaled_covariance()
        good = self.estimable
        with np.errstate(over="ignore"):
            covariance = np.ldexp(covariance, exponent[:, None] + exponent)
        if not np.isfinite(covariance[np.ix_(good, good)]).all():
            raise OverflowError("covariances leave the range of float64 in the units of the data; take bse")
        return np.where(good[:, None] & good, covariance, np.nan)

    def _scaled_covariance(self) -> tuple[Floats, npt.NDArray[np.intc]]:
        """Return the covariance of the estimates over 2^e, and e, shape (P,): squares may leave the range."""
        M, T, _ = self.to_units
        L = T @ M
        L, exponent = over_power_of_two(L, axis=1)
        return L @ self._covariance @ L.T, exponent[:, 0]

    @property
    def bse(self) -> Floats:
        """Standard errors, shape (P,).

        Raises
        ------
        OverflowError
            Where one leaves the range of float64 in the units of the data; the parameter is named.
        """
        covariance, exponent = self._scaled_covariance()
        with np.errstate(over="ignore"):
            errors = np.ldexp(np.sqrt(np.maximum(np.diag(covariance), 0.0)), exponent)
        beyond = self.estimable & ~np.isfinite(errors)
        if beyond.any():
            owner, name = self.names[int(np.argmax(beyond))]
            raise OverflowError(
                f"the standard error of {name} of {owner} leaves the range of float64 in the units of the data; "
                "rescale its column"
            )
        return np.where(self.estimable, errors, np.nan)

    @property
    def zvalues(self) -> Floats:
        """Estimates over their standard errors, shape (P,); NaN for logarithms: 0 is no hypothesis."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what rows fit exactly has no error
            z = self.params / self.bse
        z[self.layout.log_sigmas] = np.nan
        z[self.layout.shapes] = np.nan
        return np.asarray(z)

    @property
    def pvalues(self) -> Floats:
        """Of the two-sided test that a parameter is 0, shape (P,)."""
        return np.asarray(2 * ndtr(-np.abs(self.zvalues)))

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return confidence intervals of level 1 - alpha, shape (P, 2)."""
        return normal_interval(self.params, self.bse, alpha)

    def sigma_conf_int(self, alpha: float = 0.05) -> Floats:
        """Return confidence intervals of the experts' noise s_i, shape (k, 2), or (1, 2) where it is shared.

        They are those of log s_i, which is nearer to normal. Of q responses the shape is (k, q, 2), or (1, q, 2).

        Raises
        ------
        ValueError
            Where the family has no s_i.
        """
        return np.asarray(np.exp(self.conf_int(alpha)[self.checked_noise]))

    def shape_conf_int(self, alpha: float = 0.05) -> Floats:
        """Return confidence intervals of the shapes, such as the size of a negative binomial; as for sigma.

        Raises
        ------
        ValueError
            Where the family has none, or they are given.
        """
        return np.asarray(np.exp(self.conf_int(alpha)[self.checked_shapes]))

    @property
    def checked_noise(self) -> npt.NDArray[np.intp]:
        """Where log s_i stand; ValueError where the family has none."""
        if not self.layout.has_scale:
            raise ValueError(f"family={self.fit.mixture.family.name!r} has no sigma")
        return self.layout.log_sigmas

    @property
    def checked_shapes(self) -> slice:
        """Where log shape_i stand; ValueError where the family has none that is fitted."""
        if self.layout.shape_name is None:
            raise ValueError(f"family={self.fit.mixture.family.name!r} has no shape that is fitted")
        return self.layout.shapes

    def table(self, values: Floats) -> ParameterTable:
        """Return a number for each parameter, shape (P,), in the shapes of the model's attributes."""
        return self.layout.table(values)

    def summary_frame(self, alpha: float = 0.05) -> Any:
        """Return a pandas DataFrame: estimate, standard error, z, p-value and interval of each parameter."""
        columns = {"coef": self.params, "std err": self.bse, "z": self.zvalues, "P>|z|": self.pvalues}
        return parameter_frame(self.names, columns, self.conf_int(alpha), alpha)

    def with_reference(self, expert: int) -> InferenceResult:
        """Return the same with the gates' log-odds against another expert.

        A linear change of the same estimates: no new fit.
        """
        check_integer("expert", expert, high=self.layout.n_experts - 1, low=0)
        layout, M = self.layout.change_of_reference(int(expert))
        return replace(self, params=M @ self.params, layout=layout)

    def delta(self, function: Callable[[Mixture], Any]) -> FunctionEstimate:
        """Return a function of the parameters with its covariance by the delta method.

        Parameters
        ----------
        function : callable
            Of a :class:`moefast.mixture.Mixture` in the units of the data, to a number or an array of shape (m,).

        Returns
        -------
        FunctionEstimate

        Raises
        ------
        TypeError, ValueError
            For something that cannot be called, or that returns other than finite numbers.
        """
        if function is None:
            raise TypeError("function must be a function of a Mixture, got None")
        check_function("function", function)
        layout, link, family = self.fit.precision.layout, self.fit.mixture.link, self._family
        T, constant = layout.to_units(self.fit.problem.standardisation)
        standard = layout.vector(self.fit.mixture)

        def value(theta: Floats) -> Floats:
            mixture = layout.mixture(T @ theta + constant, link, family)
            values = np.atleast_1d(np.asarray(function(mixture), dtype=float))
            if values.ndim != 1 or not np.isfinite(values).all():
                raise ValueError(
                    f"function must return a finite number or finite numbers of shape (m,), got {values!r}"
                )
            return values

        error = np.sqrt(np.diag(self._covariance))
        steps = _STEP * np.where((error > 0) & (error < 1), error, 1.0)
        columns = [
            (value(standard + step) - value(standard - step)) / (2 * step[j])
            for j, step in enumerate(np.diag(steps))
        ]
        slopes = np.column_stack(columns)
        good = self.fit.precision.estimable(slopes)
        found = slopes @ self._covariance @ slopes.T
        return FunctionEstimate(
            np.atleast_1d(np.asarray(function(self.mixture), dtype=float)),
            np.where(good[:, None] & good, found, np.nan),
        )

    @property
    def mixture(self) -> Mixture:
        """The model's estimates as a mixture in the units of the data."""
        return self.layout.mixture(self.params, self.fit.mixture.link, self._family)

    @property
    def _family(self) -> Family:
        """In the units of the data."""
        return self.fit.mixture.to_units(self.fit.problem.standardisation).family

    def checked_rows(self, X: Any, offset: Any, n_trials: Any) -> tuple[Floats, RowTerms]:
        """Return features and terms of rows, or raise where the model cannot take them."""
        fit = self.fit
        X = self.layout.checked_features(X if fit.formula is None else fit.formula.matrix(X), fit.basis)
        terms = check_terms(offset, n_trials, len(X))
        self.fit.mixture.family.refuse_terms(terms)
        return X, terms

    def predict(self, X: Any, *, offset: Any = None, n_trials: Any = None) -> MeanPrediction:
        """Return E[y | x] with standard errors by the delta method.

        Parameters
        ----------
        X : array-like of shape (n, d)
        offset, n_trials : float or array-like of shape (n,), optional
            As for the model's own `predict`.

        Returns
        -------
        MeanPrediction
        """
        X, terms = self.checked_rows(X, offset, n_trials)
        s, precision = self.fit.problem.standardisation, self.fit.precision
        standard = terms
        if terms.offset is not None:
            standard = replace(terms, offset=terms.offset / s.y_scale)
        errors = []
        for slopes in mean_slopes(s.features(X), self.fit.mixture, precision.layout, standard):
            variance = np.einsum("np,pq,nq->n", slopes, self._covariance, slopes, optimize=True)
            errors.append(np.where(precision.estimable(slopes), np.sqrt(np.maximum(variance, 0.0)), np.nan))
        mean = self.mixture.mean(X, terms)
        return MeanPrediction(mean, s.y_scale * np.concatenate(errors).reshape(mean.shape))

    def bootstrap(
        self,
        n_replicates: int = 500,
        *,
        kind: Literal["weighted", "pairs", "parametric"] = "weighted",
        start: Literal["warm", "cold"] = "warm",
        random_state: RandomState = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> BootstrapResult:
        """Return standard errors from refits to resampled data.

        Parameters
        ----------
        n_replicates : int
        kind : {"weighted", "pairs", "parametric"}
            "weighted" gives each row an exponential weight of mean 1: no row is lost and none appears twice.
            "pairs" draws rows with replacement. "parametric" draws new responses from the fit: right only where
            the model is. With groups, whole groups get a weight or are drawn; where they are those of the
            fit, "parametric" draws an expert for each.
        start : {"warm", "cold"}
            "warm" begins each refit at the fit: some milliseconds, but blind for other optima. "cold" begins at
            random assignments too and takes the best, as a new analysis of the resampled data would.
        random_state : int, Generator, RandomState or None
        n_threads : int or None
            The result does not depend on it.
        verbose : int
            1 shows a progress bar where standard error is a terminal.

        Returns
        -------
        BootstrapResult
        """
        options = BootstrapOptions(n_replicates, kind, start, n_threads, verbose)
        replicates = bootstrap(self.fit, options, random_state)
        for message in replicates.messages:
            warnings.warn(message, DegenerateDataWarning, stacklevel=2)
        return BootstrapResult(self, replicates)
