"""Trees of gates in the grid of the regressor that chooses by cross-validation."""

import pickle

import numpy as np
import pandas as pd
import pytest
from cross_validated import fitted
from sklearn.base import clone
from sklearn.model_selection import KFold

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    MixtureOfExpertsRegressorCV,
    load_model,
    save_model,
)
from moefast.calibration import Calibration
from moefast.plotting import plot_cross_validation, plot_gates
from moefast.selection.gate_shape import FlatGates, TreeOfGates
from moefast.selection.grid import Grid
from moefast.selection.grid_search import Scored, best_setting, laws_others_choose
from moefast.selection.noise_scale import best_noise_scale, with_noise_times
from moefast.validation import check_samples

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(360, 2))
SLOPES = np.where(X[:, 0] > 0, np.where(X[:, 1] > 0, 3, 1), np.where(X[:, 1] > 0, -1, -3))
Y = SLOPES * X[:, 0] + np.sign(X[:, 1]) + 0.1 * RNG.normal(size=360)
SPLITS = list(KFold(3, shuffle=True, random_state=1).split(X))
ONE = {"n_experts": 1, "alphas": 0.1, "gate_alphas": 0.1, "cv": SPLITS}


def with_trees(branches=((2, 2),), **parameters):
    return fitted(X, Y, **{**ONE, "branches": branches, **parameters})


@pytest.fixture(scope="module")
def model():
    return with_trees([(2, 2), (2, 3)], n_experts=(1, 2), gate_alphas=(0.1, 1.0))


def test_scores_are_those_of_trees_fitted_from_nothing(model):
    """Where anyone finds the optimum."""
    results = model.cv_results_
    for i in np.flatnonzero([tree == (2, 2) for tree in results["param_branches"]]):
        folds = []
        for inside, outside in SPLITS:
            alone = HierarchicalMixtureOfExpertsRegressor(random_state=0, **results["params"][i])
            folds.append(alone.fit(X[inside], Y[inside]).score_samples(X[outside], Y[outside]))
        assert results["mean_test_score"][i] == pytest.approx(np.mean(np.concatenate(folds)), abs=2e-3)
        found = [results[f"split{j}_test_score"][i] for j in range(3)]
        assert found == pytest.approx([values.mean() for values in folds], abs=5e-3)


def test_flat_gates_do_not_know_that_trees_are_compared(model):
    without = fitted(X, Y, **{**ONE, "n_experts": (1, 2), "gate_alphas": (0.1, 1.0)})
    assert "param_branches" not in without.cv_results_
    flat = [tree is None for tree in model.cv_results_["param_branches"]]
    for name, column in without.cv_results_.items():
        if name not in ("rank_test_score", "params"):
            np.testing.assert_array_equal(model.cv_results_[name][flat], column)
    assert model.path_ends_ == without.path_ends_
    assert without.branches_ is None


def test_a_chosen_tree_is_the_fit_of_its_setting(model):
    assert (model.branches_, model.n_experts_, model.gate_basis_) == ((2, 2), 4, None)
    wanted = {"branches": (2, 2), "alpha": 0.1, "gate_alpha": model.gate_alpha_, "noise": "per_expert"}
    assert model.best_params_ == wanted
    alone = HierarchicalMixtureOfExpertsRegressor(random_state=0, **model.best_params_).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    np.testing.assert_array_equal(model.predict_gates(X), alone.predict_gates(X))
    assert (model.bic_, model.fit_report_) == (alone.bic_, alone.fit_report_)
    law = with_noise_times(alone.mixture_, model.noise_scale_)
    np.testing.assert_array_equal(model.score_samples(X, Y), law.log_density(X, Y))
    np.testing.assert_array_equal(model.responsibilities(X, Y), law.responsibilities(X, Y))
    note, *others = model.summary().notes
    assert "settings of 1 to 2 experts, and of trees (2, 2), (2, 3): branches=(2, 2)" in note
    assert others[0] == alone.summary().notes[0]
    assert "Gate of branch 1: log-odds against expert 1.1" in str(model.summary())


