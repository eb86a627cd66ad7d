"""What inference tells beside its figures, and what it refuses."""

import numpy as np
import pytest
from inference_fits import fitted

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.exceptions import DegenerateDataWarning


def test_other_data_than_those_of_the_fit_are_noticed(two_experts):
    X, y, model = two_experts
    with pytest.warns(DegenerateDataWarning, match="standard errors away from the model's estimates"):
        result = model.inference(X[:300], y[:300])
    np.testing.assert_allclose(result.table(result.params).coef, model.coef_)


def test_experts_with_few_rows_for_each_coefficient_are_told():
    X, y, _ = make_moe(600, 2, 2, noise=0.2, random_state=1)
    assert fitted(X, y).inference(X, y).messages == ()
    X, y = X[:100], y[:100]
    model = fitted(X, y)
    i, few = int(np.argmin(model.shares_)), round(100 * model.shares_.min())
    assert few < 45 < 100 - few
    message = f"expert {i} is responsible for {few} rows only, fewer than 15 for each of its 3 coefficients"
    with pytest.warns(DegenerateDataWarning, match=message):
        result = model.inference(X, y)
    assert len(result.messages) == 1
    weight = np.full(100, 5.0)  # copies are no more rows
    copies = fitted(X, y, sample_weight=weight)
    with pytest.warns(DegenerateDataWarning, match=message):
        copies.inference(X, y, weight)


def test_shrunk_experts_are_labelled(two_experts):
    X, y, _ = two_experts
    with pytest.warns(DegenerateDataWarning, match="alpha=5"):
        result = fitted(X, y, alpha=5.0).inference(X, y)
    plain = fitted(X, y).inference(X, y)
    assert (result.table(result.bse).coef < plain.table(plain.bse).coef * 1.05).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cov_type": "HC3"}, ValueError, "cov_type must be one of 'robust', 'nonrobust', 'cluster', got 'HC3'"),
        ({"cov_type": "cluster"}, ValueError, "needs groups"),
        ({"groups": np.arange(600)}, ValueError, "groups are for cov_type=\"cluster\", got cov_type='robust'"),
        ({"cov_type": "cluster", "groups": np.arange(599)}, ValueError, r"expected \(600,\), got \(599,\)"),
        ({"cov_type": "cluster", "groups": ["a"] * 600}, ValueError, "at least 2 different labels"),
        ({"cov_type": "cluster", "groups": [np.nan, *range(599)]}, ValueError, "no label at row 0"),
        ({"cov_type": "cluster", "groups": [1, None, *range(598)]}, ValueError, "no label at row 1"),
        (
            {"cov_type": "cluster", "groups": np.array(["a", 1] * 300, object)},
            TypeError,
            "labels of one kind",
        ),
        ({"sample_weight": -np.ones(600)}, ValueError, "sample_weight must not be negative"),
        ({"y": np.ones(599)}, ValueError, "inconsistent numbers of samples"),
        ({"X": np.ones((600, 3))}, ValueError, "features"),
    ],
)
def test_bad_input_is_refused(two_experts, change, error, message):
    X, y, model = two_experts
    with pytest.raises(error, match=message):
        model.inference(**{"X": X, "y": y, **change})


def test_bad_questions_are_refused(two_experts):
    X, y, model = two_experts
    result = model.inference(X, y)
    for alpha in (0, 1.5, "5 %", np.nan):
        with pytest.raises(ValueError, match="alpha must be a finite number"):
            result.conf_int(alpha)
    for function in (None, 3):
        with pytest.raises(TypeError, match="function must be a function"):
            result.delta(function)
    with pytest.raises(ValueError, match="finite numbers of shape"):
        result.delta(lambda m: m.coef)
    with pytest.raises(ValueError, match="finite numbers of shape"):
        result.delta(lambda m: np.nan)
    with pytest.raises(ValueError, match="expert must be at most 1, got 2"):
        result.with_reference(2)
    with pytest.raises(ValueError, match="X must have the 2 columns of the fit"):
        result.predict(np.ones((3, 4)))


def test_fits_that_are_no_maximum_likelihood_are_refused(two_experts):
    X, y, _ = two_experts
    tree = HierarchicalMixtureOfExpertsRegressor(random_state=0).fit(X, y)
    with pytest.raises(TypeError, match="inference is for flat gates"):
        tree.inference(X, y)
    with pytest.raises(ValueError, match="polish=False"):
        MixtureOfExpertsRegressor(2, start="spectral", polish=False, random_state=0).fit(X, y).inference(X, y)
