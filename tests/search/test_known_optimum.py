"""A search that begins at a fit of another number of experts, for a better optimum than one that is known."""

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.samples import Samples
from moefast.search import best_optimum
from moefast.search.beginning import Neighbour
from moefast.search.best_optimum import find_optima
from moefast.search.portfolio import StartOptions

K = 3


def problem_of(n):
    X, y, _ = make_moe(n, 3, K, noise=0.3, random_state=1)
    problem = EmProblem(Samples(X, y, np.ones(n)), EmOptions(n_threads=1))
    return problem


PROBLEM = problem_of(400)


def search(problem, k, near=None, known=None):
    neighbour = None if near is None else Neighbour(near, known)
    options = StartOptions("auto", "auto", problem.n_parameters(k))
    return find_optima(problem, k, options, np.random.default_rng(0), neighbour=neighbour)


BEST = {k: search(PROBLEM, k).fit for k in (K - 1, K, K + 1)}


def poor():
    """Some iterations from experts that are all nearly alike."""
    rng = np.random.default_rng(0)
    R = rng.dirichlet(np.full(K, 100.0), size=PROBLEM.n_rows)
    return PROBLEM.run_many([R], max_iter=3)[0]


@pytest.mark.parametrize(
    ("near", "kinds"), [(K - 1, {"split by residual", "split by hyperplane"}), (K + 1, {"merge"})]
)
def test_a_poor_optimum_gives_way_and_moves_follow(near, kinds):
    known = poor()
    assert known.log_likelihood < BEST[K].log_likelihood - 20
    found = search(PROBLEM, K, BEST[near].mixture, known.mixture)
    assert found.fit.log_likelihood > BEST[K].log_likelihood - 5  # a short search
    report = found.report
    assert report.starts[0].kind == "known optimum"
    assert {start.kind for start in report.starts[1:]} == kinds
    assert report.starts[report.chosen].kind in kinds
    assert sum(move.n_tried for move in report.moves) > 0


@pytest.mark.parametrize("near", [K - 1, K + 1])
def test_the_best_optimum_stays_and_no_moves_follow(near):
    found = search(PROBLEM, K, BEST[near].mixture, BEST[K].mixture)
    assert found.fit.log_likelihood == pytest.approx(BEST[K].log_likelihood, abs=1e-6)
    np.testing.assert_allclose(found.fit.mixture.coef, BEST[K].mixture.coef, atol=1e-5)
    assert found.report.chosen == 0
    assert not any(move.n_tried for move in found.report.moves)
    assert found.report.n_iter_total < search(PROBLEM, K, BEST[near].mixture).report.n_iter_total / 2


def test_what_was_in_vain_does_not_go_on_on_more_rows(monkeypatch):
    many = problem_of(4000)
    known, fewer = search(many, K).fit, search(many, K - 1).fit
    monkeypatch.setattr(best_optimum, "bump_on_more_rows", None)  # not called
    found = search(many, K, fewer.mixture, known.mixture)
    assert found.fit.log_likelihood == pytest.approx(known.log_likelihood, abs=1e-3)
