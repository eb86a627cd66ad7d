"""The picture of a cross-validation has the numbers of its table."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from moefast import MixtureOfExpertsRegressorCV
from moefast.datasets import make_moe
from moefast.plotting import plot_cross_validation

X, Y, _ = make_moe(200, 2, 2, noise=0.3, random_state=0)
GRID = {
    "n_experts": (1, 2, 3),
    "alphas": (0.1, 1.0),
    "gate_alphas": ("auto", 1.0),
    "random_state": 0,
    "gate_basis": "linear",
}


def test_it_has_every_setting_and_marks_the_choice():
    model = MixtureOfExpertsRegressorCV(**GRID, one_standard_error=True).fit(X, Y)
    ax = plot_cross_validation(model)
    results = model.cv_results_
    means, counts = results["mean_test_score"], results["param_n_experts"]
    lines = {line.get_label(): line for line in ax.lines}
    others = [line for line in ax.lines if line.get_color() == "0.75"]
    np.testing.assert_allclose(np.sort(np.concatenate([line.get_ydata() for line in others])), np.sort(means))
    best = [means[counts == k].max() for k in (1, 2, 3)]
    (container,) = ax.containers
    np.testing.assert_allclose(container.lines[0].get_ydata(), best)
    np.testing.assert_array_equal(lines["chosen"].get_xdata(), [model.n_experts_])
    np.testing.assert_array_equal(lines["chosen"].get_ydata(), [means[model.best_index_]])
    top = means.argmax()
    expected = means[top] - results["standard_error"][top]
    np.testing.assert_allclose(lines["a standard error below the best"].get_ydata(), expected)
    assert ax.get_title().startswith(f"{model.n_experts_} experts, alpha ")
    assert ax.get_ylabel() == "log-likelihood of a row held out, mean"


def test_a_single_setting_is_drawn():
    model = MixtureOfExpertsRegressorCV(1, alphas=1.0, gate_alphas=1.0, gate_basis="linear").fit(X, Y)
    title = plot_cross_validation(model).get_title()
    assert title == "1 expert, alpha 1, gate_alpha 1, noise per_expert, gate_basis linear, noise_floor 0.02"


def test_a_model_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        plot_cross_validation(MixtureOfExpertsRegressorCV())
