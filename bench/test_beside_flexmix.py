"""The comparison with flexmix: the order of parameters, what is left without R, and one optimum of both."""

import shutil
import sys

import numpy as np
import pytest

import beside_flexmix as beside
from moefast.mixture import Mixture

HAS_FLEXMIX = beside.tables(None)[1]


@pytest.fixture
def diabetes():
    return beside.Comparison("diabetes", beside.tables(None)[0]["diabetes"].iloc[:, -3:], 3, "features")


def test_flexmix_order_and_back(diabetes):
    rng = np.random.default_rng(0)
    gates, intercepts = rng.normal(size=(3, 2)), rng.normal(size=3)
    gates[-1] = intercepts[-1] = 0
    mixture = Mixture(rng.normal(size=(3, 2)), rng.normal(size=3), gates, intercepts, rng.uniform(1, 2, size=3))
    values = beside.in_flexmix_order(diabetes, mixture, np.log(mixture.sigma))
    found = dict(zip(diabetes.names, values, strict=True))
    assert found["expert 1: (Intercept)"] == mixture.intercept[1]
    assert found["expert 2: log sigma"] == np.log(mixture.sigma[2])
    second = diabetes.table.columns[1]
    assert found[f"gate 0 against 2: {second}"] == mixture.gate_coef[0, 1]
    back = beside.from_flexmix_order(diabetes, values)
    for name in ("coef", "intercept", "gate_coef", "gate_intercept", "sigma"):
        np.testing.assert_allclose(getattr(back, name), getattr(mixture, name), rtol=1e-15)


def test_agreement_is_relative_to_the_standard_error_of_small_parameters():
    ours, theirs = np.array([1e-9, 100.0]), np.array([0.0, 100.1])
    np.testing.assert_allclose(beside.relative(ours, theirs, np.array([0.1, 1.0])), [1e-8, 0.1 / 100.1])


def test_our_side_without_r(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["beside_flexmix.py", "--only", "diabetes", "--experts", "2"])
    beside.main()
    out = capsys.readouterr().out
    assert "Rscript is not installed" in out
    assert "apt-get install" in out
    assert "| expert 1: bmi " in out
    assert "flexmix's best" not in out


@pytest.mark.skipif(not HAS_FLEXMIX, reason="Rscript or flexmix is not installed")
def test_same_optimum(diabetes):
    diabetes.k = 2
    beside.same_optimum(diabetes, beside.our_side(diabetes, "auto"))
    assert max(diabetes.agreement) < 1e-4
    assert beside.relative(diabetes.ours.log_likelihood, diabetes.refit.log_likelihood) < 1e-9
