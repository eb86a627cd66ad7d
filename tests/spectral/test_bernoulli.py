"""Two logistic experts: exact at the population for any gate without intercept, consistent on samples."""

import numpy as np
import pytest
from scipy.special import expit

from moefast.spectral import recover_two_logistic_experts
from oracles import moments as oracles
from oracles.quadrature_sample import normal_nodes

EXPERTS = np.array([[1.5, 0.5, 0.0], [-0.4, 0.6, 0.5]])  # of norms 1.6 and 0.9
GATES = {
    "along both": [1.0, 1.0, 0.5],
    "orthogonal": [0.25, -0.75, 1.1],
    "steep": [4.0, 0.0, 3.0],
    "flat": [0, 0, 0],
}


def probability(x, gate, offset=0.0, intercepts=(0.0, 0.0)):
    p = expit(x @ np.asarray(gate, dtype=float) + offset)
    each = expit(x @ EXPERTS.T + intercepts)
    return p * each[:, 0] + (1 - p) * each[:, 1]


def population(gate, **options):
    """Every node with both responses, by their probabilities."""
    x, weight = normal_nodes(3, 24)
    chance = probability(x, gate, **options)
    y = np.repeat([1.0, 0.0], len(x))
    return np.concatenate([x, x]), y, np.concatenate([weight * chance, weight * (1 - chance)])


def largest_error(X, y, w=None):
    found = recover_two_logistic_experts(X, y, sample_weight=w, random_state=0)
    return np.abs(oracles.matched(found, EXPERTS) - EXPERTS).max()


@pytest.mark.parametrize("gate", GATES)
def test_the_population_gives_experts_of_any_norm_behind_any_gate(gate):
    assert largest_error(*population(GATES[gate])) < 2e-3  # of the nodes: the logistic function is no polynomial


@pytest.mark.parametrize(
    "options", [{"offset": 1.0}, {"intercepts": (1.0, -0.5)}], ids=["gate intercept", "expert intercepts"]
)
def test_intercepts_leave_a_bias(options):
    assert largest_error(*population(GATES["along both"], **options)) > 0.2


def test_the_error_falls_on_samples():
    errors = []
    for n in (20_000, 320_000):
        of_seeds = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(n, 3))
            y = rng.random(n) < probability(X, GATES["along both"])
            of_seeds.append(largest_error(X, y) ** 2)
        errors.append(np.sqrt(np.mean(of_seeds)))
    assert errors[1] < 0.25
    assert errors[1] < 0.5 * errors[0]


def test_experts_come_in_the_units_of_the_data():
    x, y, w = population(GATES["along both"])
    A = np.diag([1e2, 1e-2, 1.0]) + np.eye(3, 3, 1)
    plain = recover_two_logistic_experts(x, y, sample_weight=w, random_state=0)
    other = recover_two_logistic_experts(x @ A.T, y, sample_weight=w, random_state=0)
    np.testing.assert_allclose(oracles.matched(other @ A, plain), plain, rtol=0, atol=1e-6)


def test_a_response_that_tells_nothing_or_all_gives_finite_experts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    for y in (np.ones(500), X[:, 0] > 0, rng.random(500) < 0.5):
        assert np.isfinite(recover_two_logistic_experts(X, y, random_state=0)).all()


def test_other_responses_and_too_few_columns_are_refused():
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ValueError, match="y must be 0 or 1 for family='bernoulli', got 2 at row 3"):
        recover_two_logistic_experts(X, [0, 1, 0, 2] + [1] * 46)
    with pytest.raises(ValueError, match="two experts need two linearly independent columns, X has 1"):
        recover_two_logistic_experts(X[:, [0, 0]], X[:, 1] > 0)
