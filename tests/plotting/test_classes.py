"""Several classes are no numbers: pictures of a response say so, the others draw."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

from moefast import MixtureOfExpertsClassifier, plotting


@pytest.fixture(scope="module")
def classes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(int) + (rng.uniform(size=200) < 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows
        return MixtureOfExpertsClassifier(2, n_init=2, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize(
    "name",
    ["calibration", "coefficients", "experts", "explained", "fit", "laws", "residuals", "quantile_residuals"],
)
def test_pictures_of_numbers_are_refused_and_open_no_figure(classes, name):
    model, X, y = classes
    draw = getattr(plotting, f"plot_{name}")
    before = plt.get_fignums()
    with pytest.raises(
        ValueError, match="this picture is of a response that is a number, the model has 3 classes"
    ):
        draw(model, X) if name == "coefficients" else draw(model, X, y)
    assert plt.get_fignums() == before


def test_gates_and_search_are_drawn(classes):
    model, X, _ = classes
    assert plotting.plot_gates(model, X).get_lines()
    assert plotting.plot_coefficients(model, X, block="gates").get_lines()
    assert plotting.plot_search(model).axes
    plt.close("all")
