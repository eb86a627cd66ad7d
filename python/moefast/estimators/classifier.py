"""The classifier: a mixture of logistic regressions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from moefast._typing import Floats
from moefast.columns import check_finite
from moefast.em.options import EmOptions
from moefast.estimators.dataset_fit import DatasetFit
from moefast.estimators.dataset_predictions import DatasetPredictions
from moefast.estimators.features import Features, check_features
from moefast.estimators.given_start import StartParameter
from moefast.estimators.prediction import in_range
from moefast.families import BERNOULLI, Family, Multinomial
from moefast.groups import missing_labels
from moefast.randomness import RandomState, get_generator
from moefast.samples import NO_TERMS, RowTerms, Samples
from moefast.streams.stages import Stages
from moefast.validation import check_integer

__all__ = ["MixtureOfExpertsClassifier"]


class MixtureOfExpertsClassifier(DatasetPredictions, ClassifierMixin, DatasetFit):  # type: ignore[misc]  # scikit-learn is untyped
    r"""Mixture of logistic regressions: classes that follow different laws in different regions of the input.

    .. math::

        P(y = c \mid x) = \sum_i p_i(x)\, \mathrm{softmax}_c(A_i x + b_i), \qquad
        p(x) = \mathrm{softmax}(W x + c)

    Fitted by maximum likelihood with the search of :class:`MixtureOfExpertsRegressor`. Two classes are logistic
    experts, more of them multinomial ones.

    Such mixtures are determined weakly: a class says less than a number. With two classes a standard error of 0.3
    takes about 4900 rows with two experts and 17 000 with three, where experts and gates have norm 2. Behind a
    flat gate (no gate features) the experts a and -a cannot be told from others at all. Predictions need far fewer
    rows than coefficients do.

    Parameters
    ----------
    n_experts : int
        Their number k. One is (multinomial) logistic regression.
    formula : str, optional
        ``"~ x1 + C(x2) | z1"``: columns of experts and gates from a data frame X; y is given as always.
    expert_features, gate_features : sequence of str, int or bool, optional
        The columns that experts and gates see, as in :class:`MixtureOfExpertsRegressor`.
    common_features : sequence of str, int or bool, optional
        For two classes: columns whose coefficients all experts have in common.
    fit_intercept, fit_gate_intercept : bool
    start : {"auto", "random"}, array-like, fitted estimator or Mixture
    n_init : int or "auto"
    max_iter : int
    tol : float
        These four are as in :class:`MixtureOfExpertsRegressor`.
    alpha : float
        Ridge of the experts on coefficients in standard units: half of it times their square is taken off the
        log-likelihood, so 1 is the C = 1 of :class:`sklearn.linear_model.LogisticRegression` on standardised
        columns. The default keeps experts finite whose classes are separated; where rows are thousands it is not
        felt.
    alpha_towards : {"zero", "mean"}
        Where `alpha` pulls the slopes of the experts, as in :class:`MixtureOfExpertsRegressor`.
    l1_ratio : float
        How much of `alpha` is a lasso, as there; for two classes.
    gate_alpha : float or "auto"
    time_budget : float, optional
    random_state : int, Generator, RandomState or None
    n_threads : int or None
    verbose : int

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The labels of the classes, sorted.
    coef_ : ndarray of shape (k, d), or (k, C - 1, d) for more than two classes
        a_i: the log odds of the second class, or of each class but the first, against the first.
    intercept_ : ndarray of shape (k,), or (k, C - 1)
    gate_coef_ : ndarray of shape (k, d)
        The last row is 0.
    gate_intercept_ : ndarray of shape (k,)
    shares_ : ndarray of shape (k,)
    mixture_ : Mixture
    log_likelihood_, aic_, bic_, icl_, entropy_ : float
    n_iter_ : int
    converged_ : bool
    membership_ : Membership
    fit_report_ : FitReport
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had column names.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast import MixtureOfExpertsClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(3000, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=3000) > 0, "same", "other")
    >>> model = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    >>> model.classes_, model.score(X, y) > 0.8
    (array(['other', 'same'], dtype='<U5'), True)
    >>> model.predict([[2.0, 2.0], [2.0, -2.0]])
    array(['same', 'other'], dtype='<U5')
    """

    classes_: npt.NDArray[Any]
    noise = "per_expert"
    noise_floor = 0.02

    def __init__(
        self,
        n_experts: int = 2,
        *,
        formula: str | None = None,
        expert_features: Features = None,
        gate_features: Features = None,
        common_features: Features = None,
        fit_intercept: bool = True,
        fit_gate_intercept: bool = True,
        start: StartParameter = "auto",
        n_init: int | Literal["auto"] = "auto",
        max_iter: int = 1000,
        tol: float = 1e-8,
        alpha: float = 0.1,
        alpha_towards: Literal["zero", "mean"] = "zero",
        l1_ratio: float = 0.0,
        gate_alpha: float | Literal["auto"] = "auto",
        time_budget: float | None = None,
        random_state: RandomState = None,
        n_threads: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_experts = n_experts
        self.formula = formula
        self.expert_features = expert_features
        self.gate_features = gate_features
        self.common_features = common_features
        self.fit_intercept = fit_intercept
        self.fit_gate_intercept = fit_gate_intercept
        self.start = start
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.alpha = alpha
        self.alpha_towards = alpha_towards
        self.l1_ratio = l1_ratio
        self.gate_alpha = gate_alpha
        self.time_budget = time_budget
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def predict(self, X: Any, *, offset: Any = None) -> npt.NDArray[Any]:
        """Return the likeliest class of each row, shape (n,)."""
        likely = self.predict_proba(X, offset=offset).argmax(axis=1)
        return np.asarray(self.classes_[likely])

    def predict_proba(self, X: Any, *, offset: Any = None) -> Floats:
        """Return P(y = c | x) for the classes in the order of ``classes_``, shape (n, C).

        A model that was fitted with an `offset`, as two classes may be, needs that of these rows; without it is 0.
        """
        p = np.exp(self._log_probabilities(X, offset))
        return np.asarray(np.minimum(p / p.sum(axis=1, keepdims=True), 1.0))  # rounding

    def predict_log_proba(self, X: Any, *, offset: Any = None) -> Floats:
        """Return log P(y = c | x), shape (n, C)."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X, offset=offset)))

    def decision_function(self, X: Any, *, offset: Any = None) -> Floats:
        """Return the log odds of the second of two classes, shape (n,), or log P(y = c | x) of more, (n, C).

        Finite also where P is 0 or 1 to rounding.
        """
        log_p = self._log_probabilities(X, offset)
        return np.asarray(log_p[:, 1] - log_p[:, 0]) if log_p.shape[1] == 2 else log_p

    def predict_experts(self, X: Any, *, offset: Any = None) -> Floats:
        """Return what each expert gives the classes, shape (n, k, C)."""
        X, terms = self._checked_rows(X, offset, None)
        of, family = self.mixture_.predictors(X, terms), self.mixture_.family
        if family == BERNOULLI:
            second = family.mean(of)
            return np.stack([1.0 - second, second], axis=-1)
        return np.exp(family.log_probabilities(of))

    def sample(self, X: Any, random_state: RandomState = None, *, offset: Any = None) -> npt.NDArray[Any]:
        """Draw one class for each row of X from the fitted model, shape (n,)."""
        rng = get_generator(random_state)
        X, terms = self._checked_rows(X, offset, None)
        return np.asarray(self.classes_[self.mixture_.draw(X, rng, terms).astype(np.intp)])

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Return the share of rows whose class is the likeliest."""
        from sklearn.metrics import accuracy_score  # loads much that fitting does not need

        return float(accuracy_score(y, self.predict(X, offset=offset), sample_weight=sample_weight))

    def _log_probabilities(self, X: Any, offset: Any) -> Floats:
        X, terms = self._checked_rows(X, offset, None)
        if self.mixture_.family == BERNOULLI:
            return in_range(lambda rows: self.mixture_.log_density_grid(rows, np.array([0.0, 1.0]), terms), X)
        return in_range(self.mixture_.log_probabilities, X)

    def _samples(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        terms: RowTerms = NO_TERMS,
        groups: Any = None,
        fit: bool = False,
    ) -> Samples:
        if fit:
            self._learn_classes(y)
        return super()._samples(X, y, sample_weight, terms=terms, groups=groups, fit=fit)

    def _learn_classes(self, y: Any) -> None:
        """Learn the labels of the classes.

        Raises
        ------
        ValueError
            For numbers that are no labels, and for a single class.
        """
        if y is None:
            raise ValueError("This classifier requires y to be passed, but the target y is None")
        y = column_or_1d(y, warn=True)
        if len(y) == 0:
            raise ValueError("Found array with 0 sample(s) for y, while a minimum of 1 is required.")
        if y.dtype.kind == "f":
            check_finite(y, what="y")
        if y.dtype.kind == "O":
            _check_labels(y)
        with np.errstate(invalid="ignore"):  # labels beyond whole numbers of 64 bits
            check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least two classes, got one class: {_plain(self.classes_[0])!r}")

    def _learn_labels(self, stages: Stages) -> None:
        self._learn_classes(np.array(stages.labels()))

    def _labels_of_dataset(self) -> tuple[Any, ...]:
        return tuple(self.classes_.tolist())

    def _of_numbers(self, y: Floats) -> npt.NDArray[Any]:
        return np.asarray(self.classes_[y.astype(np.intp)])

    def _numbers(self, y: Any) -> Floats:
        check_is_fitted(self, "classes_")
        y = column_or_1d(y)
        known = np.isin(y, self.classes_)
        if not known.all():
            row = int(np.argmin(known))
            labels, got = self.classes_.tolist(), _plain(y[row])
            raise ValueError(f"y must be one of classes_={labels}, got {got!r} at row {row}")
        return np.asarray(np.searchsorted(self.classes_, y), dtype=np.float64)

    def _family(self, n_responses: int = 1) -> Family:
        if n_responses > 1:
            return super()._family(n_responses)  # refuses
        if not hasattr(self, "classes_"):
            return BERNOULLI
        return BERNOULLI if len(self.classes_) == 2 else Multinomial(len(self.classes_))

    def _checked_parameters(self) -> EmOptions:
        check_integer("n_experts", self.n_experts)
        options = self._em_options(("auto", "random"))
        check_features("common_features", self.common_features)
        return options

    def _check_response(self, samples: Samples) -> None:
        if self.common_features is not None and len(self.classes_) > 2:
            raise ValueError(f"common_features are for two classes, got {len(self.classes_)}")
        super()._check_response(samples)


def _check_labels(y: npt.NDArray[Any]) -> None:
    """Raise for objects that are missing labels, and for labels that have no order among each other."""
    missing = missing_labels(y)
    if missing.any():
        rows = f"{int(missing.sum())} of {len(y)} rows, first at row {int(np.argmax(missing))}"
        raise ValueError(f"y has missing labels: {rows}; remove or replace these rows")
    try:
        np.sort(y)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in y}))
        raise TypeError(
            f"y must have labels of one kind, got {kinds}; convert them, as with y.astype(str)"
        ) from None


def _plain(label: Any) -> Any:
    """Return a label of numpy as Python shows it."""
    return label.item() if isinstance(label, np.generic) else label
