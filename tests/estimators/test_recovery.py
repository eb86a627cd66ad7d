"""Statistical acceptance: the truth comes back from simulated data.

x ~ N(0, I), unit linear experts, sigma = 0.1, k = 3, d = 10, no intercepts, gate rows of norm 2.
"""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em import EmOptions, fit_em
from moefast.mixture import Mixture
from moefast.spectral import recover_experts


def worst_expert(found, truth):
    """max_i ||a^_i - a_i|| after the optimal assignment."""
    distance = np.linalg.norm(found[:, None] - truth[None], axis=2)
    rows, columns = linear_sum_assignment(distance)
    return distance[rows, columns].max()


def draw(n, seed, **changes):
    return make_moe(n, 10, 3, noise=0.1, gate_scale=2.0, random_state=seed, **changes)


def spectral_errors(X, y, truth):
    """Of the directions of the experts from the moments alone: from a quarter of the rows, and from all."""

    def error(n):
        coef = recover_experts(X[:n], y[:n], 3, random_state=0).coef
        return worst_expert(coef / np.linalg.norm(coef, axis=1, keepdims=True), truth.coef)

    return error(len(X) // 4), error(len(X))


@pytest.mark.parametrize("orthogonal_gate", [True, False])
@pytest.mark.parametrize(
    ("n", "seeds"), [(5000, range(10)), pytest.param(20_000, range(20), marks=pytest.mark.study)]
)
def test_the_default_fit_is_as_good_as_em_from_the_truth(orthogonal_gate, n, seeds):
    """Within 5 %, for every seed."""
    ratios = []
    for seed in seeds:
        X, y, truth = draw(n, seed, orthogonal_gate=orthogonal_gate)
        model = MixtureOfExpertsRegressor(3, noise="shared", random_state=seed).fit(X, y)
        best = fit_em(X, y, truth, options=EmOptions(noise="shared"))
        ratios.append(worst_expert(model.coef_, truth.coef) / worst_expert(best.mixture.coef, truth.coef))
    assert max(ratios) <= 1.05, ratios


def test_a_fit_without_polish_has_the_experts_of_the_moments():
    X, y, _ = draw(25_000, 0, orthogonal_gate=True)
    model = MixtureOfExpertsRegressor(3, start="spectral", polish=False, random_state=0).fit(X, y)
    alone = recover_experts(X, y, 3, random_state=0).coef
    distance = np.linalg.norm(model.coef_[:, None] - alone[None], axis=2)
    np.testing.assert_allclose(distance.min(axis=0), 0.0, rtol=0, atol=1e-6)


def test_spectral_experts_under_the_papers_assumptions():
    """Orthogonal gates, n = 100 000: the median error over 10 seeds is below 0.08, and a quarter of the rows
    gives about twice the error.
    """
    errors = [spectral_errors(*draw(100_000, seed, orthogonal_gate=True)) for seed in range(10)]
    few, many = np.transpose(errors)
    assert np.median(many) < 0.08, many
    assert np.median(many / few) < 0.7


@pytest.mark.parametrize(
    "violation",
    [
        {"orthogonal_gate": False},
        {"orthogonal_gate": True, "expert_intercept": 0.5},
        {"orthogonal_gate": True, "x_mean": 1.0},
        {"orthogonal_gate": True, "expert_intercept": 0.5, "x_mean": 1.0},
    ],
    ids=["generic gates", "expert intercepts", "mean of x", "both"],
)
def test_the_polish_repairs_the_bias_of_the_moments(violation):
    """Outside the assumptions the spectral experts are biased: four times the rows do not halve the error. EM
    from the same start does away with it.
    """
    samples = [draw(100_000, seed, **violation) for seed in range(8)]
    few, many = np.transpose([spectral_errors(*sample) for sample in samples])
    assert np.median(many) > 0.1
    assert np.median(many / few) > 0.75
    for seed, (X, y, truth) in enumerate(samples[:4]):
        model = MixtureOfExpertsRegressor(3, start="spectral", n_init=1, random_state=seed)
        assert worst_expert(model.fit(X[:25_000], y[:25_000]).coef_, truth.coef) < 0.02


# ---- as in real data: piecewise linear, steep gates, x not Gaussian ------------------------------------


def bands(rng):
    """Three regimes along one column, the middle one between two thresholds."""
    coef = np.array([[0.0, 2, 0], [0, -2, 0], [1, 0, 2]])
    gates = np.outer([0.0, 1, 2], [1, 0, 0])
    return rng.uniform(-1, 1, (2000, 3)), coef, np.array([0.0, 1, -1]), gates, np.array([0, 0.5, 0])


def vee(rng):
    """A kink: |x|, continuous, so that only the slope tells the regimes apart."""
    gates = np.array([[1.0, 0], [0, 0]])
    return rng.uniform(-1, 1, (2000, 2)), np.array([[3.0, 1], [-3, 1]]), np.zeros(2), gates, np.zeros(2)


def sectors(rng):
    """Four regimes around the origin, one feature with heavy tails."""
    X = np.column_stack([rng.uniform(-1, 1, 2000), rng.standard_t(4, 2000)])
    gates = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    return X, np.array([[2.0, 0], [0, 2], [-1, 1], [1, -3]]), np.array([0.0, 3, -3, 1]), gates, np.zeros(4)


@pytest.mark.parametrize(
    ("regimes", "seeds"),
    [
        (bands, range(10)),
        (vee, range(10)),
        (sectors, range(4)),
        pytest.param(sectors, range(20), marks=pytest.mark.study),
    ],
)
def test_piecewise_linear_regimes_are_found(regimes, seeds):
    """The default fit is as likely as EM from the truth and predicts as well, for every seed."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        X, coef, intercept, gates, gate_intercept = regimes(rng)
        k = len(coef)
        truth = Mixture(coef, intercept, 30 * gates, 30 * gate_intercept, np.full(k, 0.1)).ordered(np.arange(k))
        y = truth.draw(X, rng)
        model = MixtureOfExpertsRegressor(k, random_state=seed).fit(X, y)
        best = fit_em(X, y, truth)
        assert model.log_likelihood_ > best.log_likelihood - 1.0, seed
        assert np.mean((y - model.predict(X)) ** 2) < 1.01 * np.mean((y - best.mixture.mean(X)) ** 2), seed
