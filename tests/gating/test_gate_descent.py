"""Gradient descent on L_log: the gradient, the learning curve, and the same optimum as EM."""

import numpy as np
import pytest
from scipy.stats import norm

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.gating import fit_gates
from moefast.gating.descent import _Objective
from moefast.samples import Samples


@pytest.mark.parametrize(("k", "link"), [(2, "linear"), (3, "tanh")])
@pytest.mark.parametrize("options", [{}, {"fit_gate_intercept": False, "gate_alpha": 0.0}, {"gate_alpha": 50.0}])
def test_it_ends_where_em_ends(k, link, options):
    X, y, truth = make_moe(5000, 4, k, link=link, gate_intercept=0.5, x_mean=0.3, random_state=0)
    w = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))
    settings = EmOptions(tol=1e-13, max_iter=5000, **options)
    em, descent = (
        fit_gates(X, y, truth, sigma=0.1, method=method, sample_weight=w, options=settings)
        for method in ("em", "gradient")
    )
    assert em.converged
    assert descent.converged
    np.testing.assert_allclose(descent.mixture.gate_coef, em.mixture.gate_coef, rtol=0, atol=1e-4)
    np.testing.assert_allclose(descent.mixture.gate_intercept, em.mixture.gate_intercept, rtol=0, atol=1e-4)
    np.testing.assert_allclose(descent.totals, em.totals, rtol=1e-4)
    # The curves are of one objective: they begin at the same gates and end at the same value.
    np.testing.assert_allclose(descent.trace[[0, -1]], em.trace[[0, -1]], rtol=1e-9)
    assert descent.log_likelihood == pytest.approx(em.log_likelihood, rel=1e-6)  # with a ridge not at its top
    np.testing.assert_array_equal(descent.mixture.coef, truth.coef)
    np.testing.assert_allclose(descent.mixture.sigma, 0.1, rtol=1e-12)


def test_the_learning_curve_rises_with_every_iteration():
    X, y, truth = make_moe(3000, 4, 3, gate_intercept=0.5, random_state=1)
    fit = fit_gates(X * [1.0, 30.0, 0.1, 1.0], y, truth, sigma=0.3, method="gradient")
    assert len(fit.trace) == fit.n_iter + 1
    assert (np.diff(fit.trace) > 0).all()


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_the_slope_is_the_derivative_of_the_objective(alpha):
    X, y, truth = make_moe(300, 3, 3, gate_intercept=0.5, random_state=2)
    w = np.random.default_rng(3).uniform(0.5, 2.0, size=300)
    problem = EmProblem(Samples(X, y, w), EmOptions(gate_alpha=alpha))
    standard = truth.to_standard(problem.standardisation)
    start, (experts, gates, variance) = problem._parameters(standard, update_noise=False)
    means = np.ascontiguousarray(start.expert_means(problem.Z))
    objective = _Objective(problem, experts, variance, means)
    slope = objective(gates)[1]
    np.testing.assert_array_equal(slope[-1], 0.0)
    for i, j in np.ndindex(2, 4):
        step = np.zeros_like(gates)
        step[i, j] = 1e-5
        rise = (objective(gates + step)[0] - objective(gates - step)[0]) / 2e-5
        assert slope[i, j] == pytest.approx(rise, abs=1e-8)


def test_the_value_is_that_of_the_definition():
    X, y, truth = make_moe(200, 3, 2, random_state=4)
    fit = fit_gates(X, y, truth, sigma=0.1, method="gradient", options=EmOptions(max_iter=3))
    assert fit.status == "iteration_limit"
    assert fit.n_iter == 3
    m = fit.mixture
    density = (m.gates(X) * norm.pdf(y[:, None], m.expert_means(X), m.sigma)).sum(axis=1)
    assert fit.log_likelihood == pytest.approx(np.log(density).sum(), rel=1e-10)


def test_one_expert_has_no_gate_to_fit():
    X, y, truth = make_moe(100, 3, 1, random_state=5)
    fit = fit_gates(X, y, truth, sigma=0.1, method="gradient")
    assert fit.converged
    assert fit.n_iter == 0


def test_the_noise_is_not_fitted():
    X, y, truth = make_moe(100, 3, 2, random_state=6)
    with pytest.raises(ValueError, match="update_noise needs method='em'"):
        fit_gates(X, y, truth, sigma=0.1, method="gradient", update_noise=True)
