"""Units of features and response: a fit follows them, however large or small they are."""

import numpy as np
import pandas as pd
import pytest
from flat_fits import X, Y, fit

from moefast.datasets import make_moe

RESCALINGS = [
    (np.ones(3), np.zeros(3), 1.0, 100.0),
    (np.ones(3), np.array([5.0, -20.0, 1e3]), 1.0, 0.0),
    (np.array([1e-3, 1.0, 1e6]), np.zeros(3), 2e4, 0.0),
    (np.array([7.0, 0.1, 1e-9]), np.array([50.0, 3.0, -1e-7]), 1e-6, -3.0),
]


@pytest.mark.parametrize(("x_scale", "x_shift", "y_scale", "y_shift"), RESCALINGS)
@pytest.mark.parametrize("noise", ["per_expert", "shared"])
def test_the_fit_follows_the_units(x_scale, x_shift, y_scale, y_shift, noise):
    """The same model in other units; the log-likelihood moves by -n log y_scale."""
    plain, moved = (
        fit(noise=noise, tol=1e-12),
        fit(X * x_scale + x_shift, Y * y_scale + y_shift, noise=noise, tol=1e-12),
    )
    coef = plain.coef_ * y_scale / x_scale
    gates = plain.gate_coef_ / x_scale
    gap = {"rtol": 1e-4, "atol": 1e-4}  # random starts are others in other units, and so is the last iterate
    np.testing.assert_allclose(moved.coef_ * x_scale / y_scale, plain.coef_, **gap)
    np.testing.assert_allclose(moved.gate_coef_ * x_scale, plain.gate_coef_, **gap)
    np.testing.assert_allclose(
        (moved.intercept_ - y_shift + coef @ x_shift) / y_scale, plain.intercept_, atol=1e-2
    )
    np.testing.assert_allclose(moved.gate_intercept_ + gates @ x_shift, plain.gate_intercept_, atol=1e-2)
    np.testing.assert_allclose(moved.sigma_ / y_scale, plain.sigma_, **gap)
    assert moved.log_likelihood_ == pytest.approx(plain.log_likelihood_ - 600 * np.log(y_scale), abs=1e-3)
    predicted = moved.predict(X * x_scale + x_shift)
    np.testing.assert_allclose((predicted - y_shift) / y_scale, plain.predict(X), atol=1e-3)


def test_means_a_million_standard_deviations_away():
    far = X + 1e6
    model, plain = fit(far, Y + 1e6, tol=1e-12), fit(tol=1e-12)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-5)
    np.testing.assert_allclose(model.predict(far) - 1e6, plain.predict(X), atol=1e-5)
    assert model.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-3)


@pytest.mark.parametrize("unit", [1e150, 1e-150])
@pytest.mark.parametrize("column", [0, 2, "y"])
def test_huge_and_tiny_units_work(unit, column):
    """Third powers of these leave the range of float64; standard units do not."""
    scaled_X, scaled_y = X.copy(), Y.copy()
    if column == "y":
        scaled_y = Y * unit
    else:
        scaled_X[:, column] *= unit
    model, plain = fit(scaled_X, scaled_y, tol=1e-12), fit(tol=1e-12)
    scale = unit if column == "y" else 1.0
    np.testing.assert_allclose(model.predict(scaled_X) / scale, plain.predict(X), atol=1e-4)
    assert model.log_likelihood_ == pytest.approx(plain.log_likelihood_ - 600 * np.log(scale), abs=1e-3)


@pytest.mark.parametrize("names", [None, ["age", "dose", "flow rate"]])
@pytest.mark.parametrize(("x_unit", "y_unit", "culprit"), [(1e-200, 1e160, "X"), (1e-160, 1e200, "y")])
def test_coefficients_out_of_range_name_the_column(names, x_unit, y_unit, culprit):
    table = pd.DataFrame(X * [1.0, x_unit, 1.0], columns=names)
    where = "y" if culprit == "y" else r"X column 'dose'" if names else "X column 1"
    with pytest.raises(OverflowError, match=f"rescale {where}"):
        fit(table if names else table.to_numpy(), Y * y_unit)


@pytest.mark.parametrize(("x_unit", "y_unit"), [(1e150, 1.0), (1e-150, 1.0), (1.0, 1e120), (1.0, 1e-120)])
def test_moments_follow_the_units(x_unit, y_unit):
    """Without polish too: cubes of such units would leave the range, so moments are taken in standard ones."""
    data, response, _ = make_moe(5000, 3, 2, random_state=0)
    plain = fit(data, response, n_experts=2, polish=False)
    scaled = fit(data * [1.0, x_unit, 1.0], response * y_unit, n_experts=2, polish=False)
    units = y_unit / np.array([1.0, x_unit, 1.0])
    np.testing.assert_allclose(scaled.coef_ / units, plain.coef_, rtol=1e-6)
    np.testing.assert_allclose(scaled.sigma_ / y_unit, plain.sigma_, rtol=1e-6)
