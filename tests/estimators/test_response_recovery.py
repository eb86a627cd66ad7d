"""The default fit of several responses is as good as EM from the truth."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor
from oracles.responses import make_responses

KINDS = {
    "full": {"covariance_type": "full"},
    "diag": {"covariance_type": "diag"},
    "full shared": {"covariance_type": "full", "noise": "shared"},
    "diag shared": {"covariance_type": "diag", "noise": "shared"},
}


def shortfall(kind, k, seed):
    """Return how far the default fit stays below EM from the truth."""
    X, y, truth = make_responses(1500, 4, 2, k, kind, seed=100 * k + seed)
    parameters = KINDS[kind]
    found = MixtureOfExpertsRegressor(k, random_state=0, **parameters).fit(X, y)
    oracle = MixtureOfExpertsRegressor(k, start=truth, **parameters).fit(X, y)
    return oracle.log_likelihood_ - found.log_likelihood_


@pytest.mark.parametrize("kind", KINDS)
def test_the_search_reaches_the_truth(kind):
    assert shortfall(kind, 2, 0) < 0.05


@pytest.mark.study
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_search_reaches_the_truth_in_ten_of_ten(kind, k):
    found = np.array([shortfall(kind, k, seed) for seed in range(10)])
    print(f"{kind}, {k} experts: at most {found.max():.3g} below EM from the truth")
    assert (found < 0.05).all()
