"""The regressor that chooses its setting by cross-validation."""

import pickle

import numpy as np
import pandas as pd
import pytest
from cross_validated import GRID, X, Y, fitted
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from moefast import MixtureOfExpertsRegressor, MixtureOfExpertsRegressorCV, load_model, save_model
from moefast.datasets import make_moe
from moefast.selection import path_branch, regressor_cv
from moefast.selection.gate_shape import FlatGates, TreeOfGates
from moefast.selection.grid import default_counts, default_work
from moefast.selection.grid_search import Scored, Walk, rival, scores_along_path

LINEAR = {"noise": "per_expert", "gate_basis": "linear"}


@pytest.fixture(scope="module")
def model():
    return fitted()


def by_hand(setting, splits, X=X, Y=Y, **fit):
    """The mean log-likelihood of rows held out, by fits from nothing."""
    total = []
    for inside, outside in splits:
        one = MixtureOfExpertsRegressor(random_state=0, **setting).fit(
            X[inside], Y[inside], **{name: value[inside] for name, value in fit.items()}
        )
        total.append(one.score_samples(X[outside], Y[outside], **{n: v[outside] for n, v in fit.items()}))
    return np.mean(np.concatenate(total)), [values.mean() for values in total]


def test_scores_are_those_of_fits_from_nothing():
    """Where anyone finds the optimum."""
    x, y, _ = make_moe(300, 3, 2, noise=0.1, random_state=0)
    splits = list(KFold(3, shuffle=True, random_state=1).split(x))
    model = fitted(x, y, cv=splits, n_experts=(1, 2))
    for i, setting in enumerate(model.cv_results_["params"]):
        mean, folds = by_hand(setting, splits, x, y)
        assert model.cv_results_["mean_test_score"][i] == pytest.approx(mean, abs=2e-4), setting
        assert [model.cv_results_[f"split{j}_test_score"][i] for j in range(3)] == pytest.approx(folds, abs=5e-4)


def test_it_is_the_fit_of_the_chosen_setting(model):
    alone = MixtureOfExpertsRegressor(random_state=0, **model.best_params_).fit(X, Y)
    np.testing.assert_array_equal(model.coef_, alone.coef_)
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    assert model.fit_report_ == alone.fit_report_
    assert model.score(X, Y) == alone.score(X, Y)
    assert (model.n_experts_, model.noise_) == (2, "per_expert")
    assert model.best_params_ == {
        "n_experts": model.n_experts_,
        "alpha": model.alpha_,
        "gate_alpha": model.gate_alpha_,
        **LINEAR,
    }


def test_the_table_is_that_of_scikit_learns_searches(model):
    results = model.cv_results_
    frame = pd.DataFrame(results)
    assert set(frame["param_n_experts"]) == {1, 2, 3}
    assert not frame[["param_n_experts", "param_alpha", "param_gate_alpha"]].duplicated().any()
    best = frame.loc[frame["rank_test_score"] == 1].iloc[0]
    assert best["mean_test_score"] == frame["mean_test_score"].max() == model.best_score_
    assert best["params"] == model.best_params_ == results["params"][model.best_index_]
    for name in ("n_experts", "alpha", "gate_alpha", "noise", "gate_basis"):
        assert [params[name] for params in results["params"]] == list(frame[f"param_{name}"])
    folds = frame[[f"split{i}_test_score" for i in range(5)]].to_numpy()
    np.testing.assert_allclose(folds.mean(axis=1), frame["mean_test_score"], rtol=1e-12)  # 60 rows each
    np.testing.assert_allclose(folds.std(axis=1), frame["std_test_score"])


def test_one_standard_error_takes_the_fewest_experts_near_the_best():
    x = np.linspace(-2, 2, 80)[:, None]
    y = 0.8 * np.abs(x[:, 0]) + np.random.default_rng(1).normal(size=80)
    best, simple = (fitted(x, y, one_standard_error=rule, n_experts=(1, 2, 3)) for rule in (False, True))
    results = simple.cv_results_
    means, counts = results["mean_test_score"], results["param_n_experts"]
    np.testing.assert_array_equal(means, best.cv_results_["mean_test_score"])
    least = means.max() - results["standard_error"][means.argmax()]
    assert simple.n_experts_ == counts[means >= least].min()
    assert simple.best_score_ == means[counts == simple.n_experts_].max()
    assert simple.n_experts_ < best.n_experts_


