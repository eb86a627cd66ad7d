"""scikit-learn's own checks of an estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from moefast import MixtureOfExpertsRegressor

# The checks fit 10 to 50 rows, often with two distinct responses or more columns than rows. That such data
# cannot hold up several experts, or that EM does not settle on them, is what these two warnings are for.
pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@parametrize_with_checks([MixtureOfExpertsRegressor(n_experts=k) for k in (2, 1, 3)])
def test_scikit_learn(estimator, check):
    check(estimator)
