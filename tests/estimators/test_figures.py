"""What a fit tells of itself: figures of the training data, and warnings."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

from moefast import DegenerateDataWarning, HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from oracles import em as em_oracles

X, Y, _ = make_moe(600, 3, 3, noise=[0.1, 0.2, 0.3], expert_intercept=1.0, gate_intercept=0.5, random_state=4)


def parameters_of(model):
    return em_oracles.Parameters(
        np.column_stack([model.coef_, model.intercept_]),
        np.column_stack([model.gate_coef_, model.gate_intercept_]),
        model.sigma_**2,
    )


@pytest.mark.parametrize("parameters", [{}, {"n_experts": 1}, {"noise": "shared"}, {"alpha": 5.0}])
def test_figures_of_the_training_data(parameters):
    """Weighted, and against the oracle: the entropy is that of the responsibilities."""
    weights = np.random.default_rng(0).integers(0, 4, size=600)
    model = MixtureOfExpertsRegressor(**{"n_experts": 3, "random_state": 0} | parameters).fit(X, Y, weights)
    r = em_oracles.posterior(X, Y, parameters_of(model)).astype(float)
    entropy = -sum(w * p * np.log(p) for w, row in zip(weights, r, strict=True) for p in row if p > 0)
    n = weights.sum()
    assert model.aic_ == pytest.approx(2 * model.n_parameters_ - 2 * model.log_likelihood_, rel=1e-12)
    assert model.bic_ == pytest.approx(np.log(n) * model.n_parameters_ - 2 * model.log_likelihood_, rel=1e-12)
    assert (model.aic_, model.bic_) == pytest.approx((model.aic(X, Y, weights), model.bic(X, Y, weights)))
    assert model.entropy_ == pytest.approx(entropy, rel=1e-8, abs=1e-12)
    assert model.icl_ == pytest.approx(model.bic_ + 2 * entropy, rel=1e-12)
    assert model.entropy_ >= 0
    assert (model.entropy_ == 0) == (model.coef_.shape[0] == 1)


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_gates_are_there_even_where_they_mean_nothing():
    """All experts collapse onto a few rows."""
    model = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:6], Y[:6])
    assert model.fit_report_.collapsed == (0, 1)
    gates = model.predict_gates(X[:6])
    np.testing.assert_allclose(gates.sum(axis=1), 1.0, rtol=1e-12)


def test_warnings_come_once_and_point_at_the_caller():
    table = pd.DataFrame({"a": X[:, 0], "b": np.ones(600), "c": 2 * X[:, 0]})
    for model in (MixtureOfExpertsRegressor(2), HierarchicalMixtureOfExpertsRegressor()):
        with pytest.warns() as told:
            model.set_params(max_iter=1, n_init=2, random_state=0).fit(table, Y)
        assert [(w.category, w.filename) for w in told] == [
            (DegenerateDataWarning, __file__),
            (DegenerateDataWarning, __file__),
            (ConvergenceWarning, __file__),
        ]
        for warning, words in zip(told, ("'b' are constant", "'c' are linear", "did not settle"), strict=True):
            assert words in str(warning.message)
