"""Tempered responsibilities against a slow oracle, and the detours of the search that use them."""

import itertools

import numpy as np
import pytest
from test_em_kernel import assert_agrees, settings

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search.assignments import KINDS
from moefast.search.detours import ANNEALED, DETOURS, DIRECT, OTHER_NOISE, take_detours
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
    (fit,) = problem.run_many([start], max_iter=60, inverse_temperature=0.4)
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
def test_detours(noise, monkeypatch):
    """Each start takes its own: where it is then is what the same iterations make of it alone."""
    X, y, _ = make_moe(300, 3, 2, noise=0.4, random_state=1)
    problem = EmProblem(Samples(X, y, np.ones(300)), EmOptions(noise, n_threads=1))
    rng = np.random.default_rng(2)
    detours = [*DETOURS, *DETOURS[::-1]]
    starts = [random_assignment_start(problem, 2, rng).make() for _ in detours]
    temperatures, charged, run_many = [], [], EmProblem.run_many

    def recorded(self, starts, *, max_iter, inverse_temperature=1.0):
        if inverse_temperature < 1:
            temperatures.append((max_iter, inverse_temperature))
        return run_many(self, starts, max_iter=max_iter, inverse_temperature=inverse_temperature)

    with monkeypatch.context() as patch:
        patch.setattr(EmProblem, "run_many", recorded)
        rng = np.random.default_rng(3)
        after = take_detours(problem, starts, detours, rng, charged.extend, SearchSettings())
    assert len(charged) == 2 * (1 + len(temperatures))
    assert 0.2 <= temperatures[0][1] < temperatures[-1][1] < 1.0
    assert temperatures == sorted(temperatures)
    other = problem.with_noise("shared" if noise == "per_expert" else "per_expert")
    for start, detour, end in zip(starts, detours, after, strict=True):
        wanted = start
        if detour == OTHER_NOISE:
            wanted = other.run_many([start], max_iter=20)[0].mixture
        if detour == ANNEALED:
            for n_iter, beta in temperatures:
                wanted = problem.run_many([wanted], max_iter=n_iter, inverse_temperature=beta)[0].mixture
        if detour == DIRECT:
            assert end is start
        else:
            np.testing.assert_array_equal(end.coef, wanted.coef)
            np.testing.assert_array_equal(end.gate_coef, wanted.gate_coef)


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
