"""Powers of the response less what does not show: against least squares, and what they are for."""

import numpy as np
import pytest

from moefast.spectral import control_variates
from moefast.spectral.control_variates import power_residual, regression_coefficients


def sample(n, r=2, g=2, seed=0):
    rng = np.random.default_rng(seed)
    Z, given = rng.normal(size=(n, r)), np.column_stack([np.ones(n), rng.normal(size=(n, g))])
    t = Z[:, 0] * (1 + given[:, 1]) + given[:, -1] + rng.normal(size=n)
    w = rng.uniform(0.5, 2.0, size=n)
    return t, Z, given, w / w.sum()


def least_squares_residual(target, columns, share):
    root = np.sqrt(share)[:, None]
    return target - columns @ np.linalg.lstsq(root * columns, root[:, 0] * target, rcond=None)[0]


# Terms of degree below the order in (t, z1, z2), by the degree in z.
TERMS = {
    (2, 0): lambda t, a, b: [t**0, t],
    (2, 1): lambda t, a, b: [t**0, t, a, b],
    (3, 0): lambda t, a, b: [t**0, t, t * t],
    (3, 1): lambda t, a, b: [t**0, t, t * t, a, b, t * a, t * b],
    (3, 2): lambda t, a, b: [t**0, t, t * t, a, b, t * a, t * b, a * a, a * b, b * b],
}


@pytest.mark.parametrize(
    ("n", "order", "degree", "of_gates"),
    [
        (3000, 3, 2, 2),
        (2999, 3, 1, 2),
        (2099, 3, 1, 1),
        (1049, 3, 0, 0),
        (1200, 2, 1, 2),
        (1199, 2, 1, 1),
        (599, 2, 0, 0),
    ],
)
def test_the_residual_is_that_of_least_squares_on_as_many_terms_as_the_rows_allow(n, order, degree, of_gates):
    """50 rows a term: 60 with all, 42 of degree 1 in z, 21 linear in the gates' columns; 24 and 12 at order 2."""
    t, Z, given, share = sample(n)
    terms = np.column_stack(TERMS[order, degree](t, *Z.T))
    _, a, b = given.T
    functions = [a**0, a, b, a * a, a * b, b * b][: (1, 3, 6)[of_gates]]
    terms = np.column_stack([term * function for term in terms.T for function in functions])
    expected = least_squares_residual(t**order, terms, share)
    np.testing.assert_allclose(power_residual(t, Z, given, order, share, n), expected, rtol=0, atol=1e-9)


def test_blocks_of_rows_make_no_difference(monkeypatch):
    t, Z, given, share = sample(5000)
    whole = power_residual(t, Z, given, 3, share, len(t))
    monkeypatch.setattr(control_variates, "_BLOCK", 1000)
    np.testing.assert_allclose(power_residual(t, Z, given, 3, share, len(t)), whole, rtol=0, atol=1e-10)


def test_with_many_columns_the_powers_of_the_response_are_left():
    t, Z, given, share = sample(5000, r=30, g=30)
    expected = least_squares_residual(t**3, np.vander(t, 3), share)
    np.testing.assert_allclose(power_residual(t, Z, given, 3, share, len(t)), expected, rtol=0, atol=1e-9)


def test_collinear_regressors_share_a_coefficient():
    x = np.random.default_rng(0).normal(size=(100, 1))
    columns, target = np.column_stack([x, x, 0 * x]), 3.0 * x
    found = regression_coefficients(columns.T @ columns, columns.T @ target)
    np.testing.assert_allclose(found, [[1.5], [1.5], [0.0]], rtol=0, atol=1e-10)


def test_the_tensor_varies_less():
    """Samples of one law: the entries' standard deviations fall to less than half of those of the bare cubes."""
    bare, less = [], []
    for seed in range(60):
        t, Z, given, share = sample(3000, seed=seed)
        score = Z[:, 0] * (Z[:, 1] ** 2 - 1)  # an entry of S_3
        bare.append(share @ (t**3 * score))
        less.append(share @ (power_residual(t, Z, given, 3, share, len(t)) * score))
    assert np.std(less) < 0.5 * np.std(bare)
    assert abs(np.mean(less)) < 4 * np.std(less) / np.sqrt(60)  # of an expert along z1: 0
