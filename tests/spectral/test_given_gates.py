"""Experts from their own columns given the gates': exact at the population, consistent where method 1 is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, roots_hermitenorm
from sklearn.exceptions import ConvergenceWarning

from moefast import MixtureOfExpertsRegressor
from moefast.em import EmOptions, EmProblem
from moefast.mixture import Mixture
from moefast.samples import Samples
from moefast.search.moment_starts import (
    conditional_moments_help,
    conditional_start,
    moment_starts,
    spectral_start,
    spectral_starts,
)
from moefast.spectral import recover_experts, recover_experts_given_gates
from oracles import moments as oracles
from oracles.quadrature_sample import normal_nodes, own_columns_given_gates

OWN, GATES = [0, 1, 2], [3, 4]
ATOMS = np.array([[-1.5, 0.3], [0.2, -1.0], [1.0, 2.0], [0.5, 0.4], [-0.3, -2.0]])
SHARES = np.array([0.3, 0.2, 0.15, 0.25, 0.1])
SLOPES = np.array([[0.8, 0.0], [0.3, -0.7], [0.0, 0.5]])
FACTOR = np.array([[1.0, 0.0, 0.0], [0.4, 0.9, 0.0], [-0.3, 0.2, 0.7]])


def mixture(k, shared=0.0):
    """Experts of different norms, intercepts and noise; gates of any direction, with intercepts."""
    coef = np.zeros((k, 5))
    coef[:, :3] = np.array([[1.5, 0.4, 0.0], [-0.3, 0.6, 0.4], [0.2, -0.5, 0.9]])[:k]
    coef[:, 3:] = shared * np.array([[0.5, -0.2], [-0.4, 0.3], [0.1, 0.7]])[:k]
    gates = np.zeros((k, 5))
    gates[:-1, 3:] = np.array([[1.0, -0.6], [0.4, 1.2]])[: k - 1]
    offsets = np.zeros(k)
    offsets[0] = 0.4
    return Mixture(coef, np.array([0.7, -1.0, 0.2])[:k], gates, offsets, np.array([0.3, 0.1, 0.5])[:k])


def exact(k, shared=0.0, intercept=True):
    truth = mixture(k, shared)
    truth = truth if intercept else replace(truth, intercept=np.zeros(k))
    return *own_columns_given_gates(truth, ATOMS, SHARES, SLOPES, FACTOR), truth


# ---- the identity ----------------------------------------------------------------------------------------

HERMITE = {1: lambda z: z, 2: lambda z: z**2 - 1, 3: lambda z: z**3 - 3 * z}


def score(z, order):
    """S_m(z), (n, r, ..): by products of Hermite polynomials, coordinate by coordinate."""
    n, r = z.shape
    tensor = np.empty((n, *(r,) * order))
    for index in np.ndindex(*(r,) * order):
        counts = np.bincount(index, minlength=r)
        tensor[(slice(None), *index)] = np.prod([HERMITE[c](z[:, j]) for j, c in enumerate(counts) if c], axis=0)
    return tensor


# E[y | eta] and its derivatives of orders 2 and 3
MEANS = {
    "logistic": (
        expit,
        lambda t: expit(t) * (1 - expit(t)) * (1 - 2 * expit(t)),
        lambda t: expit(t) * (1 - expit(t)) * (1 - 6 * expit(t) * (1 - expit(t))),
    ),
    "Poisson": (np.exp, np.exp, np.exp),
    "square of a linear expert": (lambda t: t**2 + 0.09, lambda t: 2.0 + 0 * t, lambda t: 0 * t),
    "cube of a linear expert": (lambda t: t**3 + 3 * 0.09 * t, lambda t: 6 * t, lambda t: 6.0 + 0 * t),
}


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("k", [2, 3])
def test_given_the_gates_columns_only_the_experts_are_differentiated(name, k):
    """E[h(y) S_m(z)] = sum_i E[p_i(x_g) H^(m)(eta_i)] alpha_i^m, both sides by quadrature, for any gates."""
    truth, (H, second, third) = mixture(k, shared=1.0), MEANS[name]
    z, weight = normal_nodes(3, 24)
    alpha = 0.7 * truth.coef[:, :3] @ FACTOR
    for order, derivative in ((2, second), (3, third)):
        left, right, dense = 0.0, 0.0, score(z, order)
        letters = "ijk"[:order]
        power = ",".join(f"e{a}" for a in letters)
        powers = np.einsum(f"{power}->e{letters}", *[alpha] * order)
        for gate, share in zip(ATOMS, SHARES, strict=True):
            x = np.zeros((1, 5))
            x[:, 3:] = gate
            gates = truth.gates(x)[0]
            eta = (
                z @ alpha.T + truth.intercept + truth.coef[:, 3:] @ gate + 0.7 * truth.coef[:, :3] @ SLOPES @ gate
            )
            left = left + share * np.tensordot(weight * (H(eta) @ gates), dense, axes=1)
            right = right + share * np.tensordot(gates * (weight @ derivative(eta)), powers, axes=1)
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-6 * np.abs(right).max() + 1e-10)


def test_the_nodes_are_those_of_a_normal_law():
    node, weight = roots_hermitenorm(6)
    assert weight @ node**10 / weight.sum() == pytest.approx(945.0)


# ---- exact at the population ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("expert_columns", [OWN, None])
def test_the_population_gives_the_experts_back(k, expert_columns):
    """Own and shared coefficients, intercepts, proportions, mean noise; x_g has a law of five atoms."""
    X, y, w, truth = exact(k, shared=0.0 if expert_columns else 1.0)
    found = recover_experts_given_gates(
        X, y, k, gate_columns=GATES, expert_columns=expert_columns, sample_weight=w, random_state=0
    )
    order = oracles.matching(found.coef, truth.coef)
    np.testing.assert_allclose(found.coef[order], truth.coef, rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.intercept[order], truth.intercept, rtol=0, atol=1e-7)
    share = w @ truth.gates(X)
    np.testing.assert_allclose(found.proportions[order], share, rtol=0, atol=1e-7)
    assert found.sigma**2 == pytest.approx(share @ truth.sigma**2, abs=1e-7)
    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=1), 1.0, rtol=1e-12)
    assert (np.abs(found.spectrum[k:]) < 1e-7).all()
    assert found.converged


def test_the_papers_estimator_is_off_at_the_population():
    X, y, w, truth = exact(2)
    for columns in (OWN, OWN + GATES):
        found = recover_experts(X[:, columns], y, 2, sample_weight=w, random_state=0).coef[:, :3]
        assert np.abs(oracles.matched(found, truth.coef[:, :3]) - truth.coef[:, :3]).max() > 0.1


@pytest.mark.parametrize("expert_columns", [OWN, None])
def test_experts_without_intercepts(expert_columns):
    X, y, w, truth = exact(2, shared=0.0 if expert_columns else 1.0, intercept=False)
    options = {"gate_columns": GATES, "expert_columns": expert_columns, "fit_intercept": False, "random_state": 0}
    found = recover_experts_given_gates(X, y, 2, sample_weight=w, **options)
    np.testing.assert_allclose(oracles.matched(found.coef, truth.coef), truth.coef, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(found.intercept, [0.0, 0.0])


def test_constant_gates():
    """A mixture of regressions: nothing is given, all columns are the experts' own."""
    truth = replace(mixture(3), gate_coef=np.zeros((3, 5)), gate_intercept=np.array([0.5, -0.3, 0.0]))
    X, y, w = own_columns_given_gates(truth, np.zeros((1, 2)), np.ones(1), SLOPES, FACTOR)
    found = recover_experts_given_gates(X[:, :3], y, 3, gate_columns=[], sample_weight=w, random_state=0)
    order = oracles.matching(found.coef, truth.coef[:, :3])
    np.testing.assert_allclose(found.coef[order], truth.coef[:, :3], rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.intercept[order], truth.intercept, rtol=0, atol=1e-7)


