"""The table beside its own definitions, the choice beside the truth of simulated data, and bad input."""

import pickle
from dataclasses import fields, replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import KFold

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor, select_n_experts
from moefast.datasets import make_moe
from moefast.selection.candidate import Candidate, best_candidate

EASY = {"n_features": 3, "n_experts": 2, "noise": 0.3, "expert_intercept": 0.5}


def simulated(n, seed):
    X, y, _ = make_moe(n, **EASY, random_state=seed)
    return X, y


@pytest.fixture(autouse=True)
def _pictures_are_closed():
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def weighted():
    """60 rows, some of weight 0, and their selection by cross-validation, every fit by itself."""
    X, y = simulated(60, 0)
    w = np.random.default_rng(0).integers(0, 4, size=60).astype(float)
    selection = select_n_experts(
        X, y, (3, 1, 2), criterion="cv", sample_weight=w, n_folds=3, path=False, random_state=1, noise="shared"
    )
    return X, y, w, selection


@pytest.mark.filterwarnings("ignore:separated gates:moefast.DegenerateDataWarning")
def test_figures_are_those_of_the_fits(weighted):
    X, y, w, selection = weighted
    assert [row.n_experts for row in selection.table] == [1, 2, 3] == list(selection.estimators)
    for row in selection.table:
        model = MixtureOfExpertsRegressor(row.n_experts, noise="shared", random_state=1).fit(X, y, w)
        assert selection.estimators[row.n_experts].fit_report_ == model.fit_report_
        assert np.array_equal(selection.estimators[row.n_experts].coef_, model.coef_)
        assert (
            row.log_likelihood == model.log_likelihood_ == pytest.approx(model.log_likelihood(X, y, w), rel=1e-12)
        )
        assert row.aic == pytest.approx(model.aic(X, y, w), rel=1e-12)
        assert row.bic == pytest.approx(model.bic(X, y, w), rel=1e-12)
        r = model.responsibilities(X, y)
        entropy = -sum(
            w[n] * r[n, i] * np.log(r[n, i]) for n in range(60) for i in range(row.n_experts) if r[n, i]
        )
        assert row.entropy == pytest.approx(entropy, rel=1e-10)
        assert row.icl == pytest.approx(row.bic + 2 * entropy, rel=1e-10)
        assert (row.smallest_share, row.n_parameters) == (model.shares_.min(), model.n_parameters_)
        assert (row.collapsed, row.converged) == (model.fit_report_.collapsed, model.converged_)
        assert (row.n_climbs, row.n_at_best) == (model.fit_report_.n_independent, model.fit_report_.n_at_best)


@pytest.mark.filterwarnings("ignore:separated gates:moefast.DegenerateDataWarning")
def test_cross_validation_is_that_of_a_loop(weighted):
    """Weights as copies of rows: each row held out w times. Rows of weight zero are not there at all."""
    X, y, w, selection = weighted
    X, y, w = X[w > 0], y[w > 0], w[w > 0]
    seed = int(np.random.default_rng(1).integers(2**31))
    for row in selection.table:
        values, n_folds = [], 0
        for inside, outside in KFold(3, shuffle=True, random_state=seed).split(X):
            model = MixtureOfExpertsRegressor(row.n_experts, noise="shared", random_state=1)
            model.fit(X[inside], y[inside], w[inside])
            for n in outside:
                values += int(w[n]) * [model.score_samples(X[[n]], y[[n]])[0]]
            n_folds += 1
        assert len(values) == w.sum()
        assert n_folds == 3
        assert row.cv_log_likelihood == pytest.approx(np.mean(values), rel=1e-12)
        assert row.cv_standard_error == pytest.approx(np.std(values) / np.sqrt(len(values)), rel=1e-12)
    assert selection.best_n_experts == max(selection.table, key=lambda row: row.cv_log_likelihood).n_experts


@pytest.mark.parametrize("seed", range(4))
def test_bic_and_cross_validation_find_the_number_where_experts_are_well_apart(seed):
    X, y = simulated(500, seed)
    selection = select_n_experts(X, y, (1, 2, 3), n_folds=3, random_state=0)
    assert selection.best_n_experts == 2
    assert best_candidate(selection.table, "cv").n_experts == 2
    assert selection.best_estimator is selection.estimators[2]


