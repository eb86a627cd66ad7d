"""Which method of moments the data allow where gates see columns of their own."""

from dataclasses import replace

import numpy as np
import pytest

from moefast.datasets import make_moe
from moefast.diagnostics import diagnose
from moefast.mixture import Mixture
from moefast.spectral import recover_experts_given_gates

OWN, GATES = [0, 1, 2], [3, 4]
SLOPES = np.array([[0.8, 0.3, 0.0], [0.0, -0.7, 0.5]])


def truth_of(k=2):
    coef, gates = np.zeros((k, 5)), np.zeros((k, 5))
    coef[:, :3] = np.array([[1.5, 0.4, 0.0], [-0.3, 0.6, 0.4], [0.2, -0.5, 0.9]])[:k]
    gates[:-1, 3:] = np.array([[1.0, -0.6], [0.4, 1.2]])[: k - 1]
    return Mixture(coef, np.array([0.7, -1.0, 0.2])[:k], gates, np.zeros(k), np.full(k, 0.2))


def draw(n=20_000, seed=0, k=2, own=lambda gates, e: gates @ SLOPES + e):
    rng = np.random.default_rng(seed)
    gates, e = rng.uniform(-2, 2, size=(n, 2)), rng.normal(size=(n, 3))
    X = np.column_stack([own(gates, e), gates])
    truth = truth_of(k)
    return X, truth.draw(X, rng), truth


def violated(diagnosis):
    return {check.name for check in diagnosis.given_gates if check.holds is False}


@pytest.mark.parametrize("k", [2, 3])
def test_data_that_method_1_does_not_allow_and_this_one_does(k):
    diagnosis = diagnose(*draw(k=k))
    assert violated(diagnosis) == set()
    assert not diagnosis.consistent
    assert diagnosis.consistent_given_gates
    assert diagnosis.methods == ("given the gates' columns",)
    assert str(diagnosis).endswith("methods that these data allow: given the gates' columns")


# What is wrong with the experts' own columns, and the check that is to tell.
WRONG = {
    "squares of the gates' columns": (lambda g, e: g @ SLOPES + (g[:, :1] ** 2 - 1) + e, "own columns linear"),
    "products of the gates' columns": (lambda g, e: g[:, :1] * g[:, 1:] + e, "own columns linear"),
    "difference of squares": (lambda g, e: g[:, :1] ** 2 - g[:, 1:] ** 2 + e, "own columns linear"),
    "a spread that grows": (lambda g, e: e * np.exp(0.3 * g[:, :1]), "own columns spread alike"),
    "a spread that grows both ways": (lambda g, e: e * (0.5 + g[:, :1] ** 2), "own columns spread alike"),
    "heavy tails": (lambda g, e: g @ SLOPES + np.sign(e) * np.abs(e) ** 1.5, "own columns normal"),
    "two columns for one": (lambda g, e: e[:, :1] + g @ SLOPES, "own columns"),
}


@pytest.mark.parametrize("case", WRONG)
def test_every_departure_is_found(case):
    own, name = WRONG[case]
    X, y, truth = draw(own=own)
    diagnosis = diagnose(X, y, truth)
    assert name in violated(diagnosis)
    assert not diagnosis.consistent_given_gates
    assert diagnosis.methods == ()
    assert diagnosis[name].meaning in str(diagnosis)
    assert str(diagnosis).endswith("methods that these data allow: neither")


def test_chance_is_not_taken_for_a_departure():
    names = {"own columns normal", "own columns linear", "own columns spread alike"}
    rejected = sum(bool(names & violated(diagnose(*draw(300, seed)))) for seed in range(30))
    assert rejected <= 1


def test_gates_that_see_everything_leave_no_columns():
    X, y, truth = make_moe(2000, 5, 2, orthogonal_gate=True, random_state=0)
    diagnosis = diagnose(X, y, truth)
    assert [(c.name, c.value, c.limit) for c in diagnosis.given_gates] == [("own columns", 2, 0.0)]
    assert diagnosis.methods == ("method 1",)
    X, y, truth = make_moe(2000, 5, 2, link="tanh", orthogonal_gate=True, random_state=0)
    diagnosis = diagnose(X, y, truth)
    assert diagnosis.given_gates == ()
    assert diagnosis.methods == ("method 1",)


def test_constant_gates_leave_all_columns_and_both_methods():
    rng = np.random.default_rng(0)
    truth = replace(truth_of(), gate_coef=np.zeros((2, 5)), intercept=np.zeros(2))
    X = rng.normal(size=(20_000, 5))
    diagnosis = diagnose(X, truth.draw(X, rng), truth)
    assert diagnosis.methods == ("method 1", "given the gates' columns")
    assert diagnosis["own columns"].limit == 3


def test_the_moments_own_answer_needs_to_be_told_the_gates_columns():
    X, y, _ = draw()
    found = recover_experts_given_gates(X, y, 2, gate_columns=GATES, expert_columns=OWN, random_state=0)
    assert diagnose(X, y, found).given_gates == ()
    assert diagnose(X, y, found, gate_columns=GATES).consistent_given_gates
    with pytest.raises(ValueError, match=r"gate_columns must .* got 5"):
        diagnose(X, y, found, gate_columns=[5])


def test_the_diagnosis_does_not_depend_on_units():
    X, y, truth = draw(5000)
    scale, shift = np.geomspace(1e-3, 1e3, 5), np.arange(5.0)
    moved = replace(truth, coef=truth.coef / scale, gate_coef=truth.gate_coef / scale)
    one, two = diagnose(X, y, truth), diagnose(shift + scale * X, y, moved)
    for a, b in zip(one.given_gates, two.given_gates, strict=True):
        assert b.value == pytest.approx(a.value, abs=1e-6)


def test_weights_count_rows():
    X, y, truth = draw(2000)
    w = np.random.default_rng(0).integers(0, 3, size=len(y))
    one, two = diagnose(X, y, truth, sample_weight=w), diagnose(np.repeat(X, w, axis=0), np.repeat(y, w), truth)
    np.testing.assert_allclose(
        [c.value for c in one.given_gates], [c.value for c in two.given_gates], rtol=0, atol=1e-8
    )
