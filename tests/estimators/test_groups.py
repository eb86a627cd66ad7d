"""Fits to rows in groups, each of one expert: what comes out, what weights mean, what is refused."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, load_model, save_model
from moefast.em import EmOptions, fit_em
from moefast.mixture import Mixture
from oracles import grouped


def fitted(X, y, groups, k=2, sample_weight=None, **parameters):
    parameters = {"expert_features": [0, 1], "gate_features": [2], "random_state": 0, **parameters}
    return MixtureOfExpertsRegressor(k, **parameters).fit(X, y, sample_weight, groups=groups)


def terms_of(model, X, y, group):
    """log p_i + the sum of log f_i of each group."""
    one = np.ones((len(X), 1))
    return grouped.joint(
        np.hstack([X, one]),
        np.hstack([X, one]),
        y,
        group,
        np.column_stack([model.coef_, model.intercept_]),
        np.column_stack([model.gate_coef_, model.gate_intercept_]),
        model.sigma_,
    )


def np_reg(seed):
    """The data of flexmix's demonstration, a line and a parabola; four rows after each other are of one class."""
    rng = np.random.default_rng(seed)
    x, kind = rng.uniform(0, 10, size=200), np.repeat([0, 1], 100)
    y = np.where(kind == 0, 5 * x, 40 - (x - 5) ** 2) + 3 * rng.normal(size=200)
    return np.column_stack([x, x**2]), y, kind, np.arange(200) // 4


@pytest.fixture(scope="module")
def subjects():
    X, y, group, expert = grouped.simulate(300, 0)
    return X, y, group, expert, fitted(X, y, group)


@pytest.mark.parametrize("seed", range(4))
def test_no_row_of_the_demonstration_is_in_the_wrong_class(seed):
    X, y, kind, group = np_reg(seed)
    model = MixtureOfExpertsRegressor(2, gate_features=[], random_state=0).fit(X, y, groups=group)
    found = model.assign(X, y, groups=group)
    assert len(set(zip(found, kind, strict=True))) == 2
    line = int(found[0])
    assert (np.abs(model.coef_[line] - [5, 0]) < [1.5, 0.15]).all()
    assert (np.abs(model.coef_[1 - line] - [10, -1]) < [1.5, 0.15]).all()
    alone = MixtureOfExpertsRegressor(2, gate_features=[], random_state=0).fit(X, y)
    wrong = alone.assign(X, y) != kind
    assert min(wrong.sum(), 200 - wrong.sum()) > 4  # rows by themselves tell less


def test_figures_are_those_of_groups(subjects):
    X, y, group, expert, model = subjects
    terms = terms_of(model, X, y, group)
    r = grouped.posterior(terms)
    assert model.log_likelihood_ == pytest.approx(grouped.log_likelihood(terms, np.ones(300)), rel=1e-12)
    assert (model.n_groups_fit_, model.n_samples_fit_, model.training_weight_) == (300, len(y), 300)
    assert model.bic_ == pytest.approx(np.log(300) * model.n_parameters_ - 2 * model.log_likelihood_)
    assert model.entropy_ == pytest.approx(-(r * np.log(r)).sum(), rel=1e-9)
    assert model.icl_ == pytest.approx(model.bic_ + 2 * model.entropy_)
    membership = model.membership_
    sizes = np.bincount(group)
    np.testing.assert_allclose(membership.prior, r.mean(axis=0), rtol=1e-4)  # at the optimum
    np.testing.assert_array_equal(membership.size, [sizes[r.argmax(axis=1) == i].sum() for i in range(2)])
    np.testing.assert_array_equal(membership.support, sizes @ (r > 1e-4))
    np.testing.assert_allclose(model.shares_, sizes @ r / len(y), rtol=1e-6)
    assert "sum of weights 300, which is the n of BIC" in str(model.summary())
    # nearly every subject is told apart, and the truth is near
    found = r.argmax(axis=1)
    assert max((found == expert).mean(), (found != expert).mean()) > 0.95