def test_the_path_ends_where_the_curve_has_turned():
    model = fitted(n_experts=range(1, 13), alphas=0.1, gate_alphas=0.01)
    ((setting, end, turned),) = model.path_ends_
    assert setting == LINEAR
    assert turned
    assert end < 12
    assert list(model.cv_results_["param_n_experts"]) == list(range(1, end + 1))
    assert f"1 to {end} experts, where the curve had turned" in model.summary().notes[0]
    assert fitted().path_ends_ == ((LINEAR, 3, False),)


def test_numbers_of_experts_may_leave_gaps():
    model = fitted(n_experts=(3, 1), alphas=0.1, gate_alphas=("auto", 1.0))
    assert list(model.cv_results_["param_n_experts"]) == [1, 1, 3, 3]
    assert list(model.cv_results_["param_gate_alpha"]) == ["auto", 1.0, "auto", 1.0]


def test_defaults_try_as_many_experts_as_rows_allow():
    only = {"alphas": 1.0, "gate_alphas": 1.0, "noise_floor": 0.02}
    model = MixtureOfExpertsRegressorCV(random_state=0, **only).fit(X[:30], Y[:30])
    # 24 rows of a fold, 9 parameters an expert more, with splines 18
    assert model.path_ends_ == ((LINEAR, 2, False), ({**LINEAR, "gate_basis": "spline"}, 1, False))


def test_both_kinds_of_noise():
    model = fitted(noise=("shared", "per_expert"), n_experts=2)
    noise = model.cv_results_["param_noise"]
    assert list(dict.fromkeys(noise)) == ["shared", "per_expert"]
    only = fitted(noise="shared", n_experts=2).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(only, model.cv_results_["mean_test_score"][noise == "shared"])


def test_ridges_go_to_where_no_neighbour_is_better():
    """Three steps away, where y is noise."""
    grid, y = 10.0 ** np.arange(-3, 4), np.random.default_rng(0).normal(size=300)
    model = fitted(X, y, n_experts=1, alphas=grid, gate_alphas=1.0)
    alphas, means = model.cv_results_["param_alpha"], model.cv_results_["mean_test_score"]
    assert list(alphas) == list(grid[2:])
    every = {alpha: fitted(X, y, n_experts=1, alphas=alpha, gate_alphas=1.0).best_score_ for alpha in grid}
    np.testing.assert_allclose(means, [every[alpha] for alpha in alphas], rtol=1e-9)
    assert model.best_score_ == pytest.approx(max(every.values()), rel=1e-12)


def test_gates_that_are_no_wedges_are_found():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(400, 2))
    y = np.where((x**2).sum(axis=1) < 1.5, 2.0 + x[:, 0], -x[:, 0]) + 0.2 * rng.normal(size=400)
    model = fitted(x, y, gate_basis=("linear", "quadratic"), n_experts=(1, 2))
    assert model.best_params_["gate_basis"] == "quadratic"
    assert model.gate_basis_.kind == "quadratic"
    alone = MixtureOfExpertsRegressor(random_state=0, **model.best_params_).fit(x, y)
    np.testing.assert_array_equal(model.predict(x), alone.predict(x))
    by_basis = [end[0]["gate_basis"] for end in model.path_ends_]
    assert by_basis == ["linear", "quadratic"]


def test_bases_without_functions_are_left_out():
    x = np.repeat([[0.0], [1.0]], 40, axis=0)
    y = x[:, 0] + np.random.default_rng(0).normal(size=80)
    model = fitted(x, y, gate_basis=("linear", "spline"), n_experts=1)
    assert [end[0]["gate_basis"] for end in model.path_ends_] == ["linear"]
    only = fitted(x, y, gate_basis="spline", n_experts=1)
    assert [end[0]["gate_basis"] for end in only.path_ends_] == ["spline"]


def test_processes_do_not_matter(model):
    other = fitted(n_jobs=2)
    assert {k: list(v) for k, v in other.cv_results_.items()} == {k: list(v) for k, v in model.cv_results_.items()}


def test_weights_of_zero_leave_rows_out():
    w = np.arange(300) % 3.0
    some, without = fitted(w=w), fitted(X[w > 0], Y[w > 0], w[w > 0])
    np.testing.assert_allclose(some.cv_results_["mean_test_score"], without.cv_results_["mean_test_score"])
    splits = list(KFold(3).split(X))
    kept = np.flatnonzero(w > 0)
    place = {row: i for i, row in enumerate(kept)}
    narrowed = [tuple([place[r] for r in side if r in place] for side in split) for split in splits]
    some, without = fitted(w=w, cv=splits), fitted(X[kept], Y[kept], w[kept], cv=narrowed)
    np.testing.assert_allclose(some.cv_results_["mean_test_score"], without.cv_results_["mean_test_score"])


