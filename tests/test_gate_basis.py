"""Functions of the gates' columns: those of scikit-learn, without what depends linearly on others."""

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer

from moefast.gate_basis import FittedGateBasis
from moefast.validation import check_samples

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, -3.0]


def samples(X=X, w=None):
    return check_samples(X, np.zeros(len(X)), w)


def standard(X, basis):
    return (X[:, list(basis.columns)] - basis.centre) / basis.scale


def test_squares_and_products_stand_behind_the_columns():
    basis = FittedGateBasis.learn("quadratic", samples(), None)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    expected = PolynomialFeatures(2, include_bias=False).fit_transform(Z)[:, 3:]
    np.testing.assert_allclose(basis.expand(X), np.hstack([X, expected]), rtol=1e-10, atol=1e-12)
    assert basis.names == ("x0^2", "x0 x1", "x0 x2", "x1^2", "x1 x2", "x2^2")
    assert basis.gate_columns == tuple(range(9))


def test_splines_replace_their_columns():
    basis = FittedGateBasis.learn("spline", samples(), (0, 2))
    Z = standard(X, basis)
    np.testing.assert_allclose(basis.knots[[0, -1]], [Z.min(axis=0), Z.max(axis=0)])
    inside = np.sort(Z, axis=0)[[66, 133]]  # a third and two thirds of the rows
    np.testing.assert_allclose(basis.knots[1:3], inside, atol=0.05)
    transformer = SplineTransformer(degree=2, knots=basis.knots, extrapolation="linear", include_bias=False)
    np.testing.assert_allclose(basis.expand(X)[:, 3:], transformer.fit_transform(Z))
    assert basis.gate_columns == tuple(range(3, 3 + 8))
    assert basis.names[:2] == ("x0_sp_0", "x0_sp_1")


def test_a_spline_can_be_its_column_also_far_out():
    basis = FittedGateBasis.learn("spline", samples(), (1,))
    far = np.vstack([X, X.mean(axis=0) + 100 * X.std(axis=0)])
    functions = np.column_stack([basis.expand(far)[:, 3:], np.ones(len(far))])
    solution = np.linalg.lstsq(functions[:-1], far[:-1, 1], rcond=None)[0]
    np.testing.assert_allclose(functions @ solution, far[:, 1], rtol=1e-8)


def test_functions_that_depend_on_others_are_left_out():
    """Products of indicators of one category are zero, squares of two values linear."""
    category = np.eye(3)[np.random.default_rng(1).integers(3, size=200)][:, :2]
    table = np.column_stack([category, X[:, 0]])
    basis = FittedGateBasis.learn("quadratic", samples(table), None)
    assert basis.names == ("x0 x2", "x1 x2", "x2^2")
    spline = FittedGateBasis.learn("spline", samples(table), None)
    assert spline.columns == (2,)
    assert spline.linear == (0, 1)
    twice = FittedGateBasis.learn("spline", samples(X[:, [0, 0]]), None)
    assert len(twice.kept) == 4


def test_values_that_repeat_have_even_knots():
    x = np.repeat([0.0, 1.0, 2.0, 4.0], [150, 20, 20, 10])[:, None]
    basis = FittedGateBasis.learn("spline", samples(x), None)
    steps = np.diff(basis.knots[:, 0])
    np.testing.assert_allclose(steps, steps.mean())
    assert len(basis.kept) == 3  # four values


@pytest.mark.parametrize("kind", ["quadratic", "spline"])
def test_weights_count_as_copies(kind):
    w = np.arange(200) % 3
    weighted = FittedGateBasis.learn(kind, samples(X, w), None)
    written_out = FittedGateBasis.learn(kind, samples(np.repeat(X, w, axis=0)), None)
    np.testing.assert_allclose(weighted.expand(X), written_out.expand(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "table", "columns"),
    [
        ("linear", X, None),
        ("spline", X, ()),
        ("quadratic", X, ()),
        ("spline", np.eye(2)[np.arange(10) % 2], None),
        ("quadratic", np.ones((10, 2)), None),
        ("quadratic", np.eye(2)[np.arange(10) % 2], None),
    ],
)
def test_where_there_are_no_functions(kind, table, columns):
    assert FittedGateBasis.learn(kind, samples(table), columns) is None