def test_new_rows_in_groups(subjects):
    X, y, group, _, model = subjects
    order = np.random.default_rng(1).permutation(len(y))
    names = np.array([f"subject {g}" for g in group])
    r = grouped.posterior(terms_of(model, X, y, group))[group]
    np.testing.assert_allclose(model.responsibilities(X, y, groups=group), r, atol=1e-10)
    shuffled = model.responsibilities(X[order], y[order], groups=names[order])
    np.testing.assert_allclose(shuffled, r[order], atol=1e-10)
    np.testing.assert_array_equal(model.assign(X[order], y[order], groups=names[order]), r[order].argmax(axis=1))
    value = model.log_likelihood(X[order], y[order], groups=names[order])
    assert value == pytest.approx(model.log_likelihood_)
    assert model.bic(X, y, groups=group) == pytest.approx(model.bic_)
    assert model.aic(X, y, groups=group) == pytest.approx(model.aic_)
    weights = 1.0 + np.arange(300) % 3
    expected = grouped.log_likelihood(terms_of(model, X, y, group), weights)
    assert model.log_likelihood(X, y, weights[group], groups=group) == pytest.approx(expected)
    assert model.bic(X, y, weights[group], groups=group) == pytest.approx(
        np.log(weights.sum()) * model.n_parameters_ - 2 * expected
    )
    # a row without a group is its own
    np.testing.assert_array_equal(
        model.responsibilities(X, y), model.responsibilities(X, y, groups=np.arange(len(y)))
    )
    rows = model.mixture_.log_density(X, y).sum()
    assert model.log_likelihood(X, y, groups=np.arange(len(y))) == pytest.approx(rows)


def test_draws(subjects):
    """All rows of a group from one expert: the model is found again in what it draws."""
    X, _, group, _, model = subjects
    order = np.random.default_rng(5).permutation(len(group))
    y = model.sample(X[order], 0, groups=group[order])
    found = model.responsibilities(X[order], y, groups=group[order])
    near = found.max(axis=1) > 0.99
    assert near.mean() > 0.8
    again = fitted(X[order], y, group[order])
    found, expected = (one.coef_[np.argsort(one.coef_[:, 0])] for one in (again, model))
    np.testing.assert_allclose(found, expected, atol=0.15)
    np.testing.assert_array_equal(y, model.sample(X[order], 0, groups=group[order]))
    alone = model.sample(X[order], 0)
    assert model.log_likelihood(X[order], alone, groups=group[order]) < model.log_likelihood_ - 500


def test_one_run_of_em(subjects):
    X, y, group, _, model = subjects
    options = EmOptions(expert_columns=(0, 1), gate_columns=(2,))
    fit = fit_em(X, y, model.mixture_, groups=group, options=options)
    assert fit.log_likelihood == pytest.approx(model.log_likelihood_, rel=1e-9)


def test_neither_order_nor_names_matter(subjects):
    X, y, group, _, model = subjects
    order = np.random.default_rng(2).permutation(len(y))
    names = np.array([f"subject {g:03d}" for g in group], dtype=object)
    other = fitted(X[order], y[order], pd.Series(names[order], index=order))
    np.testing.assert_allclose(other.coef_, model.coef_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other.gate_coef_, model.gate_coef_, rtol=1e-5, atol=1e-7)
    assert other.log_likelihood_ == pytest.approx(model.log_likelihood_, rel=1e-9)


def test_a_label_for_every_row_is_no_group(subjects):
    X, y, _, _, _ = subjects
    alone = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    each = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y, groups=np.arange(len(y)))
    np.testing.assert_array_equal(alone.coef_, each.coef_)
    assert each.n_groups_fit_ == alone.n_groups_fit_ == len(y)


