"""One of several responses by itself: its law, its pictures."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from moefast import MixtureOfExpertsRegressor, save_model
from moefast.plotting import plot_coefficients, plot_experts, plot_fit, plot_gates, plot_residuals, plot_search
from oracles.responses import make_responses

X, Y, _ = make_responses(600, 1, 2, 2, "full", seed=1)
FRAME = pd.DataFrame(Y, columns=["price", "rent"])


@pytest.fixture(scope="module")
def model():
    return MixtureOfExpertsRegressor(2, random_state=0).fit(X, FRAME)


def test_a_marginal_is_the_law_of_one_response(model):
    for j, name in enumerate(FRAME.columns):
        one = model.marginal(name)
        np.testing.assert_allclose(one.predict(X), model.predict(X)[:, j])
        np.testing.assert_allclose(one.predict(X, return_std=True)[1], model.predict(X, return_std=True)[1][:, j])
        np.testing.assert_allclose(one.predict_quantile(X, 0.3), model.predict_quantile(X, 0.3)[:, j])
        np.testing.assert_allclose(one.cdf(X, Y[:, j]), model.cdf(X, FRAME)[:, j], atol=1e-12)
        assert one.coef_.shape == (2, 1)
        assert one.target_name_ == name
        assert np.isnan([one.log_likelihood_, one.n_parameters_]).all()
        with pytest.raises(ValueError, match="a marginal maximises no likelihood"):
            one.bic(X, Y[:, j])
        assert "df" in str(one.summary())
        np.testing.assert_array_equal(model.marginal(j).coef_, one.coef_)
    # its density is that of both, with the other response integrated out
    grid = np.linspace(-8, 8, 4001)
    points = np.column_stack([np.full_like(grid, Y[0, 0]), grid])
    joint = np.exp(model.score_samples(np.repeat(X[:1], len(grid), axis=0), points))
    alone = np.exp(model.marginal(0).score_samples(X[:1], Y[:1, 0])[0])
    np.testing.assert_allclose(joint.sum() * (grid[1] - grid[0]), alone, rtol=1e-6)


def test_bad_names_of_responses(model):
    with pytest.raises(ValueError, match="response must be one of 'price', 'rent', got 'cost'"):
        model.marginal("cost")
    for bad in (2, -1, True, 0.5):
        with pytest.raises(ValueError, match="response must be a name or a position from 0 to 1"):
            model.marginal(bad)
    with pytest.raises(ValueError, match="the model has one response"):
        model.marginal(0).marginal(0)


def test_pictures_are_of_one_response(model):
    matplotlib.use("Agg")
    with pytest.raises(ValueError, match=r"draw model\.marginal\(0\)"):
        plot_experts(model, X, FRAME)
    with pytest.raises(ValueError, match=r"draw model\.marginal\(0\)"):
        plot_coefficients(model, X)
    rent = model.marginal("rent")
    above, _ = plot_fit(rent, X, FRAME["rent"], axes=Figure().subplots(2, sharex=True))
    assert above.get_ylabel() == "rent"
    assert len(plot_experts(rent, X, FRAME["rent"]).axes) == 2
    ax = Figure().subplots()
    assert "rent" in plot_residuals(rent, X, FRAME["rent"], ax=ax).get_xlabel() + ax.get_ylabel()
    plot_gates(model, X, ax=Figure().subplots())
    plot_search(model)


def test_a_marginal_is_not_for_saving(model, tmp_path):
    with pytest.raises(ValueError, match="a marginal is no fit and cannot be saved"):
        save_model(model.marginal("price"), tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []
