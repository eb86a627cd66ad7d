"""Equal rows are found by their values, exactly."""

import numpy as np
import pytest

from moefast import HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsRegressor, _core
from moefast.datasets import make_moe


def groups_by_sorting(X, y):
    """The same partition by numpy's sort, numbered by first appearance."""
    table = np.column_stack([X, y]) + 0.0
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=int)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.ravel()]


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 0), (500, 1), (3000, 4)])
def test_groups_are_those_of_a_sort(n, d):
    rng = np.random.default_rng(n)
    X = np.ascontiguousarray(rng.integers(0, 3, size=(n, d)).astype(float))
    y = rng.integers(0, 4, size=n).astype(float)
    wanted = groups_by_sorting(X, y)
    found = _core.equal_rows(X, y)
    assert (found is None) == (wanted.max() == n - 1)
    np.testing.assert_array_equal(np.arange(n) if found is None else found, wanted)


def test_all_rows_of_a_continuous_table_differ():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 3)), rng.normal(size=20_000)
    assert _core.equal_rows(X, y) is None
    again = _core.equal_rows(np.vstack([X, X[:1]]), np.append(y, y[0]))
    np.testing.assert_array_equal(again, np.append(np.arange(20_000), 0))


def test_single_precision_is_read_as_it_is():
    X = np.random.default_rng(0).integers(0, 5, size=(400, 2)).astype(np.float32) / 3
    y = np.zeros(400)
    np.testing.assert_array_equal(_core.equal_rows(X, y), _core.equal_rows(X.astype(np.float64), y))


def test_one_bit_makes_a_row_different_and_the_sign_of_zero_does_not():
    X = np.array([[1.0], [np.nextafter(1.0, 2.0)], [0.0], [-0.0], [1.0]])
    np.testing.assert_array_equal(_core.equal_rows(X, np.zeros(5)), [0, 1, 2, 2, 0])


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"y must have shape \(3,\)"):
        _core.equal_rows(np.zeros((3, 1)), np.zeros(2))


@pytest.mark.parametrize(
    "model",
    [
        MixtureOfExpertsRegressor(2, random_state=0),
        HierarchicalMixtureOfExpertsRegressor((2, 2), n_init=2, tol=1e-4, random_state=0),
    ],
)
def test_a_fit_looks_for_equal_rows_once(monkeypatch, model):
    """Parts of the rows, other weights and other ridges take over what was found."""
    X, y, _ = make_moe(7000, 3, 2, random_state=0)
    find, sizes = _core.equal_rows, []

    def counted(X, y):
        sizes.append(len(y))
        return find(X, y)

    monkeypatch.setattr(_core, "equal_rows", counted)
    model.fit(X, y)
    assert sizes == [7000]
