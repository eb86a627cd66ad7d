"""scikit-learn's own checks of an estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor

# The checks fit 10 to 50 rows, often with two distinct responses or more columns than rows. That such data
# cannot hold up several experts, or that EM does not settle on them, is what these two warnings are for.
pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

FLAT = [MixtureOfExpertsRegressor(n_experts=k) for k in (2, 1, 3)]
# Few starts: an iteration costs more here.
HIERARCHICAL = [HierarchicalMixtureOfExpertsRegressor(n_init=3, max_iter=100)]


@parametrize_with_checks(FLAT + HIERARCHICAL)
def test_scikit_learn(estimator, check):
    check(estimator)
