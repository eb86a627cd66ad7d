"""Products of rows: right, and for a row the same bits whatever other rows there are."""

import numpy as np
import pytest

from moefast.row_products import row_products


@pytest.mark.parametrize("k", [1, 2, 3, 7])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 10, 33])
def test_a_row_has_the_same_bits_in_any_company(d, k):
    rng = np.random.default_rng(d * 10 + k)
    X, coef = rng.normal(size=(2003, d)), rng.normal(size=(k, d))
    whole = row_products(X, coef)
    np.testing.assert_allclose(whole, X @ coef.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(row_products(np.asfortranarray(X), coef), whole)
    for size in (1, 7, 511, 512, 513, 1000):
        parts = [row_products(X[i : i + size], coef) for i in range(0, len(X), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = rng.permutation(len(X))
    np.testing.assert_array_equal(row_products(X[order], coef), whole[order])


def test_no_rows_and_no_columns():
    assert row_products(np.empty((0, 3)), np.ones((2, 3))).shape == (0, 2)
    np.testing.assert_array_equal(row_products(np.empty((4, 0)), np.empty((2, 0))), np.zeros((4, 2)))