def test_columns_that_the_gates_columns_determine_show_nothing():
    X, y, w, truth = exact(2)
    X = np.column_stack([X, X[:, 3] - 2 * X[:, 4] + 1, X[:, 0] + X[:, 3]])  # of the gates; of both
    names = {"gate_columns": GATES, "expert_columns": [0, 1, 2, 5, 6], "sample_weight": w, "random_state": 0}
    found = recover_experts_given_gates(X, y, 2, **names)
    assert len(found.spectrum) == 3
    np.testing.assert_array_equal(found.coef[:, 5], 0.0)
    means = X @ found.coef.T + found.intercept
    order = oracles.matching(found.coef[:, 1:3], truth.coef[:, 1:3])
    # x6 = x0 + x3: a share of x0's coefficient with it brings one of x3, which experts do not see
    span = found.coef[order][:, [0, 1, 2]] + found.coef[order][:, [6]] * np.eye(1, 3)
    np.testing.assert_allclose(span, truth.coef[:, :3], rtol=0, atol=1e-7)
    assert np.isfinite(means).all()
    with pytest.raises(ValueError, match="n_experts must be at most 3, the number of columns that experts see"):
        recover_experts_given_gates(X, y, 4, **names)


# ---- on samples ----------------------------------------------------------------------------------------------


