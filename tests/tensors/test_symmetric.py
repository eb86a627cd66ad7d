"""Packed symmetric tensors: storage and other forms."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tensors import make, rows

from moefast import _core
from moefast.tensors import SymmetricTensor
from oracles import moments as oracles

# ---- storage -----------------------------------------------------------------------------------------


def position(dim, order, index):
    """The place of an entry by counting, in Python integers: the rectangles before it, rows, columns."""
    a, b, *rest = sorted(index)
    cols = [math.comb(dim - j + order - 3, order - 2) for j in range(b + 1)]
    place = sum((j + 1) * cols[j] for j in range(b)) + a * cols[b]
    if order == 3:
        place += rest[0] - b
    if order == 4:
        c, e = rest
        place += sum(dim - j for j in range(b, c)) + e - c
    return place


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_every_entry_has_a_place_of_its_own(order, dim):
    indices = list(itertools.combinations_with_replacement(range(dim), order))
    places = [_core.packed_position(dim, order, i) for i in indices]
    assert sorted(places) == list(range(math.comb(dim + order - 1, order)))
    assert places == [position(dim, order, i) for i in indices]


@pytest.mark.parametrize(("dim", "order"), [(500, 4), (3000, 3), (40000, 4), (40000, 2)])
def test_places_beyond_32_bits(dim, order):
    rng = np.random.default_rng(0)
    indices = [(dim - 1,) * order, (0,) * (order - 1) + (dim - 1,)]
    indices += [tuple(int(i) for i in rng.integers(dim, size=order)) for _ in range(200)]
    places = [_core.packed_position(dim, order, i) for i in indices]
    assert places == [position(dim, order, i) for i in indices]
    assert places[0] == math.comb(dim + order - 1, order) - 1
    assert max(places) > 2**31 or order == 2


@pytest.mark.parametrize("indices", [(0, 1), (0, 1, 2), (0, 1, -1, 0), (0, 3, 0, 0)])
def test_bad_indices_are_refused(indices):
    with pytest.raises(ValueError, match="indices"):
        _core.packed_position(3, 4, indices)


# ---- other forms -------------------------------------------------------------------------------------


@given(st.integers(2, 4), st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_round_trips_are_exact(order, dim, seed):
    dense, tensor = make(dim, order, seed)
    np.testing.assert_array_equal(tensor.to_dense(), dense)
    canonical = tensor.to_canonical()
    indices = np.array(list(itertools.combinations_with_replacement(range(dim), order)))
    np.testing.assert_array_equal(canonical, dense[tuple(indices.T)])
    for other in (
        SymmetricTensor.from_canonical(canonical, dim, order),
        pickle.loads(pickle.dumps(tensor)),
        copy.deepcopy(tensor),
    ):
        assert (other.dim, other.order) == (dim, order)
        np.testing.assert_array_equal(other.to_dense(), dense)


@pytest.mark.parametrize("layout", oracles.LAYOUTS)
def test_any_memory_layout_is_taken(layout):
    dense, tensor = make(4, 3)
    U = rows(3, 4)
    other = SymmetricTensor.from_dense(oracles.LAYOUTS[layout](dense))
    np.testing.assert_array_equal(other.to_canonical(), tensor.to_canonical())
    np.testing.assert_array_equal(tensor.apply(oracles.LAYOUTS[layout](U)), tensor.apply(U))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_every_pair_of_indices_has_to_be_symmetric(order):
    for index in itertools.product(range(3), repeat=order):
        if len(set(index)) == 1:
            continue
        dense, _ = make(3, order)
        dense[index] += 1e-6 * np.abs(dense).max()
        with pytest.raises(ValueError, match="array is not symmetric: entries differ by up to"):
            SymmetricTensor.from_dense(dense)
        dense[index] -= 0.999e-6 * np.abs(dense).max()
        SymmetricTensor.from_dense(dense)


# ---- bad input ---------------------------------------------------------------------------------------


GOOD = np.eye(2)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros(3), r"array must have shape .*, got \(3,\)"),
        (np.zeros((2,) * 5), r"array must have shape"),
        (np.zeros((2, 3)), r"array must have shape .*, got \(2, 3\)"),
        (np.zeros((0, 0, 0)), "dim must lie between 1 and 40000, got 0"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "array contains NaN or infinity"),
        (np.array([[np.inf, 0.0], [0.0, 1.0]]), "array contains NaN or infinity"),
        (GOOD * 1j, "array must be real"),
        ([["a", "b"], ["c", "d"]], "array is not numeric"),
        (np.ma.masked_equal(GOOD, 1.0), "array has masked values"),
        (np.array([[0.0, 1.7e308], [-1.7e308, 0.0]]), "array is not symmetric"),
    ],
)
def test_bad_dense_arrays_are_refused(array, match):
    with pytest.raises(ValueError, match=match):
        SymmetricTensor.from_dense(array)


@pytest.mark.parametrize(
    ("values", "dim", "order", "error", "match"),
    [
        ([1.0, 2.0], 2, 2, ValueError, r"values must have shape \(3,\), got \(2,\)"),
        ([[1.0, 2.0, 3.0]], 2, 2, ValueError, r"values must have shape \(3,\)"),
        ([1.0, 2.0, np.nan], 2, 2, ValueError, "values contains NaN or infinity"),
        ([1.0], 1, 5, ValueError, "order must be 2, 3 or 4, got 5"),
        ([1.0], 1, 1, ValueError, "order must be 2, 3 or 4, got 1"),
        ([], 0, 3, ValueError, "dim must lie between 1 and 40000, got 0"),
        ([], 40001, 4, ValueError, "dim must lie between"),
        ([], 2**40, 4, ValueError, "dim is out of range"),
        ([1.0], 1.0, 3, TypeError, "dim must be an integer"),
        ([1.0], 1, True, TypeError, "order must be an integer"),
    ],
)
def test_bad_canonical_values_are_refused(values, dim, order, error, match):
    with pytest.raises(error, match=match):
        SymmetricTensor.from_canonical(values, dim, order)


@pytest.mark.parametrize("name", ["apply", "value", "project", "pair_value", "pair_gradient"])
@pytest.mark.parametrize(
    ("bad", "match"),
    [(np.ones((2, 4)), "must have shape"), (np.full((2, 2), np.nan), "NaN or infinity"), (1.0, "must have shape")],
)
def test_bad_vectors_are_refused(name, bad, match):
    _, tensor = make(3, 4)
    argument = "W" if name == "project" else "U"
    with pytest.raises(ValueError, match=match if bad is np.nan else f"{argument}.*{match}"):
        getattr(tensor, name)(*([bad, bad] if name.startswith("pair") else [bad]))


def test_pairs_need_order_4_and_as_many_u_as_v():
    _, third = make(3, 3)
    _, fourth = make(3, 4)
    for name in ("pair_value", "pair_gradient"):
        with pytest.raises(ValueError, match="order 4, this one is of order 3"):
            getattr(third, name)(rows(2, 3), rows(2, 3))
        with pytest.raises(ValueError, match=r"U and V must have the same shape, got \(2, 3\) and \(3, 3\)"):
            getattr(fourth, name)(rows(2, 3), rows(3, 3))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda t: t.apply(np.ones((1, 4))), ValueError),
        (lambda t: t.apply(np.ones(3)), ValueError),
        (lambda t: t.apply(np.ones((1, 3), np.float32)), TypeError),
        (lambda t: t.value(np.ones((1, 4))), ValueError),
        (lambda t: t.project(np.ones((2, 3))), ValueError),
        (lambda t: t.pair_value(np.ones((2, 3)), np.ones((1, 3))), ValueError),
        (lambda t: t.pair_value(np.ones((2, 3)), np.ones((2, 3))), ValueError),
        (lambda t: type(t).from_dense(np.ones((2, 3))), ValueError),
        (lambda t: type(t).from_dense(np.ones(3)), ValueError),
        (lambda t: type(t).from_canonical(np.ones(3), 3, 2), ValueError),
    ],
)
def test_the_core_is_strict_on_its_own(call, error):
    with pytest.raises(error):
        call(_core.SymmetricTensor.from_dense(np.zeros((3, 3, 3))))
