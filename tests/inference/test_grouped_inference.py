"""Inference of fits to rows in groups that share one expert: derivatives, covariances and the bootstrap."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone

from moefast import MixtureOfExpertsRegressor
from moefast.em import EmOptions, EmProblem
from moefast.families import Tobit, get_family
from moefast.groups import RowGroups
from moefast.inference.bootstrap import KINDS
from moefast.inference.fit import Fit
from moefast.inference.layout import ParameterLayout
from moefast.links import LINKS
from moefast.mixture import Mixture
from moefast.repeated import group_log_density
from moefast.samples import RowTerms, Samples
from moefast.validation import check_samples
from oracles import grouped
from oracles.em import numerical_hessian


def problem_and_mixture(seed, k=3, link=LINKS["linear"], **options):
    """Random parameters, which have nothing to do with the data."""
    X, y, group, _ = grouped.simulate(25, seed)
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.5, 2, size=25)[group]
    options = EmOptions(**{"expert_columns": (0, 1), "gate_columns": (2,), **options})
    problem = EmProblem(check_samples(X, y, w, groups=group), options, link)
    gates = rng.normal(size=(k, 1))
    gates[-1] = 0.0
    sigma = np.full(k, 0.8) if options.noise == "shared" else rng.uniform(0.5, 1.5, size=k)
    mixture = Mixture(
        problem.expert_design.spread(rng.normal(size=(k, problem.expert_design.width))),
        rng.normal(size=k) * options.fit_intercept,
        problem.gate_design.spread(gates[:, : problem.gate_design.width]),
        np.append(rng.normal(size=k - 1), 0) * options.fit_gate_intercept,
        sigma,
        link,
    )
    return problem, mixture, ParameterLayout.of_names(["a", "b", "c"], mixture, options)


def group_scores(problem, layout, theta, link=lambda eta: eta):
    """Derivatives of each group's log-likelihood by the complex step, G x P."""
    group, ones = problem.groups.of_rows, np.ones((problem.n_rows, 1))
    U = np.hstack([problem.Z, ones])
    columns = []
    for j in range(len(theta)):
        moved = theta.astype(complex)
        moved[j] += 1e-30j
        k, d = layout.n_experts, layout.n_features
        experts, gates = np.zeros((k, d + 1), complex), np.zeros((k, d + 1), complex)
        experts[:, layout.expert_columns] = moved[: layout.gates.start].reshape(k, -1)
        gates[: k - 1, layout.gate_columns] = moved[layout.gates].reshape(k - 1, -1)
        sigma = np.exp(np.broadcast_to(moved[layout.noise], (k,)))
        terms = grouped.joint(U, U, problem.t, group, experts, gates, sigma, link)
        columns.append(grouped.log_sum_exp(terms).imag / 1e-30)
    return np.column_stack(columns)