def test_rows_held_out_count_with_their_weight():
    w = np.where(np.arange(300) < 250, 1.0, 40.0)
    splits = [(np.arange(200), np.arange(200, 300))]
    model = fitted(w=w, cv=splits, n_experts=1, alphas=1.0, gate_alphas=1.0)
    alone = MixtureOfExpertsRegressor(1, alpha=1.0).fit(X[:200], Y[:200])
    expected = np.average(alone.score_samples(X[200:], Y[200:]), weights=w[200:])
    assert model.best_score_ == pytest.approx(expected, rel=1e-9)


def test_groups_are_held_out_whole():
    groups = np.repeat(np.arange(60), 5)
    rng = np.random.default_rng(0)
    slopes = np.where(rng.uniform(size=60) < 0.5, 2.0, -2.0)
    x = rng.normal(size=(300, 1))
    y = slopes[groups] * x[:, 0] + 0.3 * rng.normal(size=300)
    shuffle = rng.permutation(300)
    x, y, groups = x[shuffle], y[shuffle], groups[shuffle]
    splits = list(GroupKFold(4).split(x, y, groups))
    model = fitted(x, y, cv=splits, fit={"groups": groups}, n_experts=(1, 2), gate_features=[])
    with_splitter = fitted(x, y, cv=GroupKFold(4), fit={"groups": groups}, n_experts=(1, 2), gate_features=[])
    assert with_splitter.best_score_ == model.best_score_
    assert model.n_experts_ == 2
    assert model.n_groups_fit_ == 60
    total = 0.0
    for inside, outside in splits:
        one = MixtureOfExpertsRegressor(gate_features=[], random_state=0, **model.best_params_)
        one.fit(x[inside], y[inside], groups=groups[inside])
        total += one.log_likelihood(x[outside], y[outside], groups=groups[outside])
    assert model.best_score_ == pytest.approx(total / 60, abs=1e-3)
    fitted(x, y, fit={"groups": groups}, n_experts=1, gate_features=[])
    with pytest.raises(ValueError, match="the same rows or group"):
        fitted(x, y, cv=KFold(4), fit={"groups": groups}, gate_features=[])


def test_families_and_offsets():
    rng = np.random.default_rng(0)
    x, offset = rng.normal(size=(300, 2)), rng.normal(size=300)
    y = rng.poisson(np.exp(offset + np.where(x[:, 0] > 0, 1.0 + x[:, 1], -x[:, 1]))).astype(float)
    splits = list(KFold(3, shuffle=True, random_state=0).split(x))
    model = fitted(x, y, family="poisson", cv=splits, n_experts=(1, 2), fit={"offset": offset})
    assert model.n_experts_ == 2
    mean, _ = by_hand({**model.best_params_, "family": "poisson"}, splits, x, y, offset=offset)
    assert model.best_score_ == pytest.approx(mean, abs=2e-3)


def test_formulas():
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.where(X[:, 2] > 0, "u", "v"), "y": Y})
    model = MixtureOfExpertsRegressorCV(formula="y ~ a + b | C(c)", random_state=0, **GRID).fit(frame)
    alone = MixtureOfExpertsRegressor(formula="y ~ a + b | C(c)", random_state=0, **model.best_params_).fit(frame)
    np.testing.assert_array_equal(model.predict(frame), alone.predict(frame))


def test_it_is_saved_as_the_chosen_fit(model, tmp_path):
    save_model(model, tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    assert type(again) is MixtureOfExpertsRegressor
    assert again.get_params() == model.best_estimator_.get_params()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.score_samples(X, Y), model.score_samples(X, Y))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore:the experts are shrunk")
def test_inference_is_that_of_the_chosen_fit(model):
    ours, other = model.inference(X, Y), model.best_estimator_.inference(X, Y)
    np.testing.assert_array_equal(ours.bse, other.bse)
    assert "standard error" in " ".join(model.summary(ours).notes)
    assert model.log_likelihood_ == model.best_estimator_.log_likelihood_
    assert model.log_likelihood_ == pytest.approx(model.best_estimator_.score_samples(X, Y).sum(), rel=1e-9)
    assert f"{model.noise_scale_:.3g} times the noise" in model.summary().notes[0]


