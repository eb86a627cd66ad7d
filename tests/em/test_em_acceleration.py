"""Anderson acceleration of EM's tail: fewer iterations to the same place, never down."""

from dataclasses import replace

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.starts import random_assignment_start, random_parameters
from oracles import em as em_oracles


def slow_problem(link="linear", **options):
    """Experts that overlap: much noise makes EM slow."""
    X, y, truth = make_moe(2000, 4, 3, noise=0.6, gate_scale=1.0, random_state=0, link=link)
    return EmProblem(Samples(X, y, np.ones(2000)), EmOptions(max_iter=20_000, **options), truth.link)


@pytest.mark.parametrize("link", ["linear", "tanh"])
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_fewer_iterations_to_the_same_place(link, noise):
    """At most seven tenths, and no lower by more than what the tolerance leaves."""
    plain = slow_problem(link, noise=noise, accelerate=False)
    quick = slow_problem(link, noise=noise)
    rng = np.random.default_rng(1)
    starts = [random_parameters(plain, 3, rng) for _ in range(4)]
    slow, fast = plain.run_many(starts), quick.run_many(starts)
    assert all(fit.converged for fit in [*slow, *fast])
    assert sum(fit.n_iter for fit in fast) < 0.7 * sum(fit.n_iter for fit in slow)
    for a, b in zip(slow, fast, strict=True):
        assert b.log_likelihood > a.log_likelihood - 0.05
        assert np.diff(b.trace).min() >= -1e-9 * abs(b.trace).max()


def test_it_ends_where_the_gradient_vanishes():
    problem = slow_problem(tol=1e-14, gate_alpha=0.1, alpha=0.5)
    fit = problem.run(random_parameters(problem, 3, np.random.default_rng(3)))
    assert fit.converged
    m = fit.mixture

    def objective(flat):
        experts, gates, log_sigma = np.split(flat, [15, 25])
        gates = np.vstack([gates.reshape(2, 5), np.zeros(5)])
        p = em_oracles.Parameters(experts.reshape(3, 5), gates, np.exp(2 * log_sigma))
        return em_oracles.objective(problem.Z, problem.t, np.ones(2000), p, 0.5, 0.1)

    at = np.concatenate(
        [
            np.column_stack([m.coef, m.intercept]).ravel(),
            np.column_stack([m.gate_coef, m.gate_intercept])[:2].ravel(),
            np.log(m.sigma),
        ]
    )
    assert objective(at) == pytest.approx(fit.trace[-1], rel=1e-9)
    assert np.abs(em_oracles.numerical_gradient(objective, at)).max() < 0.02  # of sums over 2000 rows


def test_the_first_iterations_are_those_of_plain_em():
    """They choose the basin."""
    plain, quick = slow_problem(accelerate=False), slow_problem()
    start = random_assignment_start(plain, 3, np.random.default_rng(0)).make()
    a, b = (problem.run_many([start], max_iter=4)[0] for problem in (plain, quick))
    np.testing.assert_array_equal(a.trace, b.trace)


def test_threads_and_batches_do_not_change_a_bit():
    problem = slow_problem()
    rng = np.random.default_rng(4)
    starts = [random_parameters(problem, 3, rng) for _ in range(3)]
    together = problem.run_many(starts)
    problem.options = replace(problem.options, n_threads=2)
    for start, fit in zip(starts, together, strict=True):
        alone = problem.run(start)
        np.testing.assert_array_equal(alone.trace, fit.trace)
        np.testing.assert_array_equal(alone.mixture.coef, fit.mixture.coef)


def test_frozen_parts_stay_frozen():
    """Means given, noise held: only the gates move, to the same place."""
    plain, quick = slow_problem(accelerate=False), slow_problem()
    start = random_parameters(plain, 3, np.random.default_rng(5))
    means = start.expert_means(plain.Z)
    a, b = (p.run(start, means=means, update_noise=False) for p in (plain, quick))
    np.testing.assert_array_equal(b.mixture.sigma, start.sigma)
    np.testing.assert_array_equal(b.mixture.coef, start.coef)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, abs=1e-2)
