"""scikit-learn's own checks of the regressor that chooses its setting."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import (
    check_methods_sample_order_invariance,
    check_methods_subset_invariance,
    parametrize_with_checks,
)

from moefast import MixtureOfExpertsRegressorCV

# The checks fit 10 to 50 rows; see tests/estimators/test_sklearn_checks.py.
pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
OF_EACH_ROW = (check_methods_sample_order_invariance, check_methods_subset_invariance)
EXPECTED = {check.__name__: "score_samples(X, y) needs y" for check in OF_EACH_ROW}
ONE = {"gate_alphas": 0.1, "cv": 2}
ESTIMATORS = [
    MixtureOfExpertsRegressorCV(n_experts=(1, 2), alphas=(0.1, 1.0), **ONE),
    MixtureOfExpertsRegressorCV(n_experts=1, alphas=0.1, gate_basis="linear", branches=(2, 2), max_iter=3, **ONE),
]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learn(estimator, check):
    check(estimator)


class Chosen(MixtureOfExpertsRegressorCV):
    """With a score_samples that finds its own responses, row by row."""

    def score_samples(self, X):
        return super().score_samples(X, np.sin(X.sum(axis=1)))


@pytest.mark.parametrize("check", OF_EACH_ROW)
def test_methods_work_row_by_row(check):
    check("Chosen", Chosen(n_experts=(1, 2), alphas=1.0, gate_alphas=0.1))
