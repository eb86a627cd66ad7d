"""A response of two values or small counts is not normal: fit says so, and says nothing of measurements."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor
from moefast.datasets import make_moe
from moefast.estimators.degenerate_data import discrete_response_warnings

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (RNG.integers(0, 2, 200).astype(float), "values 0 and 1: a model of classes, such as logistic"),
        (np.where(RNG.uniform(size=200) < 0.1, -1.5, 1.0), "values -1.5 and 1:"),
        (RNG.poisson(1.0, 300).astype(float), r"only \d values, whole numbers from 0 to \d: a model of counts"),
        (RNG.integers(1, 6, 300).astype(float), "only 5 values, whole numbers from 1 to 5"),
    ],
)
def test_discrete_responses(y, message):
    (warning,) = discrete_response_warnings(y)
    with pytest.raises(DegenerateDataWarning, match=message):
        raise warning


@pytest.mark.parametrize(
    "y",
    [
        make_moe(500, 3, 2, random_state=0)[1],
        load_diabetes().target,
        RNG.poisson(100.0, 500).astype(float),
        RNG.integers(0, 30, 500).astype(float),
        np.round(RNG.normal(size=500), 1),  # measured to one digit
        np.round(RNG.normal(size=500)),  # whole numbers, but negative ones too
        np.repeat([0.5, 1.5, 2.5], 100),  # levels of a design
        np.full(200, 3.0),  # constant: told otherwise
        np.array([0.0, 1.0] * 10),  # too few rows to say
        np.append(np.zeros(1200), RNG.normal(size=300)),  # sorted, many zeros
    ],
    ids=[
        "mixture",
        "diabetes",
        "large counts",
        "many counts",
        "digit",
        "whole",
        "design",
        "constant",
        "few",
        "zeros",
    ],
)
def test_ordinary_responses(y):
    assert discrete_response_warnings(y) == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_says_so():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(float)
    with pytest.warns(DegenerateDataWarning, match="values 0 and 1"):
        MixtureOfExpertsRegressor(1).fit(X, y)
