"""The default fit reaches known good optima of three UCI tables with every seed: the rows of a second or less.

    pytest tests/test_real_targets.py --real-data FOLDER

FOLDER holds concrete.csv, airfoil.csv and power_plant.csv, which are not part of this repository. All rows and CPU
times: bench/search_targets.py.
"""

import pandas as pd
import pytest

from moefast import MixtureOfExpertsRegressor

RESPONSES = {"concrete": "strength", "airfoil": "sound_pressure", "power_plant": "energy_output"}
# Found by other programs in long searches, or what R's flexmix finds with two experts, less a margin.
TARGETS = [
    ("concrete", 2, "per_expert", -505.6),
    ("concrete", 2, "shared", -510.4),
    ("concrete", 3, "per_expert", -318.0),
    ("concrete", 3, "shared", -325.0),
    ("airfoil", 2, "per_expert", -1195.6),
    ("airfoil", 2, "shared", -1229.7),
    ("airfoil", 3, "per_expert", -942.0),
    ("airfoil", 3, "shared", -1004.0),
    ("power_plant", 2, "per_expert", -145.25),
    ("power_plant", 3, "per_expert", 159.0),
]


@pytest.mark.parametrize(("data", "k", "noise", "target"), TARGETS)
@pytest.mark.parametrize("seed", range(3))
def test_the_default_fit_reaches(real_data, data, k, noise, target, seed):
    table = pd.read_csv(real_data / f"{data}.csv")
    table = (table - table.mean()) / table.std(ddof=0)
    y = table.pop(RESPONSES[data])
    model = MixtureOfExpertsRegressor(k, noise=noise, random_state=seed).fit(table, y)
    assert model.log_likelihood_ >= target
    assert model.sigma_.min() >= 0.02
    assert not model.fit_report_.collapsed
    assert model.fit_report_.gradient < 1.2e-6