def test_a_weight_is_so_many_copies_of_the_group(subjects):
    X, y, group, _, _ = subjects
    times = np.random.default_rng(3).integers(0, 4, size=300)
    rows = np.concatenate([np.flatnonzero(group == g) for g in range(300) for _ in range(times[g])])
    copies = np.concatenate([np.full((group == g).sum(), 4 * g + c) for g in range(300) for c in range(times[g])])
    weighted = fitted(X, y, group, sample_weight=times[group])
    repeated = fitted(X[rows], y[rows], copies)
    assert weighted.log_likelihood_ == pytest.approx(repeated.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-5, atol=1e-7)
    for name in ("bic_", "icl_", "training_weight_", "n_parameters_"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-7)
    np.testing.assert_allclose(weighted.membership_.size, repeated.membership_.size)
    # rows of weight 0 are left out, also of a group whose other rows stay
    without = np.arange(len(y)) % 5 > 0
    dropped = fitted(X, y, group, sample_weight=without)
    np.testing.assert_array_equal(dropped.coef_, fitted(X[without], y[without], group[without]).coef_)


def test_given_starts(subjects):
    X, y, group, expert, model = subjects
    order = np.random.default_rng(4).permutation(len(y))
    truth = expert[group]
    for start in (truth[order], np.eye(2)[truth[order]], model, model.mixture_):
        found = fitted(X[order], y[order], group[order], start=start)
        assert found.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=1e-6)
    with pytest.warns(ConvergenceWarning):
        near, far = (fitted(X[order], y[order], group[order], start=s, max_iter=1) for s in (truth[order], truth))
    assert far.log_likelihood_ < near.log_likelihood_ - 10  # whose labels are of other rows
    more = fitted(X, y, group, 3, start=model)
    assert more.log_likelihood_ > model.log_likelihood_


@pytest.mark.parametrize("start", ["random", "spectral", "l4"])
def test_kinds_of_starts(subjects, start):
    X, y, group, _, model = subjects
    found = fitted(X, y, group, start=start, n_init=5)
    assert found.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=1e-3)


@pytest.mark.parametrize("k", [2, 3])
def test_the_search_finds_what_em_from_the_truth_does(k):
    X, y, group, expert = grouped.simulate(2000, 5 + k, k=k, noise=1.0)
    model = fitted(X, y, group, k)
    truth = fitted(X, y, group, k, start=expert[group])
    assert model.log_likelihood_ > truth.log_likelihood_ - 0.05
    assert model.converged_


def test_few_large_groups():
    """Some rows are then few groups, and still enough of them."""
    rng = np.random.default_rng(6)
    group = np.repeat(np.arange(12), 300)
    X = rng.normal(size=(3600, 2))
    y = np.where(group % 3 == 0, X[:, 0], -X[:, 1]) + 0.3 * rng.normal(size=3600)
    model = MixtureOfExpertsRegressor(2, gate_features=[], random_state=0).fit(X, y, groups=group)
    found = model.assign(X, y, groups=group)
    assert len(set(zip(found, group % 3 == 0, strict=True))) == 2
    np.testing.assert_allclose(sorted(model.membership_.prior), [1 / 3, 2 / 3], atol=1e-6)


def test_one_expert_is_least_squares(subjects):
    X, y, group, _, _ = subjects
    model = fitted(X, y, group, 1)
    U = np.column_stack([X[:, :2], np.ones(len(y))])
    np.testing.assert_allclose(model.coef_[0, :2], np.linalg.lstsq(U, y, rcond=None)[0][:2], rtol=1e-8)


