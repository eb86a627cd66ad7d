"""Data and helpers for the tests of the flat estimator."""

import numpy as np

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe

X, Y, TRUTH = make_moe(600, 3, 3, noise=[0.1, 0.2, 0.3], expert_intercept=1.0, gate_intercept=0.5, random_state=4)
# Here the moments alone find the experts: gates orthogonal to them, enough rows.
EASY_X, EASY_Y, _ = make_moe(4000, 4, 2, noise=0.3, orthogonal_gate=True, random_state=7)
FITTED = (
    "coef_",
    "intercept_",
    "gate_coef_",
    "gate_intercept_",
    "sigma_",
    "shares_",
    "log_likelihood_",
    "n_iter_",
)


def fit(X=X, y=Y, sample_weight=None, n_experts=3, **parameters):
    parameters = {"random_state": 0} | parameters
    return MixtureOfExpertsRegressor(n_experts, **parameters).fit(X, y, sample_weight)


def assert_same(a, b, names=FITTED, rtol=0.0, atol=0.0):
    for name in names:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=atol, err_msg=name)
