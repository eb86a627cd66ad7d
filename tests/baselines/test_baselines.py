"""Joint EM from simple starts."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from moefast.baselines import fit_joint_em, fit_joint_em_many
from moefast.baselines import joint_em as baselines
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem, fit_em
from moefast.mixture import Mixture
from moefast.samples import Samples

KINDS = ["random assignment", "random parameters", "kmeans", "annealed"]


def same(a, b):
    for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
        np.testing.assert_array_equal(getattr(a.mixture, name), getattr(b.mixture, name), err_msg=name)
    np.testing.assert_array_equal(a.trace, b.trace)
    assert (a.log_likelihood, a.n_iter, a.status) == (b.log_likelihood, b.n_iter, b.status)


def problem_of(n=500, d=3, k=3, seed=0, **options):
    X, y, truth = make_moe(n, d, k, noise=0.2, random_state=seed)
    problem = EmProblem(Samples(X, y, np.ones(n)), EmOptions(n_threads=1, **options))
    return problem, truth.to_standard(problem.standardisation)


# ---- recovery ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_easy_truth_is_found_from_every_kind_of_start(kind):
    """k = 2, d = 4, n = 4000: within 1 of the log-likelihood of EM from the truth in 19 of 20 starts."""
    found = []
    for seed in range(4):
        X, y, truth = make_moe(4000, 4, 2, random_state=seed)
        goal = fit_em(X, y, truth).log_likelihood
        fits = fit_joint_em_many(X, y, 2, n_starts=5, start=kind, random_state=seed)
        found += [fit.log_likelihood > goal - 1 for fit in fits]
        assert all(fit.converged for fit in fits)
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_a_harder_truth_is_found_from_most_starts(kind):
    """k = 5, d = 5, n = 2000: in 3 of 4 starts."""
    found = []
    for seed in range(4):
        X, y, truth = make_moe(2000, 5, 5, random_state=seed)
        goal = fit_em(X, y, truth).log_likelihood
        fits = fit_joint_em_many(X, y, 5, n_starts=10, start=kind, random_state=seed)
        found += [fit.log_likelihood > goal - 1 for fit in fits]
    assert 0.75 <= np.mean(found) < 1


# ---- what a start is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_does_not_depend_on_how_many_follow(kind):
    X, y, _ = make_moe(400, 3, 3, random_state=1)
    many = fit_joint_em_many(X, y, 3, n_starts=3, start=kind, random_state=5)
    same(fit_joint_em(X, y, 3, start=kind, random_state=5), many[0])
    for fit, again in zip(many, fit_joint_em_many(X, y, 3, n_starts=3, start=kind, random_state=5), strict=True):
        same(fit, again)
    assert len({fit.n_iter for fit in many}) > 1 or len({fit.log_likelihood for fit in many}) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_fit_is_in_the_units_of_the_data(kind):
    X, y, _ = make_moe(500, 3, 2, random_state=2)
    X, y = 50 * X + 7, 1e3 * y - 4
    weights = np.random.default_rng(0).uniform(0.5, 2, size=500)
    fit = fit_joint_em(X, y, 2, start=kind, sample_weight=weights, random_state=0)
    assert fit.log_likelihood == pytest.approx(weights @ fit.mixture.log_density(X, y), rel=1e-10)


def test_random_parameters_are_what_they_say():
    problem, _ = problem_of(d=4)
    rng = np.random.default_rng(0)
    drawn = [baselines.random_parameters(problem, 3, rng) for _ in range(400)]
    coef = np.array([m.coef for m in drawn])
    np.testing.assert_allclose(np.linalg.norm(coef, axis=2), 1)
    np.testing.assert_allclose(np.einsum("sij,sik->jk", coef, coef) / 1200, np.eye(4) / 4, atol=0.03)
    gates = np.array([m.gate_coef for m in drawn])
    assert not gates[:, -1].any()
    assert gates[:, :-1].std() == pytest.approx(0.1, rel=0.05)
    for m in drawn:
        assert not m.intercept.any()
        assert not m.gate_intercept.any()
        np.testing.assert_allclose(m.sigma * problem.standardisation.y_scale, problem.response_std)


def test_kmeans_starts_from_the_clusters():
    """Two far clusters are the two experts before EM has done anything."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-9, 1, size=(60, 2)), rng.normal(9, 1, size=(40, 2))])
    y = np.where(X[:, 0] < 0, X[:, 1], -X[:, 1]) + 0.3 * rng.normal(size=100)
    with pytest.warns(ConvergenceWarning):
        fit = fit_joint_em(X, y, 2, start="kmeans", options=EmOptions(max_iter=1), random_state=0)
    slopes = [
        np.linalg.lstsq(np.column_stack([X[s], np.ones(s.sum())]), y[s], rcond=None)[0]
        for s in (X[:, 0] < 0, X[:, 0] > 0)
    ]
    order = np.argsort(-fit.mixture.coef[:, 1])
    np.testing.assert_allclose(fit.mixture.coef[order], np.array(slopes)[:, :2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("noise", ["shared", "per_expert"])
def test_annealing_lowers_the_noise_level_by_level(noise, monkeypatch):
    """No level is below 0.9 of the one before, until none would be."""
    monkeypatch.setattr(baselines, "_COOLING", 0.9)
    problem, _ = problem_of(noise=noise)
    frozen = []
    run_many = problem.run_many

    def spy(starts, **arguments):
        if not arguments.get("update_noise", True):
            frozen.append(np.array([start.sigma for start in starts]))
        fits = run_many(starts, **arguments)
        if not arguments.get("update_noise", True):
            for start, fit in zip(starts, fits, strict=True):
                np.testing.assert_array_equal(fit.mixture.sigma, start.sigma)
        return fits

    problem.run_many = spy
    start = baselines.random_parameters(problem, 3, np.random.default_rng(0))
    (end,), (n_iter,) = baselines._anneal(problem, [start])
    levels = np.concatenate([*frozen, [end.sigma]])
    np.testing.assert_array_equal(levels[0], start.sigma)
    assert (levels[1:] >= 0.9 * levels[:-1] * (1 - 1e-12)).all()
    assert np.isclose(levels[1], 0.9 * levels[0]).any()  # the schedule binds
    assert (levels[-1] > 0.9 * levels[-2] * (1 + 1e-12)).all()  # and ends when it does not
    assert 2 * len(frozen) <= n_iter <= 3 * len(frozen)


def test_iterations_at_held_noise_are_counted():
    X, y, _ = make_moe(500, 3, 3, noise=0.2, random_state=0)
    fit = fit_joint_em(X, y, 3, start="annealed", random_state=0)
    problem, _ = problem_of()
    start = baselines.random_parameters(problem, 3, np.random.default_rng(0))
    (end,), (held,) = baselines._anneal(problem, [start])
    assert held >= 3
    assert fit.n_iter == held + problem.run(end).n_iter == held + len(fit.trace) - 1


def test_annealed_runs_together_are_runs_alone():
    problem, _ = problem_of(k=4)
    rng = np.random.default_rng(0)
    starts = [baselines.random_parameters(problem, 4, rng) for _ in range(5)]
    together, counts = baselines._anneal(problem, starts)
    for start, end, count in zip(starts, together, counts, strict=True):
        (alone,), (n_iter,) = baselines._anneal(problem, [start])
        np.testing.assert_array_equal(alone.coef, end.coef)
        np.testing.assert_array_equal(alone.sigma, end.sigma)
        assert n_iter == count


def test_frozen_noise_in_a_batch_is_frozen_noise_alone():
    problem, truth = problem_of()
    start = Mixture(truth.coef, truth.intercept, truth.gate_coef, truth.gate_intercept, np.array([0.9, 0.5, 1e-3]))
    (fit,) = problem.run_many([start], update_noise=False, max_iter=6)
    same(fit, problem.run(start, update_noise=False, max_iter=6))
    np.testing.assert_allclose(fit.mixture.sigma, start.sigma, rtol=1e-14)


# ---- failures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_not_settling_is_a_warning_and_a_flag(kind):
    X, y, _ = make_moe(300, 3, 3, random_state=0)
    with pytest.warns(ConvergenceWarning, match="2 of 2 EM runs did not settle"):
        fits = fit_joint_em_many(X, y, 3, n_starts=2, start=kind, options=EmOptions(max_iter=2), random_state=0)
    assert not any(fit.converged for fit in fits)


@pytest.mark.parametrize("kind", KINDS)
def test_awkward_data_give_finite_fits(kind):
    """Constant and repeated columns, a constant response, no more rows than experts."""
    rng = np.random.default_rng(0)
    column = rng.normal(size=60)
    X = np.column_stack([column, column, np.ones(60)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for rows, y in ((X, column + rng.normal(size=60)), (X, np.ones(60)), (X[:2], np.array([0.0, 1.0]))):
            fit = fit_joint_em(rows, y, 2, start=kind, random_state=0)
            for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
                assert np.isfinite(getattr(fit.mixture, name)).all()


@pytest.mark.parametrize("start", ["random parameters", "annealed"])
@pytest.mark.parametrize("link", ["tanh", "relu"])
def test_experts_with_a_link_start_from_random_parameters(start, link):
    """The truth's likelihood from most of the starts."""
    X, y, truth = make_moe(3000, 4, 2, link=link, noise=0.1, random_state=0)
    fits = baselines.fit_joint_em_many(X, y, 2, n_starts=6, start=start, link=link, random_state=0)
    best = fit_em(X, y, truth).log_likelihood
    assert sum(fit.log_likelihood > best - 0.1 for fit in fits) >= 4
    assert all(fit.mixture.link.name == link for fit in fits)


@pytest.mark.parametrize(
    ("n_experts", "changes", "error", "message"),
    [
        (2, {"start": "spectral"}, ValueError, "start must be one of 'random assignment'.*got 'spectral'"),
        (2, {"link": "tanh"}, ValueError, "got link='tanh'"),
        (2, {"link": np.tanh, "start": "kmeans"}, ValueError, "start='kmeans' serves linear experts"),
        (0, {}, ValueError, "n_experts must be at least 1, got 0"),
        (21, {}, ValueError, "n_experts must be at most 20, got 21"),
        (2.0, {}, TypeError, "n_experts must be an integer"),
        (2, {"n_starts": 0}, ValueError, "n_starts must be at least 1"),
        (2, {"sample_weight": np.full(20, np.nan)}, ValueError, "sample_weight has missing values"),
    ],
)
def test_bad_arguments_are_named(n_experts, changes, error, message):
    X, y, _ = make_moe(20, 2, 2, random_state=0)
    with pytest.raises(error, match=message):
        fit_joint_em_many(X, y, n_experts, **{"n_starts": 1, **changes})
