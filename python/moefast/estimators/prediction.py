"""What every fitted mixture of experts answers: gates, responsibilities, likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.estimators.model_data import ModelData
from moefast.families import Family
from moefast.groups import RowGroups, group_labels
from moefast.links import Link
from moefast.mixture import GatedExperts, Mixture
from moefast.repeated import group_log_density, group_responsibilities
from moefast.samples import RowTerms
from moefast.search.report import FitReport
from moefast.validation import check_responses, check_samples, check_terms, check_weights

__all__ = ["MixturePredictions", "aic", "bic", "in_range"]


class MixturePredictions(ModelData):
    """The methods of a fitted estimator; it brings the attributes with a trailing underscore.

    With a formula X is a data frame with the columns that the formula reads, and y may be left out where they hold
    the response.
    """

    # What fit sets: the parameters (`_set_parameters`), the figures of the fit, and what scikit-learn keeps of X.
    mixture_: GatedExperts
    coef_: Floats
    intercept_: Floats
    gate_coef_: Any
    gate_intercept_: Any
    sigma_: Floats
    covariance_: Floats | None
    n_responses_: int
    response_names_: tuple[str, ...] | None
    shape_: Floats
    link_: Link
    family_: Family
    shares_: Floats
    log_likelihood_: float
    aic_: float
    bic_: float
    icl_: float
    entropy_: float
    n_samples_fit_: int
    n_groups_fit_: int
    n_parameters_: int
    training_weight_: float
    response_std_: Any
    n_iter_: int
    converged_: bool
    fit_report_: FitReport
    separated_gates_: tuple[tuple[int, int], ...] | None
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]

    def _set_parameters(self, mixture: GatedExperts) -> None:
        """Set the fitted parameters."""
        self.mixture_, self.link_, self.family_ = mixture, mixture.link, mixture.family
        self.coef_, self.intercept_ = mixture.coef, mixture.intercept
        self.sigma_, self.shape_, self.covariance_ = mixture.sigma, mixture.shape, mixture.covariance
        self.gate_coef_, self.gate_intercept_ = mixture.gate_coef, mixture.gate_intercept

    def predict_gates(self, X: Any) -> Floats:
        """Return the gates p_i(x): how likely each expert is before y is seen, shape (n, k)."""
        X = self._checked_features(X)
        return in_range(self.mixture_.gates, X)

    def responsibilities(
        self, X: Any, y: Any = None, *, offset: Any = None, n_trials: Any = None, groups: Any = None
    ) -> Floats:
        """Return P(expert i | x, y): how likely each expert is after y is seen, shape (n, k).

        With `groups`, a label for each row as in `fit`, after all rows of the group are seen: the same for each of
        them.
        """
        X, y, terms = self._checked_samples(X, y, offset, n_trials)
        of_rows = self._checked_groups(groups, X)
        if of_rows is None:
            return in_range(self.mixture_.responsibilities, X, y, terms=terms)
        order = of_rows.order
        r = np.empty((len(X), self.mixture_.n_experts))
        r[order] = in_range(
            lambda X, y: of_rows.spread(group_responsibilities(self.mixture_, X, y, of_rows, terms[order])),
            X[order],
            y[order],
        )
        return r

    def assign(
        self, X: Any, y: Any = None, *, offset: Any = None, n_trials: Any = None, groups: Any = None
    ) -> npt.NDArray[np.intp]:
        """Return the likeliest expert of each row, before y is seen or, where it is given, after; shape (n,).

        With `groups`, which need y, after all rows of the group are seen.
        """
        if y is not None:
            likely = self.responsibilities(X, y, offset=offset, n_trials=n_trials, groups=groups)
        elif groups is not None:
            raise ValueError("groups need y: before it is seen each row speaks for itself")
        else:
            likely = self.predict_gates(X)
        return np.asarray(likely.argmax(axis=1))

    def score_samples(self, X: Any, y: Any = None, *, offset: Any = None, n_trials: Any = None) -> Floats:
        """Return log P(y | x) for each row, shape (n,)."""
        X, y, terms = self._checked_samples(X, y, offset, n_trials)
        return in_range(self.mixture_.log_density, X, y, terms=terms)

    def log_likelihood(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
        groups: Any = None,
    ) -> float:
        """Return the sum of log P(y | x) over the rows, or over `groups` as in `fit`, with their weights."""
        terms = {"offset": offset, "n_trials": n_trials}
        values, weights = self._log_density_of_units(X, y, sample_weight, terms, groups)
        return float(values @ weights)

    def aic(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
        groups: Any = None,
    ) -> float:
        """Return Akaike's criterion, 2 (number of parameters) - 2 log-likelihood."""
        terms = {"offset": offset, "n_trials": n_trials}
        return aic(self.log_likelihood(X, y, sample_weight, groups=groups, **terms), self._n_counted())

    def bic(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
        groups: Any = None,
    ) -> float:
        """Return Schwarz's criterion, log(n) (number of parameters) - 2 log-likelihood.

        n is the sum of the weights, of rows or, with `groups`, of these.
        """
        terms = {"offset": offset, "n_trials": n_trials}
        values, weights = self._log_density_of_units(X, y, sample_weight, terms, groups)
        return bic(float(values @ weights), self._n_counted(), float(weights.sum()))

    def _n_counted(self) -> int:
        """Return the number of parameters, or raise ValueError for what is no maximum of a likelihood."""
        if np.isnan(getattr(self, "n_parameters_", np.nan)):
            raise ValueError(
                "an average of mixtures or a marginal maximises no likelihood: it has no parameters "
                "for AIC and BIC to count; compare log_likelihood on rows left out"
            )
        return self.n_parameters_

    def _log_density_of_units(
        self, X: Any, y: Any, sample_weight: Any, terms: dict[str, Any], groups: Any
    ) -> tuple[Floats, Floats]:
        """Return log P and the weight of each row, or of each group in the order of their labels."""
        if groups is None:
            values = self.score_samples(X, y, **terms)
            return values, check_weights(sample_weight, len(values))
        X, y, of_given = self._checked_samples(X, y, **terms)
        samples = check_samples(X, y, sample_weight, use="model", terms=of_given, groups=groups)
        of_rows = samples.groups
        if of_rows is None:
            values = in_range(self.mixture_.log_density, samples.X, samples.y, terms=samples.terms)
            return values, samples.sample_weight
        self._refuse_varying_gates(samples.X, of_rows)
        with np.errstate(over="ignore", invalid="ignore"):
            values = group_log_density(self.mixture_, samples.X, samples.y, of_rows, samples.terms)
        if not np.isfinite(values).all():
            g = int(np.argmin(np.isfinite(values)))
            raise OverflowError(f"the log-likelihood of group {of_rows.name(g)} leaves the range of float64")
        return values, samples.unit_weight

    def _checked_groups(self, groups: Any, X: Floats) -> RowGroups | None:
        """Return the groups of checked rows, once sorted; None where each row is by itself."""
        if groups is None:
            return None
        found = RowGroups.of(group_labels(groups, len(X)))
        if found.n_groups == len(X):
            return None
        self._refuse_varying_gates(X[found.order], found)
        return found

    def _refuse_varying_gates(self, X: Floats, groups: RowGroups) -> None:
        """Raise ValueError where the gates are not the same in all rows of a group."""
        if not isinstance(self.mixture_, Mixture):
            raise ValueError("groups are for flat gates (MixtureOfExpertsRegressor)")
        for j in np.flatnonzero((self.mixture_.gate_coef != 0).any(axis=0)):
            g = groups.varying(X[:, j])
            if g is not None:
                raise ValueError(f"X column {j}, which gates see, varies within group {groups.name(g)}")

    def _checked_rows(self, X: Any, offset: Any, n_trials: Any) -> tuple[Floats, RowTerms]:
        X = self._checked_features(X)
        terms = check_terms(offset, n_trials, len(X))
        self.mixture_.family.refuse_terms(terms)
        return X, terms

    def _checked_samples(
        self, X: Any, y: Any, offset: Any = None, n_trials: Any = None
    ) -> tuple[Floats, Floats, RowTerms]:
        check_is_fitted(self)
        y = self._response(X, y)
        X, terms = self._checked_rows(X, offset, n_trials)
        y = check_responses(self._numbers(y), len(X), self.n_responses_)
        self.mixture_.family.check(y, terms)
        return X, y, terms


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Return Akaike's criterion."""
    return 2.0 * n_parameters - 2.0 * log_likelihood


def bic(log_likelihood: float, n_parameters: int, n: float) -> float:
    """Return Schwarz's criterion for n rows."""
    return float(np.log(n) * n_parameters - 2.0 * log_likelihood)


def in_range(compute: Callable[..., Floats], X: Floats, *y: Floats, **of_rows: RowTerms) -> Floats:
    """Return compute(X, *y), or raise OverflowError naming the row for which it left the range of float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = compute(X, *y, **of_rows)
    good = np.isfinite(values).reshape(len(X), -1).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        raise OverflowError(
            f"row {row} is too far from the training data, or these are too near the ends of the range: its "
            f"result leaves the range of float64 (largest |x| {np.abs(X[row]).max():.3g}, in X column "
            f"{int(np.abs(X[row]).argmax())})"
        )
    return values
