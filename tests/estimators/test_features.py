"""Experts and gates that see some of the columns, from names in a table to predictions and files."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, load_model, save_model
from moefast.estimators.features import check_features, feature_columns
from moefast.samples import Samples

NAMES = ("age", "dose", "site", "time")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 4))
FIRST = RNG.uniform(size=600) < 1 / (1 + np.exp(-3 * X[:, 2]))  # the site chooses, age and dose act
Y = np.where(FIRST, 2 * X[:, 0] + X[:, 1] + 1, -X[:, 0]) + 0.2 * RNG.normal(size=600)
TABLE = pd.DataFrame(X, columns=list(NAMES))
SAMPLES = Samples(X, Y, np.ones(600), NAMES)


def fitted(X=X, **parameters):
    return MixtureOfExpertsRegressor(**{"n_experts": 2, "random_state": 0, "n_threads": 1} | parameters).fit(X, Y)


def assert_same(one, other):
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


# ---- what is meant ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        (None, None),
        ([], ()),
        (["dose", "age"], (1, 0)),
        (pd.Index(["site"]), (2,)),
        (np.array(["time"]), (3,)),
        ([3, 0], (3, 0)),
        (np.array([1]), (1,)),
        (range(2), (0, 1)),
        ([True, False, False, True], (0, 3)),
        (np.zeros(4, dtype=bool), ()),
        (pd.Series([False, True, False, False]), (1,)),
    ],
)
def test_names_positions_and_masks(given, columns):
    check_features("gate_features", given)
    assert feature_columns("gate_features", given, SAMPLES) == columns


@pytest.mark.parametrize("name", ["expert_features", "gate_features"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["age", "weight"], "must be columns of X, .* got 'weight'; X has age, dose, site, time"),
        ([0, 4], "must be columns of X, of which there are 4, got 4"),
        ([True, False], "must have an entry for each of the 4 columns of X, got a mask of 2"),
    ],
)
def test_columns_that_are_not_there(name, given, message):
    model = MixtureOfExpertsRegressor(**{name: given})
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        model.fit(TABLE, Y)
    assert not hasattr(model, "coef_")


def test_names_need_a_table_that_has_them_once():
    with pytest.raises(
        ValueError, match=r"^gate_features must be positions or a mask where X has no column names"
    ):
        fitted(gate_features=["age"])
    twice = Samples(X, Y, np.ones(600), ("age", "age", "site", "time"))
    with pytest.raises(ValueError, match="each with a name of its own, got 'age'"):
        feature_columns("gate_features", ["age"], twice)


# ---- fits ------------------------------------------------------------------------------------------------


def test_the_truth_is_found_with_zeros_for_what_is_not_seen():
    model = fitted(TABLE, expert_features=["age", "dose"], gate_features=["site"])
    np.testing.assert_array_equal(model.coef_[:, 2:], 0.0)
    np.testing.assert_array_equal(model.gate_coef_[:, [0, 1, 3]], 0.0)
    order = np.argsort(-model.coef_[:, 0])
    np.testing.assert_allclose(model.coef_[order, :2], [[2, 1], [-1, 0]], atol=0.06)
    np.testing.assert_allclose(model.intercept_[order], [1, 0], atol=0.06)
    steepness = model.gate_coef_[order[0], 2] - model.gate_coef_[order[1], 2]
    assert steepness == pytest.approx(3.0, abs=1.0)
    assert model.n_parameters_ == 2 * 3 + 2 + 2
    assert model.bic_ < fitted().bic_
    # What is not seen has no say.
    other = TABLE.assign(time=0.0)
    np.testing.assert_array_equal(model.predict(other), model.predict(TABLE))
    assert model.responsibilities(TABLE, Y).shape == (600, 2)


def test_the_three_ways_to_say_it_agree():
    by_name = fitted(TABLE, expert_features=["age", "dose"], gate_features=["site"])
    assert_same(by_name, fitted(expert_features=[0, 1], gate_features=[2]))
    mask = np.array([True, True, False, False])
    assert_same(by_name, fitted(expert_features=mask, gate_features=[False, False, True, False]))


def test_all_columns_by_name_are_the_default():
    assert_same(fitted(), fitted(TABLE, expert_features=list(NAMES), gate_features=range(4)))


def test_constant_gates_are_a_mixture_of_regressions():
    """The likelihood is that of fixed proportions, and no gate on anything does worse."""
    model = fitted(gate_features=[])
    assert not model.gate_coef_.any()
    gates = model.predict_gates(X)
    np.testing.assert_array_equal(gates, np.broadcast_to(gates[0], gates.shape))
    np.testing.assert_allclose(gates[0], model.shares_, atol=1e-5)  # at the maximum
    assert model.n_parameters_ == 2 * 5 + 1 + 2
    assert model.log_likelihood_ < fitted(gate_features=[2]).log_likelihood_


@pytest.mark.parametrize("k", [10])
def test_many_experts_with_constant_gates(k):
    model = fitted(n_experts=k, gate_features=[], n_init=2, noise="shared")
    assert model.predict_gates(X).shape == (600, k)
    assert np.isfinite(model.log_likelihood_)


@pytest.mark.filterwarnings("ignore:EM did not settle")  # gates of frozen experts that are a little off are slow
@pytest.mark.parametrize("start", ["spectral", "l4"])
@pytest.mark.parametrize("polish", [True, False])
def test_methods_of_moments_take_the_moments_of_what_experts_see(start, polish):
    model = fitted(expert_features=[0, 1], gate_features=[2], start=start, polish=polish)
    assert not model.coef_[:, 2:].any()
    assert not model.gate_coef_[:, [0, 1, 3]].any()
    with pytest.raises(ValueError, match=r"(needs at least n_experts=3|3 experts|n_experts)"):
        fitted(n_experts=3, expert_features=[0, 1], start=start, polish=polish)


@pytest.mark.parametrize("link", ["tanh", "relu"])
def test_links(link):
    model = fitted(link=link, expert_features=[0, 1], gate_features=[2], n_init=4)
    assert not model.coef_[:, 2:].any()
    assert not model.gate_coef_[:, [0, 1, 3]].any()


def test_collinear_columns_do_not_count_as_parameters():
    wide = np.column_stack([X, X[:, 0] + X[:, 1]])
    with pytest.warns(UserWarning, match="linear combinations"):
        model = fitted(wide, n_init=2)
    assert model.n_parameters_ == fitted(n_init=2).n_parameters_
    seen_apart = fitted(wide, n_init=2, expert_features=[0, 1], gate_features=[4])  # no warning
    assert seen_apart.n_parameters_ == 2 * 3 + 2 + 2


def test_trees_see_the_same():
    model = HierarchicalMixtureOfExpertsRegressor(
        (2, 2), expert_features=["age", "dose"], gate_features=["site"], n_init=4, random_state=0, n_threads=1
    ).fit(TABLE, Y)
    assert not model.coef_[:, 2:].any()
    for level in model.gate_coef_:
        assert not level[..., [0, 1, 3]].any()
    assert model.n_parameters_ == 4 * 3 + 3 * 2 + 4


# ---- around fits -----------------------------------------------------------------------------------------


def test_files_keep_what_is_seen(tmp_path):
    for given in (["age", "dose"], np.array([0, 1]), np.array([True, True, False, False])):
        model = fitted(TABLE, expert_features=given, gate_features=[], n_init=2)
        save_model(model, tmp_path / "model.json")
        again = load_model(tmp_path / "model.json")
        assert_same(again, model)
        assert list(again.expert_features) == list(given)
        assert again.gate_features == []
        assert_same(again.fit(TABLE, Y), model)


def test_clones_and_sets():
    model = clone(MixtureOfExpertsRegressor(gate_features=["site"]))
    assert model.get_params()["gate_features"] == ["site"]
    assert model.set_params(gate_features=[]).fit(X, Y).n_features_in_ == 4