def test_the_table_tells_the_tree(model):
    frame = pd.DataFrame(model.cv_results_)
    of_trees = frame[frame["param_branches"].notna()]
    assert list(dict.fromkeys(of_trees["param_branches"])) == [(2, 2), (2, 3)]
    assert list(of_trees["param_n_experts"]) == [np.prod(tree) for tree in of_trees["param_branches"]]
    assert set(of_trees["param_gate_basis"]) == {"linear"}
    for params in of_trees["params"]:
        HierarchicalMixtureOfExpertsRegressor(**params)
    for params in frame[frame["param_branches"].isna()]["params"]:
        MixtureOfExpertsRegressor(**params)


def test_ridges_of_trees_go_to_where_no_neighbour_is_better():
    grid = (0.01, 0.1, 1.0, 10.0, 100.0)
    found = with_trees(n_experts=4, alphas=grid)
    results = found.cv_results_
    rows = np.array([tree is not None for tree in results["param_branches"]])
    tried, means = results["param_alpha"][rows], results["mean_test_score"][rows]
    best = grid.index(tried[means.argmax()])
    assert set(tried) >= set(grid[max(0, best - 1) : best + 2])
    assert len(set(tried)) == len(tried)


def test_neither_processes_nor_clones_matter():
    one = with_trees()
    copy = clone(one).set_params(n_jobs=2)
    assert copy.branches == one.branches
    assert not hasattr(copy, "branches_")
    other = copy.fit(X, Y)
    assert other.best_params_ == one.best_params_
    np.testing.assert_array_equal(other.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(other.predict_interval(X), one.predict_interval(X))


@pytest.mark.parametrize(
    "given", [(2, 2), [2, 2], [(2, 2)], ([2, 2],), np.array([[2, 2]]), np.array([2, 2])], ids=str
)
def test_a_single_tree_need_not_be_in_a_list(given):
    assert Grid.of(MixtureOfExpertsRegressorCV(branches=given)).trees == [TreeOfGates((2, 2))]


def test_kinds_of_noise_and_what_trees_do_not_know():
    """Trees are tried wherever gates are linear and the ridge pulls towards zero, under every kind of noise."""
    found = with_trees(
        noise=("shared", "per_expert"), gate_basis=("spline", "linear"), alpha_towards=("mean", "zero")
    )
    results = found.cv_results_
    rows = np.array([tree is not None for tree in results["param_branches"]])
    assert list(results["param_noise"][rows]) == ["shared", "per_expert"]
    assert set(results["param_gate_basis"][rows]) == {"linear"}
    assert set(results["param_alpha_towards"][rows]) == {"zero"}
    assert not {"alpha_towards", "gate_basis", "n_experts"} & set(found.best_params_)
    shared = with_trees(noise="shared").cv_results_["mean_test_score"][-1]
    assert results["mean_test_score"][rows][0] == shared
    assert found.noise_ == found.best_params_["noise"]


def test_weights_of_zero_leave_rows_out():
    w = np.arange(360) % 3.0
    kept = np.flatnonzero(w > 0)
    place = {row: i for i, row in enumerate(kept)}
    narrowed = [tuple([place[r] for r in side if r in place] for side in split) for split in SPLITS]
    few = {**ONE, "branches": (2, 2)}
    some, without = fitted(X, Y, w, **few), fitted(X[kept], Y[kept], w[kept], **few | {"cv": narrowed})
    np.testing.assert_allclose(some.cv_results_["mean_test_score"], without.cv_results_["mean_test_score"])
    doubled = fitted(X, Y, 2 * np.ones(360), **few)
    assert doubled.branches_ == (2, 2)


def test_formulas_and_offsets():
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y + X[:, 1]})
    few = {name: value for name, value in ONE.items() if name != "cv"}
    few |= {"gate_basis": "linear", "random_state": 0, "cv": 3}
    model = MixtureOfExpertsRegressorCV(branches=(2, 2), formula="y ~ a | a + b", **few).fit(frame, offset=X[:, 1])
    alone = HierarchicalMixtureOfExpertsRegressor(formula="y ~ a | a + b", random_state=0, **model.best_params_)
    alone.fit(frame, offset=X[:, 1])
    np.testing.assert_array_equal(model.predict(frame, offset=1.0), alone.predict(frame, offset=1.0))


def test_one_standard_error_counts_the_leaves():
    def scored(shape, mean):
        return Scored(shape, {}, [np.array([mean - 1.0, mean + 1.0])], [np.ones(2)])

    tree, flat, few = scored(TreeOfGates((2, 2)), 2.0), scored(FlatGates(6), 2.1), scored(FlatGates(3), 1.0)
    assert best_setting([flat, tree, few], one_standard_error=True) == 1
    assert best_setting([flat, tree, few], one_standard_error=False) == 0
    assert best_setting([flat, scored(FlatGates(4), 2.05), tree], one_standard_error=True) == 1


