"""HierarchicalMixtureOfExpertsRegressor: what it promises about figures, weights, units, labels and bad input."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import kstest, norm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from moefast import (
    DegenerateDataWarning,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
)
from moefast.em import EmOptions, EmProblem
from moefast.hierarchy.em import HierarchicalProblem
from moefast.samples import Samples
from oracles import hierarchy as hierarchy_oracles
from oracles.hierarchy import random_hierarchy


def draw(branches, n, d, seed, **options):
    rng = np.random.default_rng(seed)
    truth = random_hierarchy(branches, d, rng, **({"steepness": 4.0} | options))
    X = rng.normal(size=(n, d))
    return X, truth.draw(X, rng), truth


X, Y, TRUTH = draw((2, 2), 500, 3, 4, sigma=0.2)
FITTED = ("coef_", "intercept_", "sigma_", "shares_", "log_likelihood_", "n_iter_")


def fit(X=X, y=Y, sample_weight=None, branches=(2, 2), **parameters):
    parameters = {"random_state": 0, "n_init": 3} | parameters
    return HierarchicalMixtureOfExpertsRegressor(branches, **parameters).fit(X, y, sample_weight)


def assert_same(a, b, names=FITTED, rtol=0.0, atol=0.0):
    pairs = [(name, getattr(a, name), getattr(b, name)) for name in names]
    for name in ("gate_coef_", "gate_intercept_"):
        pairs += [(name, p, q) for p, q in zip(getattr(a, name), getattr(b, name), strict=True)]
    for name, p, q in pairs:
        np.testing.assert_allclose(p, q, rtol=rtol, atol=atol, err_msg=name)


# ---- the truth comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize(("branches", "seeds"), [((2, 2), 3), ((3, 2), 2)])
def test_two_levels_are_recovered(branches, seeds):
    """The default fit is as likely as EM from the truth, for every seed. With 1000 rows, d = 4 and noise of about
    0.2, every expert with more than a twentieth of the rows comes back with a cosine above 0.98.
    """
    for seed in range(seeds):
        X, y, truth = draw(branches, 1000, 4, seed, sigma=0.2)
        model = HierarchicalMixtureOfExpertsRegressor(branches, random_state=seed).fit(X, y)
        problem = HierarchicalProblem(EmProblem(Samples(X, y, np.ones(1000)), EmOptions()), branches)
        best = problem.to_units(problem.run(truth.to_standard(problem.flat.standardisation)))
        assert model.log_likelihood_ > best.log_likelihood - 0.1, seed
        cosines = np.abs(
            (model.coef_ @ truth.coef.T)
            / np.linalg.norm(model.coef_, axis=1)[:, None]
            / np.linalg.norm(truth.coef, axis=1)
        )
        mine, true = linear_sum_assignment(-cosines)
        seen = truth.gates(X).mean(axis=0)[true] > 0.05  # of the others there is too little
        assert cosines[mine, true][seen].min() > 0.98, seed


@pytest.mark.study
@pytest.mark.parametrize(("branches", "least"), [((2, 2), 12), ((4, 2), 11), ((3, 3), 10), ((2, 2, 2), 9)])
def test_how_often_larger_trees_are_recovered(branches, least):
    """The table of docs/method.md: as likely as EM from the truth, of twelve."""
    reached = 0
    for steepness, seed in itertools.product((3.0, 10.0), range(100, 106)):
        X, y, truth = draw(branches, 3000, 5, seed, sigma=0.2, steepness=steepness)
        model = HierarchicalMixtureOfExpertsRegressor(branches, random_state=seed).fit(X, y)
        problem = HierarchicalProblem(EmProblem(Samples(X, y, np.ones(3000)), EmOptions()), branches)
        best = problem.to_units(problem.run(truth.to_standard(problem.flat.standardisation)))
        reached += model.log_likelihood_ > best.log_likelihood - 1
    assert reached >= least


@pytest.mark.parametrize(
    ("branches", "noise"),
    [((3,), "per_expert"), ((1, 3), "shared"), ((3, 1), "per_expert"), ((1, 3, 1), "shared")],
)
def test_one_real_level_is_the_flat_mixture(branches, noise):
    X, y, _ = draw((3,), 600, 3, 1)
    flat = MixtureOfExpertsRegressor(3, noise=noise, random_state=0, tol=1e-11).fit(X, y)
    model = fit(X, y, branches=branches, noise=noise, tol=1e-11, n_init="auto")
    assert model.log_likelihood_ == pytest.approx(flat.log_likelihood_, abs=1e-4)
    assert model.n_parameters_ == flat.n_parameters_
    np.testing.assert_allclose(model.coef_, flat.coef_, atol=1e-3)
    np.testing.assert_allclose(model.predict(X), flat.predict(X), atol=1e-2)
    np.testing.assert_allclose(model.shares_, flat.shares_, atol=1e-3)


def test_one_expert_is_least_squares():
    model = fit(branches=(1, 1))
    wanted = np.linalg.lstsq(np.column_stack([X, np.ones(500)]), Y, rcond=None)[0]
    np.testing.assert_allclose(np.append(model.coef_, model.intercept_), wanted, rtol=1e-9)
    np.testing.assert_array_equal(model.predict_gates(X), 1.0)


def test_nested_gates_beat_flat_ones_where_the_regions_are_nested():
    """With as many experts and parameters: three gates of two children against one of four."""
    flat = MixtureOfExpertsRegressor(4, random_state=0).fit(X, Y)
    model = fit(n_init="auto")
    assert model.n_parameters_ == flat.n_parameters_
    assert model.log_likelihood_ > flat.log_likelihood_ + 10


# ---- methods -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branches", [(2, 2), (2, 1, 2)])
def test_methods_agree_with_the_loops(branches):
    model = fit(branches=branches)
    gate = np.array([hierarchy_oracles.leaf_probabilities(model.mixture_, x) for x in X])
    means = X @ model.coef_.T + model.intercept_
    mean = (gate * means).sum(axis=1)
    std = np.sqrt((gate * (model.sigma_**2 + means**2)).sum(axis=1) - mean**2)
    rows = hierarchy_oracles.log_density(model.mixture_, X, Y)
    tight = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(model.predict(X, return_std=True), (mean, std), **tight)
    np.testing.assert_allclose(model.predict_gates(X), gate, **tight)
    joint = gate * norm.pdf(Y[:, None], means, model.sigma_)
    posterior = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.responsibilities(X, Y), posterior, **tight)
    np.testing.assert_allclose(model.score_samples(X, Y), rows, **tight)
    assert model.log_likelihood(X, Y) == pytest.approx(rows.sum(), rel=1e-12)
    assert model.log_likelihood_ == pytest.approx(rows.sum(), rel=1e-10)
    np.testing.assert_allclose(model.shares_, posterior.mean(axis=0), rtol=1e-8)
    nodes, product = 1, np.ones((500, 1))
    for level, b in enumerate(branches):
        gates = model.mixture_.level_gates(X, level)
        assert gates.shape == (500, nodes, b)
        product, nodes = (product[:, :, None] * gates).reshape(500, -1), nodes * b
        np.testing.assert_allclose(model.predict_gates(X, level), product, **tight)
    np.testing.assert_allclose(product, gate, **tight)


@pytest.mark.parametrize(
    ("parameters", "count"),
    # leaves (d + 1), free gate rows (d + 1), noise, for d = 3
    [
        ({}, 4 * 4 + 3 * 4 + 4),
        ({"noise": "shared"}, 4 * 4 + 3 * 4 + 1),
        ({"branches": (3, 2)}, 6 * 4 + (2 + 3) * 4 + 6),
        ({"fit_intercept": False}, 4 * 3 + 3 * 4 + 4),
        ({"fit_gate_intercept": False}, 4 * 4 + 3 * 3 + 4),
    ],
)
def test_information_criteria_by_hand(parameters, count):
    model = fit(max_iter=500, n_init=1, tol=1e-5, **parameters)
    assert model.n_parameters_ == count
    assert model.aic(X, Y) == pytest.approx(2 * count - 2 * model.log_likelihood_)
    assert model.bic(X, Y) == pytest.approx(np.log(500) * count - 2 * model.log_likelihood_)
    r = model.responsibilities(X, Y)
    entropy = -sum(p * np.log(p) for p in r.ravel() if p > 0)
    assert (model.aic_, model.bic_) == pytest.approx((model.aic(X, Y), model.bic(X, Y)))
    assert (model.entropy_, model.icl_) == pytest.approx((entropy, model.bic_ + 2 * entropy))


def test_samples_follow_the_model():
    """Their distribution function at the sample is uniform."""
    model = fit()
    at = X[np.arange(20_000) % 500]
    draws = model.sample(at, random_state=1)
    level = model.predict_gates(at) * norm.cdf(draws[:, None], at @ model.coef_.T + model.intercept_, model.sigma_)
    assert kstest(level.sum(axis=1), "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(model.sample(X, random_state=5), model.sample(X, random_state=5))


def test_summary_has_every_number_by_name():
    table = pd.DataFrame(X, columns=["age", "dose", "flow rate"])
    model = fit(table)
    lines = str(model.summary()).splitlines()
    assert sum("expert 0.0" in line and "expert 1.1" in line for line in lines) == 1
    titles = [
        "Gate: log-odds against branch 1",
        *(f"Gate of branch {j}: log-odds against expert {j}.1" for j in "01"),
    ]
    assert all(title in lines for title in titles)
    for title, coef in zip(titles, (model.gate_coef_[0][0], *model.gate_coef_[1]), strict=True):
        below = lines[lines.index(title) + 3 :]
        for line, name, numbers in zip(below, ["age", "dose", "flow rate"], coef[:-1].T, strict=False):
            assert line.startswith(name)
            assert all(f"{value:.4g}" in line for value in numbers)
    assert f"BIC {model.bic(table, Y):.3f}" in str(model.summary())
    assert "Gate" not in str(fit(branches=(1,)).summary())


# ---- the form of the answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("branches", [(2, 2), (3, 2), [2, 1, 2], np.array([2, 2])])
def test_shapes_and_conventions(branches):
    model = fit(branches=branches, tol=1e-5)
    k = int(np.prod(branches))
    assert model.branches_ == tuple(branches)
    assert model.coef_.shape == (k, 3)
    assert model.intercept_.shape == model.sigma_.shape == model.shares_.shape == (k,)
    nodes, shares = 1, model.shares_
    for coef, intercept, b in zip(model.gate_coef_, model.gate_intercept_, branches, strict=True):
        assert (coef.shape, intercept.shape) == ((nodes, b, 3), (nodes, b))
        assert not coef[:, -1].any()
        assert not intercept[:, -1].any()
        nodes *= b
    for b in reversed(branches):
        assert (np.diff(shares.reshape(-1, b), axis=1) <= 1e-6).all()
        shares = shares.reshape(-1, b).sum(axis=1)


def test_labels_do_not_change_with_the_seed():
    """All seeds that reach one optimum give its experts in one order."""
    models = [fit(random_state=seed, n_init=6) for seed in range(4)]
    best = max(m.log_likelihood_ for m in models)
    there = [m for m in models if m.log_likelihood_ > best - 1e-3]
    assert len(there) >= 3
    for model in there:
        assert_same(model, there[0], ("coef_", "intercept_", "sigma_"), atol=0.05)


def test_random_state_decides_and_threads_do_not():
    X, y, _ = draw((2, 2), 8500, 2, 5)  # threads start at 8192 rows
    few = {"n_init": 2, "tol": 1e-3}
    model = fit(X, y, n_threads=1, **few)
    assert_same(model, fit(X, y, n_threads=3, **few))
    assert_same(model, fit(X, y, random_state=np.random.default_rng(0), **few))


def test_clone_and_pickle():
    model = fit(noise="shared", alpha=0.5)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "coef_")
    again = pickle.loads(pickle.dumps(model))
    assert_same(again, model)
    assert again.fit_report_ == model.fit_report_
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_the_fit_report():
    report = fit(n_init=6).fit_report_
    kinds = [start.kind for start in report.starts]
    assert kinds == ["grouped leaves"] * 3 + ["random assignment", "random regions", "random assignment"]
    model = fit(n_init=6)
    winner = report.starts[report.chosen]
    assert winner.log_likelihood == pytest.approx(model.log_likelihood_, rel=1e-12)
    assert winner.log_likelihood == max(start.log_likelihood for start in report.starts)
    assert (winner.n_iter, winner.status, winner.collapsed) == (model.n_iter_, "converged", ())
    spectral = fit(*draw((2, 2), 1500, 5, 0)[:2], start="spectral", tol=1e-4).fit_report_
    assert {start.kind for start in spectral.starts} == {"grouped spectral leaves"}
    assert {start.kind for start in fit(start="random").fit_report_.starts} == {
        "random assignment",
        "random regions",
    }


# ---- weights and units ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"noise": "shared"}, {"start": "random"}, {"alpha": 5.0}])
def test_an_integer_weight_repeats_the_row_and_zero_removes_it(parameters):
    weights = np.random.default_rng(1).integers(0, 4, size=500)
    wild = np.where(weights[:, None] == 0, 1e30, X)
    a = fit(wild, Y, weights, tol=1e-7, **parameters)
    b = fit(np.repeat(X, weights, axis=0), np.repeat(Y, weights), tol=1e-7, **parameters)
    assert_same(a, b, rtol=1e-6, atol=1e-7)
    assert a.training_weight_ == b.training_weight_ == weights.sum()
    assert a.n_samples_fit_ == (weights > 0).sum()


def test_the_fit_follows_the_units():
    scale, shift = np.array([1e-3, 1.0, 1e6]), np.array([5.0, -20.0, 1e3])
    plain = fit(tol=1e-10, n_init="auto")
    moved = fit(X * scale + shift, Y * 2e4 + 3.0, tol=1e-10, n_init="auto")
    np.testing.assert_allclose(moved.coef_ * scale / 2e4, plain.coef_, atol=1e-3)
    np.testing.assert_allclose(moved.sigma_ / 2e4, plain.sigma_, atol=1e-3)
    assert moved.log_likelihood_ == pytest.approx(plain.log_likelihood_ - 500 * np.log(2e4), abs=1e-2)
    np.testing.assert_allclose((moved.predict(X * scale + shift) - 3.0) / 2e4, plain.predict(X), atol=1e-2)


# ---- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"branches": 4}, ValueError, r"branches must be a sequence of integers.*got 4"),
        ({"branches": "22"}, ValueError, "branches must be a sequence"),
        ({"branches": ()}, ValueError, r"branches must be a sequence.*got \(\)"),
        ({"branches": ((2, 2),)}, ValueError, "branches must be a sequence"),
        ({"branches": ((2, 2), (2,))}, ValueError, "branches must be a sequence"),
        ({"branches": (2, 0)}, ValueError, r"branches\[1\] must be at least 1, got 0"),
        ({"branches": (2, 2.0)}, TypeError, r"branches\[1\] must be an integer, got 2.0"),
        ({"branches": (2**20, 2**20)}, ValueError, "product of branches must be at most"),
        (
            {"branches": (30, 30)},
            ValueError,
            r"n_samples=500 .* fewer than the 900 experts of br.*\(30, 30\)",
        ),
        ({"noise": "none"}, ValueError, "noise must be one of"),
        ({"start": "truth"}, ValueError, "start must be one of"),
        ({"n_init": 0}, ValueError, "n_init must be at least 1"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"tol": -1.0}, ValueError, "tol must be"),
        ({"alpha": -1.0}, ValueError, "alpha must be"),
        ({"gate_alpha": "some"}, ValueError, "gate_alpha must be one of 'auto'"),
        ({"noise_floor": 0.0}, ValueError, "noise_floor must be"),
        ({"time_budget": 0}, ValueError, "time_budget must be"),
        ({"n_threads": 0}, ValueError, "n_threads must be"),
        ({"start": "spectral"}, ValueError, "needs at least n_experts=4 linearly independent columns, X has 3"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        fit(**parameters)


def test_bad_data_are_named():
    bad = X.copy()
    bad[17, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 in 'dose' \(.*first at row 17"):
        fit(pd.DataFrame(bad, columns=["age", "dose", "flow rate"]))
    model = fit()
    with pytest.raises(ValueError, match="1 in column 1"):
        model.predict_gates(bad)
    for level in (2, -1):
        with pytest.raises(ValueError, match="level must be at"):
            model.predict_gates(X, level)
    with pytest.raises(NotFittedError):
        HierarchicalMixtureOfExpertsRegressor().predict_gates(X)


def test_a_fit_that_fails_leaves_the_one_before():
    model = fit()
    before = model.predict(X)
    with pytest.raises(ValueError, match="missing values"):
        model.fit(X * np.nan, Y)
    np.testing.assert_array_equal(model.predict(X), before)


def test_what_is_doubtful_is_told():
    with pytest.warns(ConvergenceWarning, match="did not settle"):
        model = fit(max_iter=3)
    assert not model.converged_
    assert "NOT converged" in str(model.summary())
    with pytest.warns(DegenerateDataWarning, match=r"column\(s\) 3 are constant") as told:
        assert np.isfinite(fit(np.column_stack([X, np.ones(500)])).coef_).all()
    assert told[0].filename == __file__
    line = X[:40, :1]
    with pytest.warns(DegenerateDataWarning, match="collapsed"):
        model = fit(line, 2.0 * line[:, 0], n_init=2)
    assert model.fit_report_.collapsed
    assert np.isfinite(model.predict(line)).all()


def test_time_budget_cuts_the_starts_but_not_the_first_start():
    report = fit(time_budget=1e-9, tol=1e-4).fit_report_
    assert report.out_of_time
    assert len(report.starts) == 1
