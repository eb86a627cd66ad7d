"""Default fits beside EM from the truth, of every family."""

import numpy as np
import pytest
from family_samples import CASES, oracle_log_likelihood

from moefast import MixtureOfExpertsRegressor

# Rows that determine a mixture: Bernoulli responses say little each.
ROWS = {"bernoulli": {2: 5000, 3: 17_000}}
# Of ten data sets.
LEAST = {"bernoulli": 9}


def gap(name, k, n, seed):
    """How much higher the default fit is than EM from the truth."""
    X, y, truth, terms = CASES[name].draw(k, n, 4, seed)
    model = MixtureOfExpertsRegressor(k, family=truth.family, random_state=seed, n_threads=1)
    model.fit(X, y, n_trials=terms.n_trials)
    return model.log_likelihood_ - oracle_log_likelihood(X, y, truth, terms)


@pytest.mark.study
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_default_fits_are_as_good_as_em_from_the_truth(name, k):
    gaps = [gap(name, k, ROWS.get(name, {}).get(k, 3000), seed) for seed in range(10)]
    print(name, k, [round(g, 3) for g in gaps])
    assert sum(g > -0.05 for g in gaps) >= LEAST.get(name, 10)


@pytest.mark.parametrize("name", CASES)
def test_a_default_fit_of_three_is_as_good_as_em_from_the_truth(name):
    assert gap(name, 3, 2000 if name != "bernoulli" else 4000, seed=0) > -0.05


@pytest.mark.parametrize(("name", "rows"), [("bernoulli", 20_000), ("binomial", 2500), ("poisson", 2500)])
def test_searches_look_at_more_rows_of_which_each_says_little(name, rows):
    X, y, truth, terms = CASES[name].draw(2, 24_000, 2, 0)
    model = MixtureOfExpertsRegressor(2, family=truth.family, random_state=0, n_threads=1)
    model.fit(X, y, n_trials=terms.n_trials)
    assert model.fit_report_.n_rows == pytest.approx(rows, rel=0.1)


@pytest.mark.parametrize("name", CASES)
def test_parameters_come_back(name):
    """Of a fit as good as EM from the truth, within what standard errors allow at this size."""
    X, y, truth, terms = CASES[name].draw(2, 6000, 3, 1)
    model = MixtureOfExpertsRegressor(2, family=truth.family, random_state=0, n_threads=1)
    model.fit(X, y, n_trials=terms.n_trials)
    assert model.log_likelihood_ > oracle_log_likelihood(X, y, truth, terms) - 0.05
    order = [int(np.linalg.norm(model.coef_ - a, axis=1).argmin()) for a in truth.coef]
    assert sorted(order) == [0, 1]
    near = 0.4 if name == "bernoulli" else 0.1
    np.testing.assert_allclose(model.coef_[order], truth.coef, atol=near)
    np.testing.assert_allclose(model.intercept_[order], truth.intercept, atol=near)
    np.testing.assert_allclose(model.sigma_[order], truth.sigma, rtol=0.1)
    np.testing.assert_allclose(np.log(model.shape_[order]), np.log(truth.shape), atol=0.35)
