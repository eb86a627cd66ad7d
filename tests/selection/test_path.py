"""Every fit begins at that of one expert fewer, and is raced against what those beside it lead to."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold

from moefast import MixtureOfExpertsRegressor, select_n_experts
from moefast.datasets import make_moe
from moefast.em import EmProblem
from moefast.estimators import flat_gates
from moefast.selection import path
from moefast.selection.path import fit_all, paths_through

X, Y, _ = make_moe(250, 3, 4, noise=0.6, random_state=2)
PARAMETERS = {"noise": "shared", "gate_alpha": 0.1}


def model(k, **parameters):
    return MixtureOfExpertsRegressor(k, random_state=0, **PARAMETERS).set_params(**parameters)


def along(ks, X, y, w=None):
    """The path, step by step."""
    fits, improved = {}, set()

    def race(k, near):
        rows = flat_gates.SharedRows()
        other = model(k, start=fits[near])
        other.fit_on(rows, {"X": X, "y": y, "sample_weight": w}, fits[k].mixture_)
        if other.log_likelihood_ > fits[k].log_likelihood_ + 1e-4 * other.training_weight_:
            fits[k] = other
            improved.add(k)

    for k in ks:
        fits[k] = model(k, start=fits.get(k - 1, "auto")).fit(X, y, w)
    for k in sorted(ks, reverse=True):
        if k > 1 and k + 1 in fits:
            race(k, k + 1)
    for k in ks:
        if k - 1 in improved:
            race(k, k - 1)
    return fits


@pytest.fixture(scope="module")
def selection():
    return select_n_experts(X, Y, (5, 2, 1, 3), n_folds=2, random_state=0, **PARAMETERS)


def test_fits_are_those_of_the_steps(selection):
    """Two steps apart a new path begins."""
    expected = along([1, 2, 3], X, Y) | along([5], X, Y)
    for k, fitted in selection.estimators.items():
        assert fitted.fit_report_ == expected[k].fit_report_
        np.testing.assert_array_equal(fitted.coef_, expected[k].coef_)
    kinds = {k: {start.kind for start in fitted.fit_report_.starts} for k, fitted in selection.estimators.items()}
    assert "spectral" in kinds[5] or "random hyperplanes" in kinds[5]
    assert kinds[1] == {"least squares"}
    for k in (2, 3):
        assert kinds[k] & {"split by residual", "merge"}


def test_cross_validation_has_a_path_in_each_fold(selection):
    seed = int(np.random.default_rng(0).integers(2**31))
    held_out = {k: np.empty(250) for k in (1, 2, 3, 5)}
    for inside, outside in KFold(2, shuffle=True, random_state=seed).split(X):
        for k, fitted in (along([1, 2, 3], X[inside], Y[inside]) | along([5], X[inside], Y[inside])).items():
            held_out[k][outside] = fitted.score_samples(X[outside], Y[outside])
    for row in selection.table:
        assert row.cv_log_likelihood == pytest.approx(held_out[row.n_experts].mean(), rel=1e-12)


def test_fits_have_the_parameters_of_a_fit_by_itself(selection):
    for k, fitted in selection.estimators.items():
        assert fitted.get_params() == model(k).get_params()
    alone = clone(selection.estimators[2]).fit(X, Y)
    assert alone.fit_report_ == model(2).fit(X, Y).fit_report_


def test_the_better_of_both_ways_is_kept(monkeypatch):
    """A poor fit on the way up is made good on the way down, and not the other way round."""
    good, poor = model(2).fit(X, Y), model(2, start="random", n_init=1, max_iter=3)
    with pytest.warns(match="did not settle"):
        poor.fit(X, Y)
    assert poor.log_likelihood_ < good.log_likelihood_ - 1
    first = path._fit
    for upwards, downwards in ((poor, good), (good, poor)):
        found = {1: upwards, 3: downwards}

        def fit(model, data, rows, begin, known=None, found=found):
            if model.n_experts == 2:
                return found[begin.n_experts], []
            return first(model, data, rows, begin, known)

        monkeypatch.setattr(path, "_fit", fit)
        fits = fit_all([model(k) for k in (1, 2, 3)], X, Y, None)
        assert fits[1][0] is good


def test_what_the_way_down_has_made_better_is_split_again(monkeypatch):
    """And no other: who begins where, and what is to be beaten."""
    tried = []

    class Made:
        class fit_report_:
            collapsed = ()

        training_weight_ = 1.0

        def __init__(self, n_experts, log_likelihood):
            self.n_experts, self.log_likelihood_ = n_experts, log_likelihood

    def fit(model, data, rows, begin, known=None):
        k = model.n_experts
        tried.append((k, begin and begin.n_experts, known and known.log_likelihood_))
        found = {(2, 3): 2.5, (3, 2): 3.5}.get((k, begin and begin.n_experts), float(k))
        return Made(k, 2.0 if (k, known) == (2, None) else 3.0 if (k, known) == (3, None) else found), []

    monkeypatch.setattr(path, "_fit", fit)
    fits = fit_all([model(k) for k in (1, 2, 3, 4)], X, Y, None)
    up = [(1, None, None), (2, 1, None), (3, 2, None), (4, 3, None)]
    assert tried == [*up, (3, 4, 3.0), (2, 3, 2.0), (3, 2, 3.0), (4, 3, 4.0)]
    assert [one.log_likelihood_ for one, _ in fits] == [1.0, 2.5, 3.5, 4.0]


def test_rows_are_put_into_standard_units_once(monkeypatch):
    made = []

    class Counted(EmProblem):
        def __init__(self, *args):
            made.append(self)
            super().__init__(*args)

    monkeypatch.setattr(flat_gates, "EmProblem", Counted)
    fits = fit_all([model(k) for k in (1, 2, 3)], X, Y, None)
    assert len(made) == 1
    fits[0][0].fit(X[:100], Y[:100])  # by itself it takes its own
    assert [problem.n_rows for problem in made] == [250, 100]


def test_a_collapsed_fit_gives_way_to_a_sound_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 1)), rng.normal(size=20)
    y[:10] = x[:10, 0]
    with pytest.warns(match="collapsed"):
        collapsed = MixtureOfExpertsRegressor(2, random_state=0).fit(x, y)
    sound = MixtureOfExpertsRegressor(1).fit(x, y)
    assert collapsed.log_likelihood_ > sound.log_likelihood_
    assert path._better(sound, collapsed)
    assert not path._better(collapsed, sound)


@pytest.mark.parametrize(
    "parameters",
    [
        {"start": "random"},
        {"start": np.zeros(250, dtype=int)},
        {"n_init": 3},
        {"polish": False},
        {"time_budget": 1.0},
        {"link": "tanh"},
    ],
    ids=str,
)
def test_without_a_search_to_shorten_fits_stand_alone(parameters):
    models = [model(k, **parameters) for k in (1, 2, 3)]
    assert paths_through(models, wanted=True) == [[one] for one in models]


def test_paths_are_runs_of_one_expert_more():
    models = [model(k) for k in (1, 2, 4, 5, 6, 8)]
    runs = [[one.n_experts for one in run] for run in paths_through(models, wanted=True)]
    assert runs == [[1, 2], [4, 5, 6], [8]]
    assert all(len(run) == 1 for run in paths_through(models, wanted=False))


def test_processes_names_and_weights_do_not_matter_to_the_path():
    w = np.arange(250) % 3.0
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    arguments = {"n_folds": 2, "sample_weight": w, "random_state": 0, **PARAMETERS}
    first, second = (select_n_experts(frame, Y, (1, 2, 3), n_jobs=n, **arguments) for n in (1, 2))
    assert first.table == second.table
    left_out = {**arguments, "sample_weight": w[w > 0], "n_folds": None}
    without = select_n_experts(X[w > 0], Y[w > 0], (1, 2, 3), **left_out)
    for row, other in zip(first.table, without.table, strict=True):
        assert row.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
