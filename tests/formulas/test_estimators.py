"""Estimators with a formula against the same fit on columns made by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest
from formula_data import table
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, lr_test, select_n_experts
from moefast.plotting import (
    plot_calibration,
    plot_coefficients,
    plot_experts,
    plot_gates,
    plot_quantile_residuals,
    plot_residuals,
)
from moefast.selection import log_likelihood_scorer

DATA = table()
LOG_Y = np.log(DATA["y"]).rename("log(y)")
FORMULA = "log(y) ~ x + C(word) | z"
BY_HAND = pd.DataFrame(
    {
        "x": DATA["x"],
        "C(word)[T.b]": (DATA["word"] == "b").astype(float),
        "C(word)[T.c]": (DATA["word"] == "c").astype(float),
        "z": DATA["z"],
    }
)
FEATURES = {"expert_features": [0, 1, 2], "gate_features": ["z"]}


def flat(**parameters):
    return MixtureOfExpertsRegressor(2, n_init=4, random_state=0, **parameters)


def tree(**parameters):
    return HierarchicalMixtureOfExpertsRegressor((2, 1), n_init=2, random_state=0, **parameters)


KINDS = pytest.mark.parametrize("make", [flat, tree])
MODEL = flat(formula=FORMULA).fit(DATA)


@KINDS
def test_the_fit_is_that_on_columns_made_by_hand(make):
    model = make(formula=FORMULA).fit(DATA)
    hand = make(**FEATURES).fit(BY_HAND, LOG_Y)
    np.testing.assert_array_equal(model.coef_, hand.coef_)
    for ours, other in zip(model.gate_coef_, hand.gate_coef_, strict=True):
        np.testing.assert_array_equal(ours, other)
    assert list(model.feature_names_in_) == list(hand.feature_names_in_)
    assert (model.n_parameters_, model.bic_) == (hand.n_parameters_, hand.bic_)
    assert model.target_name_ == hand.target_name_ == "log(y)"
    assert str(model.summary()).splitlines()[:30] == str(hand.summary()).splitlines()[:30]
    np.testing.assert_array_equal(model.predict(DATA), hand.predict(BY_HAND))


INTERCEPTS = [
    ("log(y) ~ x - 1 | z", {"fit_intercept": False, "expert_features": ["x"], "gate_features": ["z"]}),
    ("log(y) ~ x | z - 1", {"fit_gate_intercept": False, "expert_features": ["x"], "gate_features": ["z"]}),
    ("log(y) ~ x + z | 1", {"gate_features": [], "expert_features": ["x", "z"]}),
    ("log(y) ~ x + z - 1", {"fit_intercept": False, "fit_gate_intercept": False}),
    ("log(y) ~ 1 | x", {"expert_features": [], "gate_features": ["x"]}),
]


@KINDS
@pytest.mark.parametrize(("formula", "parameters"), INTERCEPTS)
@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
def test_intercepts_and_constant_gates(make, formula, parameters):
    model = make(formula=formula).fit(DATA)
    hand = make(**parameters).fit(DATA[list(model.feature_names_in_)], LOG_Y)
    assert model.log_likelihood_ == hand.log_likelihood_
    np.testing.assert_array_equal(model.intercept_, hand.intercept_)


def test_unpolished_experts_have_the_formulas_intercepts():
    data = DATA.assign(y=np.exp(DATA["x"] * np.where(DATA["z"] > 0, 2.0, -1.0)))
    model = flat(formula="log(y) ~ x + z - 1", polish=False, start="spectral").fit(data)
    assert not model.intercept_.any()


def test_every_method_takes_the_data_frame():
    hand = flat(**FEATURES).fit(BY_HAND, LOG_Y)
    features = DATA.drop(columns="y")
    for method in ("predict", "predict_gates", "predict_experts", "assign", "predict_interval"):
        np.testing.assert_array_equal(getattr(MODEL, method)(features), getattr(hand, method)(BY_HAND))
    for method in ("responsibilities", "cdf", "score_samples", "log_likelihood", "aic", "bic", "score"):
        expected = getattr(hand, method)(BY_HAND, LOG_Y)
        np.testing.assert_array_equal(getattr(MODEL, method)(DATA), expected)
        np.testing.assert_array_equal(getattr(MODEL, method)(features, LOG_Y), expected)
    np.testing.assert_array_equal(MODEL.predict(features, return_std=True)[1], hand.predict(BY_HAND, True)[1])
    np.testing.assert_array_equal(MODEL.log_density(features, [0.0]), hand.log_density(BY_HAND, [0.0]))
    np.testing.assert_array_equal(MODEL.predict_quantile(features, 0.3), hand.predict_quantile(BY_HAND, 0.3))
    np.testing.assert_array_equal(MODEL.sample(features, 1), hand.sample(BY_HAND, 1))


def test_one_new_row():
    row = pd.DataFrame({"x": [0.5], "word": ["c"], "z": [-1.0]})
    hand = np.array([[0.5, 0.0, 1.0, -1.0]])
    np.testing.assert_array_equal(MODEL.predict(row), MODEL.mixture_.mean(hand))
    with pytest.raises(ValueError, match=r"C\(word\) has levels .*'d'"):
        MODEL.predict(row.assign(word="d"))
    with pytest.raises(TypeError, match="with a formula X must be a data frame"):
        MODEL.predict(hand)


# ---- y -----------------------------------------------------------------------------------------------


def test_y_given_too_must_be_the_response():
    assert flat(formula=FORMULA).fit(DATA, LOG_Y).log_likelihood_ == MODEL.log_likelihood_
    with pytest.raises(ValueError, match=r"y must be the response 'log\(y\)' .* or left out, got .* at row 0"):
        flat(formula=FORMULA).fit(DATA, DATA["y"])
    with pytest.raises(ValueError, match=r"at row 17 where"):
        MODEL.score_samples(DATA, LOG_Y.where(np.arange(len(DATA)) != 17, 0.0))
    with pytest.raises(ValueError, match=r"y must have shape \(240,\)"):
        MODEL.fit(DATA, LOG_Y[:-1])


def test_a_formula_without_response_takes_any_y():
    model = flat(formula="~ x + C(word) | z").fit(DATA, LOG_Y)
    assert model.log_likelihood_ == MODEL.log_likelihood_
    assert model.target_name_ == "log(y)"
    for use in (model.fit, model.score_samples, model.score, model.inference):
        with pytest.raises(ValueError, match="has no response before its ~, so y is needed"):
            use(DATA)
    with pytest.raises(ValueError, match="has the column 'y', which X has not"):
        MODEL.score(DATA.drop(columns="y"))


# ---- parameters --------------------------------------------------------------------------------------

CLASHES = [
    ({"expert_features": ["x"]}, "expert_features=.* leave expert_features out and write the experts' terms"),
    ({"gate_features": []}, "gate_features=.* leave gate_features out and write the gates' terms"),
    ({"fit_intercept": False}, "fit_intercept=False and formula=.*'- 1' before the bar"),
    ({"fit_gate_intercept": False}, "fit_gate_intercept=False and formula=.*'- 1' behind the bar"),
]


@KINDS
@pytest.mark.parametrize(("parameters", "message"), CLASHES)
def test_what_the_formula_says_is_said_once(make, parameters, message):
    with pytest.raises(ValueError, match=message):
        make(formula=FORMULA, **parameters).fit(DATA)
    if make is flat:
        with pytest.raises(ValueError, match=message):
            lr_test(DATA, None, 1, formula=FORMULA, **parameters)


@KINDS
def test_a_formula_is_a_text_with_a_tilde(make):
    with pytest.raises(TypeError, match="formula must be a text"):
        make(formula=1).fit(DATA)
    with pytest.raises(ValueError, match="formula must have a ~"):
        make(formula="x").fit(DATA)


def test_a_fit_that_fails_leaves_the_one_before():
    model = clone(MODEL).fit(DATA)
    with pytest.raises(ValueError, match="which X has not"):
        model.set_params(formula="log(y) ~ nothing").fit(DATA)
    np.testing.assert_array_equal(model.predict(DATA), MODEL.predict(DATA))


def test_a_refit_without_formula_forgets_it():
    model = clone(MODEL).fit(DATA).set_params(formula=None, **FEATURES).fit(BY_HAND, LOG_Y)
    assert model.formula_ is None
    np.testing.assert_array_equal(model.predict(BY_HAND), MODEL.predict(DATA))


def test_weight_zero_is_the_same_as_leaving_the_row_out():
    """Also for what is learnt: levels, centres; rows left out may have anything."""
    formula = "log(y) ~ center(x) + C(word) | z"
    odd = DATA.assign(word=DATA["word"].where(np.arange(240) % 4 > 0, "odd"))
    odd.loc[::8, "x"] = np.nan
    kept = odd[np.arange(240) % 4 > 0]
    weights = (np.arange(240) % 4 > 0) * 2.0
    model = flat(formula=formula).fit(odd, sample_weight=weights)
    other = flat(formula=formula).fit(kept, sample_weight=np.full(180, 2.0))
    assert model.log_likelihood_ == other.log_likelihood_
    assert model.formula_.levels == {"C(word)": ("a", "b", "c")}
    errors = [model.inference(odd, sample_weight=weights), other.inference(kept, sample_weight=np.full(180, 2.0))]
    np.testing.assert_array_equal(errors[0].bse, errors[1].bse)
    with pytest.raises(ValueError, match="zero for every row"):
        model.fit(odd, sample_weight=np.zeros(240))


def test_missing_values_are_counted_also_in_the_response():
    bad = DATA.assign(y=DATA["y"].where(DATA["y"] > 1.0), z=DATA["z"].where(DATA["z"] > 1.0))
    n_y, n_z = int(bad["y"].isna().sum()), int(bad["z"].isna().sum())
    with pytest.raises(ValueError, match=rf"NaN\): {n_y} in 'y', {n_z} in 'z' \(\d+ of 240 rows"):
        flat(formula=FORMULA).fit(bad)
    with pytest.raises(ValueError, match=rf"NaN\): {n_z} in 'z' \({n_z} of 240 rows"):
        MODEL.predict(bad)
    with pytest.raises(ValueError, match="Input y contains infinity"):
        flat(formula=FORMULA).fit(DATA.assign(y=0.0))


def test_no_rows():
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        flat(formula=FORMULA).fit(DATA[:0])


# ---- scikit-learn ------------------------------------------------------------------------------------


def test_clones_and_pickles():
    copy = clone(MODEL)
    assert copy.formula == FORMULA
    with pytest.raises(NotFittedError):
        copy.predict(DATA)
    with pytest.raises(NotFittedError):
        copy.score(DATA)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(MODEL)).predict(DATA), MODEL.predict(DATA))


def test_cross_validation_with_and_without_y():
    model = clone(MODEL)
    alone = cross_val_score(model, DATA, cv=2)
    np.testing.assert_array_equal(alone, cross_val_score(model, DATA, LOG_Y, cv=2))
    hand = cross_val_score(flat(**FEATURES), BY_HAND, LOG_Y, cv=2)
    np.testing.assert_allclose(alone, hand, rtol=1e-12)
    search = GridSearchCV(
        model, {"formula": [FORMULA, "log(y) ~ 1 | z"]}, scoring=log_likelihood_scorer, cv=2, refit=False
    ).fit(DATA)
    assert search.best_params_ == {"formula": FORMULA}


def test_the_other_way_is_a_pipeline():
    encode = make_column_transformer((OneHotEncoder(drop="first"), ["word"]), remainder="passthrough")
    pipeline = make_pipeline(encode, flat(expert_features=[0, 1, 2], gate_features=[3]))
    pipeline.fit(DATA[["word", "x", "z"]], LOG_Y)
    assert pipeline[-1].log_likelihood_ == pytest.approx(MODEL.log_likelihood_, rel=1e-12)


# ---- what follows a fit ------------------------------------------------------------------------------


def test_inference_has_the_names_of_the_design():
    result = MODEL.inference(DATA)
    hand = flat(**FEATURES).fit(BY_HAND, LOG_Y).inference(BY_HAND, LOG_Y)
    assert result.names == hand.names
    assert ("expert 0", "C(word)[T.b]") in result.names
    assert ("gate 0", "x") not in result.names
    np.testing.assert_array_equal(result.bse, hand.bse)
    np.testing.assert_array_equal(result.predict(DATA[:5]).conf_int(), hand.predict(BY_HAND[:5]).conf_int())
    one, other = (r.bootstrap(5, random_state=0) for r in (result, hand))
    np.testing.assert_array_equal(one.bse, other.bse)
    groups = np.arange(240) // 4
    clustered = MODEL.inference(DATA, cov_type="cluster", groups=groups)
    assert np.isfinite(clustered.bse).all()
    assert (clustered.bse != result.bse).any()
    assert "C(word)[T.b]" in str(MODEL.summary(result))


def test_selection_is_that_on_columns_made_by_hand():
    options = {"n_folds": 2, "random_state": 0, "candidates": (1, 2)}
    chosen = select_n_experts(DATA, formula=FORMULA, **options)
    hand = select_n_experts(BY_HAND, LOG_Y, **FEATURES, **options)
    assert chosen.table == hand.table
    np.testing.assert_array_equal(chosen.best_estimator.predict(DATA), hand.best_estimator.predict(BY_HAND))


def test_folds_may_lack_a_level():
    """What the formula learns it learns of all rows."""
    rare = DATA.assign(word=DATA["word"].where(np.arange(240) > 0, "rare"))
    chosen = select_n_experts(rare, candidates=(1,), formula=FORMULA, n_folds=2, random_state=0)
    assert np.isfinite(chosen.table[0].cv_log_likelihood)


def test_likelihood_ratio_is_that_on_columns_made_by_hand():
    options = {"n_replicates": 3, "n_init": 2, "random_state": 0}
    ours = lr_test(DATA, None, 1, formula=FORMULA, **options)
    hand = lr_test(BY_HAND, LOG_Y, 1, **FEATURES, **options)
    np.testing.assert_array_equal(ours.replicates, hand.replicates)
    assert ours.statistic == hand.statistic


def test_pictures_take_the_data_frame():
    from matplotlib.figure import Figure

    figure = plot_experts(MODEL, DATA)
    assert figure.axes[0].get_ylabel() == "log(y)"
    assert plot_gates(MODEL, DATA, "z", ax=Figure().subplots()).get_xlabel() == "z"
    ax = plot_coefficients(MODEL, DATA, ax=Figure().subplots())
    assert "C(word)[T.b]" in [text.get_text() for text in ax.get_yticklabels()]
    for plot in (plot_residuals, plot_calibration, plot_quantile_residuals):
        plot(MODEL, DATA, ax=Figure().subplots())


@pytest.mark.filterwarnings("ignore:expert:moefast.DegenerateDataWarning")  # a third may have no rows of its own
def test_a_model_with_a_formula_is_a_start():
    three = MixtureOfExpertsRegressor(3, formula=FORMULA, start=MODEL, random_state=0).fit(DATA)
    assert three.log_likelihood_ >= MODEL.log_likelihood_
    same = clone(MODEL).set_params(start=MODEL.responsibilities(DATA)).fit(DATA)
    assert same.log_likelihood_ == pytest.approx(MODEL.log_likelihood_, rel=1e-6)


def test_other_families_with_an_offset():
    rng = np.random.default_rng(1)
    data = DATA.assign(count=rng.poisson(np.exp(np.where(DATA["z"] > 0, 1.0, -1.0) * DATA["x"] + 1.0)))
    terms = {"offset": np.log(DATA["my col"]), "sample_weight": np.arange(240) % 3}
    model = flat(family="poisson", formula="count ~ x + C(word) | z").fit(data, **terms)
    hand = flat(family="poisson", **FEATURES).fit(BY_HAND, data["count"], **terms)
    assert model.log_likelihood_ == hand.log_likelihood_
    found = model.log_likelihood(data, **terms)
    assert found == hand.log_likelihood(BY_HAND, data["count"], **terms)
    assert found == pytest.approx(model.log_likelihood_, rel=1e-12)
    with pytest.raises(ValueError, match="whole numbers"):
        model.fit(data.assign(count=0.5))
