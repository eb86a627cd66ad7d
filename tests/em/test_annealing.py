"""Tempered responsibilities against a slow oracle, and the detours of the search that use them."""

import itertools

import numpy as np
import pytest
from test_em_kernel import assert_agrees, settings

from moefast import _core
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.em.fit import Stage, StagedStart
from moefast.families import GAUSSIAN, MultivariateGaussian, StudentT
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.search.assignments import KINDS
from moefast.search.detours import ANNEALED, DETOURS, OTHER_NOISE, with_detours
from moefast.search.move_choice import MoveChoice
from moefast.search.moves import MOVES
from moefast.search.random_starts import RandomStarts
from moefast.search.settings import SearchSettings
from moefast.search.starts import random_assignment_start, random_parameters
from oracles import core
from oracles import em as em_oracles


def tempered(X, y, p, beta):
    """Responsibilities and sum_n-terms log(sum_i (p_i N_i)^beta) / beta."""
    log_gate, log_normal, _ = em_oracles.log_terms(X, y, p)
    joint = beta * (log_gate + log_normal)
    top = joint.max(axis=1, keepdims=True)
    shares = np.exp(joint - top)
    total = shares.sum(axis=1, keepdims=True)
    return (shares / total).astype(float), ((top + np.log(total))[:, 0] / beta).astype(float)


@pytest.mark.parametrize("beta", [1.0, 0.7, 0.2, 1e-3])
@pytest.mark.parametrize("n", [7, 1030])
def test_a_pass_at_a_temperature(beta, n):
    problem = em_oracles.random_problem(n, 3, 4, seed=n)
    X, y, w, p = problem
    found = core.e_step(*problem, settings(inverse_temperature=beta))
    responsibilities, terms = tempered(X, y, p, beta)
    names = ("totals", "squares", "residuals", "gate_slope", "products")
    assert_agrees(found, problem, names, responsibilities=responsibilities)
    assert found["log_likelihood"] == pytest.approx(float(w @ terms), rel=1e-11)


def test_iterations_at_a_temperature_climb_its_objective():
    X, y, _ = make_moe(500, 3, 3, noise=0.4, random_state=0)
    problem = EmProblem(Samples(X, y, np.ones(500)), EmOptions(gate_alpha=0.0))
    start = random_parameters(problem, 3, np.random.default_rng(0))
    fit = annealed(problem, start, 60, 0.4)
    assert np.diff(fit.trace).min() >= -1e-9 * abs(fit.trace).max()
    m = fit.mixture
    p = em_oracles.Parameters(
        np.column_stack([m.coef, m.intercept]), np.column_stack([m.gate_coef, m.gate_intercept]), m.sigma**2
    )
    assert fit.trace[-1] == pytest.approx(tempered(problem.Z, problem.t, p, 0.4)[1].sum(), rel=1e-9)
    # Not what EM at temperature 1 does from there.
    (plain,) = problem.run_many([start], max_iter=60)
    assert abs(plain.mixture.coef - m.coef).max() > 1e-3


