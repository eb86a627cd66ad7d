"""The estimator that predicts by the average of many mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from moefast._typing import Floats
from moefast.bagging.agreement import Agreement
from moefast.bagging.averaged import AveragedMixture, can_be_drawn_together
from moefast.bagging.candidates import best_setting
from moefast.bagging.out_of_bag import OutOfBag
from moefast.bagging.replicate_mixture import mixture_of
from moefast.bagging.replicates import Draw, drawn, refits, whole
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.hierarchical import HierarchicalMixtureOfExpertsRegressor
from moefast.estimators.model_data import kept_unless_done, on_design_matrix, terms_of
from moefast.estimators.number_predictions import NumberPredictions
from moefast.estimators.prediction import in_range
from moefast.estimators.summary import response_name
from moefast.groups import RowGroups
from moefast.inference.bootstrap_result import robust_spread
from moefast.inference.estimate import MeanPrediction
from moefast.power_of_two import over_power_of_two
from moefast.randomness import RandomState, get_generator
from moefast.samples import Samples
from moefast.tasks import check_jobs
from moefast.validation import check_choice, check_integer, check_number, check_verbose

__all__ = ["BaggedMixtureOfExperts"]

# Starts of a cold replicate whose estimator leaves their number open: many short fits average better than few that
# have been searched for long.
_COLD_STARTS = 8
# Replicates by which candidates are compared; fewer where rows are more than few, whose mean is the surer.
_TRIALS = 25
_FEW_ROWS = 1000

# What one fit has and an average has not.
_OF_CRITERIA = ("aic_", "bic_", "icl_", "log_likelihood_", "n_parameters_")
_OF_ONE_FIT = (
    *("summary", "inference", "fit_report_", "shares_", "entropy_", "converged_", "n_iter_"),
    *("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_"),
)


class BaggedMixtureOfExperts(NumberPredictions, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    r"""The average of mixtures of experts fitted to rows with random weights: a law of y that predicts well.

    .. math::

        P(y \mid x) = \frac1B \sum_b \sum_i p_{bi}(x)\, N(y \mid a_{bi} \cdot x + b_{bi}, s_{bi}^2)

    A mixture of many experts has many optima that are nearly as good, which differ between the borders of the
    experts' regions. Their average has no borders, and is held out as good as boosted trees on many tables. It is
    the Bayesian bootstrap (:meth:`moefast.inference.InferenceResult.bootstrap`): the rows of each replicate have
    exponential weights, so that the spread between the replicates says how sure each prediction is.

    Each replicate leaves one of `n_folds` parts of the rows out, and tells how well it predicts them. From this
    follow the out-of-bag log-likelihood, the choice among several estimators, and c, by which the average is drawn
    together, since averaging adds spread (:class:`moefast.bagging.AveragedMixture`).

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor, its CV, HierarchicalMixtureOfExpertsRegressor or a sequence, optional
        What is fitted. Of an estimator that chooses its parameters, the choice on all rows is. Of several the one
        of the highest out-of-bag log-likelihood is taken, all with the same weights. Default: normal laws, with
        the number of experts and the ridges that predict the rows left out best
        (:mod:`moefast.bagging.candidates`).
    n_replicates : int
        B.
    start : {"cold", "warm"}
        "cold" fits each replicate from random starts, eight unless the estimator says otherwise. "warm" fits the
        estimator to all rows first, by its full search, and each replicate from there: B nearly equal optima, for
        the uncertainty of this one fit.
    n_folds : int or None
        In how many parts the rows are divided, of which each replicate leaves out one. None leaves none out.
    spread : float or "out-of-bag"
        c. "out-of-bag" takes the one for which the rows are likeliest, each predicted by the replicates that have
        not seen it; 1 with ``n_folds=None`` and for families other than "gaussian" and "student_t".
    random_state : int, Generator, RandomState or None
    n_jobs : int or None
        Processes among which replicates are shared, as in joblib. The result does not depend on it.
    verbose : int
        1 shows a progress bar where standard error is a terminal.

    Attributes
    ----------
    estimator_ : MixtureOfExpertsRegressor or HierarchicalMixtureOfExpertsRegressor
        What was fitted, with "warm" the fit to all rows.
    estimators_ : list of these
        The replicates.
    mixture_ : AveragedMixture
        Their average, as one mixture of all their experts: ``predict_gates``, ``predict_experts`` and
        ``responsibilities`` have a column for each expert of each replicate.
    spread_ : float
        c.
    calibration_ : Calibration or None
        How far intervals and quantiles reach to have as many of the rows left out as they say, each under the
        replicates that have not seen it; None with ``n_folds=None``, for counts, and for responses with a limit.
    out_of_bag_log_likelihood_ : float
        Mean of log P(y | x) over the rows, with their weights, each under the average of the replicates that have
        not seen it. NaN with ``n_folds=None``.
    out_of_bag_score_samples_ : ndarray of shape (n,)
        The same of each row of positive weight; rows in groups are sorted by these. NaN for a row that all have
        seen.
    candidates_ : list of these
        Among which there was a choice, empty where one was given.
    candidate_scores_ : list of float
        Their out-of-bag log-likelihoods by the first replicates, as they would be with all.
    target_name_ : str or None
        The name of y, where it has one.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had column names.

    References
    ----------
    Breiman, "Bagging predictors", Machine Learning 24, 1996. Rubin, "The Bayesian bootstrap", Annals of Statistics
    9, 1981. Gneiting, Ranjan, "Combining predictive distributions", Electronic Journal of Statistics 7, 2013.

    Examples
    --------
    >>> from moefast import BaggedMixtureOfExperts, MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> X, y, truth = make_moe(600, 2, 2, noise=0.3, random_state=0)
    >>> model = BaggedMixtureOfExperts(MixtureOfExpertsRegressor(2), n_replicates=20, random_state=0).fit(X, y)
    >>> mean, std = model.predict(X[:2], return_std=True)
    >>> model.predict_interval(X[:2], 0.9).shape
    (2, 2)
    >>> sure = model.mean_prediction(X[:2])
    >>> bool((sure.se_mean < std).all())
    True
    """

    mixture_: AveragedMixture
    n_responses_: int = 1

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_replicates: int = 50,
        start: Literal["cold", "warm"] = "cold",
        n_folds: int | None = 5,
        spread: float | Literal["out-of-bag"] = "out-of-bag",
        random_state: RandomState = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_replicates = n_replicates
        self.start = start
        self.n_folds = n_folds
        self.spread = spread
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
        groups: Any = None,
    ) -> BaggedMixtureOfExperts:
        """Fit the replicates.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
            May be left out with a formula that has a response.
        sample_weight : array-like of shape (n,), optional
            A weight counts as so many copies of its row, of which each has a random weight of its own.
        offset, n_trials : float or array-like of shape (n,), optional
            As for the estimator.
        groups : array-like of shape (n,), optional
            Likewise; rows of a group have one weight, and are left out together.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError, OverflowError
            For parameters out of range and bad data; the message names the culprit.
        """
        with kept_unless_done(self):
            self._checked_fit(X, y, sample_weight, offset, n_trials, groups)
        return self

    def _checked_fit(self, X: Any, y: Any, sample_weight: Any, offset: Any, n_trials: Any, groups: Any) -> None:
        self._check_parameters()
        terms = terms_of(X, offset, n_trials)
        self._learn_formula(X, sample_weight)
        samples = self._samples(X, y, sample_weight, terms=terms, groups=groups, fit=True)
        if samples.n_responses > 1:
            raise ValueError(f"y has {samples.n_responses} columns: bagging is for one response; bag each column")
        self._check_units(samples)
        of_formula = None if self.formula_ is None else self.formula_.response_name
        self.target_name_ = response_name(y) if of_formula is None else of_formula
        rng = get_generator(self.random_state)
        prepared = [self._prepared(one, samples, rng) for one in self._given_estimators()]
        draws = drawn(samples, int(self.n_replicates), self.n_folds, rng)
        self.candidates_: list[Any] = []
        self.candidate_scores_: list[float] = []
        fits: list[list[Any]] = []

        n_compared = self._n_trial_replicates(samples)

        def score(candidate: Any) -> float:
            fits.append(self._refits(candidate, samples, draws[:n_compared]))
            self.candidates_.append(candidate)
            self.candidate_scores_.append(self._out_of_bag(fits[-1], draws, samples).score(int(self.n_replicates)))
            return self.candidate_scores_[-1]

        if len(prepared) == 1:
            self.estimator_, first = prepared[0], []
        else:
            if prepared:
                self.estimator_ = max(prepared, key=score)
            else:
                self.estimator_ = best_setting(score, samples)
            first = fits[next(i for i, one in enumerate(self.candidates_) if one is self.estimator_)]
        self.estimators_ = first + self._refits(self.estimator_, samples, draws[len(first) :])
        self._average(samples, draws)

    def _n_trial_replicates(self, samples: Samples) -> int:
        """Return by how many replicates candidates are compared: each part is left out once at least."""
        enough = round(_TRIALS * min(1.0, _FEW_ROWS / samples.n_units))
        return max(enough, self.n_folds or 1)

    def _average(self, samples: Samples, draws: Sequence[Draw]) -> None:
        found, known = self._out_of_bag(self.estimators_, draws, samples), self.n_folds is not None
        if self.spread != "out-of-bag":
            self.spread_ = float(self.spread)
            if self.spread_ != 1.0 and not can_be_drawn_together(found.parts[0].family):
                raise ValueError(f"spread must be 1 for family={found.parts[0].family.name!r}, got {self.spread}")
        else:
            self.spread_ = found.best_spread(int(self.n_replicates)) if known else 1.0
        self.mixture_ = AveragedMixture(found.parts, self.spread_)
        self.calibration_ = found.calibration(self.spread_, int(self.n_replicates))
        self.out_of_bag_score_samples_ = found.log_density(self.spread_)
        self.out_of_bag_log_likelihood_ = found.of_row(self.spread_) if known else np.nan

    def _check_parameters(self) -> None:
        check_integer("n_replicates", self.n_replicates, low=2)
        check_choice("start", self.start, ("cold", "warm"))
        if self.n_folds is not None:
            check_integer("n_folds", self.n_folds, low=2)
        if isinstance(self.spread, str):
            check_choice("spread", self.spread, ("out-of-bag",))
        else:
            check_number("spread", self.spread, open_low=True)
        check_jobs(self.n_jobs)
        check_verbose(self.verbose)
        given = self._given_estimators()
        for one in given:
            if not isinstance(one, (MixtureOfExpertsRegressor, HierarchicalMixtureOfExpertsRegressor)):
                raise TypeError(
                    f"estimator must be a (Hierarchical)MixtureOfExpertsRegressor or several of them, got {one!r}"
                )
        if len(given) != 1 and self.n_folds is None:
            raise ValueError(
                "the choice among several estimators, and the default, need n_folds, got n_folds=None"
            )
        if len({one.formula for one in given}) > 1:
            raise ValueError("the estimators must have the same formula")

    def _given_estimators(self) -> list[Any]:
        if self.estimator is None:
            return []
        if isinstance(self.estimator, (list, tuple)):
            if len(self.estimator) == 0:
                raise ValueError("estimator is empty; give at least one, or None for the default")
            return list(self.estimator)
        return [self.estimator]

    @property
    def formula(self) -> str | None:  # type: ignore[override]  # that of the estimator
        """The formula of the estimator."""
        given = self._given_estimators()
        return given[0].formula if given else None

    def _check_units(self, samples: Samples) -> None:
        if self.n_folds is not None and self.n_folds > samples.n_units:
            units = "rows" if samples.groups is None else "groups"
            raise ValueError(
                f"n_folds={self.n_folds} is more than n_samples={samples.n_units} {units} of positive weight; "
                "take fewer, or None to leave none out"
            )

    def _prepared(self, estimator: Any, samples: Samples, rng: np.random.Generator) -> Any:
        """Return what each replicate is a copy of: on the design matrix of a formula, choices made."""
        prepared = clone(estimator)
        if self.formula_ is not None:
            prepared = on_design_matrix(prepared, self.formula_)
        if "cv" in prepared.get_params(deep=False) or self.start == "warm":
            (fitted,) = refits(prepared, samples, [whole(samples, rng)], None, shown=False)
            prepared = getattr(fitted, "best_estimator_", fitted)
        if self.start == "warm":
            return clone(prepared).set_params(start=prepared)
        left_open = isinstance(prepared.start, str) and prepared.start == "auto" and prepared.n_init == "auto"
        return clone(prepared).set_params(n_init=_COLD_STARTS) if left_open else clone(prepared)

    def _refits(self, estimator: Any, samples: Samples, draws: Sequence[Draw]) -> list[Any]:
        """Return the fits of an estimator to draws."""
        return refits(estimator, samples, draws, self.n_jobs, shown=bool(self.verbose))

    def __getattr__(self, name: str) -> Any:
        """Say what an average has in place of what one fit has; pictures of one fit ask for it."""
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in _OF_CRITERIA:
            text += ": replicates have no common likelihood; compare averages by out_of_bag_log_likelihood_"
        elif name in _OF_ONE_FIT:
            text += (
                ": an average of mixtures has no experts of its own; see agreement(X, y), or draw or print one "
                "of its replicates, model.estimators_[0]"
            )
        raise AttributeError(text)

    def mean_replicates(self, X: Any, *, offset: Any = None, n_trials: Any = None) -> Floats:
        """Return E[y | x] by each replicate, shape (n, B); the mean over them is that of :meth:`predict`."""
        X, terms = self._checked_rows(X, offset, n_trials)
        return in_range(self.mixture_.part_means, X, terms=terms)

    def mean_prediction(self, X: Any, *, offset: Any = None, n_trials: Any = None) -> MeanPrediction:
        """Return E[y | x] with standard errors: how far the means of the replicates lie apart.

        Parameters
        ----------
        X : array-like of shape (n, d)
        offset, n_trials : float or array-like of shape (n,), optional
            As in :meth:`predict`.

        Returns
        -------
        MeanPrediction
            The mean is that of :meth:`predict`; its standard error is for one mixture, as the bootstrap of
            :meth:`moefast.inference.InferenceResult.bootstrap` has it.
        """
        means = self.mean_replicates(X, offset=offset, n_trials=n_trials)
        return MeanPrediction(means.mean(axis=1), robust_spread(means.T))

    def predict_spread(self, X: Any, *, offset: Any = None, n_trials: Any = None) -> tuple[Floats, Floats]:
        """Return the standard deviation of y within a replicate and that of the mean between them, (n,) each.

        Their squares add up to that of ``predict(X, return_std=True)``: noise, which more rows do not take away,
        and what the rows leave open.
        """
        X, terms = self._checked_rows(X, offset, n_trials)
        means = in_range(self.mixture_.part_means, X, terms=terms)
        means, exponent = over_power_of_two(means, axis=1)
        between = np.ldexp(means.std(axis=1), exponent[:, 0])
        std = in_range(self.mixture_.std, X, terms=terms)
        return np.sqrt(np.maximum(std - between, 0.0)) * np.sqrt(std + between), between

    def agreement(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        n_trials: Any = None,
    ) -> Agreement:
        """Return on what the replicates agree; print it, or take its tables.

        Parameters
        ----------
        X : array-like of shape (n, d)
            The data of the fit, or others.
        y : array-like of shape (n,)
        sample_weight : array-like of shape (n,), optional
        offset, n_trials : float or array-like of shape (n,), optional

        Returns
        -------
        Agreement

        Examples
        --------
        >>> from moefast import BaggedMixtureOfExperts, MixtureOfExpertsRegressor
        >>> from moefast.datasets import make_moe
        >>> X, y, truth = make_moe(600, 2, 2, noise=0.3, random_state=0)
        >>> model = BaggedMixtureOfExperts(MixtureOfExpertsRegressor(2), n_replicates=20, random_state=0).fit(X, y)
        >>> found = model.agreement(X, y)
        >>> found.share_of_rows > 0.9, found.coef.shape
        (True, (2, 2))
        """
        check_is_fitted(self)
        terms = terms_of(X, offset, n_trials)
        return Agreement.of(self.mixture_.parts, self._samples(X, y, sample_weight, terms=terms))

    def _refuse_varying_gates(self, X: Floats, groups: RowGroups) -> None:
        """Raise ValueError where the gates of a replicate are not the same in all rows of a group."""
        for fitted in self.estimators_:
            basis = fitted.gate_basis_
            fitted._refuse_varying_gates(X if basis is None else basis.expand(X), groups)

    @staticmethod
    def _out_of_bag(fits: Sequence[Any], draws: Sequence[Draw], samples: Samples) -> OutOfBag:
        unseen = np.array([draw.left_out for draw in draws[: len(fits)]])
        return OutOfBag(tuple(map(mixture_of, fits)), unseen, samples)