def test_icl_counts_clusters_not_experts():
    """Two laws that cross, the gates nearly even: BIC sees two experts, ICL one cluster."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 1))
    y = np.where(rng.uniform(size=600) < 0.5, 1, -1) * X[:, 0] + 0.7 * rng.normal(size=600)
    found = {}
    for criterion in ("bic", "icl"):
        found[criterion] = select_n_experts(
            X, y, (1, 2), criterion=criterion, n_folds=None, random_state=0
        ).best_n_experts
    assert found == {"bic": 2, "icl": 1}


def test_without_cross_validation_its_columns_are_nan():
    X, y = simulated(80, 0)
    selection = select_n_experts(X, y, [1, 2], n_folds=None, random_state=0)
    assert all(np.isnan([row.cv_log_likelihood, row.cv_standard_error]).all() for row in selection.table)
    assert "cross-validation" not in [text.get_text() for text in selection.plot().get_legend().get_texts()]


def test_a_collapsed_fit_is_chosen_only_when_nothing_else_is_left():
    """Half of 20 rows lie on a line: an expert for them reaches the noise floor, at a likelihood of no meaning."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 1)), rng.normal(size=20)
    y[:10] = X[:10, 0]
    selection = select_n_experts(X, y, (1, 2), n_folds=None, path=False, random_state=0)
    one, two = selection.table
    assert two.collapsed
    assert two.bic < one.bic
    assert selection.best_n_experts == 1
    assert str(selection).endswith("1 expert by BIC\ncollapsed experts with 2")
    axes = selection.plot()
    assert "collapsed experts" in [text.get_text() for text in axes.get_legend().get_texts()]
    hollow = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]
    assert {float(x) for line in hollow for x in line.get_xdata()} == {2.0}
    with pytest.warns(DegenerateDataWarning, match="collapsed"):
        alone = select_n_experts(X, y, (2,), n_folds=None, random_state=0)
    assert alone.best_n_experts == 2


def test_one_standard_error_takes_the_fewest_experts_within_it(weighted):
    *_, selection = weighted

    def choice(values, errors, collapsed=((), (), ())):
        rows = zip(selection.table, values, errors, collapsed, strict=True)
        table = [replace(row, cv_log_likelihood=v, cv_standard_error=e, collapsed=c) for row, v, e, c in rows]
        return best_candidate(table, "cv", one_standard_error=True).n_experts

    assert choice([-1.2, -1.0, -0.9], [9, 9, 0.15]) == 2
    assert choice([-1.2, -1.0, -0.9], [9, 9, 0.05]) == 3
    assert choice([-1.2, -1.0, -0.9], [9, 9, 0.5]) == 1
    assert choice([-1.2, -1.0, -0.9], [9, 9, 0.5], ((0,), (), ())) == 2


def test_processes_do_not_change_the_result():
    X, y = simulated(80, 1)
    first, second = (select_n_experts(X, y, (1, 2), n_folds=2, random_state=3, n_jobs=n) for n in (1, 2))
    assert first.table == second.table
    assert np.array_equal(first.best_estimator.coef_, second.best_estimator.coef_)


def test_parameters_may_name_columns():
    """In every fold too."""
    X, y = simulated(60, 1)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    arguments = {"n_folds": 2, "n_init": 3, "random_state": 0}
    named, by_position, of_all = (
        select_n_experts(data, y, (1, 2), **columns, **arguments).to_frame().select_dtypes("number")
        for data, columns in ((frame, {"gate_features": ["b"]}), (X, {"gate_features": [1]}), (X, {}))
    )
    # A frame's columns lie apart in memory: BLAS may sum them in another order.
    pd.testing.assert_frame_equal(named, by_position, rtol=1e-12, atol=0)
    assert (named["log_likelihood"] != of_all["log_likelihood"]).any()


def test_a_generator_gives_all_fits_one_seed():
    X, y = simulated(80, 1)
    first, second = (select_n_experts(X, y, (2,), n_folds=2, random_state=np.random.default_rng(5)) for _ in "ab")
    assert first.table == second.table
    rng = np.random.default_rng(5)
    rng.integers(2**31)  # the folds
    seed = first.best_estimator.random_state
    assert seed == rng.integers(2**31)


def test_names_reach_the_fits_and_a_column_of_y_is_flattened():
    X, y = simulated(80, 1)
    frame, column = pd.DataFrame(X, columns=["a", "b", "c"]), pd.DataFrame({"yield": y})
    with pytest.warns(DataConversionWarning) as caught:
        selection = select_n_experts(frame, column, (1, 2), n_folds=2, random_state=0)
    assert len(caught) == 1
    assert selection.best_estimator.target_name_ == "yield"
    assert list(selection.best_estimator.feature_names_in_) == ["a", "b", "c"]
    assert selection.table == select_n_experts(X, y, (1, 2), n_folds=2, random_state=0).table


def test_table_as_frame_and_text_and_pickle(weighted):
    *_, selection = weighted
    frame = selection.to_frame()
    assert list(frame.index) == [1, 2, 3]
    assert list(frame.columns) == [field.name for field in fields(Candidate)][1:]
    assert frame.loc[2, "bic"] == selection.table[1].bic
    assert frame["cv_log_likelihood"].idxmax() == selection.best_n_experts
    printed = str(selection).splitlines()
    assert max(map(len, printed)) <= 80
    assert float(printed[3].split()[4]) == pytest.approx(selection.table[1].bic, abs=0.05)
    assert printed[6] == "1 expert by cross-validation"
    assert selection.best_n_experts == 1
    assert f"{selection.table[1].bic:.6g}" in selection._repr_html_()
    assert pickle.loads(pickle.dumps(selection)).table == selection.table


