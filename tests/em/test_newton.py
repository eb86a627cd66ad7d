"""Newton's method at the end of a run: against EM that goes on for long, at saddles, under every option."""

from dataclasses import replace

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor, _core
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.em.newton import newton_end, takes_newton
from moefast.links import LINKS
from moefast.samples import Samples
from oracles.saddle import identical_experts

X, Y, TRUTH = make_moe(1500, 3, 3, noise=0.5, random_state=0)
W = np.random.default_rng(0).uniform(0.5, 2.0, size=1500)

OPTIONS = {
    "plain": {},
    "shared noise": {"noise": "shared"},
    "ridges": {"alpha": 20.0, "gate_alpha": 3.0},
    "ridges, shared noise": {"alpha": 20.0, "gate_alpha": 3.0, "noise": "shared"},
    "no intercepts": {"fit_intercept": False, "fit_gate_intercept": False},
    "columns": {"expert_columns": (0, 1), "gate_columns": (1, 2)},
    "constant gates": {"gate_columns": ()},
    "common": {"common_columns": (1,)},
    "two in common of some columns": {"expert_columns": (0, 1, 2), "common_columns": (0, 2), "noise": "shared"},
    "common, ridges": {"common_columns": (0, 1), "alpha": 20.0, "gate_alpha": 3.0},
    "towards the mean": {"alpha": 20.0, "alpha_towards": "mean"},
    "towards the mean, shared noise": {"alpha": 20.0, "alpha_towards": "mean", "noise": "shared"},
    "towards the mean, common": {"alpha": 20.0, "alpha_towards": "mean", "common_columns": (1,)},
    "floor": {"noise_floor": 0.35},
    "shared floor": {"noise_floor": 0.6, "noise": "shared"},
}


def made(**options):
    return EmProblem(Samples(X, Y, W), EmOptions(n_threads=1, **options))


def near_optimum(problem, tol=1e-6):
    """A run that has settled by a wide tolerance."""
    loose = EmProblem(Samples(X, Y, W), replace(problem.options, tol=tol))
    return loose.run(TRUTH.to_standard(problem.standardisation)).mixture


