"""The number of experts of rows in groups that share one: criteria, folds and the likelihood ratio by group."""

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

from moefast import MixtureOfExpertsRegressor, lr_test, select_n_experts
from moefast.groups import RowGroups
from moefast.samples import Samples
from moefast.selection import log_likelihood_scorer
from moefast.selection.folds import checked_folds
from oracles import grouped

COLUMNS = {"expert_features": [0, 1], "gate_features": [2]}


@pytest.fixture(scope="module")
def subjects():
    return grouped.simulate(150, 0)


def test_folds_are_made_of_groups(subjects):
    X, y, group, _ = subjects
    order = np.random.default_rng(0).permutation(len(y))
    selection = select_n_experts(
        X[order],
        y[order],
        (1, 2),
        criterion="cv",
        groups=group[order],
        n_folds=3,
        path=False,
        random_state=0,
        **COLUMNS,
    )
    assert selection.best_n_experts == 2
    model = MixtureOfExpertsRegressor(2, random_state=0, **COLUMNS)
    values = np.empty(150)
    seed = int(np.random.default_rng(0).integers(2**31))
    for inside, out in KFold(3, shuffle=True, random_state=seed).split(np.empty(150)):
        rows, held_out = np.isin(group, inside), np.isin(group, out)
        fit = model.fit(X[rows], y[rows], groups=group[rows])
        one = np.ones((held_out.sum(), 1))
        U = np.hstack([X[held_out], one])
        terms = grouped.joint(
            U,
            U,
            y[held_out],
            group[held_out],
            np.column_stack([fit.coef_, fit.intercept_]),
            np.column_stack([fit.gate_coef_, fit.gate_intercept_]),
            fit.sigma_,
        )
        values[out] = grouped.log_sum_exp(terms)
    row = selection.table[1]
    assert row.cv_log_likelihood == pytest.approx(values.mean(), rel=1e-5)
    assert row.cv_standard_error == pytest.approx(values.std() / np.sqrt(150), rel=1e-4)
    assert row.bic == pytest.approx(np.log(150) * row.n_parameters - 2 * row.log_likelihood)


@pytest.mark.parametrize("path", [False, True])
def test_bic_finds_the_number(subjects, path):
    X, y, group, _ = subjects
    selection = select_n_experts(X, y, (1, 2, 3), groups=group, n_folds=None, path=path, random_state=0, **COLUMNS)
    assert selection.best_n_experts == 2
    assert selection.best_estimator.n_groups_fit_ == 150


def test_the_likelihood_ratio_draws_an_expert_a_group(subjects):
    X, y, group, _ = subjects
    settings = {"groups": group, "n_replicates": 9, "n_init": 4, "random_state": 0, **COLUMNS}
    one = lr_test(X, y, 1, **settings)
    assert one.p_value == 0.1
    two = lr_test(X, y, 2, **settings)
    assert two.p_value > 0.1
    # replicates look like the data: were experts drawn row by row, two would explain them far worse
    assert two.replicates.max() < 40
    assert two.log_likelihood_null == pytest.approx(
        MixtureOfExpertsRegressor(2, random_state=0, **COLUMNS).fit(X, y, groups=group).log_likelihood_, abs=1e-3
    )


def test_weights_of_the_likelihood_ratio_are_copies_of_groups(subjects):
    X, y, group, _ = subjects
    times = 1 + np.arange(150) % 2
    rows = np.concatenate([np.flatnonzero(group == g) for g in range(150) for _ in range(times[g])])
    copies = np.concatenate([np.full((group == g).sum(), 4 * g + c) for g in range(150) for c in range(times[g])])
    settings = {"n_replicates": 2, "n_init": 2, "random_state": 0, **COLUMNS}
    weighted = lr_test(X, y, 1, sample_weight=times[group], groups=group, **settings)
    repeated = lr_test(X[rows], y[rows], 1, groups=copies, **settings)
    assert weighted.statistic == pytest.approx(repeated.statistic, rel=1e-6)
    np.testing.assert_allclose(weighted.replicates, repeated.replicates, rtol=1e-6)


def test_scikit_learn_hands_groups_on(subjects):
    X, y, group, _ = subjects
    with sklearn.config_context(enable_metadata_routing=True):
        model = MixtureOfExpertsRegressor(random_state=0, **COLUMNS).set_fit_request(groups=True)
        search = GridSearchCV(model, {"n_experts": [1, 2]}, scoring=log_likelihood_scorer, cv=GroupKFold(3))
        search.fit(X, y, groups=group)
    assert search.best_params_ == {"n_experts": 2}
    assert search.best_estimator_.n_groups_fit_ == 150


def test_messages_speak_of_groups(subjects):
    X, y, group, _ = subjects
    few = group < 4
    X, y, group = X[few], y[few], group[few]
    with pytest.raises(ValueError, match="candidates has 5 experts, more than the 4 groups of positive weight"):
        select_n_experts(X, y, (1, 5), groups=group, n_folds=None, **COLUMNS)
    with pytest.raises(ValueError, match="n_folds=5 is more than the 4 groups of positive weight"):
        select_n_experts(X, y, (1, 2), groups=group, **COLUMNS)
    with pytest.raises(ValueError, match="tested against 5 experts, more than the 4 groups of positive weight"):
        lr_test(X, y, 4, groups=group, **COLUMNS)


def test_a_splitter_that_knows_no_groups_splits_them_where_it_may():
    """That it ignores them is no news: the model does not."""
    X, y, group = np.arange(12.0)[:, None], np.arange(12.0), np.repeat([7, 3, 5, 1], 3)
    samples = Samples(X, y, np.ones(12), groups=RowGroups.of(group))
    first, second = checked_folds(KFold(2), samples, np.ones(12, dtype=bool), (X, y, group), 0)
    halves = [sorted({samples.groups.name(g) for g in side}) for side in first]
    assert halves == [["1", "5"], ["3", "7"]]
    np.testing.assert_array_equal(second, first[::-1])
    with pytest.raises(ValueError, match="split 0 of cv fits and holds out the same rows or group"):
        checked_folds(KFold(3), samples, np.ones(12, dtype=bool), (X, y, group), 0)
