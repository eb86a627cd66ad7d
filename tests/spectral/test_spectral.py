"""The spectral method: where it is consistent, where a bias stays, its invariances and its refusals."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from moefast import MomentAccumulator
from moefast.datasets import make_moe
from moefast.links import get_link
from moefast.mixture import Mixture
from moefast.moments import MomentOptions
from moefast.spectral import recover_experts, recover_from_moments
from oracles import moments as oracles

D = 6
SIGMA = 0.1


def mixture(link="linear", k=2, gates="orthogonal", intercept=0.0):
    """Unit experts in the first k coordinates, neighbours about 75 degrees apart; gate rows of norm 2, either
    in the other coordinates or along the experts."""
    coef = np.eye(k, D) + 0.25 * np.eye(k, D, 1)
    coef[-1] = np.eye(D)[k - 1]
    coef /= np.linalg.norm(coef, axis=1, keepdims=True)
    gate = 2.0 * (np.eye(k, D, k) if gates == "orthogonal" else coef)
    gate[-1] = 0.0
    intercepts = np.broadcast_to(np.asarray(intercept, dtype=float), (k,))
    return Mixture(coef, intercepts, gate, np.zeros(k), np.full(k, SIGMA), get_link(link))


def draw(truth, n, seed, x_mean=0.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, D)) + x_mean
    return X, truth.draw(X, rng)


def expert_error(truth, X, y):
    """The largest distance of a found expert from its own, sign included."""
    found = recover_experts(X, y, len(truth.coef), link=truth.link, random_state=0)
    return np.linalg.norm(oracles.matched(found.coef, truth.coef) - truth.coef, axis=1).max()


def typical_error(truth, n, x_mean=0.0, seeds=5):
    errors = [expert_error(truth, *draw(truth, n, seed, x_mean)) for seed in range(seeds)]
    return np.sqrt(np.mean(np.square(errors)))


# ---- under the assumptions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "k", "bound"),
    [("linear", 2, 0.05), ("sigmoid", 2, 0.05), ("tanh", 2, 0.05), ("relu", 2, 0.1), ("linear", 3, 0.1)],
)
def test_experts_are_found_and_the_error_falls_like_one_over_root_n(link, k, bound):
    truth, errors = mixture(link, k), []
    for seed in range(4):
        X, y = draw(truth, 160_000, seed)
        errors.append([expert_error(truth, X[:n], y[:n]) for n in (10_000, 160_000)])
    few, many = np.sqrt(np.mean(np.square(errors), axis=0))
    assert many < bound
    assert many < 0.5 * few  # 16 times the rows: a quarter is expected


@pytest.mark.parametrize("link", ["linear", "sigmoid", "tanh", "relu"])
def test_everything_else_in_the_answer_fits_the_truth(link):
    truth = mixture(link)
    X, y = draw(truth, 200_000, 1)
    found = recover_experts(X, y, 2, link=link, random_state=0)
    order = [0, 1] if found.coef[0] @ truth.coef[0] > found.coef[1] @ truth.coef[0] else [1, 0]
    assert found.converged
    assert (np.sum(found.coef * truth.coef[order], axis=1) > 0.9).all()  # the sign too
    assert found.proportions.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.proportions[order], truth.gates(X).mean(axis=0), rtol=0, atol=0.05)
    np.testing.assert_allclose(found.intercept, 0.0, rtol=0, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.spectrum[:2].sum(), 1.0, rtol=0, atol=0.15)  # sum_i p_i |a_i|^2
    assert np.abs(found.spectrum[2:]).max() < 0.1 * found.spectrum[1]
    if link != "linear":
        assert found.sigma == pytest.approx(SIGMA, abs=0.005)


@pytest.mark.parametrize("link", ["sigmoid", "tanh", "relu"])
def test_a_known_noise_is_used_as_given(link):
    truth = mixture(link)
    X, y = draw(truth, 100_000, 2)
    found = recover_experts(X, y, 2, link=link, sigma=SIGMA, random_state=0)
    assert found.sigma == SIGMA
    assert np.linalg.norm(oracles.matched(found.coef, truth.coef) - truth.coef, axis=1).max() < 0.15


def falling(z):
    return -np.tanh(z)


@pytest.mark.parametrize("link", ["linear", "sigmoid", "tanh", "relu", falling])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_one_expert(link, sign):
    truth = mixture(link, 1)
    truth = Mixture(sign * truth.coef, truth.intercept, truth.gate_coef, np.zeros(1), truth.sigma, truth.link)
    X, y = draw(truth, 50_000, 0)
    found = recover_experts(X, y, 1, link=link, random_state=0)
    assert np.linalg.norm(found.coef - truth.coef) < 0.05
    np.testing.assert_array_equal(found.proportions, [1.0])


def test_linear_experts_may_have_any_common_norm_noise_and_intercept():
    # y^3 - 3 y mean(y^2) of the centred response needs to know none of them.
    truth = mixture(k=2)
    X, y = draw(truth, 200_000, 0)
    plain = recover_experts(X, y, 2, random_state=0)
    moved = recover_experts(X, 50.0 * y - 7.0, 2, random_state=0)
    np.testing.assert_allclose(moved.coef, 50.0 * plain.coef, rtol=0, atol=1e-6)
    np.testing.assert_allclose(moved.intercept, 50.0 * plain.intercept - 7.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(moved.proportions, plain.proportions, rtol=0, atol=1e-8)
    assert moved.sigma == pytest.approx(50.0 * plain.sigma, rel=1e-6)


@pytest.mark.parametrize("link", ["linear", "tanh"])
def test_without_intercepts_they_are_zero(link):
    truth = mixture(link)
    X, y = draw(truth, 100_000, 0)
    found = recover_experts(X, y, 2, link=link, fit_intercept=False, random_state=0)
    np.testing.assert_array_equal(found.intercept, [0.0, 0.0])
    assert np.linalg.norm(oracles.matched(found.coef, truth.coef) - truth.coef, axis=1).max() < 0.1


# ---- outside of them: a bias that no sample size removes ---------------------------------------------------

OUTSIDE = {
    "generic gates": (mixture(k=3, gates="generic"), 0.0),
    "intercepts": (mixture(k=3, intercept=[0.3, -0.3, 0.0]), 0.0),
    "mean of x": (mixture(k=3), np.array([0.5, -0.5, 0.0, 0.0, 0.0, 0.0])),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_bias_stays_that_rows_do_not_remove(case):
    truth, x_mean = OUTSIDE[case]
    few, many = (typical_error(truth, n, x_mean, seeds=2) for n in (25_000, 400_000))
    assert many > 0.15  # under the assumptions this is below 0.06, see the next test
    assert many > 0.6 * few


def test_without_these_the_error_at_the_same_size_is_small():
    assert typical_error(mixture(k=3), 400_000, seeds=2) < 0.06


def test_a_mean_of_x_acts_as_intercepts():
    # x is centred, so a.x = a.(x - m) + a.m: to the method these are experts with intercepts a_i.m.
    truth, x_mean = OUTSIDE["mean of x"]
    X, y = draw(truth, 50_000, 0, x_mean)
    far, near = (recover_experts(Z, y, 3, random_state=0) for Z in (X, X - x_mean))
    np.testing.assert_allclose(far.coef, near.coef, rtol=0, atol=1e-8)
    np.testing.assert_allclose(far.intercept, near.intercept - near.coef @ x_mean, rtol=0, atol=1e-8)


# ---- invariances ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["linear", "tanh"])
def test_experts_come_in_the_units_of_the_data(link):
    truth = mixture(link)
    X, y = draw(truth, 20_000, 3)
    A = np.diag([1e3, 1e-3, 1.0, 1.0, 1.0, 50.0]) + np.eye(D, D, 1)
    plain = recover_experts(X, y, 2, link=link, random_state=0)
    for B, shift in ((1e3 * np.eye(D), 0.0), (A, np.arange(6.0))):
        other = recover_experts(X @ B.T + shift, y, 2, link=link, random_state=0)
        back = oracles.matched(other.coef @ B, plain.coef)  # a.x = (B'^-1 a).(B x)
        np.testing.assert_allclose(back, plain.coef, rtol=0, atol=1e-6)
        fits = [np.sort(Z @ m.coef.T + m.intercept) for Z, m in ((X[:50], plain), (X[:50] @ B.T + shift, other))]
        np.testing.assert_allclose(fits[1], fits[0], rtol=0, atol=1e-5)


def test_one_random_state_gives_one_result_on_any_number_of_threads():
    X, y = draw(mixture(), 20_000, 0)
    first, second = (recover_experts(X, y, 2, random_state=5, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(first.coef, second.coef)
    np.testing.assert_array_equal(first.intercept, second.intercept)


def test_other_restarts_find_the_same_experts():
    X, y = draw(mixture(), 20_000, 0)
    first, second = (recover_experts(X, y, 2, random_state=seed) for seed in (0, 1))
    np.testing.assert_allclose(oracles.matched(second.coef, first.coef), first.coef, rtol=0, atol=1e-8)


def test_weights_count_rows():
    X, y = draw(mixture(), 5_000, 0)
    w = np.random.default_rng(0).integers(0, 4, size=len(y))
    weighted = recover_experts(X, y, 2, sample_weight=w, random_state=0)
    repeated = recover_experts(np.repeat(X, w, axis=0), np.repeat(y, w), 2, random_state=0)
    np.testing.assert_allclose(weighted.coef, repeated.coef, rtol=0, atol=1e-8)


def test_accumulated_moments_give_the_same_experts():
    X, y = draw(mixture("tanh"), 10_000, 0)
    accumulator = MomentAccumulator(D)
    for part in np.array_split(np.arange(len(y)), 7):
        accumulator.update(X[part], y[part])
    # The noise is given: from moments alone it is estimated more roughly.
    options = {"sigma": SIGMA, "random_state": 0}
    by_parts = recover_from_moments(
        accumulator.score_moments(), 2, MomentOptions(get_link("tanh"), SIGMA), random_state=0
    )
    # To rounding: recover_experts divides the columns by their standard deviations first.
    whole = recover_experts(X, y, 2, link="tanh", **options)
    np.testing.assert_allclose(by_parts.coef, whole.coef, rtol=0, atol=1e-9)


def test_collinear_columns_are_no_obstacle():
    X, y = draw(mixture(), 50_000, 0)
    plain = recover_experts(X, y, 2, random_state=0)
    doubled = recover_experts(np.column_stack([X, X[:, 0], np.ones(len(y))]), y, 2, random_state=0)
    merged = doubled.coef[:, :D] + np.outer(doubled.coef[:, D], np.eye(D)[0])
    np.testing.assert_allclose(oracles.matched(merged, plain.coef), plain.coef, rtol=0, atol=1e-6)


# ---- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_experts": D + 1}, ValueError, f"n_experts must lie between 1 and {D}.*got {D + 1}"),
        ({"n_experts": 0}, ValueError, "n_experts must lie between 1"),
        ({"link": "softmax"}, ValueError, "link must be one of"),
        ({"link": np.abs}, ValueError, r"E\[g'\] = \S+ is about zero"),
        ({"sigma": -1.0}, ValueError, "sigma must be a finite number not below 0"),
        ({"sigma": -1.0, "link": "tanh"}, ValueError, "sigma must be a finite number not below 0"),
        ({"sigma": np.nan}, ValueError, "sigma must be a finite number not below 0"),
        ({"strategy": "guess"}, ValueError, "strategy must be one of"),
        ({"transform": "guess"}, ValueError, "transform must be one of"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
    ],
)
def test_bad_parameters_are_refused(options, error, match):
    X, y = draw(mixture(), 200, 0)
    with pytest.raises(error, match=match):
        recover_experts(X, y, **{"n_experts": 2, **options})


def test_the_limit_on_experts_is_the_rank():
    X, y = draw(mixture(), 200, 0)
    X[:, 1] = X[:, 0]
    with pytest.raises(ValueError, match=f"between 1 and {D - 1}"):
        recover_experts(X, y, D)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("link", ["linear", "sigmoid"])
def test_a_constant_response_warns_and_stays_finite(k, link):
    X = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.warns(ConvergenceWarning, match="degenerate"):
        found = recover_experts(X, np.ones(100), k, link=link, random_state=0)
    assert not found.converged
    for values in (found.coef, found.intercept, found.proportions, found.sigma):
        assert np.isfinite(values).all()


def test_without_intercept_generic_gates_are_no_bias_for_two_experts():
    """x -> -x then cancels every term with a gate, but only if y is not centred: its mean is not an intercept."""
    errors = {True: [], False: []}
    for seed in range(3):
        X, y, truth = make_moe(300_000, D, 2, noise=0.1, random_state=seed)
        for fit_intercept, found in errors.items():
            experts = recover_experts(X, y, 2, fit_intercept=fit_intercept, random_state=0)
            assert fit_intercept or not experts.intercept.any()
            unit = experts.coef / np.linalg.norm(experts.coef, axis=1, keepdims=True)
            found.append(np.linalg.norm(oracles.matched(unit, truth.coef) - truth.coef, axis=1).max())
    assert np.median(errors[False]) < 0.5 * np.median(errors[True])