@pytest.mark.parametrize("name", OPTIONS)
def test_it_ends_where_em_ends_after_long(name):
    problem = made(**OPTIONS[name])
    start = near_optimum(problem)
    (far,) = problem.run_many([start], max_iter=5000, gradient_tol=1e-12)
    end = newton_end(problem, start, tol=1e-12, gradient_tol=1e-9)
    assert end.curvature == "maximum"
    assert end.fit.converged
    assert end.fit.gradient <= 1e-9
    assert end.fit.trace[-1] == pytest.approx(far.trace[-1], abs=1e-8)
    for one, other in (
        (end.fit.mixture.coef, far.mixture.coef),
        (end.fit.mixture.gate_coef, far.mixture.gate_coef),
        (end.fit.mixture.sigma, far.mixture.sigma),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(end.fit.totals, far.totals, rtol=1e-5)
    assert end.n_passes <= 12
    assert (np.diff(end.fit.trace) >= -1e-9).all()


@pytest.mark.parametrize("options", [{}, {"alpha": 2000.0, "gate_alpha": 300.0}], ids=["plain", "strong ridges"])
@pytest.mark.parametrize("part", ["coef", "gate_coef"])
def test_the_decrement_foretells_the_gain(options, part):
    problem = made(**options)
    (best,) = problem.run_many([near_optimum(problem)], max_iter=5000, gradient_tol=1e-12)
    m = best.mixture
    shift = 0.003 * np.random.default_rng(1).normal(size=m.coef.shape)
    shift[-1] = 0.0  # the reference of the gates
    end = newton_end(problem, replace(m, **{part: getattr(m, part) + shift}), tol=np.inf)
    assert end.fit.n_iter == 0
    assert end.decrement == pytest.approx(best.trace[-1] - end.fit.trace[0], rel=0.05)


@pytest.mark.parametrize("size", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_the_objective_never_falls(size, noise):
    """From anywhere, whatever comes of it."""
    problem = made(noise=noise)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        m = TRUTH.to_standard(problem.standardisation)
        start = replace(
            m,
            coef=m.coef + size * rng.normal(size=m.coef.shape),
            gate_coef=m.gate_coef + size * rng.normal(size=m.coef.shape),
            sigma=m.sigma * np.exp(size * rng.normal(size=3)),
        )
        end = newton_end(problem, start, tol=1e-9)
        rounding = 1e-12 * np.abs(end.fit.trace).max()
        assert (np.diff(end.fit.trace) >= -rounding).all()
        (there,) = problem.run_many([end.fit.mixture], max_iter=0)
        assert end.fit.trace[-1] == pytest.approx(there.trace[0], rel=1e-12)
        assert end.fit.gradient == pytest.approx(there.gradient, rel=1e-6, abs=1e-12)
        np.testing.assert_allclose(end.fit.totals, there.totals, rtol=1e-9)
        if end.fit.converged:
            assert end.curvature == "maximum"


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_a_saddle_of_identical_experts_is_recognised_and_left(noise):
    problem = made(noise=noise)
    saddle = identical_experts(problem, TRUTH)
    assert saddle.converged
    assert saddle.gradient < 1e-6
    end = newton_end(problem, saddle.mixture, tol=1e-6)
    assert end.curvature == "saddle"
    assert not end.fit.converged
    assert end.fit.n_iter == 1
    assert end.fit.trace[-1] > end.fit.trace[0] + 0.1
    on = problem.run(end.fit.mixture)
    assert on.log_likelihood > saddle.log_likelihood + 100


def test_second_derivatives_of_a_sample_lead_to_the_same_end():
    problem = made()
    sample = problem.subset(np.random.default_rng(2).uniform(size=1500) < 0.4)
    start = near_optimum(problem)
    alone, by_sample = (newton_end(problem, start, tol=1e-10, sample=s) for s in (None, sample))
    assert by_sample.fit.converged
    assert by_sample.fit.trace[-1] == pytest.approx(alone.fit.trace[-1], abs=1e-8)
    np.testing.assert_allclose(by_sample.fit.mixture.coef, alone.fit.mixture.coef, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_the_weights_does_not_matter(unit):
    plain, other = made(), EmProblem(Samples(X, Y, unit * W), EmOptions(n_threads=1))
    start = near_optimum(plain)
    a, b = (newton_end(p, start, tol=1e-9 * p.weight_per_row).fit.mixture for p in (plain, other))
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-6)


def test_which_problems_take_it():
    assert takes_newton(made(), 3)
    assert not takes_newton(made(), 200)
    assert takes_newton(EmProblem(Samples(X, Y, W), EmOptions(), LINKS["tanh"]), 3)
    collinear = np.column_stack([X, X[:, 0] + X[:, 1]])
    assert not takes_newton(EmProblem(Samples(collinear, Y, W), EmOptions()), 3)
    assert takes_newton(
        EmProblem(Samples(collinear, Y, W), EmOptions(expert_columns=(0, 1), gate_columns=(3,))), 3
    )


def test_bad_arguments_are_refused():
    problem = made()
    _, at = problem._parameters(TRUTH.to_standard(problem.standardisation))
    settings = problem._settings()
    for changed, message in (
        ({"tol": -1.0}, "tol must not be negative, got -1"),
        ({"max_passes": 0}, "max_passes must be at least 1, got 0"),
        ({"data": problem._data(np.zeros((1500, 3)))}, "Newton's method is for experts that are fitted"),
    ):
        given = {"data": problem._data(), "tol": 1e-6, "max_passes": 5} | changed
        with pytest.raises(ValueError, match=message):
            _core.newton_run(given["data"], at, settings, given["tol"], given["max_passes"])
    narrow = _core.EmData(np.zeros((5, 2)), np.zeros(5), np.ones(5))
    with pytest.raises(ValueError, match="sample must have the columns of data"):
        _core.newton_run(problem._data(), at, settings, 1e-6, 5, narrow)


def test_a_default_fit_of_many_rows_ends_by_a_sample(monkeypatch):
    """Where EM on all rows would end, with a gradient as small."""
    from moefast.search import settings as module

    data, response, _ = make_moe(4000, 3, 2, noise=0.5, random_state=1)
    plain = MixtureOfExpertsRegressor(2, random_state=0, n_threads=1).fit(data, response)
    small = replace(module.SearchSettings(), max_rows=500, sample_rows=1000)
    monkeypatch.setattr("moefast.search.best_optimum.SearchSettings", lambda: small)
    sampled = MixtureOfExpertsRegressor(2, random_state=0, n_threads=1).fit(data, response)
    assert sampled.converged_
    assert sampled.fit_report_.gradient <= 1e-6
    assert sampled.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-4)
