"""What is refused is refused by name: no error of numpy or Python comes through, whatever is given."""

import re

import numpy as np
import pandas as pd
import pytest

from moefast import (
    BaggedMixtureOfExperts,
    HierarchicalMixtureOfExpertsRegressor,
    MixtureOfExpertsRegressor,
    MomentAccumulator,
    lr_test,
)
from moefast.datasets import make_moe
from moefast.em import fit_em
from moefast.mixture import Mixture
from moefast.spectral import recover_experts
from moefast.tensors import SymmetricTensor

pytestmark = [
    pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y, TRUTH = make_moe(60, 2, 2, noise=0.5, random_state=0)
FEW = {"n_init": 1, "random_state": 0, "n_threads": 1}
HUGE = 10**400  # no float holds it


def test_rows_of_different_lengths():
    ragged = [[0.0, 1.0], [2.0]]
    with pytest.raises(ValueError, match=r"^y is no array of numbers"):
        MixtureOfExpertsRegressor(**FEW).fit(X[:2], ragged)
    model = HierarchicalMixtureOfExpertsRegressor((2,), **FEW).fit(X, Y)
    with pytest.raises(ValueError, match=r"array"):
        model.predict(ragged)


@pytest.mark.parametrize("name", ["alpha", "tol", "noise_floor", "gate_alpha"])
def test_whole_numbers_beyond_the_range(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        MixtureOfExpertsRegressor(**FEW, **{name: HUGE}).fit(X, Y)
    with pytest.raises(ValueError, match=f"{name} must be .* got -1"):
        MixtureOfExpertsRegressor(**FEW, **{name: -(10**30)}).fit(X, Y)


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (lambda big: MixtureOfExpertsRegressor(**FEW).fit(big, Y), "X column 0"),
        (lambda big: MixtureOfExpertsRegressor(**FEW).fit(X, big[:, 0]), "y is not numeric"),
        (lambda big: MixtureOfExpertsRegressor(**FEW).fit(X, big), "y column 0 is not numeric"),
        (lambda big: MixtureOfExpertsRegressor(**FEW).fit(X, Y, big[:, 0]), "sample_weight must be numeric"),
        (lambda big: MomentAccumulator(2).update(big, Y), "X column 0"),
        (lambda big: MomentAccumulator(2).update(X, big[:, 0]), "y is not numeric"),
        (lambda big: SymmetricTensor.from_canonical(big[:4, 0], 2, 3), "values is not numeric"),
    ],
)
def test_objects_beyond_the_range(use, named):
    big = X.astype(object)
    big[1, 0] = HUGE
    with pytest.raises(OverflowError, match=f"^{named}"):
        use(big)


@pytest.mark.parametrize("polish", [None, np.array([1.0, 2.0]), "yes"])
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_flags_that_are_none(family, polish):
    with pytest.raises(TypeError, match=r"polish must be True or False"):
        MixtureOfExpertsRegressor(family=family, polish=polish).fit(X, np.abs(np.round(Y)))


def test_scores_need_numbers():
    model = MixtureOfExpertsRegressor(**FEW).fit(X, Y)
    for y, weights, named in (
        (Y.astype(str), None, None),
        (["a"] * 60, None, "y is not"),
        (Y, ["a"] * 60, "sample_weight"),
    ):
        if named is None:
            assert model.score(X, y) == model.score(X, Y)
            continue
        with pytest.raises(ValueError, match=rf"^{named}"):
            model.score(X, y, weights)
    assert model.score(X, list(Y), np.full(60, 2.0)) == pytest.approx(model.score(X, Y))


def test_accumulators_name_what_is_no_table():
    with pytest.raises(TypeError, match=r"^X is not numeric: .*dict"):
        MomentAccumulator(2).update({"a": 1}, Y)
    for dtype in (np.array(2), "no type", {1}):
        with pytest.raises(TypeError, match=r"^dtype must be 'float64' or 'float32'"):
            MomentAccumulator(2, dtype=dtype)


@pytest.mark.parametrize("k", [slice(1), 1.5, None, "two"])
def test_numbers_of_experts_of_method_1(k):
    with pytest.raises(TypeError, match=f"n_experts must be an integer, got {re.escape(repr(k))}"):
        recover_experts(X, Y, k)


def test_criteria_are_for_maxima_of_a_likelihood():
    one = MixtureOfExpertsRegressor(2, max_iter=50, tol=1.0, **FEW)
    average = BaggedMixtureOfExperts(one, n_replicates=2, n_folds=None, random_state=0).fit(X, Y)
    marginal = one.fit(X, np.column_stack([Y, X[:, 0] - Y])).marginal(0)
    for model in (average, marginal):
        for criterion in (model.aic, model.bic):
            with pytest.raises(ValueError, match=r"no parameters for AIC"):
                criterion(X, Y)


def test_a_likelihood_ratio_draws_no_responses_beyond_number():
    with pytest.raises(ValueError, match=r"sample_weight adds up to 6e\+17 rows"):
        lr_test(X, Y, 1, sample_weight=np.full(60, 1e16), n_replicates=2)


def test_em_from_a_mixture_of_other_units():
    far = Mixture(
        1e200 * TRUTH.coef, TRUTH.intercept, TRUTH.gate_coef, TRUTH.gate_intercept, TRUTH.sigma, TRUTH.link
    )
    with pytest.raises(OverflowError, match=r"out of all proportion"):
        fit_em(X, 1e-200 * Y, far)
    with pytest.raises(OverflowError, match=r"out of all proportion"):
        fit_em(X, 1e-200 * Y, TRUTH)  # the square of its noise


def test_names_of_columns_and_levels_of_data_sets(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": Y})
    model = MixtureOfExpertsRegressor(**FEW, max_iter=50, tol=1.0)
    for name in ("features", "gate_features"):
        with pytest.raises(TypeError, match=f"{name} must be a list of column names or None, got 3"):
            model.fit_dataset(lambda: [table], "y", **{name: 3})
    model.fit_dataset(lambda: [table], "y")
    with pytest.raises(ValueError, match=r"what must be a sequence of .* got 0.5"):
        model.predict_dataset(lambda: [table], tmp_path / "out.parquet", 0.5)
    with pytest.raises(TypeError, match=r"quantiles must be"):
        model.predict_dataset(lambda: [table], tmp_path / "out.parquet", quantiles=None)
    assert list(tmp_path.iterdir()) == []


def test_columns_in_another_order_are_not_called_no_numbers():
    table = pd.DataFrame({"load": np.arange(60.0), "speed": np.arange(60.0) ** 2})
    model = MixtureOfExpertsRegressor(1).fit(table, np.sin(np.arange(60.0)))
    with pytest.raises(ValueError, match=r"^The feature names should match"):
        model.predict(table[["speed", "load"]])
