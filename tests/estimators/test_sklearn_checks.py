"""scikit-learn's own checks of an estimator."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import (
    check_methods_sample_order_invariance,
    check_methods_subset_invariance,
    parametrize_with_checks,
)

from moefast import BaggedMixtureOfExperts, HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.families import Tobit

# The checks fit 10 to 50 rows, often with two distinct responses or more columns than rows. That such data
# cannot hold up several experts, or that EM does not settle on them, is what these two warnings are for.
pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

FLAT = [MixtureOfExpertsRegressor(n_experts=k) for k in (2, 1)]
# Families that take any y; the search is the same.
OTHERS = [MixtureOfExpertsRegressor(family=family, n_init=1) for family in ("student_t", Tobit(-np.inf, np.inf))]
# Few starts: an iteration costs more here.
HIERARCHICAL = [HierarchicalMixtureOfExpertsRegressor(n_init=1, max_iter=30)]
BAGGED = [BaggedMixtureOfExperts(MixtureOfExpertsRegressor(2, n_init=1), n_replicates=2, n_folds=2)]
# These two call score_samples(X); ours is the density of y and needs one. They run below with a y of their own.
OF_EACH_ROW = (check_methods_sample_order_invariance, check_methods_subset_invariance)


def expected_failures(estimator):
    expected = {check.__name__: "score_samples(X, y) needs y" for check in OF_EACH_ROW}
    if isinstance(estimator, BaggedMixtureOfExperts):
        expected["check_sample_weight_equivalence_on_dense_data"] = "a row twice has two random weights"
    return expected


@parametrize_with_checks(FLAT + OTHERS + HIERARCHICAL + BAGGED, expected_failed_checks=expected_failures)
def test_scikit_learn(estimator, check):
    check(estimator)


class Flat(MixtureOfExpertsRegressor):
    """With a score_samples that finds its own responses, row by row."""

    def score_samples(self, X):
        return super().score_samples(X, np.sin(X.sum(axis=1)))


class Hierarchical(HierarchicalMixtureOfExpertsRegressor):
    """Likewise."""

    def score_samples(self, X):
        return super().score_samples(X, np.sin(X.sum(axis=1)))


@pytest.mark.parametrize("check", OF_EACH_ROW)
@pytest.mark.parametrize("estimator", [Flat(2), Flat(1), Flat(3), Hierarchical(n_init=1, max_iter=30)])
def test_methods_work_row_by_row(estimator, check):
    check(type(estimator).__name__, estimator)