def hard(k):
    """Steep gates on columns that the experts' own ones follow, norms and intercepts that differ."""
    coef, gates = np.zeros((k, 6)), np.zeros((k, 6))
    coef[:, :4] = np.array([[1.2, 0.5, 0, 0], [-0.3, 0.8, 0.4, 0], [0, -0.4, 0.9, 0.3]])[:k]
    gates[:, 4:] = 4.0 * np.array([[1.0, 0.3], [-0.5, 1.0], [0.0, 0.0]])[:k]
    return Mixture(coef, np.array([1.0, -1.0, 0.0])[:k], gates - gates[-1], np.zeros(k), np.full(k, 0.2))


def draw(truth, n, seed, follow=2.0):
    rng = np.random.default_rng(seed)
    gates = rng.normal(size=(n, 2))
    own = follow * gates @ np.array([[1, 0], [0.6, 0.8], [0, 1], [-0.8, 0.6]]).T + rng.normal(size=(n, 4))
    X = np.column_stack([own, gates])
    return X, truth.draw(X, rng)


def direction_error(found, truth):
    found, true = (c / np.linalg.norm(c, axis=1, keepdims=True) for c in (found[:, :4], truth.coef[:, :4]))
    return np.linalg.norm(oracles.matched(found, true) - true, axis=1).max()


def given_error(truth, X, y):
    found = recover_experts_given_gates(
        X, y, len(truth.coef), gate_columns=[4, 5], expert_columns=[0, 1, 2, 3], random_state=0
    )
    return direction_error(found.coef, truth)


def root_mean_square(errors):
    return np.sqrt(np.mean(np.square(errors), axis=0))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("k", "n", "follow"), [(2, 80_000, 2.0), (3, 160_000, 1.0)])