def test_a_model_file_keeps_the_number_of_groups(subjects, tmp_path):
    *_, model = subjects
    save_model(model, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    assert again.n_groups_fit_ == 300
    assert again.bic_ == model.bic_


# ---- what is refused -----------------------------------------------------------------------------------


def frame(X):
    return pd.DataFrame(X, columns=["dose", "time", "age"])


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (np.arange(5), ValueError, r"groups must have one label per row: expected \(8,\), got \(5,\)"),
        (np.zeros((8, 1)), ValueError, r"expected \(8,\), got \(8, 1\)"),
        ([1.0, 1, 2, np.nan, 3, 3, 4, 4], ValueError, "groups has no label at row 3"),
        (["a", "a", None, "b", "b", "b", "c", "c"], ValueError, "groups has no label at row 2"),
        (pd.Series(["a", "a", "b", pd.NA] * 2), ValueError, "groups has no label at row 3"),
        (["a", 1] * 4, None, None),  # numpy makes texts of these
        (np.array(["a", 1] * 4, dtype=object), TypeError, "groups must be labels of one kind"),
        (np.ma.masked_less([0, 0, 1, 1, 2, 2, 3, 3], 1), ValueError, "groups has masked values"),
        ([0, 0, 1, 1, 2, 2, 3, 3], ValueError, "X column 'age' varies within group 1, so gates cannot see it"),
        (["u", "u", "v", "v"] * 2, ValueError, "X column 'age' varies within group 'u'"),
        ([0] * 8, ValueError, "1 groups of positive weight are fewer than n_experts=2"),
    ],
)
def test_bad_groups(groups, error, message):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 3)), rng.normal(size=8)
    X[:2, 2] = 1.0
    model = MixtureOfExpertsRegressor(2, expert_features=[0], gate_features=["age"], random_state=0)
    if error is None:
        error, message = ValueError, "X column 'age' varies within group '1'"
    with pytest.raises(error, match=message):
        model.fit(frame(X), y, groups=groups)
    with pytest.raises(NotFittedError):
        model.predict(frame(X))


def test_weights_that_vary_within_a_group(subjects):
    X, y, group, _, _ = subjects
    weights = np.ones(len(y))
    weights[np.flatnonzero(group == 8)[0]] = 2.0
    assert (group == 8).sum() > 1
    message = (
        "sample_weight must be the same for all rows of a group, whose log-likelihood it multiplies, got 2 and 1"
    )
    with pytest.raises(ValueError, match=re.escape(message) + " in group 8$"):
        fitted(X, y, group, sample_weight=weights)


def test_what_knows_no_groups_says_so(subjects):
    X, y, group, _, model = subjects
    with pytest.raises(ValueError, match="gates cannot see it"):
        MixtureOfExpertsRegressor(2).fit(X, y, groups=group)  # all columns are the default
    with pytest.raises(ValueError, match="groups need polish=True"):
        fitted(X, y, group, start="spectral", polish=False)
    tree = HierarchicalMixtureOfExpertsRegressor((2, 2), gate_features=[2], n_init=2, random_state=0)
    with pytest.raises(ValueError, match="groups are for flat gates"):
        tree.fit(X, y, groups=group)
    with pytest.raises(ValueError, match="groups need y"):
        model.assign(X, groups=group)
    moved = X.copy()
    moved[np.flatnonzero(group == 8)[0], 2] += 1.0
    for call in (model.responsibilities, model.log_likelihood):
        with pytest.raises(ValueError, match="X column 2, which gates see, varies within group"):
            call(moved, y, groups=group)
    tree = clone(tree).fit(X, y)
    with pytest.raises(ValueError, match="groups are for flat gates"):
        tree.responsibilities(X, y, groups=group)


def test_a_group_whose_likelihood_leaves_the_range_is_named(subjects):
    X, y, group, _, model = subjects
    far = y.copy()
    far[group == 9] = 1e200
    with pytest.raises(OverflowError, match="of group 9 leaves the range of float64"):
        model.log_likelihood(X, far, groups=group)


def test_the_mixture_of_a_fit_is_one_as_any_other(subjects):
    X, _, _, _, model = subjects
    assert isinstance(model.mixture_, Mixture)
    assert model.predict(X).shape == (len(X),)
    assert model.predict_interval(X[:3]).shape == (3, 2)