def test_noise_and_intervals_are_those_of_rows_held_out():
    """Each under the tree of its fold, fitted from nothing."""
    rng = np.random.default_rng(1)
    y = SLOPES * X[:, 0] + np.sign(X[:, 1]) + 0.1 * rng.standard_t(4, size=360)
    model = fitted(X, y, **ONE, branches=(2, 2))
    laws = [HierarchicalMixtureOfExpertsRegressor(**model.best_params_, random_state=0) for _ in SPLITS]
    laws = [law.fit(X[rows], y[rows]).mixture_ for law, (rows, _) in zip(laws, SPLITS, strict=True)]
    held_out = [check_samples(X[out], y[out], use="model") for _, out in SPLITS]
    assert model.noise_scale_ == pytest.approx(best_noise_scale(laws, held_out), rel=2e-3)
    below = [
        with_noise_times(law, model.noise_scale_).cdf(s.X, s.y) for law, s in zip(laws, held_out, strict=True)
    ]
    wanted = Calibration.of(np.concatenate(below), np.ones(360)).levels(np.array([0.05, 0.95]))
    np.testing.assert_allclose(model.cdf(X, model.predict_interval(X)[:, 0]), wanted[0], rtol=0.02)
    np.testing.assert_allclose(model.cdf(X, model.predict_interval(X)[:, 1]), wanted[1], rtol=0.02)


def test_intervals_hold_what_they_say_whatever_the_noise_is():
    rng = np.random.default_rng(0)

    def rows(n):
        x = rng.uniform(-1, 1, size=(n, 2))
        slopes = np.where(x[:, 0] > 0, np.where(x[:, 1] > 0, 3, 1), np.where(x[:, 1] > 0, -1, -3))
        return x, slopes * x[:, 0] + np.sign(x[:, 1]) + 0.1 * rng.standard_t(2, size=n)

    inside = []
    for _ in range(4):
        model = fitted(*rows(240), **ONE | {"cv": 4}, branches=(2, 2))
        assert model.branches_ == (2, 2)
        new, seen = rows(1000)
        inside.append([_inside(model, new, seen, calibrated) for calibrated in (True, False)])
    calibrated, of_law = np.mean(inside, axis=0)
    assert calibrated == pytest.approx(0.9, abs=0.025)
    assert of_law > 0.93


def _inside(model, new, seen, calibrated):
    low, high = model.predict_interval(new, calibrated=calibrated).T
    return np.mean((low < seen) & (seen < high))


def test_trees_have_a_say_in_the_choices_of_other_folds():
    """Two folds for the tree, one for the flat gates: nobody chooses for himself."""
    laws = {shape: [object() for _ in range(3)] for shape in (FlatGates(1), TreeOfGates((2, 2)))}
    values = {FlatGates(1): [9.0, 1.0, 1.0], TreeOfGates((2, 2)): [1.0, 2.0, 2.0]}

    class Fold:
        held_out = None

    scored = [
        Scored(shape, {}, [np.full(2, v) for v in values[shape]], [np.ones(2)] * 3, laws[shape], [Fold()] * 3)
        for shape in laws
    ]
    flat, tree = laws.values()
    assert laws_others_choose(scored, one_standard_error=False).laws == [tree[0], flat[1], flat[2]]


def test_pictures_show_trees_beside_the_path(model):
    ax = plot_cross_validation(model)
    results = model.cv_results_
    means, trees = results["mean_test_score"], results["param_branches"]
    flat = np.array([tree is None for tree in trees])
    path, *of_trees = ax.containers
    best = [means[flat & (results["param_n_experts"] == k)].max() for k in (1, 2)]
    np.testing.assert_array_equal(path.lines[0].get_ydata(), best)
    drawn = {one.get_label(): (*one.lines[0].get_xdata(), *one.lines[0].get_ydata()) for one in of_trees}
    tops = {tree: means[[other == tree for other in trees]].max() for tree in ((2, 2), (2, 3))}
    assert drawn == {
        "a tree of 2 x 2 experts": (4, tops[2, 2]),
        "a tree of 2 x 3 experts": (6, tops[2, 3]),
    }
    assert ax.get_ylim()[1] > max(tops.values())
    assert ax.get_title().startswith("a tree of 2 x 2 experts, alpha 0.1, ")
    assert len(plot_gates(model, X, 1).collections) == 4


