"""Bad input gets an error of the right type that names the culprit, and costs nothing that was there before."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor, MomentAccumulator
from moefast.datasets import make_moe
from moefast.em import EmOptions, fit_em

X, Y, TRUTH = make_moe(120, 3, 2, noise=0.3, random_state=0)
NAMES = ["age", "dose", "flow rate"]
X.flags.writeable = Y.flags.writeable = False


def with_value(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


def fit(X=X, y=Y, sample_weight=None, **parameters):
    return MixtureOfExpertsRegressor(**({"random_state": 0} | parameters)).fit(X, y, sample_weight)


# ---- X -------------------------------------------------------------------------------------------------

NUMBERS = [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]


@pytest.mark.parametrize(("value", "kind"), NUMBERS)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_column_that_is_not_finite_is_named(value, kind, column):
    bad = with_value(X, (17, column), value)
    by_number = rf"X (in|has missing values \({kind}\): 1 in) column {column} .*first at row 17"
    by_name = rf"X (in column|has missing values \({kind}\): 1 in) '{NAMES[column]}' .*first at row 17"
    with pytest.raises(ValueError, match=by_number):
        fit(bad)
    with pytest.raises(ValueError, match=by_name):
        fit(pd.DataFrame(bad, columns=NAMES))
    with pytest.raises(ValueError, match=by_number):
        fit_em(bad, Y, TRUTH)


def test_infinities_of_both_signs_and_sums_that_overflow():
    """The quick look at the sum of X must neither warn nor take a large table for a bad one."""
    bad = with_value(with_value(X, (3, 1), np.inf), (5, 1), -np.inf)
    with pytest.raises(ValueError, match=r"X in column 1 contains infinity \(2 bad"):
        fit(bad)
    assert np.isfinite(fit(X * [1.0, 1e307, 1.0]).coef_).all()


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (X[:, 0], ValueError, "Expected 2D array, got 1D"),
        (X[None], ValueError, "Found array with dim 3"),
        (X[:0], ValueError, r"0 sample\(s\)"),
        (X[:, :0], ValueError, r"0 feature\(s\)"),
        (X[:-1], ValueError, r"inconsistent numbers of samples: \[119, 120\]"),
        (X + 1j, ValueError, "Complex data not supported"),
        (X.astype(object) + 1j, TypeError, "X column 0 is not numeric"),
        (with_value(X.astype(object), (4, 1), "high"), ValueError, "X column 1 is not numeric.*high"),
        (
            with_value(X.astype(object), (4, 2), None).tolist(),
            ValueError,
            r"X has missing values \(NaN\): 1 in column 2",
        ),
        (with_value(X.astype(object), (4, 2), {}), TypeError, "X column 2 is not numeric"),
        (with_value(X.astype("U32"), (4, 1), "high"), ValueError, "X column 1 is not numeric.*high"),
        (np.full((120, 2), "b"), ValueError, "X columns 0, 1 are not numeric"),
    ],
)
def test_x_of_the_wrong_kind(bad, error, message):
    with pytest.raises(error, match=message):
        fit(bad)


def test_columns_of_words_or_missing_values_are_named():
    table = pd.DataFrame(X, columns=NAMES)
    words = table.assign(dose=["low", "high"] * 60)
    missing = table.astype({"flow rate": "Float64"})
    missing.loc[5, "flow rate"] = pd.NA
    with pytest.raises(ValueError, match=r"X column 'dose' is not numeric.*low"):
        fit(words)
    with pytest.raises(ValueError, match="1 in 'flow rate'"):
        fit(missing)


# ---- y -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (with_value(Y, 3, np.nan), ValueError, r"y has missing values \(NaN\): 1 of 120 rows, first at row 3"),
        (with_value(Y, 3, np.inf), ValueError, "Input y contains infinity"),
        (Y[:-1], ValueError, "inconsistent numbers of samples"),
        (Y + 1j, ValueError, "Complex data not supported"),
        (np.array(["yes"] * 120), ValueError, "y is not numeric.*yes"),
        (np.array(["yes"] * 120, dtype=object), ValueError, "y is not numeric.*yes|could not convert.*yes"),
        (None, ValueError, "requires y|target y is None|Expected array-like.*None"),
    ],
)
def test_y_of_the_wrong_kind(bad, error, message):
    with pytest.raises(error, match=message):
        fit(y=bad)


# ---- weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_value(np.ones(120), 3, -0.5), "must not be negative, got -0.5 at row 3"),
        (with_value(np.ones(120), 3, np.nan), r"sample_weight has missing values \(NaN\).*first at row 3"),
        (with_value(np.ones(120), 3, np.inf), "sample_weight contains infinity .*first at row 3"),
        (np.zeros(120), "zero for every row"),
        (np.ones(119), r"expected \(120,\), got \(119,\)"),
        (np.ones((120, 1)), r"1D array or scalar, got sample_weight of shape \(120, 1\)"),
        (["heavy"] * 120, "sample_weight must be numeric.*heavy"),
        (np.ones(120) + 1j, "sample_weight must be real"),
    ],
)
def test_bad_weights(bad, message):
    with pytest.raises(ValueError, match=message):
        fit(sample_weight=bad)
    with pytest.raises(ValueError, match=message):
        fit_em(X, Y, TRUTH, sample_weight=bad)


# ---- parameters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *(("n_experts", v, ValueError) for v in (0, -1)),
        *(("n_experts", v, TypeError) for v in (2.0, "2", None, True, np.nan, [2])),
        *(("n_init", v, ValueError) for v in (0, -3, "many")),
        *(("n_init", v, TypeError) for v in (2.5, None, False)),
        *(("link", v, ValueError) for v in ("logit", "")),
        *(("link", v, TypeError) for v in (3, None)),
        *(
            ("expert_features", v, TypeError)
            for v in ("age", 3, {"age"}, [0.5], [True, 1], ["age", 0], [[0]], [None])
        ),
        *(("gate_features", v, ValueError) for v in ([-1], [0, 0], ["age", "age"], np.array([1, 1]))),
        *(("gate_features", v, TypeError) for v in (np.eye(3, dtype=bool), b"age", 2.0, [0, None])),
        *(("noise", v, ValueError) for v in ("own", None, 0.1)),
        ("start", "best", ValueError),
        *(("start", v, TypeError) for v in (None, 1)),
        *(("max_iter", v, ValueError) for v in (0, -1, 1.5, "10", None, True)),
        *(("tol", v, ValueError) for v in (-1e-3, np.nan, np.inf, "small", None)),
        *(("alpha", v, ValueError) for v in (-1.0, np.nan, np.inf, "auto", None)),
        *(("alpha_towards", v, ValueError) for v in ("median", None, 0)),
        *(("l1_ratio", v, ValueError) for v in (-0.1, 1.1, np.nan, "auto", None)),
        *(("gate_alpha", v, ValueError) for v in (-1.0, np.nan, np.inf, "none", None)),
        *(("noise_floor", v, ValueError) for v in (0.0, -0.1, np.nan, np.inf, None)),
        *(("time_budget", v, ValueError) for v in (0, -1.0, np.nan, "1 s")),
        *(("n_threads", v, ValueError) for v in (0, -1)),
        *(("n_threads", v, TypeError) for v in (1.5, "2", True)),
    ],
)
def test_parameters_out_of_range(name, value, error):
    """By fit, not by the constructor, and before the data are looked at."""
    model = MixtureOfExpertsRegressor(**{name: value})
    with pytest.raises(error, match=f"^{name} must"):
        model.fit(None, None)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("name", ["noise", "alpha", "gate_alpha", "noise_floor", "max_iter", "tol"])
def test_em_options_refuse_when_made(name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        EmOptions(**{name: -1})


def test_starts_that_cannot_be():
    with pytest.raises(ValueError, match='start="random" needs polish=True'):
        fit(polish=False, start="random")
    for start in ("spectral", "l4"):
        with pytest.raises(ValueError, match=f'"{start}" needs at least n_experts=4 .* columns, X has 3'):
            fit(n_experts=4, start=start)


@pytest.mark.parametrize("weights", [None, (np.arange(120) < 4).astype(float)])
def test_fewer_rows_than_experts(weights):
    rows = slice(4 if weights is None else None)
    with pytest.raises(ValueError, match=r"n_samples=4 rows .* fewer than n_experts=5"):
        fit(X[rows], Y[rows], weights, n_experts=5)


# ---- after a fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["predict", "predict_gates", "sample", "score_samples", "responsibilities", "bic"]
)
def test_an_unfitted_model_says_so(method):
    arguments = (X, Y) if method in ("score_samples", "responsibilities", "bic") else (X,)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(MixtureOfExpertsRegressor(), method)(*arguments)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        MixtureOfExpertsRegressor().summary()


@pytest.mark.parametrize("method", ["predict", "predict_gates", "sample"])
def test_prediction_checks_its_columns(method):
    table = pd.DataFrame(X, columns=NAMES)
    use = getattr(fit(table), method)
    with pytest.raises(ValueError, match=r"X has missing values \(NaN\): 1 in 'dose'"):
        use(pd.DataFrame(with_value(X, (2, 1), np.nan), columns=NAMES))
    with pytest.raises(ValueError, match=r"(?s)feature names.*flow rate"):
        use(table[NAMES[:2]])
    with pytest.raises(ValueError, match=r"(?s)feature names.*same order"):
        use(table[NAMES[::-1]])
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3"):
        getattr(fit(), method)(X[:, :2])


@pytest.mark.parametrize("method", ["responsibilities", "score_samples", "log_likelihood", "aic", "bic"])
def test_scoring_checks_y(method):
    use = getattr(fit(), method)
    for bad, message in [
        (Y[:-1], r"y must have shape \(120,\)"),
        (np.column_stack([Y, Y]), r"y must have shape \(120,\)"),
        (with_value(Y, 0, np.nan), r"y has missing values \(NaN\)"),
        (np.array(["yes"] * 120), "y is not numeric"),
    ]:
        with pytest.raises(ValueError, match=message):
            use(X, bad)


@pytest.mark.parametrize("method", ["log_likelihood", "aic", "bic"])
def test_scoring_checks_weights(method):
    use = getattr(fit(), method)
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        use(X, Y, -np.ones(120))


@pytest.mark.parametrize(
    "refit",
    [
        lambda m: m.fit(np.full((9, 5), np.nan), np.ones(9)),
        lambda m: m.fit(pd.DataFrame(with_value(X, (0, 0), np.nan), columns=["a", "b", "c"]), Y),
        lambda m: m.fit(X, Y, -np.ones(120)),
        lambda m: m.fit(X[:1], Y[:1]),
        lambda m: m.set_params(noise="own").fit(X, Y),
    ],
)
def test_a_failed_refit_leaves_the_fit_alone(refit):
    table = pd.DataFrame(X, columns=NAMES)
    model = fit(table)
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}
    prediction = model.predict(table)
    assert {"coef_", "n_features_in_", "feature_names_in_", "fit_report_"} <= set(before)
    with pytest.raises(ValueError, match=r"NaN|negative|fewer|noise"):
        refit(model)
    after = {name: value for name, value in vars(model).items() if name.endswith("_")}
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    np.testing.assert_array_equal(model.predict(table), prediction)


# ---- warnings: an answer all the same ------------------------------------------------------------------


def fit_with_warnings(*args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(*args, **kwargs)
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_", "log_likelihood_"):
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.predict(args[0])).all()
    assert all(w.filename == __file__ for w in caught), "a warning points at the caller of fit"
    return model, {(w.category, str(w.message)) for w in caught}


def mentions(caught, category, *parts):
    return any(issubclass(c, category) and all(p in message for p in parts) for c, message in caught)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e8, -1e-8])
@pytest.mark.parametrize("polish", [True, False])
def test_a_constant_column_is_named(value, polish):
    wide = np.column_stack([X[:, 0], np.full(120, value), X[:, 1:]])
    model, caught = fit_with_warnings(wide, Y, polish=polish)
    assert mentions(caught, DegenerateDataWarning, "column(s) 1 are constant")
    assert not model.coef_[:, 1].any()
    assert not model.gate_coef_[:, 1].any()
    _, caught = fit_with_warnings(pd.DataFrame(wide, columns=["a", "unit", "b", "c"]), Y, polish=polish)
    assert mentions(caught, DegenerateDataWarning, "'unit'")


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
@pytest.mark.parametrize("responses", [1, 2])
@pytest.mark.parametrize("value", [0.3, -1e300, 1.7e308])
def test_what_rounding_left_of_a_constant_column_is_no_slope(value, responses):
    nearly = value * (1.0 - 1e-15 * (np.arange(120) % 3))
    y = Y if responses == 1 else np.column_stack([Y, X[:, 0] - Y])
    model, caught = fit_with_warnings(np.column_stack([X, nearly]), y)
    assert mentions(caught, DegenerateDataWarning, "column(s) 3 are constant")
    assert not model.coef_[..., 3].any()
    assert not model.gate_coef_[:, 3].any()
    plain, _ = fit_with_warnings(X, y)
    np.testing.assert_allclose(model.predict(np.column_stack([X, nearly])), plain.predict(X), atol=1e-3)
    result = model.inference(np.column_stack([X, nearly]), y)
    assert np.isfinite(result.bse[[i for i, (_, name) in enumerate(result.names) if "x0" in name]]).all()


def test_a_constant_column_is_no_column_for_the_moments():
    """Who brings a column of ones brings no second direction."""
    own = np.column_stack([np.full(120, 5.0), X[:, 0]])
    ours, _ = fit_with_warnings(X[:, :1], Y)
    model, _ = fit_with_warnings(own, Y, fit_intercept=False)
    assert model.log_likelihood_ == pytest.approx(ours.log_likelihood_, abs=0.05)


@pytest.mark.parametrize("polish", [True, False])
def test_collinear_columns_are_named(polish):
    """The fit is that of the independent columns: the same likelihood, smaller coefficients."""
    wide = np.column_stack([X, X[:, 0] + 2 * X[:, 1]])
    model, caught = fit_with_warnings(wide, Y, polish=polish)
    assert mentions(caught, DegenerateDataWarning, "linear combinations")
    named = next(message for _, message in caught if "linear combinations" in message)
    assert any(f"column(s) {j} are" in named for j in (0, 1, 3))
    _, caught = fit_with_warnings(pd.DataFrame(wide, columns=[*NAMES, "mix"]), Y, polish=polish)
    assert any(mentions(caught, DegenerateDataWarning, f"'{name}'") for name in ("age", "dose", "mix"))
    if polish:  # the ridge of the gates sees other coordinates: 1e-5 of a small number
        assert model.log_likelihood_ == pytest.approx(fit().log_likelihood_, abs=0.05)


def test_fewer_rows_than_parameters():
    _, caught = fit_with_warnings(X[:10], Y[:10])
    assert mentions(caught, DegenerateDataWarning, "10 rows", "14 parameters")


@pytest.mark.parametrize("n_experts", [1, 2])
@pytest.mark.parametrize("polish", [True, False])
def test_a_constant_response(n_experts, polish):
    model, caught = fit_with_warnings(X, np.full(120, 7.0), n_experts=n_experts, polish=polish)
    assert mentions(caught, DegenerateDataWarning, "y is constant")
    np.testing.assert_allclose(model.predict(X), 7.0, rtol=1e-9)


def test_two_distinct_responses():
    """y^2 is then constant, and the moments that spectral starts need are exactly zero."""
    model, _ = fit_with_warnings(X, np.where(np.arange(120) % 2, 1.0, -1.0))
    assert model.fit_report_.starts


def test_collapsed_experts_are_told():
    """Two experts on a response without noise: both reach the floor."""
    model, caught = fit_with_warnings(X, X @ [1.0, 2.0, 3.0])
    assert mentions(caught, DegenerateDataWarning, "collapsed")
    assert model.fit_report_.collapsed
    assert all(f"{i}" in next(m for _, m in caught if "collapsed" in m) for i in model.fit_report_.collapsed)


@pytest.mark.parametrize("polish", [True, False])
def test_not_converging_is_a_warning(polish):
    model, caught = fit_with_warnings(X, Y, max_iter=1, tol=0.0, polish=polish)
    assert mentions(caught, ConvergenceWarning, "iteration_limit", "max_iter")
    assert model.converged_ is False
    assert model.n_iter_ == 1


@pytest.mark.parametrize("use", ["fit", "update"])
def test_dates_and_masks_are_not_taken_for_numbers(use):
    """numpy turns dates into nanoseconds and drops masks, both without a word."""

    def run(data, response, weights=None):
        if use == "fit":
            return MixtureOfExpertsRegressor(2).fit(data, response, sample_weight=weights)
        return MomentAccumulator(3).update(data, response, sample_weight=weights)

    dates = np.arange(120).astype("datetime64[D]")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(b=dates)
    with pytest.raises(TypeError, match="X column 'b' holds dates"):
        run(frame, Y)
    with pytest.raises(TypeError, match="X holds dates"):
        run(np.column_stack([dates] * 3), Y)
    with pytest.raises(TypeError, match="y holds dates"):
        run(X, dates)
    with pytest.raises(TypeError, match="sample_weight holds dates"):
        run(X, Y, dates - dates[0])
    masked = np.ma.masked_greater(X, 1.0)
    with pytest.raises(ValueError, match="X has masked values"):
        run(masked, Y)
    with pytest.raises(ValueError, match="y has masked values"):
        run(X, np.ma.masked_greater(Y, Y.mean()))


def test_one_feature_and_categories_come_with_the_remedy():
    frame = pd.DataFrame({"x": X[:, 0], "site": ["a", "b"] * (len(X) // 2) + ["a"] * (len(X) % 2)})
    for one in (frame["x"], X[:, 0]):
        with pytest.raises(ValueError, match=r"table of one column: data\[\['x'\]\]"):
            MixtureOfExpertsRegressor().fit(one, Y)
    recipes = (
        r"formula='y ~ age \+ C\(sex\)'.*make_column_transformer\(\(OneHotEncoder\(drop='first'\), \['site'\]\)"
    )
    with pytest.raises(ValueError, match=rf"X column 'site' is not numeric \(such as 'a'\).*{recipes}"):
        MixtureOfExpertsRegressor().fit(frame, Y)
