"""A start that the user gives: EM from there to the end, and errors that name what is wrong with it."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from moefast import (
    DegenerateDataWarning,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    load_model,
    save_model,
)
from moefast.datasets import make_moe
from moefast.em import fit_em
from moefast.search.account import Account

X, Y, TRUTH = make_moe(400, 3, 3, noise=0.2, expert_intercept=1.0, random_state=4)
FLAT = MixtureOfExpertsRegressor(3, random_state=0).fit(X, Y)
TREE = HierarchicalMixtureOfExpertsRegressor((3, 1), random_state=0, n_init=3).fit(X, Y)
TANH_X, TANH_Y, TANH_TRUTH = make_moe(400, 3, 2, link="tanh", noise=0.1, random_state=3)


def fit(start, X=X, y=Y, sample_weight=None, **parameters):
    return MixtureOfExpertsRegressor(3, start=start, **parameters).fit(X, y, sample_weight)


STARTS = {
    "responsibilities": lambda model: model.responsibilities(X, Y),
    "labels": lambda model: model.assign(X, Y),
    "model": lambda model: model,
    "parameters": lambda model: model.mixture_,
}


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("model", [FLAT, TREE], ids=["flat", "tree"])
def test_every_start_leads_back_to_the_optimum_it_came_from(model, kind):
    warm = clone(model).set_params(start=STARTS[kind](model), n_init="auto").fit(X, Y)
    (start,) = warm.fit_report_.starts
    assert start.kind == f"given {kind}"
    assert not warm.fit_report_.moves
    assert warm.converged_
    assert warm.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=1e-3)
    np.testing.assert_allclose(warm.coef_, model.coef_, atol=1e-3)
    assert kind not in ("model", "parameters") or warm.n_iter_ <= 5


def test_em_runs_as_fit_em_does():
    """From parameters in the units of the data, the same run as that of the plain function, to rounding."""
    model, plain = fit(TRUTH), fit_em(X, Y, TRUTH)
    assert model.n_iter_ == plain.n_iter > 2
    assert model.log_likelihood_ == pytest.approx(plain.log_likelihood, rel=1e-12)
    order = np.argsort(-plain.totals)
    np.testing.assert_allclose(model.coef_, plain.mixture.coef[order], rtol=1e-6)


def test_a_poor_start_is_followed_not_searched():
    labels = np.arange(400) % 3
    model = fit(labels, max_iter=500)
    assert len(model.fit_report_.starts) == 1
    again = fit(np.eye(3)[labels], max_iter=500)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    assert model.log_likelihood_ <= FLAT.log_likelihood_ + 1e-3


@pytest.mark.parametrize("kind", ["responsibilities", "labels"])
def test_rows_of_weight_zero_are_left_out_of_the_start(kind):
    weights = np.where(np.arange(400) % 3 == 0, 0.0, np.linspace(0.5, 2.0, 400))
    start, kept = STARTS[kind](FLAT).copy(), weights > 0
    expected = fit(start[kept], X[kept], Y[kept], weights[kept])
    start[~kept] = np.nan if kind == "responsibilities" else 0
    found = fit(start, sample_weight=weights)
    np.testing.assert_array_equal(found.coef_, expected.coef_)
    assert found.log_likelihood_ == expected.log_likelihood_


def test_other_units_and_options():
    shifted = fit(FLAT.responsibilities(X, Y), 1e3 * X + 7, 1e-6 * Y - 2)
    np.testing.assert_allclose(shifted.coef_ / 1e-9, FLAT.coef_, atol=1e-3)
    assert len(set(fit(FLAT, noise="shared").sigma_)) == 1
    assert not fit(FLAT, fit_intercept=False).intercept_.any()


def test_links_start_at_parameters():
    for start in (TANH_TRUTH, MixtureOfExpertsRegressor(2, link="tanh", start=TANH_TRUTH).fit(TANH_X, TANH_Y)):
        model = MixtureOfExpertsRegressor(2, link="tanh", start=start).fit(TANH_X, TANH_Y)
        assert model.log_likelihood_ >= TANH_TRUTH.log_density(TANH_X, TANH_Y).sum()
    labels = np.arange(400) % 2
    with pytest.raises(ValueError, match="experts of link 'tanh' nothing to begin with"):
        MixtureOfExpertsRegressor(2, link="tanh", start=labels).fit(TANH_X, TANH_Y)


def test_tables_are_taken():
    frame = pd.DataFrame(FLAT.responsibilities(X, Y), columns=list("abc"))
    np.testing.assert_array_equal(fit(frame).coef_, fit(frame.to_numpy()).coef_)
    labels = pd.Series(FLAT.assign(X, Y), index=np.arange(400)[::-1])
    np.testing.assert_array_equal(fit(labels).coef_, fit(labels.tolist()).coef_)


# ---- one expert fewer or more -------------------------------------------------------------------------

NEAR = {k: MixtureOfExpertsRegressor(k, n_init=5, random_state=0).fit(X, Y) for k in (1, 2, 4)}
HARD_X, HARD_Y, _ = make_moe(1000, 3, 5, noise=0.7, random_state=1)
HARD = MixtureOfExpertsRegressor(3, noise="shared", gate_alpha=0.1, random_state=0)


def hard(k, start, **parameters):
    """A fit of data on which starts and moves disagree."""
    return clone(HARD).set_params(n_experts=k, start=start, **parameters).fit(HARD_X, HARD_Y)


@pytest.mark.parametrize(
    ("near", "k", "kinds"),
    [(4, 5, {"split by residual": 4, "split by hyperplane": 4}), (4, 3, {"merge": 6})],
)
def test_a_search_begins_at_a_neighbour(near, k, kinds):
    begin, free = hard(near, "random", n_init=5), hard(k, "auto")
    model = hard(k, begin)
    report = model.fit_report_
    found = [start.kind for start in report.starts]
    assert {kind: found.count(kind) for kind in kinds} == kinds
    assert "spectral" not in found
    if k > near:
        assert set(found) > set(kinds)  # random starts besides; merges go first, and few iterations are left then
    assert report.moves
    assert report.n_iter_total < free.fit_report_.n_iter_total
    assert model.log_likelihood_ > free.log_likelihood_ - 0.5
    np.testing.assert_array_equal(hard(k, begin.mixture_, n_init=1).coef_, model.coef_)


def test_what_comes_from_one_neighbour_is_no_independent_find(monkeypatch):
    """Climbs that begin at merges of one fit count once, also where they begin at different optima."""
    monkeypatch.setattr(Account, "equal", lambda account, one, other: False)
    report = hard(3, hard(4, "random", n_init=5)).fit_report_
    kin = [climb for climb in report.climbs if report.starts[climb.start].kind == "merge"]
    assert len(kin) > 1
    assert report.n_independent <= len(report.climbs) - len(kin) + 1


def test_easy_data_end_the_search_early():
    report = fit(NEAR[2], random_state=0).fit_report_
    assert [start.kind for start in report.starts].count("split by residual") == 2
    assert report.n_at_best == report.n_independent >= 5  # what splits have led to counts once


def test_from_one_expert_and_to_one():
    two = MixtureOfExpertsRegressor(2, start=NEAR[1], random_state=0).fit(X, Y)
    assert two.log_likelihood_ >= NEAR[2].log_likelihood_ - 1e-3
    one = MixtureOfExpertsRegressor(1, start=two).fit(X, Y)
    np.testing.assert_allclose(one.coef_, NEAR[1].coef_, rtol=1e-12)
    assert one.fit_report_.starts[0].kind == "least squares"


def test_a_neighbour_with_columns_and_weights_of_its_own():
    columns = {"expert_features": [0, 1], "gate_features": [2], "gate_alpha": 0.1}
    weights = np.where(np.arange(400) % 3 == 0, 0.0, np.linspace(0.5, 2.0, 400))
    two = MixtureOfExpertsRegressor(2, n_init=5, random_state=0, **columns).fit(X, Y, weights)
    three = fit(two, sample_weight=weights, random_state=0, **columns)
    assert three.log_likelihood_ > two.log_likelihood_
    assert not three.coef_[:, 2].any()
    assert not three.gate_coef_[:, :2].any()
    kept = weights > 0
    without = fit(two, X[kept], Y[kept], weights[kept], random_state=0, **columns)
    np.testing.assert_array_equal(without.coef_, three.coef_)
    # A model of all columns may begin there too.
    assert fit(two, random_state=0).log_likelihood_ >= FLAT.log_likelihood_ - 1e-3


def test_a_neighbour_on_many_rows_assigns_those_of_the_first_iterations():
    """Rows are then fewer in the first iterations than in the search."""
    many, y, truth = make_moe(12_000, 3, 3, noise=0.3, random_state=0)
    two = MixtureOfExpertsRegressor(2, n_init=2, random_state=0).fit(many, y)
    model = MixtureOfExpertsRegressor(3, start=two, random_state=0).fit(many, y)
    assert model.log_likelihood_ >= truth.log_density(many, y).sum()
    order = np.random.default_rng(0).permutation(len(y))
    again = MixtureOfExpertsRegressor(3, start=two, random_state=0).fit(many[order], y[order])
    np.testing.assert_allclose(again.coef_, model.coef_, atol=1e-4)


def test_few_rows_and_collapsed_neighbours():
    """With fewer different rows than parameters there is no search, and the splits compete with other starts."""
    few = np.arange(20)
    plain = {"noise": "shared", "gate_alpha": 1.0, "random_state": 0}
    two = MixtureOfExpertsRegressor(2, n_init=2, **plain).fit(X[few], Y[few])
    with pytest.warns(DegenerateDataWarning, match="20 rows are fewer than the model's 21 parameters"):
        model = fit(two, X[few], Y[few], **plain)
    assert "split by residual" in {start.kind for start in model.fit_report_.starts}
    assert not model.fit_report_.moves
    empty = replace(TRUTH, gate_intercept=np.array([-1e4, 0.0, 0.0]))
    for k in (2, 4):  # an expert without rows is split and merged too
        assert MixtureOfExpertsRegressor(k, start=empty, random_state=0).fit(X, Y).log_likelihood_ < 0


# ---- scikit-learn -------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [*(make(FLAT) for make in STARTS.values()), NEAR[2]], ids=[*STARTS, "neighbour"])
def test_clones_keep_the_start(start):
    model = MixtureOfExpertsRegressor(3, start=start, alpha=0.5, random_state=0)
    copy = clone(model)
    assert not hasattr(copy, "coef_")
    np.testing.assert_array_equal(copy.fit(X, Y).coef_, clone(copy).fit(X, Y).coef_)
    assert copy.get_params(deep=False)["alpha"] == 0.5
    assert "MixtureOfExpertsRegressor(" in repr(copy)


def test_a_fitted_start_serves_folds_grids_and_pipelines():
    warm = MixtureOfExpertsRegressor(3, start=FLAT)
    # Folds of data this plain lead to the optimum that the search finds in each.
    np.testing.assert_allclose(cross_val_score(warm, X, Y, cv=3), cross_val_score(FLAT, X, Y, cv=3), atol=1e-3)
    search = GridSearchCV(warm, {"alpha": [0.0, 1.0]}, cv=3).fit(X, Y)
    assert search.best_estimator_.fit_report_.starts[0].kind == "given model"
    scaled = make_pipeline(StandardScaler(), clone(FLAT)).fit(X, Y)
    warm = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(3, start=scaled[-1])).fit(X, Y)
    np.testing.assert_allclose(warm.predict(X), scaled.predict(X), atol=1e-3)


@pytest.mark.parametrize("start", [FLAT, NEAR[2]], ids=["model", "neighbour"])
def test_model_files_keep_names_only(tmp_path, start):
    warm = fit(start, random_state=0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(warm)).predict(X), warm.predict(X))
    save_model(warm, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    assert again.start == "auto"
    np.testing.assert_array_equal(again.predict(X), warm.predict(X))


# ---- errors -------------------------------------------------------------------------------------------

R = FLAT.responsibilities(X, Y)
LABELS = FLAT.assign(X, Y)


def changed(values, at, value):
    values = values.copy()
    values[at] = value
    return values


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ("truth", ValueError, "start must be one of 'auto'"),
        (None, TypeError, "start must be one of .*labels.* got None"),
        (3, TypeError, "got 3"),
        (R[:-1], ValueError, r"shape \(400, 3\), got \(399, 3\)"),
        (R[:, :2], ValueError, r"shape \(400, 3\), got \(400, 2\)"),
        (R[None], ValueError, r"shape \(400, 3\), got \(1, 400, 3\)"),
        (2 * R, ValueError, "must add up to 1 in each row, got .* at row 0"),
        (changed(R, 7, [-0.5, 0.5, 1.0]), ValueError, "must not be negative .* at row 7"),
        (
            changed(R, (5, 1), np.nan),
            ValueError,
            r"start has missing values \(NaN\): 1 in column 1 .*first at row 5",
        ),
        (np.full((400, 3), "a"), ValueError, "start is not numeric"),
        (np.eye(3)[np.arange(400) % 2], ValueError, "gives expert 2 no row"),
        (LABELS[:-1], ValueError, r"labels must have shape \(400,\), got \(399,\)"),
        (changed(LABELS, 9, 3), ValueError, "from 0 to 2, got 3 at row 9"),
        (changed(LABELS, 9, -1), ValueError, "got -1 at row 9"),
        (LABELS.astype(float), TypeError, "must be integers from 0 to 2, got float64"),
        (np.arange(400) % 2, ValueError, "gives expert 2 no row"),
        (MixtureOfExpertsRegressor(3), NotFittedError, "start is a MixtureOfExpertsRegressor that is not fitted"),
        (TREE, TypeError, "parameters of a Mixture, got a HierarchicalMixture"),
        (
            MixtureOfExpertsRegressor(1).fit(X, Y),
            ValueError,
            "start has 1 experts, this model n_experts=3; .* one expert more or fewer: a search begins there",
        ),
        (
            MixtureOfExpertsRegressor(5, n_init=1, noise="shared", random_state=0).fit(X, Y).mixture_,
            ValueError,
            "start has 5 experts, this model n_experts=3",
        ),
        (replace(TRUTH, coef=TRUTH.coef[:, :2]), ValueError, "start has 2 features, X has 3"),
        (replace(TRUTH, sigma=-TRUTH.sigma), ValueError, "start must have positive sigma"),
        (replace(TRUTH, gate_coef=np.full((3, 3), np.nan)), ValueError, "start has NaN or infinity in gate_coef"),
        (replace(TRUTH, link=TANH_TRUTH.link), ValueError, "start has link 'tanh', this model 'linear'"),
    ],
)
def test_what_does_not_fit_is_named(start, error, message):
    with pytest.raises(error, match=message):
        fit(start)


def test_what_does_not_fit_a_tree_is_named():
    tree = clone(TREE)
    wrong = replace(TREE.mixture_, gate_coef=TREE.mixture_.gate_coef[::-1])
    for start, error, message in (
        (FLAT, TypeError, "parameters of a HierarchicalMixture, got a Mixture"),
        (wrong, ValueError, r"gate_coef\[0\] of shape \(1, 3, 3\), got \(3, 1, 3\)"),
        (replace(TREE.mixture_, gate_intercept=()), ValueError, "2 levels of gates"),
        (replace(TREE.mixture_, sigma=np.zeros(3)), ValueError, "positive sigma"),
    ):
        with pytest.raises(error, match=message):
            tree.set_params(start=start).fit(X, Y)
    with pytest.raises(ValueError, match=r"start has branches=\(3, 1\), this model \(1, 3\)"):
        tree.set_params(start=TREE, branches=(1, 3)).fit(X, Y)


def test_a_neighbour_serves_linear_experts_under_flat_gates_alone():
    four = MixtureOfExpertsRegressor(4, n_init=1, random_state=0).fit(X, Y)
    with pytest.raises(TypeError, match="parameters of a HierarchicalMixture, got a Mixture"):
        clone(TREE).set_params(start=four).fit(X, Y)
    tanh = MixtureOfExpertsRegressor(3, link="tanh", start=TANH_TRUTH)
    with pytest.raises(ValueError, match=r"2 experts, .* flat gates and linear experts one of one expert more"):
        tanh.fit(TANH_X, TANH_Y)


def test_columns_of_another_name_are_refused():
    named = clone(FLAT).fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    with pytest.raises(
        ValueError, match=r"start was fitted to the columns \['a', 'b', 'c'\], X has \['b', 'a', 'c'\]"
    ):
        fit(named, pd.DataFrame(X, columns=["b", "a", "c"]))
    assert fit(named).converged_  # without names there is nothing to compare


def test_a_given_start_needs_em():
    for start in (FLAT, NEAR[2]):
        with pytest.raises(ValueError, match="a start that is given needs polish=True"):
            fit(start, polish=False)
