"""Default fits beside EM from the truth, of every family."""

import pytest
from family_samples import CASES, oracle_log_likelihood

from moefast import MixtureOfExpertsRegressor

# Rows that determine a mixture: Bernoulli responses say little each.
ROWS = {"bernoulli": {2: 5000, 3: 17_000}}
# Of ten data sets.
LEAST = {"bernoulli": 9}


def gap(name, k, n, seed):
    """How much higher the default fit is than EM from the truth."""
    X, y, truth, terms = CASES[name].draw(k, n, 4, seed)
    model = MixtureOfExpertsRegressor(k, family=truth.family, random_state=seed, n_threads=1)
    model.fit(X, y, n_trials=terms.n_trials)
    return model.log_likelihood_ - oracle_log_likelihood(X, y, truth, terms)


@pytest.mark.study
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_default_fits_are_as_good_as_em_from_the_truth(name, k):
    gaps = [gap(name, k, ROWS.get(name, {}).get(k, 3000), seed) for seed in range(10)]
    print(name, k, [round(g, 3) for g in gaps])
    assert sum(g > -0.05 for g in gaps) >= LEAST.get(name, 10)