@pytest.mark.parametrize("beta", [0.0, -0.5, 1.5, np.nan])
def test_a_temperature_below_one_is_refused(beta):
    with pytest.raises(ValueError, match="inverse_temperature"):
        settings(inverse_temperature=beta)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize(
    "family", [GAUSSIAN, StudentT(), MultivariateGaussian(2), MultivariateGaussian(2, "diag")], ids=str
)
def test_runs_after_detours_are_runs_one_after_the_other(family, noise):
    """Bit for bit where the noise is a variance; shapes and covariances are averaged by other functions."""
    rng = np.random.default_rng(1)
    X, y, _ = make_moe(300, 3, 2, noise=0.4, random_state=1)
    if family.has_covariance:
        y = np.column_stack([y, X[:, 0] + 0.3 * y + rng.normal(size=300)])
    problem = EmProblem(Samples(X, y, np.ones(300)), EmOptions(noise, n_threads=1), family=family)
    detours = [*DETOURS, *DETOURS[::-1]]
    starts = [random_assignment_start(problem, 2, rng).make() for _ in detours]
    starts[0] = starts[3] = problem.run(responsibilities=np.eye(2)[starts[0].labels], max_iter=3).mixture
    staged = with_detours(starts, detours, problem.options, rng, SearchSettings())
    temperatures = [stage.inverse_temperature for stage in staged[2].stages]
    assert 0.2 <= temperatures[0] < temperatures[-1] < 1.0
    assert temperatures == sorted(temperatures)
    assert staged[0] is starts[0]
    other = problem.with_noise("shared" if noise == "per_expert" else "per_expert")
    for start, detour, found in zip(starts, detours, problem.run_many(staged, max_iter=5), strict=True):
        fits = []
        if detour == OTHER_NOISE:
            fits = other.run_many([start], max_iter=20)
        for beta in temperatures if detour == ANNEALED else ():
            fits.append(annealed(problem, fits[-1].mixture if fits else start, 8, beta))
        (wanted,) = problem.run_many([fits[-1].mixture if fits else start], max_iter=5)
        assert found.n_before == sum(fit.n_iter + 1 for fit in fits)
        assert found.cost == wanted.cost + sum(fit.cost for fit in fits)
        assert (found.n_iter, found.status) == (wanted.n_iter, wanted.status)
        rtol = 0.0 if family is GAUSSIAN else 1e-9
        for name in ("coef", "gate_coef", "sigma", "shape"):
            np.testing.assert_allclose(
                getattr(found.mixture, name), getattr(wanted.mixture, name), rtol=rtol, atol=1e3 * rtol
            )
        np.testing.assert_allclose(found.trace, wanted.trace, rtol=rtol)


def annealed(problem, start, n_iter, beta):
    """Iterations at an inverse temperature by themselves."""
    responsibilities = None if isinstance(start, Mixture) else np.eye(2)[start.labels]
    blank, parameters = problem._parameters(start if isinstance(start, Mixture) else problem._blank(2))
    run = (*parameters, responsibilities, None)
    (end,) = _core.em_run(problem._data(), [run], problem._settings(n_iter, inverse_temperature=beta))
    return problem._fit(blank, end)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_stages_have_bounds_and_their_number_is_that_of_the_starts(n_threads):
    X, y, _ = make_moe(50, 3, 2, random_state=1)
    problem = EmProblem(Samples(X, y, np.ones(50)), EmOptions(n_threads=n_threads))
    start = random_assignment_start(problem, 2, np.random.default_rng(0)).make()
    with pytest.raises(ValueError, match="inverse_temperature must lie in"):
        problem.run_many([start, StagedStart(start, (Stage(3, "shared", 1.5),))])
    _, parameters = problem._parameters(problem._blank(2))
    with pytest.raises(ValueError, match="before must have the stages of each start"):
        _core.em_run(problem._data(), [(*parameters, None, start.labels)], problem._settings(3), [[], []])


def test_all_detours_have_their_turn():
    """Of every kind of start."""
    X, y, _ = make_moe(50, 3, 2, random_state=1)
    problem = EmProblem(Samples(X, y, np.ones(50)), EmOptions(n_threads=1))
    drawn = RandomStarts(problem, 2, np.random.default_rng(0), SearchSettings()).draw(5 * len(KINDS))
    assert {(start.kind, start.detour) for start in drawn} == set(itertools.product(KINDS, DETOURS))


def test_moves_that_help_are_tried_more_often():
    """And each by the detour that helps, whatever the other moves do by it."""
    rng, choice = np.random.default_rng(0), MoveChoice(SearchSettings())
    assert {move for move, _ in choice.tried} == set(MOVES)
    for _ in range(100):
        for drawn in choice.draw(8, rng):
            choice.note(drawn, drawn == ("hand over", OTHER_NOISE))
    assert sum(choice.tried.values()) == 800
    share = choice.tried["hand over", OTHER_NOISE] / 800
    assert share > 0.5
    # None is given up.
    assert all(sum(choice.tried[move, detour] for detour in DETOURS) > 0 for move in MOVES)
    reports = choice.reports()
    assert sum(report.n_tried for report in reports) == 800
    assert sum(report.n_gained for report in reports) == choice.tried["hand over", OTHER_NOISE]
