"""The diagnosis calls clean data clean, finds every known bias, and the polish repairs what it finds."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.diagnostics import diagnose
from moefast.spectral import recover_experts
from moefast.standardisation import Standardisation
from oracles import moments as oracles

N, D, K = 20_000, 10, 3
CLEAN = {"orthogonal_gate": True}
# What is wrong, and the check that is to tell. Each leaves a bias that no number of rows removes.
BIASED = {
    "mean of x": ({"orthogonal_gate": True, "x_mean": 1.0 / np.sqrt(D)}, "common intercept"),
    "intercepts": ({"orthogonal_gate": True, "expert_intercept": 0.5}, "common intercept"),
    "generic gates": ({}, "gates orthogonal"),
    "uniform x": ({"orthogonal_gate": True, "x": "uniform"}, "x is normal"),
}


def draw(case, link="linear", seed=1, n=N):
    return make_moe(n, D, K, link=link, random_state=seed, **case)


def violated(diagnosis):
    return {check.name for check in diagnosis.checks if check.holds is False}


def worst_direction(found, truth):
    units = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (found, truth)]
    return np.linalg.norm(oracles.matched(*units) - units[1], axis=1).max()


@pytest.mark.parametrize("link", ["linear", "tanh", "relu"])
def test_data_under_the_assumptions_are_clean(link):
    X, y, truth = draw(CLEAN, link)
    diagnosis = diagnose(X, y, truth)
    assert violated(diagnosis) == set()
    assert diagnosis.consistent
    assert "consistent: the error of the moments' answer falls" in str(diagnosis)
    assert all(check.holds for check in diagnosis.checks)
    np.testing.assert_allclose(diagnosis.spectrum[:K].sum(), 1.0, atol=0.25)


@pytest.mark.parametrize("case", BIASED)
@pytest.mark.parametrize("link", ["linear", "relu"])
def test_every_known_bias_is_found(link, case):
    options, check = BIASED[case]
    X, y, truth = draw(options, link)
    diagnosis = diagnose(X, y, truth)
    assert check in violated(diagnosis)
    assert not diagnosis.consistent
    assert "start only" in str(diagnosis)
    assert diagnosis[check].meaning in str(diagnosis)


@pytest.mark.parametrize("case", ["mean of x", "intercepts", "generic gates"])
def test_the_polish_repairs_the_bias_and_its_fit_shows_it_as_well_as_the_truth(case):
    options, check = BIASED[case]
    X, y, truth = draw(options)
    moments_alone = worst_direction(recover_experts(X, y, K, random_state=0).coef, truth.coef)
    fit = MixtureOfExpertsRegressor(K, random_state=0).fit(X, y)
    assert moments_alone > 0.15
    assert worst_direction(fit.coef_, truth.coef) < 0.03
    assert violated(diagnose(X, y, fit)) == violated(diagnose(X, y, truth))
    assert diagnose(X, y, fit)[check].value == pytest.approx(diagnose(X, y, truth)[check].value, abs=0.1)


def test_unequal_norms_matter_unless_linear_experts_stand_behind_orthogonal_gates():
    norms = np.array([[1.0], [0.5], [1.0]])
    for case, link, expected in [
        (CLEAN, "linear", False),
        ({}, "linear", True),
        (CLEAN, "relu", True),
    ]:
        X, _, truth = draw(case, link)
        truth = replace(truth, coef=norms * truth.coef)
        y = truth.draw(X, np.random.default_rng(0))
        assert ("common norm" in violated(diagnose(X, y, truth))) is expected


def test_a_wrong_noise_or_number_of_experts_shows():
    X, y, truth = draw(CLEAN, "tanh")
    louder = replace(truth, sigma=5.0 * truth.sigma)
    assert violated(diagnose(X, y, louder)) == {"variance of y"}
    X, y, _ = draw(CLEAN)
    with pytest.warns(ConvergenceWarning, match="did not settle"):
        too_many = recover_experts(X, y, K + 2, random_state=0)
    assert "gap of T2" in violated(diagnose(X, y, too_many))


def test_chance_is_not_taken_for_a_departure():
    rejected = 0
    for seed in range(20):
        X, y, truth = make_moe(300, 5, 2, orthogonal_gate=True, random_state=seed)
        names = {"x is normal", "a.x is normal", "variance of y"}
        rejected += bool(names & violated(diagnose(X, y, truth)))
    assert rejected <= 1


def test_the_moments_own_answer_does_not_know_gates_and_intercepts():
    X, y, _ = draw(CLEAN)
    diagnosis = diagnose(X, y, recover_experts(X, y, K, random_state=0))
    unknown = {check.name for check in diagnosis.checks if check.holds is None}
    assert unknown == {"common norm", "common intercept", "gates orthogonal", "variance of y"}
    assert diagnosis.consistent
    assert "if these hold too: common norm, common intercept" in str(diagnosis)
    X, y, _ = draw(CLEAN, "relu")
    assert diagnose(X, y, recover_experts(X, y, K, link="relu", random_state=0))["variance of y"].holds


def test_the_diagnosis_does_not_depend_on_units():
    X, y, truth = draw(BIASED["mean of x"][0])
    scale, mean = np.geomspace(1e-3, 1e3, D), np.arange(D) * 1.0
    units = Standardisation(mean, scale, 7.0, 50.0)
    one, two = diagnose(X, y, truth), diagnose(mean + scale * X, 7.0 + 50.0 * y, truth.to_units(units))
    np.testing.assert_allclose([c.value for c in two.checks], [c.value for c in one.checks], rtol=0, atol=1e-6)
    np.testing.assert_allclose(two.spectrum, one.spectrum, rtol=0, atol=1e-8)


def test_weights_count_rows():
    X, y, truth = draw(CLEAN, n=2000)
    w = np.random.default_rng(0).integers(0, 3, size=len(y))
    one, two = diagnose(X, y, truth, sample_weight=w), diagnose(np.repeat(X, w, axis=0), np.repeat(y, w), truth)
    np.testing.assert_allclose([c.value for c in one.checks], [c.value for c in two.checks], rtol=0, atol=1e-8)


def test_the_departure_from_normality_is_the_excess_kurtosis_of_independent_columns():
    rng = np.random.default_rng(0)
    X, y, truth = make_moe(200_000, 4, 2, orthogonal_gate=True, random_state=0)
    X[:, 3] = rng.uniform(-1.0, 1.0, size=len(y))  # excess kurtosis -1.2
    assert diagnose(X, y, truth)["x is normal"].value == pytest.approx(1.2, abs=0.1)
    X[:, 3] = rng.exponential(size=len(y))  # skewness 2, excess kurtosis 6
    assert diagnose(X, y, truth)["x is normal"].value == pytest.approx(6.0, abs=1.0)


def test_what_cannot_be_diagnosed_is_refused():
    X, y, truth = make_moe(100, 4, 2, random_state=0)
    with pytest.raises(TypeError, match=r"model must be a Mixture, .* got ndarray"):
        diagnose(X, y, truth.coef)
    with pytest.raises(ValueError, match="model has 4 features, X has 3"):
        diagnose(X[:, :3], y, truth)
    with pytest.raises(ValueError, match="NaN"):
        diagnose(np.where(X > 3, X, np.nan), y, truth)
