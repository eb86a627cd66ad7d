"""The way to a setting: one parameter after the other, as long as rows left out are predicted better."""

import numpy as np
import pytest
from scipy.stats import norm

from moefast.bagging.candidates import best_setting
from moefast.validation import check_samples


def rows(n, y=None):
    X = np.arange(3.0 * n).reshape(n, 3)
    return check_samples(X, X[:, 0] if y is None else y)


def score_around(k, alpha, gate_alpha, asked, noise_floor=0.02):
    """Best at these, worse by the logarithms of the ratios."""
    floors = []

    def score(estimator):
        asked.append((estimator.n_experts, estimator.alpha, estimator.gate_alpha))
        floors.append(estimator.noise_floor)
        wanted = (k, alpha, gate_alpha, noise_floor)
        return -sum(abs(np.log(a / b)) for a, b in zip((*asked[-1], floors[-1]), wanted, strict=True))

    return score


@pytest.mark.parametrize("wanted", [(8, 0.03, 0.1), (32, 300.0, 1e-3), (2, 0.3, 1e-4), (16, 0.003, 1.0)])
def test_the_best_setting_is_found_where_there_is_one(wanted):
    asked = []
    found = best_setting(score_around(*wanted, asked), rows(10_000))
    assert (found.n_experts, found.alpha, found.gate_alpha) == wanted
    assert found.noise_floor == 0.02
    assert len(set(asked)) == len(asked) - 1  # none is fitted twice; the last has less noise
    assert asked[-1] == wanted
    assert asked.index((wanted[0], 0.3, 1e-3)) == np.log2(wanted[0]).round()
    ways = {(k, 0.3, 1e-3) for k in (1, 2, 4, 8, 16, 32)}
    after = [one for one in asked if one not in ways]
    assert all(one[0] == wanted[0] for one in after)


def test_noise_becomes_less_as_long_as_that_helps():
    asked = []
    assert best_setting(score_around(8, 0.3, 1e-3, asked, noise_floor=0.005), rows(10_000)).noise_floor == 0.005
    assert asked[-2:] == [(8, 0.3, 1e-3)] * 2
    assert best_setting(score_around(8, 0.3, 1e-3, [], noise_floor=0.001), rows(10_000)).noise_floor == 0.001
    rounded = rows(10_000, np.arange(10_000) % 7 + 0.5)
    found = best_setting(score_around(8, 0.3, 1e-3, [], noise_floor=0.001), rounded)
    assert found.noise_floor == pytest.approx(norm.pdf(0) / rounded.y.std(), rel=1e-12)  # steps of 1


def test_one_expert_has_no_gate_and_few_rows_allow_few():
    asked = []
    found = best_setting(score_around(1, 30.0, 1.0, asked), rows(1000))
    assert (found.n_experts, found.alpha, found.gate_alpha) == (1, 30.0, 1e-3)
    asked.clear()
    assert best_setting(score_around(32, 0.3, 1e-3, asked), rows(40)).n_experts == 4
    asked.clear()
    assert best_setting(score_around(32, 0.3, 1e-3, asked), rows(5)).n_experts == 1
