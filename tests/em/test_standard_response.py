"""What starts and moves of the search take for a response that linear experts could explain."""

import numpy as np
import pytest
from scipy.special import softmax

from moefast.em import EmOptions, EmProblem
from moefast.families import Multinomial, Poisson, StudentT
from moefast.links import LINKS
from moefast.samples import Samples

rng = np.random.default_rng(0)
X, WEIGHT = rng.normal(size=(200, 2)), rng.uniform(0.5, 2.0, size=200)


def problem_of(y, family):
    return EmProblem(Samples(X, y, WEIGHT), EmOptions(), LINKS["linear"], family)


@pytest.mark.parametrize("family", [Poisson(), StudentT()])
def test_the_working_response_has_mean_0_and_deviation_1(family):
    y = np.random.default_rng(1).poisson(3.0, size=200).astype(float)
    working = problem_of(y, family).response.working
    assert np.average(working, weights=WEIGHT) == pytest.approx(0.0, abs=1e-12)
    assert np.average(working**2, weights=WEIGHT) == pytest.approx(1.0, rel=1e-10)


def test_outliers_have_no_more_weight_than_four_deviations():
    y = np.random.default_rng(1).normal(size=200)
    y[:2] = [1e6, -1e6]
    working = problem_of(y, StudentT()).response.working
    assert 3.0 < working[0] < 5.0
    assert -5.0 < working[1] < -3.0
    np.testing.assert_allclose(np.corrcoef(working[2:], y[2:])[0, 1], 1.0, rtol=1e-12)


def test_residuals_of_classes_are_what_probabilities_miss_along_a_contrast():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, size=200).astype(float)
    problem = problem_of(y, Multinomial(3))
    fit = problem.run(responsibilities=rng.dirichlet(np.ones(2), size=200), max_iter=3)
    found, mixture = problem.residuals(fit.mixture), fit.mixture
    eta = np.einsum("nd,kqd->nkq", problem.Z, mixture.coef) + mixture.intercept
    missed = np.eye(3)[y.astype(int)][:, None] - softmax(np.concatenate([0 * eta[..., :1], eta], axis=2), axis=2)
    contrast = np.random.default_rng(2).normal(size=3)  # one a number of experts
    np.testing.assert_allclose(found, missed @ contrast, atol=1e-10)
