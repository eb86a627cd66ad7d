"""Numbers of experts, cross-validation, averages of replicates and inference on anything."""

import numpy as np
import strategies as some
from fuzz_oracle import assert_finite, attempt, unchanged
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fuzz_estimators import check_predictions

from moefast import (
    BaggedMixtureOfExperts,
    MixtureOfExpertsRegressor,
    MixtureOfExpertsRegressorCV,
    lr_test,
    select_n_experts,
)

FEW = {"max_iter": 5, "random_state": 0, "n_threads": 1}
OF_FITS = {
    n: some.OF_FLAT[n]
    for n in ("link", "noise", "fit_intercept", "gate_features", "l1_ratio", "alpha", "gate_basis")
}
families = some.mostly(st.just("gaussian"), st.sampled_from(some.FAMILIES), 2)
OF_CV = {
    "n_experts": some.mostly(st.just((1, 2)), st.sampled_from([1, (), (2, 2), (0,), "auto"]), 4),
    "alphas": some.mostly(st.just((0.1,)), st.sampled_from([(), (0.0, 1e300), 1.0, (-1.0,)]), 4),
    "gate_alphas": some.mostly(st.just((0.1,)), st.sampled_from([(), 1.0, "auto", (np.nan,)]), 4),
    "gate_basis": some.mostly(st.just("linear"), st.sampled_from(["spline", ("linear", "quadratic"), ()]), 4),
    "branches": some.mostly(
        st.none(), st.sampled_from([(2, 2), [(2, 2), (2, 3)], (2,), (2, 1), [], "tree", 4]), 2
    ),
    "cv": some.mostly(st.just(2), st.sampled_from([1, 0, 3, None, "text"]), 6),
    "alpha_towards": st.sampled_from(["zero", "mean", ("zero", "mean")]),
    "l1_ratio": st.sampled_from([0.0, 1.0, (0.0, 0.5)]),
}


@given(st.data())
@settings(max_examples=8)
def test_cross_validation(data):
    family = data.draw(families)
    small = {"n_experts": (1, 2), "alphas": (0.1,), "gate_alphas": (0.1,), "gate_basis": "linear", "cv": 2}
    model = MixtureOfExpertsRegressorCV(**(FEW | small | {"family": family} | data.draw(some.parameters(OF_CV))))
    rows = data.draw(some.rows(family))
    if attempt("cv.fit", unchanged(model, lambda: model.fit(rows.X, rows.y, **rows.more))):
        assert_finite("coef_", model.coef_)
        check_predictions(data, "cv", model, rows)


OF_BAGS = {
    "n_replicates": some.mostly(st.just(2), some.odd_values),
    "start": st.sampled_from(["cold", "warm"]),
    "n_folds": some.mostly(st.just(2), st.sampled_from([None, 1, 3, 10**6])),
    "spread": some.mostly(st.just("out-of-bag"), st.sampled_from([1.0, 0.0, 1e300]), 4),
}


@given(st.data())
@settings(max_examples=8)
def test_averages_of_replicates(data):
    family = data.draw(families)
    few = {"n_init": 1, "max_iter": 5, "n_threads": 1, "family": family}
    one = MixtureOfExpertsRegressor(**(few | data.draw(some.parameters(OF_FITS))))
    one = data.draw(some.mostly(st.just(one), st.sampled_from(["text", 3, MixtureOfExpertsRegressor(0)])))
    small = {"n_replicates": 2, "n_folds": None, "random_state": 0}
    model = BaggedMixtureOfExperts(one, **(small | data.draw(some.parameters(OF_BAGS))))
    rows = data.draw(some.rows(family))
    if attempt("bagged.fit", unchanged(model, lambda: model.fit(rows.X, rows.y, **rows.more))):
        assert_finite("spread_", model.spread_)
        check_predictions(data, "bagged", model, rows)
        for name in ("mean_prediction", "mean_replicates", "predict_spread"):
            attempt(f"bagged.{name}", lambda n=name: getattr(model, n)(rows.X))


@given(st.data())
@settings(max_examples=8)
def test_numbers_of_experts(data):
    family = data.draw(families)
    rows = data.draw(some.rows(family))
    which = data.draw(st.sampled_from(["bic", "icl", "cv", "lr"]))
    more = rows.more | data.draw(some.parameters({n: s for n, s in OF_FITS.items() if n != "gate_basis"}))
    few = FEW | {"family": family} | more
    if which == "lr":
        k = data.draw(some.mostly(st.integers(1, 2), some.odd_values))
        test = attempt("lr_test", lambda: lr_test(rows.X, rows.y, k, n_replicates=2, n_init=1, **few))
        assert test is None or 0.0 <= test.p_value <= 1.0
        return
    candidates = data.draw(some.mostly(st.just((1, 2)), some.odd_values, 6))
    folds = data.draw(some.mostly(st.just(2), some.odd_values))
    arguments = {"criterion": which, "n_folds": folds, "n_init": 1} | few
    attempt("select_n_experts", lambda: select_n_experts(rows.X, rows.y, candidates, **arguments))


@given(st.data())
@settings(max_examples=15)
def test_inference(data):
    family = data.draw(families)
    rows = data.draw(some.rows(family))
    few = {"n_init": 1, "n_threads": 1, "max_iter": 50, "random_state": 0, "family": family}
    model = MixtureOfExpertsRegressor(**(few | data.draw(some.parameters(OF_FITS))))
    if attempt("inference.fit", lambda: model.fit(rows.X, rows.y, **rows.more)) is None:
        return
    more = dict(rows.more) | data.draw(
        some.parameters({"cov_type": st.sampled_from(["robust", "nonrobust", "cluster"])})
    )
    result = attempt("inference", lambda: model.inference(rows.X, rows.y, **more))
    if result is None:
        return
    for name in ("bse", "pvalues", "conf_int", "sigma_conf_int", "summary_frame", "predict", "with_reference"):
        arguments = {
            "predict": lambda: (rows.X,),
            "with_reference": lambda: (data.draw(some.odd_values),),
            "conf_int": lambda: (data.draw(some.mostly(st.just(0.05), some.odd_values, 3)),),
        }.get(name, tuple)()
        value = attempt(f"inference.{name}", lambda n=name, a=arguments: _get(result, n, a))
        if name == "bse" and value is not None:
            assert (np.isfinite(value) | np.isnan(value)).all()
            assert np.isfinite(value[result.estimable]).all()
    if data.draw(st.integers(0, 3)) == 0:
        n = data.draw(some.mostly(st.just(2), some.odd_values, 4))
        attempt("inference.bootstrap", lambda: result.bootstrap(n, random_state=0))


def _get(owner, name, arguments):
    value = getattr(owner, name)
    return value(*arguments) if callable(value) else value
