"""Two passes give what one pass gives, and the cost model picks between them."""

import numpy as np
import pytest

from moefast import MomentAccumulator
from moefast.datasets import make_moe
from moefast.moments.strategy import choose_strategy, strategy_costs
from moefast.moments.two_pass import projected_moments, projected_score_tensor
from moefast.samples import Samples
from moefast.spectral import recover_experts, recover_from_moments
from moefast.transforms import PolynomialTransform
from oracles import moments as oracles

QUARTIC = PolynomialTransform((0.3, 0.0, -6.0, 1.0, 1.0), 24.0, order=4, about=0.2)
CUBIC = PolynomialTransform((0.0, -3.0, 0.5, 1.0), 6.0, order=3)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize(("n", "d", "q"), [(1, 2, 1), (50, 1, 1), (300, 5, 2), (4096, 17, 3), (9000, 33, 7)])
def test_projected_moments_are_the_sums_over_rows(order, n, d, q):
    X, y, w = oracles.sample(n, d, seed=q)
    W, offset = np.random.default_rng(0).normal(size=(d, q)), np.random.default_rng(1).normal(size=d)
    V = np.column_stack([(X - offset) @ W, np.ones(n)])
    found = projected_moments(X, y, W, CUBIC, order=order, offset=offset, sample_weight=w)
    expected = oracles.matrix_moment(V, np.ones(n), w * CUBIC(y), order, 0) / w.sum()
    scale = oracles.absolute_scale(V, np.ones(n), w * CUBIC(y), order, 0) / w.sum()
    assert (np.abs(found - expected) <= 1e-12 * scale).all()


@pytest.mark.parametrize(("order", "transform"), [(2, CUBIC), (3, CUBIC), (3, QUARTIC), (4, QUARTIC)])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_second_pass_gives_the_score_tensor_of_one(order, transform, weighted):
    X, y, w = oracles.sample(5000, 6)
    w = w if weighted else np.ones(len(y))
    one = MomentAccumulator(6, 4).update(X, y, w).score_moments()
    first = MomentAccumulator(6, 2).update(X, y, w).score_moments()
    np.testing.assert_allclose(first.whitening, one.whitening, rtol=0, atol=1e-12)
    W = np.random.default_rng(0).normal(size=(6, 3))
    expected = one.score_tensor(order, transform, W)
    found = projected_score_tensor(Samples(X, y, w), first, order, transform, W)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("link", ["linear", "tanh", "relu"])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_strategies_find_the_same_experts(link, weighted):
    X, y, _ = make_moe(20_000, 8, 2, link=link, orthogonal_gate=True, random_state=0)
    w = np.random.default_rng(0).uniform(0.5, 1.5, len(y)) if weighted else None
    one, two = (
        recover_experts(X, y, 2, link=link, sample_weight=w, strategy=s, random_state=0)
        for s in ("one_pass", "two_pass")
    )
    scale = np.abs(one.coef).max()
    np.testing.assert_allclose(two.coef, one.coef, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(two.proportions, one.proportions, rtol=0, atol=1e-9)
    assert two.sigma == pytest.approx(one.sigma, rel=1e-9)


def test_the_result_does_not_depend_on_threads_or_layout():
    X, y, w = oracles.sample(9000, 20)
    W = np.random.default_rng(0).normal(size=(20, 3))
    expected = projected_moments(X, y, W, CUBIC, sample_weight=w, n_threads=1)
    for threads in (2, 7):
        for layout in (np.asfortranarray, oracles.LAYOUTS["slices"], np.ascontiguousarray):
            found = projected_moments(layout(X), y, W, CUBIC, sample_weight=w, n_threads=threads)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("d", "k", "order", "expected"),
    [
        (10, 5, 3, "one_pass"),
        (5, 2, 3, "one_pass"),
        (200, 3, 3, "two_pass"),
        (50, 3, 3, "two_pass"),
        (5, 3, 4, "one_pass"),
        (50, 3, 4, "two_pass"),
    ],
)
def test_the_cost_model_chooses_right_at_the_corners(d, k, order, expected):
    assert choose_strategy(d, k, order) == expected


def test_costs_grow_with_every_dimension():
    for order in (3, 4):
        for smaller, larger in [((10, 2), (20, 2)), ((10, 2), (10, 5)), ((50, 2), (100, 2))]:
            few, many = strategy_costs(*smaller, order), strategy_costs(*larger, order)
            assert many["two_pass"] > few["two_pass"]
            assert many["one_pass"] >= few["one_pass"]


def test_auto_takes_the_strategy_of_the_model(monkeypatch):
    X, y, _ = make_moe(3000, 12, 2, orthogonal_gate=True, random_state=0)
    orders = []
    original = MomentAccumulator.__init__

    def spy(self, n_features, order=3, *args, **kwargs):
        orders.append(order)
        original(self, n_features, order, *args, **kwargs)

    monkeypatch.setattr(MomentAccumulator, "__init__", spy)
    for name, order in (("one_pass", 3), ("two_pass", 2)):
        monkeypatch.setattr("moefast.moments.source.choose_strategy", lambda *_, name=name: name)
        recover_experts(X, y, 2, random_state=0)
        assert orders.pop() == order


def test_moments_of_second_order_alone_are_refused():
    X, y, _ = oracles.sample(100)
    moments = MomentAccumulator(3, 2).update(X, y).score_moments()
    with pytest.raises(ValueError, match="order 3 are needed"):
        recover_from_moments(moments, 2)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"directions": np.ones((2, 2))}, r"directions must have shape \(3, q\), got \(2, 2\)"),
        ({"directions": np.ones((3, 0))}, "directions"),
        ({"directions": np.full((3, 1), np.nan)}, "directions contains NaN"),
        ({"offset": np.ones(2)}, r"offset must have shape \(3,\), got \(2,\)"),
        ({"offset": np.full(3, np.inf)}, "offset contains NaN or infinity"),
        ({"order": 5}, "order must be at most 4"),
        ({"order": 1}, "order must be at least 2"),
        ({"n_threads": 0}, "n_threads"),
        ({"transform": PolynomialTransform((np.nan,), 1.0, order=3)}, "transform contains NaN"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    X, y, _ = oracles.sample(20)
    call = {"directions": np.eye(3, 2), "transform": CUBIC, **arguments}
    with pytest.raises(ValueError, match=match):
        projected_moments(X, y, **call)


def test_overflow_is_told():
    X, y, _ = oracles.sample(20)
    with pytest.raises(OverflowError, match="rescale"):
        projected_moments(1e120 * X, y, np.eye(3, 2), CUBIC)
