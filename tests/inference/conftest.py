"""A fit for the tests of inference."""

import pytest
from inference_fits import fitted

from moefast.datasets import make_moe


@pytest.fixture(scope="module")
def two_experts():
    """Rows in odd units, and a fit to them."""
    X, y, _ = make_moe(600, 2, 2, noise=0.3, random_state=1)
    X = X * [0.1, 30.0] + [2.0, -50.0]
    y = 40 * y + 7
    return X, y, fitted(X, y)
