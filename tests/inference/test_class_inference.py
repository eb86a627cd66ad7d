"""Standard errors of experts of more than two classes, against numerical differentiation and statsmodels."""

import numpy as np
import pytest
from scipy.special import expit

from moefast import MixtureOfExpertsClassifier
from moefast.families import Multinomial
from moefast.mixture import Mixture
from oracles.em import numerical_hessian

N, D = 1000, 2
rng = np.random.default_rng(4)
X = rng.normal(size=(N, D)) * [1.0, 3.0] + [0.3, -1.0]
UPPER = rng.uniform(size=N) < expit(2 * X[:, 0])
ETA = np.where(UPPER[:, None], X[:, 1:] * [1.0, -0.8] + [1.5, 0.2], X[:, 1:] * [-0.7, 0.6] + [-0.5, 1.0])
P = np.exp(np.column_stack([np.zeros(N), ETA]))
P /= P.sum(axis=1, keepdims=True)
Y = np.array(["a", "b", "c"])[(rng.uniform(size=(N, 1)) > np.cumsum(P, axis=1)).sum(axis=1)]
CODE = (Y == "b") * 1.0 + (Y == "c") * 2.0


def model_of(theta, k):
    experts, gates = np.split(theta, [k * 2 * (D + 1)])
    experts, gates = experts.reshape(k, 2, D + 1), np.vstack([gates.reshape(k - 1, D + 1), np.zeros(D + 1)])
    family = Multinomial(3)
    return Mixture(experts[..., :D], experts[..., D], gates[:, :D], gates[:, D], np.ones(k), family=family)


@pytest.fixture(scope="module")
def model():
    return MixtureOfExpertsClassifier(2, alpha=0.0, random_state=0).fit(X, Y)


def test_errors_are_those_of_the_numerical_hessian(model):
    result = model.inference(X, Y, cov_type="nonrobust")
    m = model.mixture_
    experts = np.concatenate([m.coef, m.intercept[..., None]], axis=-1)
    theta = np.concatenate([experts.ravel(), m.gate_coef[0], m.gate_intercept[:1]])
    np.testing.assert_allclose(result.params, theta, rtol=1e-9)
    step = 1e-4

    def value(theta):
        return model_of(theta, 2).log_density(X, CODE).sum()

    inverse = np.linalg.inv(-numerical_hessian(value, theta, np.full(len(theta), step)))
    np.testing.assert_allclose(result.bse, np.sqrt(np.diag(inverse)), rtol=5e-3)
    ends = [[model_of(theta + s * e, 2).log_density(X, CODE) for e in np.eye(len(theta))] for s in (step, -step)]
    of_rows = np.subtract(*ends) / (2 * step)
    robust = model.inference(X, Y, cov_type="robust")
    np.testing.assert_allclose(robust.bse, np.sqrt(np.diag(inverse @ of_rows @ of_rows.T @ inverse)), rtol=5e-3)


def test_one_expert_is_that_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    other = api.MNLogit(CODE, api.add_constant(X)).fit(disp=False, tol=1e-12)
    result = MixtureOfExpertsClassifier(1, alpha=0.0).fit(X, Y).inference(X, Y, cov_type="nonrobust")
    found = result.table(result.bse)
    np.testing.assert_allclose(found.coef[0], np.asarray(other.bse)[1:].T, rtol=1e-5)
    np.testing.assert_allclose(found.intercept[0], np.asarray(other.bse)[0], rtol=1e-5)


def test_names_tables_and_other_references(model):
    result = model.inference(X, Y)
    assert result.names[:4] == [
        ("expert 0", "x0 [b]"),
        ("expert 0", "x1 [b]"),
        ("expert 0", "(intercept) [b]"),
        ("expert 0", "x0 [c]"),
    ]
    assert result.table(result.params).coef.shape == (2, 2, 2)
    np.testing.assert_allclose(result.table(result.params).coef, model.coef_, rtol=1e-12)
    swapped = result.with_reference(0)
    np.testing.assert_allclose(swapped.bse[-3:], result.bse[-3:], rtol=1e-9)
    difference = result.delta(lambda mixture: mixture.coef[0, 0] - mixture.coef[1, 0])
    assert difference.bse.shape == (2,)
    text = str(model.summary(result))
    assert "x1 [c]" in text
    assert "std. error" in text
    frame = result.summary_frame()
    assert len(frame) == 15