OPTIONS = [
    {},
    {"noise": "shared"},
    {"fit_intercept": False},
    {"fit_gate_intercept": False, "noise": "shared"},
    {"gate_columns": ()},
    {"expert_columns": ()},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_derivatives(options):
    problem, mixture, layout = problem_and_mixture(1, **options)
    theta, w = layout.vector(mixture), problem.unit_weight
    score, hessian, products = problem.derivatives(mixture)
    s = group_scores(problem, layout, theta)
    np.testing.assert_allclose(score, w @ s, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(products, (s * w[:, None]).T @ s, rtol=1e-9, atol=1e-8)

    def slope(moved):
        return w @ group_scores(problem, layout, moved)

    h = 5e-5
    for j, step in enumerate(h * np.eye(len(theta))):
        near, far = slope(theta + step) - slope(theta - step), slope(theta + 2 * step) - slope(theta - 2 * step)
        np.testing.assert_allclose(hessian[j], (8 * near - far) / (12 * h), rtol=1e-6, atol=1e-5)


def test_derivatives_with_a_link():
    link = LINKS["tanh"]
    problem, mixture, layout = problem_and_mixture(2, link=link)
    w, theta = problem.unit_weight, layout.vector(mixture)
    score, hessian, _ = problem.derivatives(mixture)
    tanh = np.tanh
    np.testing.assert_allclose(score, w @ group_scores(problem, layout, theta, tanh), rtol=1e-9, atol=1e-9)
    h = 1e-5
    for j, step in enumerate(h * np.eye(len(theta))):
        change = group_scores(problem, layout, theta + step, tanh) - group_scores(
            problem, layout, theta - step, tanh
        )
        np.testing.assert_allclose(hessian[j], w @ change / (2 * h), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("noise", ["per_expert", "shared"])
@pytest.mark.parametrize("family", ["poisson", "binomial", "gamma", "negative_binomial", "student_t", "tobit"])
def test_derivatives_of_families(family, noise):
    """Against differences of the log-likelihood of groups, which is tested with scipy's laws."""
    X, y, group, _ = grouped.simulate(60, 3)
    rng, n = np.random.default_rng(3), len(y)
    law = Tobit(0.0) if family == "tobit" else get_family(family)
    trials = {"n_trials": np.full(n, 5.0)} if family == "binomial" else {}
    y = {
        "poisson": np.round(np.exp(y)),
        "negative_binomial": np.round(np.exp(y)),
        "binomial": np.clip(np.round(2.5 + y), 0, 5),
        "gamma": np.exp(y),
        "tobit": np.maximum(y, 0.0),
    }.get(family, y)
    w = rng.uniform(0.5, 2, size=60)[group]
    terms = RowTerms(0.3 * rng.normal(size=n), **trials)
    options = EmOptions(noise=noise, expert_columns=(0, 1), gate_columns=(2,))
    problem = EmProblem(check_samples(X, y, w, terms=terms, groups=group), options, LINKS["linear"], law)
    coef = problem.expert_design.spread(0.5 * rng.normal(size=(2, 2)))
    dispersions = np.array([0.8, 0.8] if noise == "shared" else [0.7, 1.2])
    sigma = dispersions if law.has_scale else np.ones(2)
    shape = 4 * dispersions if law.shape_name is not None else np.ones(2)
    gates = problem.gate_design.spread(np.array([[0.7], [0.0]])), np.array([0.4, 0.0])
    mixture = Mixture(coef, np.array([0.2, -0.3]), *gates, sigma, LINKS["linear"], problem.family, shape)
    layout = ParameterLayout.of_names(["a", "b", "c"], mixture, options)
    theta = layout.vector(mixture)
    score, hessian, products = problem.derivatives(mixture)

    def moved(theta):
        return layout.mixture(theta, mixture.link, mixture.family)

    def value(theta):
        return group_log_density(moved(theta), problem.Z, problem.t, problem.groups, problem.response.terms)

    assert len(score) == len(theta) == layout.n_parameters
    steps = 1e-5 * np.eye(len(theta))
    by_group = np.column_stack([(value(theta + step) - value(theta - step)) / 2e-5 for step in steps])
    np.testing.assert_allclose(score, problem.unit_weight @ by_group, rtol=1e-6, atol=1e-6)
    expected = (by_group * problem.unit_weight[:, None]).T @ by_group
    np.testing.assert_allclose(products, expected, rtol=1e-6, atol=1e-6 * np.abs(products).max())
    rows = [
        (problem.derivatives(moved(theta + s))[0] - problem.derivatives(moved(theta - s))[0]) / 2e-5 for s in steps
    ]
    np.testing.assert_allclose(hessian, rows, rtol=1e-5, atol=1e-6 * np.abs(hessian).max())


def test_groups_of_one_row_are_rows():
    X, y, _, _ = grouped.simulate(100, 3, most_rows=1)
    alone, mixture, _ = problem_and_mixture(3)
    options = EmOptions(expert_columns=(0, 1), gate_columns=(2,))
    samples = Samples(X, y, np.ones(100))
    alone = EmProblem(samples, options)
    of_groups = EmProblem(Samples(X, y, np.ones(100), groups=RowGroups.of(np.arange(100))), options)
    for one, other in zip(alone.derivatives(mixture), of_groups.derivatives(mixture), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-9)


# ---- standard errors -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit():
    X, y, group, _ = grouped.simulate(200, 4)
    model = MixtureOfExpertsRegressor(2, expert_features=[0, 1], gate_features=[2], random_state=0)
    return (
        X * [1.0, 20.0, 0.1] + [0, 5, 1],
        7 * y - 3,
        group,
        model.fit(X * [1.0, 20.0, 0.1] + [0, 5, 1], 7 * y - 3, groups=group),
    )


def test_standard_errors_are_those_of_the_numerical_hessian(fit):
    """In the units of the data, by differences of the log-likelihood."""
    X, y, group, model = fit
    result = model.inference(X, y, groups=group, cov_type="nonrobust")
    U = np.column_stack([X, np.ones(len(y))])

    def value(theta):
        experts, gates = np.zeros((2, 4)), np.zeros((2, 4))
        experts[:, [0, 1, 3]] = theta[:6].reshape(2, 3)
        gates[0, [2, 3]] = theta[6:8]
        return grouped.log_likelihood(
            grouped.joint(U, U, y, group, experts, gates, np.exp(theta[8:])), np.ones(200)
        )

    expected = np.linalg.inv(-numerical_hessian(value, result.params, 0.002 * result.bse))
    np.testing.assert_allclose(result.bse, np.sqrt(np.diag(expected)), rtol=2e-3)
    robust = model.inference(X, y, groups=group)
    assert robust.cov_type == "robust"
    assert (np.abs(robust.bse / result.bse - 1) < 0.3).all()


def test_copies_of_groups_are_their_weights(fit):
    X, y, group, model = fit
    times = 1 + np.arange(200) % 3
    rows = np.concatenate([np.flatnonzero(group == g) for g in range(200) for _ in range(times[g])])
    copies = np.concatenate([np.full((group == g).sum(), 4 * g + c) for g in range(200) for c in range(times[g])])
    weighted = clone(model).fit(X, y, times[group], groups=group).inference(X, y, times[group], groups=group)
    repeated = clone(model).fit(X[rows], y[rows], groups=copies).inference(X[rows], y[rows], groups=copies)
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-4)


def test_errors_cover_the_truth():
    """Standard errors match the spread over data sets, where those of rows taken by themselves cannot."""
    estimates, errors = [], []
    for seed in range(60):
        X, y, group, expert = grouped.simulate(150, 100 + seed, noise=1.0)
        model = MixtureOfExpertsRegressor(
            2, expert_features=[0, 1], gate_features=[2], start=expert[group], random_state=0
        ).fit(X, y, groups=group)
        order = np.argsort(-model.coef_[:, 0])
        result = model.inference(X, y, groups=group)
        table = result.table(result.bse)
        estimates.append([*model.coef_[order, 0], *model.coef_[order, 1]])
        errors.append([*table.coef[order, 0], *table.coef[order, 1]])
    estimates, errors = np.array(estimates), np.array(errors)
    np.testing.assert_allclose(errors.mean(axis=0), estimates.std(axis=0), rtol=0.35)
    z = (estimates - [1, -1, -1, 0.5]) / errors
    assert 0.88 < (np.abs(z) < 1.96).mean() < 0.99


# ---- the bootstrap -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weighted", "pairs", "parametric"])
def test_the_bootstrap_resamples_groups(fit, kind):
    X, y, group, model = fit
    result = model.inference(X, y, groups=group)
    problem = KINDS[kind](result.fit, np.random.default_rng(0))
    weight = problem.sample_weight
    starts = problem.groups.starts
    assert all(len(set(weight[a:b])) == 1 for a, b in pairwise(starts))
    if kind == "pairs":
        assert problem.unit_weight.sum() == 200
    if kind == "parametric":  # residuals of a group are those of one expert
        e = problem.t[:, None] - result.fit.mixture.expert_means(problem.Z)
        near = (
            np.add.reduceat((e / result.fit.mixture.sigma) ** 2, starts[:-1], axis=0)
            / problem.groups.sizes[:, None]
        )
        assert (near.min(axis=1) > 9).mean() < 0.02
    found = result.bootstrap(60, kind=kind, random_state=0)
    assert (np.abs(np.log(found.bse / result.bse)) < 0.6).all()
    again = result.bootstrap(60, kind=kind, random_state=0, n_threads=3)
    np.testing.assert_array_equal(found.replicates, again.replicates)


def test_cold_replicates(fit):
    X, y, group, model = fit
    found = model.inference(X, y, groups=group).bootstrap(4, start="cold", random_state=0)
    assert np.isfinite(found.replicates).all()
    assert isinstance(found.result.fit, Fit)


def test_what_inference_refuses(fit):
    X, y, group, model = fit
    with pytest.raises(ValueError, match="the model was fitted with groups, so inference needs them"):
        model.inference(X, y)
    with pytest.raises(ValueError, match='for one fitted with groups take "robust"'):
        model.inference(X, y, groups=group, cov_type="cluster")
    with pytest.raises(ValueError, match="cov_type must be one of"):
        model.inference(X, y, groups=group, cov_type="huber")
    weights = np.random.default_rng(0).uniform(1, 2, size=200)[group]
    weighted = clone(model).fit(X, y, weights, groups=group).inference(X, y, weights, groups=group)
    with pytest.raises(ValueError, match="sample_weight must be the same for all"):
        weighted.bootstrap(4, kind="parametric")


def test_separated_gates_of_groups_are_found():
    rng = np.random.default_rng(5)
    X, _, group, _ = grouped.simulate(200, 5)
    side = X[:, 2] > 0
    X[:, 2] += np.where(side, 1.0, -1.0)  # a gap
    y = np.where(side, X[:, 0], -X[:, 0]) + 0.1 * rng.normal(size=len(group))
    model = MixtureOfExpertsRegressor(2, expert_features=[0, 1], gate_features=[2], random_state=0)
    with pytest.warns(match="separated gates"):
        model.fit(X, y, groups=group)
    assert model.separated_gates_
