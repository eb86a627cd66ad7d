"""The certification ends at maxima, by Newton's method, from a sample where there is one."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search import certification
from moefast.search.budget import Budget, Deadline
from moefast.search.certification import Certification
from moefast.search.run import Run
from moefast.search.settings import SearchSettings
from oracles.saddle import identical_experts

X, Y, TRUTH = make_moe(3000, 3, 3, noise=0.5, random_state=0)
PROBLEM = EmProblem(Samples(X, Y, np.ones(3000)), EmOptions(n_threads=1))
SETTINGS = SearchSettings()


def certified(fits, problem=PROBLEM, sample=None, deadline=None, settings=SETTINGS):
    budget = Budget(0, problem.n_rows, deadline or Deadline(), tqdm(disable=True))
    runs = [Run("a", "", fit, fit.n_iter) for fit in fits]
    return Certification(problem, budget, settings, sample).best(runs)


def early():
    """A run that is still some units below its optimum."""
    return PROBLEM.run(TRUTH.to_standard(PROBLEM.standardisation), max_iter=3)


def test_a_saddle_is_left():
    stuck = identical_experts(PROBLEM, TRUTH)
    assert stuck.converged
    best = certified([stuck])
    assert best.log_likelihood > stuck.log_likelihood + 100
    assert best.fit.converged
    assert best.fit.gradient <= SETTINGS.gradient_tol


@pytest.mark.parametrize("rows", [None, 0.3])
def test_it_ends_where_em_would(rows):
    (far,) = PROBLEM.run_many([early().mixture], max_iter=3000, gradient_tol=1e-10)
    sample = None if rows is None else PROBLEM.subset(np.random.default_rng(1).uniform(size=3000) < rows)
    best = certified([early()], sample=sample)
    assert best.fit.converged
    assert best.fit.gradient <= SETTINGS.gradient_tol
    assert best.fit.trace[-1] == pytest.approx(far.trace[-1], abs=1e-5)
    assert best.fit.trace[-1] <= far.trace[-1] + 1e-8
    assert best.n_iter <= PROBLEM.options.max_iter


def test_a_sample_spares_passes_over_all_rows(monkeypatch):
    """EM on all rows does not run where Newton's method arrives."""
    sample = PROBLEM.subset(np.random.default_rng(1).uniform(size=3000) < 0.4)
    run_many, rows = EmProblem.run_many, []

    def watched(self, starts, **options):
        rows.append(self.n_rows)
        return run_many(self, starts, **options)

    monkeypatch.setattr(EmProblem, "run_many", watched)
    certified([early()], sample=sample)
    assert rows
    assert max(rows) == sample.n_rows


@pytest.fixture
def steps(monkeypatch):
    """Where steps began, on how many rows and after how many iterations they ended; `steps.lost` changes some."""
    run_many, newton_end = EmProblem.run_many, certification.newton_end
    seen = SimpleNamespace(begun=[], n_iter=[], lost={})

    def em(self, starts, **options):
        fits = run_many(self, starts, **options)
        seen.begun.append(("EM", self.n_rows, starts[0]))
        seen.n_iter.append(fits[0].n_iter)
        return fits

    def newton(problem, start, **options):
        end = newton_end(problem, start, **options)
        seen.begun.append(("Newton", problem.n_rows, start))
        seen.n_iter.append(end.fit.n_iter)
        # The first on all rows alone.
        changed = seen.lost if problem.n_rows == 3000 else {}
        seen.lost = {} if changed else seen.lost
        return replace(end, fit=replace(end.fit, **changed))

    monkeypatch.setattr(EmProblem, "run_many", em)
    monkeypatch.setattr(certification, "newton_end", newton)
    return seen


def test_iterations_on_the_sample_count(steps):
    start = early()
    sample = PROBLEM.subset(np.random.default_rng(1).uniform(size=3000) < 0.4)
    best = certified([start], sample=sample, settings=replace(SETTINGS, finalist_iterations=5))
    ways = [(way, n_rows == 3000) for way, n_rows, _ in steps.begun]
    assert ways == [("EM", False), ("Newton", False), ("Newton", True)]
    assert min(steps.n_iter) > 0
    assert best.n_iter == start.n_iter + sum(steps.n_iter)
    assert best.fit.n_iter == sum(steps.n_iter)


@pytest.mark.parametrize(
    ("lost", "kept"),
    [({"status": "iteration_limit"}, True), ({"collapsed": (0,)}, False)],
    ids=["short", "collapsed"],
)
def test_what_newton_gained_from_a_sample_is_kept_unless_experts_collapsed(steps, lost, kept):
    """Where it does not arrive on all rows EM ends the run: from there, or from where it was before the sample."""
    start = early()
    sample = PROBLEM.subset(np.random.default_rng(1).uniform(size=3000) < 0.4)
    steps.lost = lost
    best = certified([start], sample=sample, settings=replace(SETTINGS, finalist_iterations=5))
    way, n_rows, begun = steps.begun[3]
    assert (way, n_rows) == ("EM", 3000)
    gained = np.abs(begun.coef - start.mixture.coef).max()
    assert (gained > 1e-3) == kept
    assert best.n_iter == start.n_iter + sum(steps.n_iter if kept else steps.n_iter[3:])
    assert best.fit.converged
    assert best.fit.gradient <= SETTINGS.gradient_tol


def test_em_ends_the_run_where_newton_does_not(monkeypatch):
    newton_end = certification.newton_end

    def lost(*arguments, **options):
        end = newton_end(*arguments, **options)
        return replace(end, fit=replace(end.fit, status="iteration_limit"), curvature="indefinite")

    monkeypatch.setattr(certification, "newton_end", lost)
    sample = PROBLEM.subset(np.random.default_rng(1).uniform(size=3000) < 0.4)
    for rows in (None, sample):
        best = certified([early()], sample=rows)
        assert best.fit.converged
        assert best.fit.gradient <= SETTINGS.gradient_tol


def test_em_goes_on_from_beside_a_saddle(steps):
    """By EM, as it is far from any maximum, and then by Newton's method again."""
    certified([identical_experts(PROBLEM, TRUTH)])
    ways = [way for way, _, _ in steps.begun]
    assert ways[:4] == ["EM", "Newton", "EM", "Newton"]


def test_a_run_that_has_settled_stays_so_where_its_gradient_is_never_met(monkeypatch):
    monkeypatch.setattr(certification, "takes_newton", lambda *_: False)
    best = certified([early()], settings=replace(SETTINGS, final_iterations=1, gradient_tol=1e-300))
    assert best.fit.gradient > SETTINGS.gradient_tol
    assert best.fit.converged


def test_ridges_of_a_sample_are_as_strong_against_its_weight():
    """So its optimum is near that of all rows under strong ridges, too."""
    strong = EmProblem(Samples(X, Y, np.ones(3000)), EmOptions(alpha=300.0, gate_alpha=300.0, n_threads=1))
    sample = strong.subset(np.arange(3000) % 3 == 0)
    scaled = certification._in_proportion(sample, strong)
    assert (scaled.options.alpha, scaled.options.gate_ridge) == pytest.approx((100.0, 100.0))
    start = TRUTH.to_standard(strong.standardisation)
    whole, part, plain = (p.run(start).mixture.coef for p in (strong, scaled, sample))
    assert np.abs(part - whole).max() < 0.5 * np.abs(plain - whole).max()


def test_a_clock_that_has_run_out_ends_it():
    ticks = iter(range(0, 1000, 10))
    best = certified([early()], deadline=Deadline(1.0, clock=lambda: next(ticks)))
    assert best.fit.n_iter == 0
    assert not best.fit.converged
