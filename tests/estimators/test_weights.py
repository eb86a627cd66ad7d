"""Weights of rows: zero removes, an integer repeats, their unit does not matter."""

import numpy as np
import pytest
from flat_fits import EASY_X, EASY_Y, FITTED, X, Y, assert_same, fit
from sklearn.base import clone

from moefast import DegenerateDataWarning, HierarchicalMixtureOfExpertsRegressor

# Two starts may tie, so that rounding chooses the winner: how many iterations it took is not compared.
PARAMETERS = [name for name in FITTED if name != "n_iter_"]


@pytest.mark.parametrize("parameters", [{}, {"noise": "shared"}, {"polish": False}, {"n_experts": 1}])
def test_a_zero_weight_removes_the_row_exactly(parameters):
    parameters = {"n_experts": 2} | parameters
    wild, out = EASY_X.copy(), np.arange(4000) % 3 == 0
    wild[out] = 1e30
    weights = np.where(out, 0.0, np.random.default_rng(0).uniform(0.5, 2, size=4000))
    a = fit(wild, EASY_Y, weights, **parameters)
    b = fit(EASY_X[~out], EASY_Y[~out], weights[~out], **parameters)
    assert_same(a, b)
    assert a.fit_report_ == b.fit_report_


@pytest.mark.parametrize(
    "parameters", [{}, {"noise": "shared"}, {"polish": False}, {"n_experts": 1}, {"alpha": 5}]
)
def test_an_integer_weight_repeats_the_row(parameters):
    parameters = {"n_experts": 2} | parameters
    weights = np.random.default_rng(1).integers(0, 4, size=4000)
    a = fit(EASY_X, EASY_Y, weights, **parameters)
    b = fit(np.repeat(EASY_X, weights, axis=0), np.repeat(EASY_Y, weights), **parameters)
    assert_same(a, b, PARAMETERS, rtol=1e-8, atol=1e-9)
    assert a.training_weight_ == b.training_weight_ == weights.sum()
    np.testing.assert_allclose(
        [start.log_likelihood for start in a.fit_report_.starts],
        [start.log_likelihood for start in b.fit_report_.starts],
        rtol=1e-9,
    )


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
@pytest.mark.parametrize("n_experts", [2, 3])
def test_integer_weights_with_fewer_rows_than_parameters(n_experts):
    """Every expert can fit every row there; rounding must not choose among them. The gates are compared too."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, y, weights = rng.uniform(size=(15, 30)), rng.integers(0, 3, size=15), rng.integers(0, 5, size=15)
        a = fit(X, y, weights, n_experts=n_experts)
        b = fit(np.repeat(X, weights, axis=0), np.repeat(y, weights), n_experts=n_experts)
        assert_same(a, b, ("coef_", "intercept_", "sigma_", "gate_coef_", "gate_intercept_"), atol=1e-4)


@pytest.mark.parametrize("unit", [1e-12, 1.0 / 600, 1e6])
@pytest.mark.parametrize("parameters", [{}, {"noise": "shared"}, {"start": "random"}, {"n_init": 4}])
def test_the_unit_of_the_weights_does_not_matter(parameters, unit):
    """Weights that add up to 1, or inverse probabilities: the search is as thorough, the gates are as steep."""
    weights = np.random.default_rng(2).uniform(0.5, 2.0, size=600)
    plain, other = fit(X, Y, weights, **parameters), fit(X, Y, unit * weights, **parameters)
    assert_same(plain, other, [name for name in PARAMETERS if name != "log_likelihood_"], rtol=1e-6, atol=1e-8)
    assert other.log_likelihood_ == pytest.approx(unit * plain.log_likelihood_, rel=1e-9)
    assert len(other.fit_report_.starts) == len(plain.fit_report_.starts)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_separable_gates_are_held_whatever_the_unit_of_the_weights(unit):
    """The ridge that keeps them finite is in proportion to the weights; one that is asked for is not."""
    x = np.linspace(-1, 1, 200)
    weights, y = np.full(200, unit), np.where(x > 0, 3.0, -3.0) + 0.1 * np.sin(40 * x)
    with pytest.warns(DegenerateDataWarning, match="separated"):
        steep = [fit(x[:, None], y, w, n_experts=2).gate_coef_[0, 0] for w in (None, weights)]
    assert abs(steep[0]) > 20
    assert steep[1] == pytest.approx(steep[0], rel=1e-6)
    asked = [
        fit(x[:, None], y, w, n_experts=2, gate_alpha=a).gate_coef_[0, 0]
        for w, a in ((None, 1e-3), (weights, 1e-3 * unit))
    ]
    assert asked[1] == pytest.approx(asked[0], rel=1e-6)
    assert abs(asked[0]) < abs(steep[0])


def test_the_unit_of_the_weights_does_not_matter_to_trees():
    units = (1.0, 1e-6, 1e6)
    model = HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=3, tol=1e-7, random_state=0)
    plain, *others = (clone(model).fit(X, Y, np.full(600, unit)) for unit in units)
    kinds = [start.kind for start in plain.fit_report_.starts]
    for other, unit in zip(others, units[1:], strict=True):
        np.testing.assert_allclose(other.coef_, plain.coef_, rtol=1e-5, atol=1e-7)
        assert [start.kind for start in other.fit_report_.starts] == kinds
        assert other.log_likelihood_ == pytest.approx(unit * plain.log_likelihood_, rel=1e-8)