def test_a_path_ends_where_it_has_taken_its_time(monkeypatch):
    """Counted in iterations; where the user has named numbers of experts they are all tried."""
    ((_, end, turned),) = fitted(n_experts="auto").path_ends_
    assert end > 2
    monkeypatch.setattr(path_branch, "default_work", lambda n_units: 0.0)
    for _ in range(2):
        ((_, last, turned),) = fitted(n_experts="auto").path_ends_
        assert (last, turned) == (1, False)
    ((_, last, _),) = fitted(n_experts=(1, 2)).path_ends_
    assert last == 2


def test_work_grows_with_rows_less_than_they_do():
    assert 1e11 < default_work(250) < default_work(1000) < 4 * default_work(250) < 1e13
    assert default_counts(1000, 1, 10)[-1] == 20
    assert default_counts(100_000, 1, 10)[-1] == 6


def test_richer_gates_end_where_linear_ones_of_as_many_experts_are_better(monkeypatch):
    ends, told = [], []

    def scores(branch, bests, n_jobs, *, shown):
        told.append(dict(bests))
        better = {k: np.inf for k in (2, 3, 4)} if bests else bests
        found = scores_along_path(branch, better, n_jobs, shown=shown)
        ends.append((found.end, found.turned))
        return found

    monkeypatch.setattr(regressor_cv, "scores_along_path", scores)
    model = fitted(n_experts=(1, 2, 3, 4), gate_basis=("linear", "spline"))
    assert ends[1] == (3, True)
    assert model.path_ends_[1][1:] == (3, True)
    linear = model.cv_results_["param_gate_basis"] == "linear"
    assert told[0] == {}
    for k, score in told[1].items():
        same = linear & (model.cv_results_["param_n_experts"] == k)
        assert score == model.cv_results_["mean_test_score"][same].max()


def test_rivals_are_paths_of_linear_gates_or_the_same():
    def walk(k, mean, **setting):
        scored = Scored(FlatGates(k), setting, [np.array([mean])], [np.ones(1)])
        tree = Scored(TreeOfGates((2, k)), setting, [np.array([9.0])], [np.ones(1)])
        return Walk(setting, [scored], [tree], k, False, False)

    walks = [
        walk(2, 1.0, noise="per_expert", gate_basis="linear", noise_floor=0.02),
        walk(2, 2.0, noise="per_expert", gate_basis="linear", noise_floor=0.002),
        walk(3, 3.0, noise="per_expert", gate_basis="spline", noise_floor=0.02),
        walk(3, 4.0, noise="shared", gate_basis="linear", noise_floor=0.02),
    ]
    here = {"noise": "per_expert", "noise_floor": 0.002}
    assert rival({**here, "gate_basis": "spline"}, walks) == {2: 2.0, 3: 3.0}
    assert rival({**here, "gate_basis": "quadratic"}, walks) == {2: 2.0}


def test_clones_search_again(model):
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "best_params_")
    assert copy.fit(X, Y).best_params_ == model.best_params_


def test_a_failed_fit_leaves_the_one_before(model):
    copy = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match="n_experts has 400"):
        copy.set_params(n_experts=(1, 400)).fit(X, Y)
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_experts": ()}, "n_experts is empty"),
        ({"n_experts": (1, 1)}, "n_experts has 1 more than once"),
        ({"n_experts": (0,)}, "n_experts must be"),
        ({"n_experts": "all"}, "n_experts must be"),
        ({"n_experts": (1, 290)}, "n_experts has 290, more than the 240 rows"),
        ({"alphas": (-1.0,)}, "alphas must be"),
        ({"noise_floor": (0.02, 0.0)}, "noise_floor must be"),
        ({"noise_floor": ()}, "noise_floor is empty"),
        ({"alphas": ()}, "alphas is empty"),
        ({"alphas": ("1",)}, "alphas must be"),
        ({"gate_alphas": ("none",)}, "gate_alphas must be"),
        ({"gate_alphas": (np.inf,)}, "gate_alphas must be"),
        ({"noise": ("normal",)}, "noise must be"),
        ({"noise_scale": "oob"}, "noise_scale must be"),
        ({"noise_scale": 0.0}, "noise_scale must be"),
        ({"noise_scale": 1e-300}, "noise_scale must be a finite number not below 1e-06"),
        ({"noise_scale": 1e200}, "noise_scale must be a finite number not below 1e-06 and at most 1e\\+06"),
        ({"noise_scale": 1.1, "family": "poisson"}, "noise_scale must be 1 for family='poisson', got 1.1"),
        ({"gate_basis": ("cubic",)}, "gate_basis must be"),
        ({"cv": 1}, "cv must be"),
        ({"cv": 301}, "cv=301 is more than n_samples=300 rows"),
        ({"cv": []}, "cv has no splits"),
        ({"cv": [([0, 1], [1, 2])]}, "split 0 of cv fits and holds out the same rows or group"),
        ({"cv": [(range(100), [])]}, "rows of positive weight on both sides"),
        ({"cv": [([0, 1], [300])]}, "positions beyond the 300 rows"),
        ({"cv": [([0.5], [1])]}, "must be a pair of positions"),
        ({"tol": -1.0}, "tol must be"),
        ({"n_jobs": 0}, "n_jobs must not be 0"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cv": "five"}, "cv must be"),
        ({"cv": 2.5}, "cv must be"),
        ({"cv": [1, 2]}, "split 0 of cv must be a pair, .* got 1"),
        ({"cv": [([0, 1], [2], [3])]}, "split 0 of cv must be a pair"),
        ({"one_standard_error": 1}, "one_standard_error must be"),
        ({"n_jobs": 1.5}, "n_jobs must be"),
    ],
    ids=str,
)
def test_wrong_types_are_named(parameters, message):
    with pytest.raises(TypeError, match=message):
        fitted(**parameters)