def test_the_error_falls_where_that_of_the_papers_estimator_stays(k, n, follow):
    """From an eighth of the rows to all, over three seeds; method 1 on all columns and on the experts' own."""
    truth, few, many, plain = hard(k), [], [], []
    for seed in range(3):
        X, y = draw(truth, n, seed, follow)
        few.append(given_error(truth, X[: n // 8], y[: n // 8]))
        many.append(given_error(truth, X, y))
        plain.append(
            [direction_error(recover_experts(Z, y, k, random_state=0).coef, truth) for Z in (X, X[:, :4])]
        )
    few, many, plain = map(root_mean_square, (few, many, plain))
    assert many < 0.05
    assert many < 0.6 * few  # 0.35 is expected
    assert (plain > 3 * many).all()
    assert (plain > 0.1).all()


# ---- invariances -----------------------------------------------------------------------------------------------


def sample_of(k=2, n=6000):
    truth = mixture(k, shared=1.0)
    rng = np.random.default_rng(0)
    gates = rng.uniform(-2, 2, size=(n, 2))
    X = np.column_stack([gates @ SLOPES.T + rng.normal(size=(n, 3)) @ FACTOR.T, gates])
    return X, truth.draw(X, rng), truth


def test_units_of_the_data_and_order_of_the_columns_do_not_matter():
    X, y, _ = sample_of()
    plain = recover_experts_given_gates(X, y, 2, gate_columns=GATES, random_state=0)
    scale, shift = np.array([1e3, 1e-3, 1.0, 50.0, 0.1]), np.array([5.0, -1.0, 0.0, 100.0, 2.0])
    columns = [4, 0, 3, 2, 1]
    moved = recover_experts_given_gates(
        (X * scale + shift)[:, columns], 1e4 * y - 3.0, 2, gate_columns=[0, 2], random_state=0
    )
    coef = np.empty((2, 5))
    coef[:, columns] = moved.coef * scale[columns] / 1e4
    order = oracles.matching(coef, plain.coef)
    np.testing.assert_allclose(coef[order], plain.coef, rtol=0, atol=1e-7)
    intercept = (moved.intercept + 3.0 + moved.coef @ shift[columns]) / 1e4
    np.testing.assert_allclose(intercept[order], plain.intercept, rtol=0, atol=1e-7)
    assert moved.sigma == pytest.approx(1e4 * plain.sigma, rel=1e-6)


def test_data_far_from_zero_lose_no_more_than_their_own_digits():
    X, y, _ = sample_of()
    for fit_intercept in (True, False):
        options = {"gate_columns": GATES, "expert_columns": OWN, "fit_intercept": fit_intercept, "random_state": 0}
        near, far = (recover_experts_given_gates(X + shift, y + shift, 2, **options) for shift in (0.0, 1e7))
        np.testing.assert_allclose(far.coef, near.coef, rtol=0, atol=1e-5)


def test_weights_count_rows():
    X, y, _ = sample_of()
    w = np.random.default_rng(0).integers(0, 4, size=len(y))
    options = {"gate_columns": GATES, "random_state": 0}
    weighted = recover_experts_given_gates(X, y, 2, sample_weight=w, **options)
    again = recover_experts_given_gates(X, y, 2, sample_weight=0.01 * w, **options)
    np.testing.assert_allclose(again.coef, weighted.coef, rtol=0, atol=1e-9)
    repeated = recover_experts_given_gates(np.repeat(X, w, axis=0), np.repeat(y, w), 2, **options)
    np.testing.assert_allclose(repeated.coef, weighted.coef, rtol=0, atol=1e-7)
    np.testing.assert_allclose(repeated.intercept, weighted.intercept, rtol=0, atol=1e-7)


def test_columns_that_nobody_sees_do_not_matter():
    X, y, _ = sample_of()
    noise = np.random.default_rng(1).normal(size=(len(X), 1))
    alone = recover_experts_given_gates(X, y, 2, gate_columns=GATES, random_state=0)
    beside = recover_experts_given_gates(
        np.column_stack([noise, X]), y, 2, gate_columns=[4, 5], expert_columns=[1, 2, 3, 4, 5], random_state=0
    )
    np.testing.assert_array_equal(beside.coef[:, 0], 0.0)
    np.testing.assert_allclose(beside.coef[:, 1:], alone.coef, rtol=0, atol=1e-9)


def test_one_random_state_gives_one_result_on_any_number_of_threads():
    X, y, _ = sample_of()
    first, second = (
        recover_experts_given_gates(X, y, 2, gate_columns=GATES, random_state=5, n_threads=n) for n in (1, 3)
    )
    np.testing.assert_array_equal(first.coef, second.coef)
    np.testing.assert_array_equal(first.intercept, second.intercept)


# ---- bad and degenerate --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gate_columns": None}, TypeError, "gate_columns must be positions of columns, got None"),
        ({"gate_columns": "34"}, TypeError, "gate_columns must be positions of columns, got '34'"),
        ({"gate_columns": [3, 3]}, ValueError, r"gate_columns must name each column once, got \[3, 3\]"),
        ({"gate_columns": [5]}, ValueError, "gate_columns must .* got 5"),
        ({"expert_columns": [-1]}, ValueError, "expert_columns must .* got -1"),
        ({"expert_columns": [0.0]}, TypeError, "expert_columns must be an integer, got 0.0"),
        ({"n_experts": 4}, ValueError, "n_experts must be at most 3, .* got 4"),
        ({"n_experts": 0}, ValueError, "n_experts must be at least 1, got 0"),
        ({"gate_columns": [0, 1, 2, 3, 4]}, ValueError, "n_experts must be at most 0"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept must be"),
        ({"n_threads": 0}, ValueError, "n_threads must"),
        ({"sample_weight": [1.0]}, ValueError, "sample_weight"),
    ],
)
def test_bad_arguments(options, error, message):
    X, y, _ = sample_of(n=100)
    with pytest.raises(error, match=message):
        recover_experts_given_gates(X, y, **{"n_experts": 2, "gate_columns": GATES, **options})


@pytest.mark.filterwarnings("error")
def test_degenerate_data_give_finite_experts_and_a_warning():
    X, y, _ = sample_of(n=50)
    for response in (np.ones(50), X[:, 0] + X[:, 3], np.sign(y)):
        try:
            found = recover_experts_given_gates(X, response, 2, gate_columns=GATES, random_state=0)
        except ConvergenceWarning:
            continue
        for values in (found.coef, found.intercept, found.sigma, found.proportions):
            assert np.isfinite(values).all()


# ---- as starts -------------------------------------------------------------------------------------------------


def problem_of(n=5000, **options):
    X, y, truth = sample_of(3, n)
    return EmProblem(Samples(X, y, np.ones(n)), EmOptions(n_threads=1, **options)), truth


def test_the_start_is_near_the_truth_and_em_goes_there():
    problem, truth = problem_of(20_000, gate_columns=(3, 4))
    start = conditional_start(problem, 3, np.random.default_rng(0)).make()
    fit = problem.to_units(problem.run(start))
    oracle = problem.to_units(problem.run(truth.to_standard(problem.standardisation)))
    assert fit.log_likelihood == pytest.approx(oracle.log_likelihood, abs=1e-3)
    assert not start.gate_coef[:, :3].any()
    own, true = start.to_units(problem.standardisation).coef[:, :3], truth.coef[:, :3]
    own = oracles.matched(own, true)
    assert (np.sum(own * true, axis=1) > 0.9 * np.linalg.norm(own, axis=1) * np.linalg.norm(true, axis=1)).all()


def test_the_start_keeps_to_the_columns_of_the_experts():
    problem, _ = problem_of(5000, expert_columns=(0, 2, 3), gate_columns=(3, 4))
    start = conditional_start(problem, 2, np.random.default_rng(0)).make()
    assert start.coef.any(axis=0).tolist() == [True, False, True, True, False]


def test_such_starts_are_made_where_they_help():
    rng = np.random.default_rng(0)
    kind = "spectral, given the gates' columns"
    for n, columns, expected in (
        (5000, {"gate_columns": (3, 4)}, True),
        (1000, {"gate_columns": (3, 4)}, False),
        (5000, {}, False),
        (5000, {"gate_columns": (2, 3, 4)}, False),
        (5000, {"gate_columns": (), "expert_columns": (0, 1)}, False),
        (5000, {"gate_columns": (), "expert_columns": (0, 1, 2)}, True),
    ):
        problem, _ = problem_of(n, **columns)
        kinds = [start.kind for start in moment_starts(problem, 3, 20, rng)]
        assert (kind in kinds) == expected
        assert conditional_moments_help(problem, 3) == (expected or n == 1000)
        assert (kinds[:1] == [kind]) == expected
    problem, _ = problem_of(5000, gate_columns=(3, 4))
    kinds = [start.kind for start in spectral_starts(problem, 3, 3, rng)]
    assert kinds == [kind, "spectral, half the rows", "spectral, half the rows"]


def test_a_start_whose_columns_the_gates_determine_is_one_of_method_1():
    X, y, _ = sample_of(2, 3000)
    X[:, 1:3] = X[:, 3:] @ [[1.0, 0.5], [-1.0, 2.0]]
    problem = EmProblem(Samples(X, y, np.ones(3000)), EmOptions(gate_columns=(3, 4), n_threads=1))
    start = conditional_start(problem, 2, np.random.default_rng(0)).make()
    seed = np.random.default_rng(0).integers(2**31)
    plain = spectral_start(problem, 2, np.random.default_rng(seed)).make()
    np.testing.assert_array_equal(start.coef, plain.coef)


def test_the_search_begins_with_it():
    X, y, truth = sample_of(3, 5000)
    model = MixtureOfExpertsRegressor(3, gate_features=GATES, random_state=0, n_threads=1).fit(X, y)
    assert model.fit_report_.starts[0].kind == "spectral, given the gates' columns"
    alone = MixtureOfExpertsRegressor(
        3, gate_features=GATES, start="spectral", n_init=1, random_state=0, n_threads=1
    ).fit(X, y)
    assert [start.kind for start in alone.fit_report_.starts] == ["spectral, given the gates' columns"]
    assert alone.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=0.01)
    order = oracles.matching(model.coef_, truth.coef)
    np.testing.assert_allclose(model.coef_[order], truth.coef, rtol=0, atol=0.15)