def test_a_file_keeps_the_chosen_tree(model, tmp_path):
    """With the noise and the calibration of the predictions, which are not those of its fit."""
    save_model(model, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    for one in (again, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(one.predict_interval(X), model.predict_interval(X))
        np.testing.assert_array_equal(
            one.predict_interval(X, calibrated=False), model.predict_interval(X, calibrated=False)
        )
        np.testing.assert_array_equal(one.score_samples(X, Y), model.score_samples(X, Y))
        np.testing.assert_array_equal(one.sigma_, model.sigma_)
        np.testing.assert_array_equal(one.predict_gates(X), model.predict_gates(X))
        assert one.branches_ == (2, 2)
    assert type(again) is HierarchicalMixtureOfExpertsRegressor
    assert (again.sigma_ != model.best_estimator_.sigma_).all()
    assert again.log_likelihood_ == model.log_likelihood_
    assert again.get_params() == model.best_estimator_.get_params()
    assert str(again.summary()) == str(model._as_regressor().summary())


def test_what_a_tree_is_not_is_said(model):
    with pytest.raises(TypeError, match="a HierarchicalMixtureOfExpertsRegressor has none yet"):
        model.inference(X, Y)


def test_averages_take_the_chosen_tree(tmp_path):
    chooses = MixtureOfExpertsRegressorCV(**ONE | {"cv": 3, "gate_basis": "linear"}, branches=(2, 2))
    model = BaggedMixtureOfExperts(chooses, n_replicates=2, n_folds=2, random_state=0).fit(X, Y)
    assert [one.branches_ for one in model.estimators_] == [(2, 2)] * 2
    save_model(model, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict_interval(X), model.predict_interval(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"branches": []}, "branches is empty"),
        ({"branches": [()]}, "branches must have trees of two levels or more, such as"),
        ({"branches": [(4,)]}, "branches must have trees of two levels or more"),
        ({"branches": (4,)}, "branches must have trees of two levels or more"),
        ({"branches": [(2, 2), "22"]}, "trees of two levels or more, such as .*, got '22'"),
        ({"branches": [np.array(2)]}, "trees of two levels or more"),
        ({"branches": [(2, 2), 3]}, "trees of two levels or more, such as .*, got 3"),
        ({"branches": [(2, 1)]}, "the children of a node in branches must be at least 2, got 1"),
        ({"branches": [(2, 2), (3, 2), (2, 2)]}, r"branches has \(2, 2\) more than once"),
        ({"branches": (100, 100)}, r"branches has \(100, 100\), of 10000 experts, more than the 240 rows"),
        ({"branches": (2, 2), "gate_basis": "spline"}, "branches need gate_basis='linear' .*, got 'spline'"),
        ({"branches": (2, 2), "alpha_towards": "mean"}, "branches need alpha_towards='zero' .*, got 'mean'"),
        ({"branches": (2, 2), "l1_ratio": (0.5, 1.0)}, "branches need l1_ratio=0.0 .*, got 0.5, 1.0"),
        ({"branches": (2, 2), "family": "student_t"}, "branches need family='gaussian', got 'student_t'"),
        ({"branches": (2, 2), "common_features": [0]}, "branches need common_features=None"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        with_trees(**parameters)


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ("22", "branches must be a tree such as"),
        (4, "branches must be a tree such as .*, got 4"),
        (np.array(2), "branches must be a tree such as"),
        ((2, 2.0), "the children of a node in branches must be an integer, got 2.0"),
        ([(2, (2, 2))], "the children of a node in branches must be an integer"),
    ],
    ids=str,
)
def test_wrong_types_are_named(branches, message):
    with pytest.raises(TypeError, match=message):
        with_trees(branches)


def test_groups_and_several_responses_are_refused():
    groups = np.repeat(np.arange(180), 2)
    with pytest.raises(ValueError, match="groups are for flat gates; leave branches out"):
        fitted(X, Y, fit={"groups": groups}, gate_features=[], branches=(2, 2))
    with pytest.raises(ValueError, match="branches are for one response, y has 2 columns"):
        fitted(X, np.column_stack([Y, Y]), branches=(2, 2))
