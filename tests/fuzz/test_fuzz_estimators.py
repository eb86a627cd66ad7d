"""Estimators: `fit` of anything, and of what was fitted every prediction on anything."""

import inspect

import fuzz_oracle
import numpy as np
import strategies as some
from fuzz_oracle import assert_finite, attempt, unchanged
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


def fitted(area, model, rows, again=False):
    """Fit, or raise as it is meant; `again` with a fit that was good before."""
    answer = attempt(area, unchanged(model, lambda: model.fit(rows.X, rows.y, **rows.more)))
    if answer is None and not again:
        assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    return answer


def check_fit(model):
    """Whatever a fit says of itself is finite."""
    for name in ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_", "log_likelihood_", "entropy_"):
        if hasattr(model, name):
            assert_finite(name, getattr(model, name))
    assert_finite("aic", model.aic_)
    assert_finite("bic", model.bic_)
    assert str(model.summary())


def check_predictions(data, area, model, rows):
    """Call one method of the model on rows of its own, and on others."""
    other = data.draw(st.booleans())
    X, y, more = rows.X, rows.y, dict(rows.more)
    if other and isinstance(X, np.ndarray) and X.ndim == 2:
        X = data.draw(some.disguised(data.draw(some.columns(5 * X.shape[1])).reshape(5, -1)))
        y = data.draw(some.disguised(data.draw(some.columns(5))))
        more = {}
    name = data.draw(
        st.sampled_from(
            [
                "predict",
                "predict_experts",
                "predict_gates",
                "assign",
                "score_samples",
                "log_likelihood",
                "cdf",
                "score",
                "responsibilities",
                "sample",
                "predict_quantile",
                "predict_interval",
                "log_density",
                "aic",
                "bic",
                "inference",
            ]
        )
    )
    method = getattr(model, name, None)
    if method is None:
        return
    taken = inspect.signature(method).parameters
    more = {k: v for k, v in more.items() if k in taken}
    arguments = [y] if "y" in taken else []
    if name == "predict_quantile":
        arguments = [data.draw(some.mostly(st.sampled_from([0.5, [0.1, 0.9], 1e-9]), some.odd_values, 4))]
    elif name == "predict_interval":
        arguments = [data.draw(some.mostly(st.sampled_from([0.5, 0.9]), some.odd_values, 4))]
    elif name == "log_density":
        arguments = [data.draw(some.disguised(data.draw(some.columns(4))))]
    elif name == "sample":
        arguments = [data.draw(some.mostly(st.just(0), some.odd_values, 4))]
    elif name == "predict" and "return_std" in taken:
        arguments = [data.draw(some.mostly(st.booleans(), some.odd_values))]
    if "calibrated" in taken:
        more["calibrated"] = data.draw(some.mostly(st.booleans(), some.odd_values, 4))
    answer = attempt(f"{area}.{name}", unchanged(model, lambda: method(X, *arguments, **more)))
    if answer is None or name in ("score", "score_samples", "log_density", "log_likelihood", "aic", "bic"):
        # Densities of rows far away may be zero; none is NaN.
        assert answer is None or not np.isnan(answer).any(), (name, answer)
    elif name == "inference":
        assert str(answer.summary_frame())
    else:
        for part in answer if isinstance(answer, tuple) else (answer,):
            assert part.dtype.kind in "OUS" or np.isfinite(part).all(), (name, part)


@given(st.data())
@settings(max_examples=45)
def test_flat_mixtures(data):
    family = data.draw(st.one_of(st.just("gaussian"), st.sampled_from(some.FAMILIES)))
    model = MixtureOfExpertsRegressor(
        **(
            {"n_init": 1, "max_iter": 10, "family": family, "n_threads": 1}
            | data.draw(some.parameters(some.OF_FLAT))
        )
    )
    rows = data.draw(some.rows(family))
    if fitted("flat.fit", model, rows):
        check_fit(model)
        check_predictions(data, "flat", model, rows)
        fitted("flat.fit", model, data.draw(some.rows(family)), again=True)


@given(st.data())
@settings(max_examples=20)
def test_trees(data):
    model = HierarchicalMixtureOfExpertsRegressor(
        **({"n_init": 1, "max_iter": 10, "n_threads": 1} | data.draw(some.parameters(some.OF_TREES)))
    )
    rows = data.draw(some.rows())
    if fitted("tree.fit", model, rows):
        check_fit(model)
        check_predictions(data, "tree", model, rows)
        fitted("tree.fit", model, data.draw(some.rows()), again=True)


@given(st.data())
@settings(max_examples=20)
def test_classifiers(data):
    model = MixtureOfExpertsClassifier(
        **({"n_init": 1, "max_iter": 10, "n_threads": 1} | data.draw(some.parameters(some.OF_CLASSIFIERS)))
    )
    rows = data.draw(some.rows("binomial"))
    rows.more.pop("n_trials", None)
    if fitted("classifier.fit", model, rows):
        assert_finite("predict_proba", attempt("classifier.predict_proba", lambda: model.predict_proba(rows.X)))
        fitted("classifier.fit", model, data.draw(some.rows()), again=True)


def test_the_oracle_tells_accidents_from_refusals():
    for call in (
        lambda: np.ones(2) + np.ones(3),
        lambda: {}["a"],
        lambda: int("x"),
        lambda: np.log(np.array(0.0)),
    ):
        try:
            attempt("oracle", call)
        except (AssertionError, RuntimeWarning):
            continue
        raise AssertionError("an accident was taken for a refusal")
    assert attempt("oracle", lambda: MixtureOfExpertsRegressor(0).fit([[1.0]], [1.0])) is None
    assert fuzz_oracle.TRIED["oracle", "refused"] == 1