def test_plot_draws_into_the_axes_given_or_new_ones(weighted):
    *_, w, selection = weighted
    axes = Figure().subplots()
    assert selection.plot(axes) is axes
    assert selection.plot(ax=None) is not axes
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(curves["BIC"]) == [row.bic for row in selection.table]
    held_out = [-2 * w.sum() * row.cv_log_likelihood for row in selection.table]
    assert curves["cross-validation"] == pytest.approx(held_out)


def test_what_the_chosen_fit_warns_of_is_told_once():
    """A constant column, which every fit meets."""
    X, y = simulated(80, 1)
    X[:, 1] = 3.0
    with pytest.warns(DegenerateDataWarning, match="constant") as caught:
        select_n_experts(X, y, (1, 2), n_folds=2, random_state=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"candidates": 3}, TypeError, r"candidates must be numbers of experts, such as \(1, 2, 3\), got 3"),
        ({"candidates": "12"}, TypeError, "candidates must be numbers of experts"),
        ({"candidates": ()}, ValueError, "candidates is empty"),
        ({"candidates": (1, 2.0)}, TypeError, r"candidates\[1\] must be an integer, got 2.0"),
        ({"candidates": (1, True)}, TypeError, r"candidates\[1\] must be an integer, got True"),
        ({"candidates": (2, 0)}, ValueError, r"candidates\[1\] must be at least 1, got 0"),
        ({"candidates": (2, 1, 2)}, ValueError, "candidates has 2 more than once"),
        ({"candidates": (1, 21), "n_folds": None}, ValueError, "21 experts, more than the 20 rows of positive"),
        (
            {"candidates": (1, 17)},
            ValueError,
            "17 experts, more than the 16 rows of positive weight outside a fold",
        ),
        ({"criterion": "aic"}, ValueError, "criterion must be one of 'bic', 'cv', 'icl', got 'aic'"),
        ({"criterion": "cv", "n_folds": None}, ValueError, "needs a number of folds, got n_folds=None"),
        ({"n_folds": 1}, ValueError, "n_folds must be at least 2, got 1"),
        ({"n_folds": 2.0}, TypeError, "n_folds must be an integer, got 2.0"),
        ({"n_folds": 21}, ValueError, "n_folds=21 is more than the 20 rows"),
        ({"one_standard_error": True}, ValueError, 'one_standard_error=True needs criterion="cv"'),
        ({"path": "up"}, TypeError, "path must be True or False"),
        ({"one_standard_error": 1}, TypeError, "one_standard_error must be True or False"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs must be an integer or None, got 1.5"),
        ({"verbose": -1}, ValueError, "verbose must be at least 0"),
        ({"random_state": -1}, ValueError, "random_state must be a number not below 0"),
        ({"n_experts": 2}, TypeError, "n_experts is what is chosen; give candidates"),
        ({"noise": "loud"}, ValueError, "noise must be one of"),
        ({"sample_weight": -np.ones(20)}, ValueError, "sample_weight must not be negative"),
    ],
)
def test_errors_name_the_argument(arguments, error, message):
    X, y = simulated(20, 0)
    with pytest.raises(error, match=message):
        select_n_experts(X, y, **arguments)


def test_data_are_checked_before_any_fit():
    X, y = simulated(20, 0)
    X[3, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"X has missing values \(NaN\): 1 in column 1 \(1 of 20 rows, first at row 3\)"
    ):
        select_n_experts(X, y)


@pytest.mark.parametrize("groups", [None, np.arange(240) // 2])
def test_offset_and_trials_are_of_every_fit_and_of_what_is_held_out(groups):
    """Successes of 1 .. 40 trials with an offset."""
    rng = np.random.default_rng(0)
    X, offset, trials = rng.normal(size=(240, 1)), rng.normal(size=240), rng.integers(1, 40, size=240)
    y = rng.binomial(trials, 1 / (1 + np.exp(-X[:, 0] - offset))).astype(float)
    of_rows = {"offset": offset, "n_trials": trials}
    found = select_n_experts(
        X, y, (1,), n_folds=3, random_state=0, family="binomial", gate_features=[], groups=groups, **of_rows
    )
    model = MixtureOfExpertsRegressor(1, family="binomial").fit(X, y, **of_rows)
    assert found.table[0].log_likelihood == pytest.approx(model.log_likelihood_, rel=1e-9)
    # Two parameters cost rows that are held out about two; a forgotten offset or wrong trials cost hundreds.
    held_out = found.table[0].cv_log_likelihood * (240 if groups is None else 120)
    assert model.log_likelihood_ - 8.0 < held_out < model.log_likelihood_
