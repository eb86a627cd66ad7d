"""The estimator in scikit-learn's own searches and pipelines, and the scorer for them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, select_n_experts
from moefast.datasets import make_moe
from moefast.selection import log_likelihood_scorer


@pytest.fixture(scope="module")
def data():
    X, y, _ = make_moe(200, 3, 2, noise=0.3, expert_intercept=0.5, random_state=0)
    return X, y


def test_grid_search_over_a_pipeline_finds_what_select_n_experts_finds(data):
    X, y = data
    folds = KFold(3, shuffle=True, random_state=int(np.random.default_rng(0).integers(2**31)))
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(n_init=3, random_state=0))
    grid = {"mixtureofexpertsregressor__n_experts": [1, 2, 3]}
    search = GridSearchCV(pipeline, grid, scoring=log_likelihood_scorer, cv=folds).fit(X, y)
    selection = select_n_experts(X, y, (1, 2, 3), criterion="cv", n_folds=3, n_init=3, random_state=0)
    assert search.best_params_ == {"mixtureofexpertsregressor__n_experts": 2}
    assert selection.best_n_experts == 2
    sizes = [len(outside) for _, outside in folds.split(X)]
    for i, row in enumerate(selection.table):
        scores = [search.cv_results_[f"split{j}_test_score"][i] for j in range(3)]
        assert row.cv_log_likelihood == pytest.approx(np.average(scores, weights=sizes), abs=1e-4)


def test_grid_search_with_its_default_score(data):
    search = GridSearchCV(MixtureOfExpertsRegressor(n_init=3, random_state=0), {"n_experts": [1, 2]}, cv=3)
    assert search.fit(*data).best_params_ == {"n_experts": 2}


def test_flat_gates_and_trees_in_one_grid():
    """Four quadrants of four slopes: what is chosen among both kinds is what rows held out say of each alone."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 2))
    y = np.where(X[:, 0] > 0, np.where(X[:, 1] > 0, 3, 1), np.where(X[:, 1] > 0, -1, -3)) * X[:, 0]
    y = y + 0.1 * rng.normal(size=400)
    few = {"n_init": 3, "max_iter": 100, "gate_alpha": 0.01, "random_state": 0}
    flat, tree = MixtureOfExpertsRegressor(**few), HierarchicalMixtureOfExpertsRegressor(**few)
    grid = [
        {"model": [flat], "model__n_experts": [1, 4]},
        {"model": [tree], "model__branches": [(2, 2), (4, 1)]},
    ]
    search = GridSearchCV(Pipeline([("model", flat)]), grid, scoring=log_likelihood_scorer, cv=3).fit(X, y)
    alone = [
        clone(flat).set_params(n_experts=1),
        clone(flat).set_params(n_experts=4),
        clone(tree),
        clone(tree).set_params(branches=(4, 1)),
    ]
    expected = [cross_val_score(one, X, y, scoring=log_likelihood_scorer, cv=3).mean() for one in alone]
    assert search.cv_results_["mean_test_score"] == pytest.approx(expected, rel=1e-12)
    assert expected[2] > expected[0] + 1.0
    best = alone[int(np.argmax(expected))].fit(X, y)
    np.testing.assert_array_equal(search.predict(X), best.predict(X))


def test_scorer_is_the_weighted_mean_log_density(data):
    X, y = data
    w = np.arange(200.0)
    model = MixtureOfExpertsRegressor(2, n_init=3, random_state=0).fit(X, y)
    assert log_likelihood_scorer(model, X, y) == pytest.approx(model.log_likelihood_ / 200, rel=1e-12)
    weighted = model.log_likelihood(X, y, w) / w.sum()
    assert log_likelihood_scorer(model, X, y, sample_weight=w) == pytest.approx(weighted, rel=1e-12)


def test_scorer_in_a_pipeline_transforms_first(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, n_init=3, random_state=0)).fit(X, y)
    score = log_likelihood_scorer(pipeline, X, y)
    assert score == pytest.approx(pipeline[-1].log_likelihood_ / 200, rel=1e-12)
    assert cross_val_score(pipeline, X, y, scoring=log_likelihood_scorer, cv=2).shape == (2,)


def test_scorer_refuses_an_estimator_without_a_density(data):
    with pytest.raises(TypeError, match="LinearRegression has no score_samples"):
        log_likelihood_scorer(LinearRegression().fit(*data), *data)


def test_the_choice_is_an_estimator_for_a_pipeline(data):
    X, y = data
    chosen = select_n_experts(X, y, (1, 2), n_folds=None, n_init=3, random_state=0).best_estimator
    refitted = make_pipeline(StandardScaler(), clone(chosen)).fit(X, y)
    assert refitted.score(X, y) == pytest.approx(chosen.score(X, y), abs=1e-4)