def test_penalties_of_the_experts_are_handed_on():
    lasso = fitted(l1_ratio=1.0, alphas=30.0, n_experts=2)
    assert lasso.best_estimator_.l1_ratio == 1.0
    assert (lasso.coef_ == 0).any()
    shared = fitted(alpha_towards="mean", alphas=1e6, n_experts=2)
    np.testing.assert_allclose(shared.coef_[0], shared.coef_[1], atol=1e-2)


def test_penalties_of_the_experts_are_compared():
    model = fitted(alpha_towards=("zero", "mean"), l1_ratio=(0.0, 1.0), alphas=3.0, gate_alphas=0.1, n_experts=2)
    tried = [(params["alpha_towards"], params["l1_ratio"]) for params in model.cv_results_["params"]]
    assert tried == [("zero", 0.0), ("zero", 1.0), ("mean", 0.0)]  # a lasso is towards zero
    assert len(set(model.cv_results_["mean_test_score"])) == 3
    alone = MixtureOfExpertsRegressor(random_state=0, **model.best_params_).fit(X, Y)
    np.testing.assert_array_equal(model.coef_, alone.coef_)
    mean = fitted(alpha_towards=("mean",), alphas=3.0, n_experts=2)
    assert mean.best_params_["alpha_towards"] == "mean"
    assert "l1_ratio" not in mean.best_params_
    for wrong, message in (
        ({"alpha_towards": ("zero", "median")}, "alpha_towards must be"),
        ({"l1_ratio": (0.5, 2.0)}, "l1_ratio must be"),
        ({"alpha_towards": "mean", "l1_ratio": (0.5, 1.0)}, "needs alpha_towards"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(**wrong)


def test_data_sets_in_files_are_refused():
    with pytest.raises(TypeError, match="choose on a sample"):
        MixtureOfExpertsRegressorCV().fit_dataset("rows.parquet", "y")


def test_splits_need_not_hold_out_every_row():
    model = fitted(cv=ShuffleSplit(2, test_size=0.2, random_state=0), n_experts=(1, 2))
    mean, _ = by_hand(model.best_params_, ShuffleSplit(2, test_size=0.2, random_state=0).split(X))
    assert model.best_score_ == pytest.approx(mean, abs=2e-4)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_several_responses_are_chosen_for_together(covariance_type):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(240, 2))
    side = np.where(X[:, :1] > 0, 1.0, -1.0)
    Y = side * X[:, 1:] * [2.0, -1.0] + 0.2 * rng.normal(size=(240, 2)) @ [[1.0, 0.8], [0.0, 0.6]]
    settings = {"alphas": 0.1, "gate_alphas": 1e-2, "gate_basis": "linear", "cv": 3, "random_state": 0}
    model = MixtureOfExpertsRegressorCV((1, 2), covariance_type=covariance_type, **settings).fit(X, Y)
    assert model.n_experts_ == 2
    assert model.predict(X).shape == Y.shape
    correlated = np.abs(model.covariance_[:, 0, 1]) > 1e-9
    assert correlated.all() if covariance_type == "full" else not correlated.any()
    direct = MixtureOfExpertsRegressor(
        2, alpha=0.1, gate_alpha=1e-2, covariance_type=covariance_type, random_state=0
    ).fit(X, Y)
    assert model.log_likelihood_ == pytest.approx(direct.log_likelihood_, rel=1e-9)
