"""Fits from given starts end at optima, by Newton's method."""

from dataclasses import replace

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.families import Poisson
from moefast.links import LINKS
from moefast.samples import Samples
from moefast.search import SearchSettings, best_of_starts, optimum_of_starts
from moefast.search.starts import Start
from oracles.saddle import identical_experts

X, Y, TRUTH = make_moe(2000, 3, 2, noise=0.5, random_state=0)
W = np.ones(2000)


def problem_of(kind, **options):
    options = EmOptions(n_threads=1, **options)
    if kind == "poisson":
        counts = np.random.default_rng(0).poisson(np.exp(np.clip(Y, -3, 3))).astype(float)
        return EmProblem(Samples(X, counts, W), options, family=Poisson())
    y = Y if kind == "linear" else make_moe(2000, 3, 2, link=kind, noise=0.5, random_state=0)[1]
    return EmProblem(Samples(X, y, W), options, LINKS[kind])


def start_at(problem):
    near = replace(TRUTH.to_standard(problem.standardisation), link=problem.link, family=problem.family)
    return Start("mine", lambda: near)


@pytest.mark.parametrize("kind", ["linear", "softplus", "poisson"])
def test_the_gradient_vanishes_and_nothing_is_lost(kind):
    problem = problem_of(kind, tol=1e-6)
    starts = [start_at(problem)]
    em, em_report = best_of_starts(problem, starts)
    fit, report = optimum_of_starts(problem, starts)
    assert em.gradient > SearchSettings().gradient_tol
    assert fit.converged
    assert fit.gradient <= SearchSettings().gradient_tol
    assert fit.log_likelihood > em.log_likelihood
    assert report.n_iter_total - em_report.n_iter_total == fit.n_iter - em.n_iter > 0


def test_a_run_that_was_stopped_stays_there():
    problem = problem_of("linear", max_iter=2)
    em, _ = best_of_starts(problem, [start_at(problem)])
    fit, _ = optimum_of_starts(problem, [start_at(problem)])
    assert (fit.status, fit.n_iter) == ("iteration_limit", 2)
    np.testing.assert_array_equal(fit.mixture.coef, em.mixture.coef)


def test_a_saddle_is_left():
    problem = problem_of("linear")
    saddle = identical_experts(problem, TRUTH)
    assert saddle.converged
    fit, _ = optimum_of_starts(problem, [Start("saddle", lambda: saddle.mixture)])
    assert fit.converged
    assert fit.log_likelihood > saddle.log_likelihood + 100
