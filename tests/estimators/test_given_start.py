"""A start that the user gives: EM from there to the end, and errors that name what is wrong with it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, load_model, save_model
from moefast.datasets import make_moe
from moefast.em import fit_em

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
    """From parameters in the units of the data, the same run as that of the plain function."""
    model, plain = fit(TRUTH), fit_em(X, Y, TRUTH)
    assert model.n_iter_ == plain.n_iter > 2
    assert model.log_likelihood_ == plain.log_likelihood
    order = np.argsort(-plain.totals)
    np.testing.assert_array_equal(model.coef_, plain.mixture.coef[order])


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


# ---- scikit-learn -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STARTS)
def test_clones_keep_the_start(kind):
    model = MixtureOfExpertsRegressor(3, start=STARTS[kind](FLAT), alpha=0.5)
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


def test_model_files_keep_names_only(tmp_path):
    warm = fit(FLAT)
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
        (changed(R, (5, 1), np.nan), ValueError, "start in column 1 contains NaN"),
        (np.full((400, 3), "a"), ValueError, "start is not numeric"),
        (np.eye(3)[np.arange(400) % 2], ValueError, "gives expert 2 no row"),
        (LABELS[:-1], ValueError, r"labels must have shape \(400,\), got \(399,\)"),
        (changed(LABELS, 9, 3), ValueError, "from 0 to 2, got 3 at row 9"),
        (changed(LABELS, 9, -1), ValueError, "got -1 at row 9"),
        (LABELS.astype(float), TypeError, "must be integers from 0 to 2, got float64"),
        (np.arange(400) % 2, ValueError, "gives expert 2 no row"),
        (MixtureOfExpertsRegressor(3), NotFittedError, "start is a MixtureOfExpertsRegressor that is not fitted"),
        (TREE, TypeError, "parameters of a Mixture, got a HierarchicalMixture"),
        (MixtureOfExpertsRegressor(2, n_init=1).fit(X, Y), ValueError, "start has 2 experts, .* n_experts=3"),
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


def test_columns_of_another_name_are_refused():
    named = clone(FLAT).fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    with pytest.raises(
        ValueError, match=r"start was fitted to the columns \['a', 'b', 'c'\], X has \['b', 'a', 'c'\]"
    ):
        fit(named, pd.DataFrame(X, columns=["b", "a", "c"]))
    assert fit(named).converged_  # without names there is nothing to compare


def test_a_given_start_needs_em():
    with pytest.raises(ValueError, match="a start that is given needs polish=True"):
        fit(FLAT, polish=False)
