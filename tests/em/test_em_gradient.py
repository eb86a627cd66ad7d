"""The gradient a run ends with, against finite differences; a default fit ends where it vanishes."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from moefast import MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.starts import random_parameters
from oracles import em as em_oracles


def numerical(problem, mixture):
    """Largest derivative of the mean objective by a_i / s_i, b_i / s_i, W, c, and log s_i away from the floor."""
    options, (k, d) = problem.options, mixture.coef.shape
    shared, sizes = options.noise == "shared", (k * (d + 1), (k - 1) * (d + 1))
    sigma = mixture.sigma

    def objective(flat):
        experts, gates, log_sigma = np.split(flat, np.cumsum(sizes))
        experts = experts.reshape(k, d + 1) * sigma[:, None]
        gates = np.vstack([gates.reshape(k - 1, d + 1), np.zeros(d + 1)])
        variance = np.broadcast_to(np.exp(2 * log_sigma), k)
        p = em_oracles.Parameters(experts, gates, variance)
        value = em_oracles.objective(
            problem.Z, problem.t, problem.sample_weight, p, options.alpha, options.gate_ridge
        )
        return value / problem.total_weight

    at = [
        np.column_stack([mixture.coef, mixture.intercept]).ravel() / np.repeat(sigma, d + 1),
        np.column_stack([mixture.gate_coef, mixture.gate_intercept])[:-1].ravel(),
        np.log(sigma[:1] if shared else sigma),
    ]
    gradient = em_oracles.numerical_gradient(objective, np.concatenate(at))
    noise = gradient[-len(at[-1]) :]
    at_floor = np.atleast_1d(sigma**2 <= problem.variance_floor * (1 + 1e-9))[: len(noise)]
    noise[at_floor] = np.maximum(noise[at_floor], 0.0)
    of_gates = gradient[sizes[0] : sum(sizes)].reshape(k - 1, d + 1)
    reference = of_gates.sum(axis=0)  # of the last gate row, whose derivative is minus the others'
    return max(np.abs(gradient).max(), np.abs(reference).max())


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("options", [{}, {"alpha": 0.5, "gate_alpha": 3.0}, {"noise_floor": 0.5}])
@pytest.mark.parametrize("n_iter", [0, 3, 40])
def test_the_gradient_of_a_run(noise, options, n_iter):
    X, y, _ = make_moe(400, 3, 3, noise=0.3, random_state=0)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, size=400)
    problem = EmProblem(Samples(X, y, weights), EmOptions(noise=noise, **options))
    (fit,) = problem.run_many([random_parameters(problem, 3, np.random.default_rng(2))], max_iter=n_iter)
    assert fit.gradient == pytest.approx(numerical(problem, fit.mixture), rel=1e-4, abs=1e-8)


def test_a_run_goes_on_until_the_gradient_is_met():
    X, y, _ = make_moe(1000, 3, 3, noise=0.5, random_state=3)
    problem = EmProblem(Samples(X, y, np.ones(1000)), EmOptions())
    start = random_parameters(problem, 3, np.random.default_rng(2))
    (loose,), (tight,) = problem.run_many([start]), problem.run_many([start], gradient_tol=1e-8)
    assert loose.converged
    assert tight.converged
    assert tight.gradient <= 1e-8 < loose.gradient
    assert tight.n_iter > loose.n_iter


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.filterwarnings("ignore:separated gates:moefast.DegenerateDataWarning")
def test_a_default_fit_ends_where_the_gradient_vanishes(noise):
    X, y = load_diabetes(return_X_y=True)
    model = MixtureOfExpertsRegressor(3, noise=noise, random_state=0).fit(X, y)
    problem = EmProblem(Samples(X, y, np.ones(len(y))), EmOptions(noise=noise))
    found = numerical(problem, model.mixture_.to_standard(problem.standardisation))
    assert found == pytest.approx(model.fit_report_.gradient, rel=0.05, abs=1e-9)
    assert found < 1.2e-6
    assert f"gradient {model.fit_report_.gradient:.1e}" in str(model.summary())
