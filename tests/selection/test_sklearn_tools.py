"""The estimator in scikit-learn's own searches and pipelines, and the scorer for them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from moefast import MixtureOfExpertsRegressor, select_n_experts
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
