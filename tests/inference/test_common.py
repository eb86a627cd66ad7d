"""Standard errors of coefficients that all experts have in common."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from moefast.mixture import Mixture
from oracles.em import numerical_gradient

N, D, COMMON = 600, 3, [2]
rng = np.random.default_rng(2)
X = rng.normal(size=(N, D)) + 0.5
UPPER = rng.uniform(size=N) < 1.0 / (1.0 + np.exp(-X[:, 0]))
Y = np.where(UPPER, 1.0 + X[:, 1], -X[:, 1]) + 0.5 * X[:, 2] + 0.3 * rng.normal(size=N)


def free(theta):
    """Experts' own columns and intercepts, the common coefficient, gates, log s: the parameters that there are."""
    own, common, gates, log_sigma = np.split(theta, [6, 7, 11])
    coef = np.column_stack([own.reshape(2, 3)[:, :2], np.full(2, common[0])])
    gate = np.vstack([gates[:3], np.zeros(3)])
    return Mixture(coef, own.reshape(2, 3)[:, 2], gate, np.array([gates[3], 0.0]), np.exp(log_sigma))


@pytest.mark.parametrize("cov_type", ["nonrobust", "robust"])
def test_errors_are_those_of_the_likelihood_of_the_free_parameters(cov_type):
    model = MixtureOfExpertsRegressor(2, common_features=COMMON, random_state=0).fit(X, Y)
    result = model.inference(X, Y, cov_type=cov_type)
    m = model.mixture_
    own = np.column_stack([m.coef[:, :2], m.intercept]).ravel()
    theta = np.concatenate([own, m.coef[:1, 2], m.gate_coef[0], m.gate_intercept[:1], np.log(m.sigma)])

    def slope(values):
        return numerical_gradient(lambda at: free(at).log_density(X, Y).sum(), values, 1e-4)

    step = 1e-4
    hessian = np.stack([(slope(theta + step * e) - slope(theta - step * e)) / (2 * step) for e in np.eye(13)])
    inverse = np.linalg.inv(-(hessian + hessian.T) / 2)
    if cov_type == "robust":
        columns = [
            (free(theta + step * e).log_density(X, Y) - free(theta - step * e).log_density(X, Y)) / (2 * step)
            for e in np.eye(13)
        ]
        inverse = inverse @ np.stack(columns) @ np.stack(columns).T @ inverse
    expected = np.sqrt(np.diag(inverse))
    found = result.table(result.bse)
    np.testing.assert_allclose(found.coef[:, 2], expected[6], rtol=2e-3)
    np.testing.assert_allclose(found.coef[:, :2].ravel(), expected[[0, 1, 3, 4]], rtol=2e-3)
    np.testing.assert_allclose(found.intercept, expected[[2, 5]], rtol=2e-3)
    np.testing.assert_allclose(found.gate_coef[0], expected[7:10], rtol=2e-3)
    np.testing.assert_allclose(found.log_sigma, expected[11:], rtol=2e-3)


def test_a_common_coefficient_is_known_better():
    together = MixtureOfExpertsRegressor(2, common_features=COMMON, random_state=0).fit(X, Y)
    apart = MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y)
    one, each = (model.inference(X, Y).table(model.inference(X, Y).bse).coef[:, 2] for model in (together, apart))
    assert one[0] == one[1]
    assert (one < each).all()


def test_experts_are_not_said_to_differ_by_it():
    model = MixtureOfExpertsRegressor(2, common_features=COMMON, random_state=0).fit(X, Y)
    difference = model.inference(X, Y).delta(lambda mixture: mixture.coef[0, 2] - mixture.coef[1, 2])
    assert difference.bse[0] < 1e-9
