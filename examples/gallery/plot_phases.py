"""
Phases of a measurement
=======================

An acceleration after an impact: it rests, falls, rises and settles, with noise of its own in each
phase. Four straight lines and the gates that say where each holds are found by one call; nothing is
said about where the phases begin.
"""

import warnings

import numpy as np
import pandas as pd

from moefast import DegenerateDataWarning, MixtureOfExpertsRegressor
from moefast.plotting import plot_fit

rng = np.random.default_rng(0)
time = np.sort(np.concatenate([rng.uniform(2, 14, 30), rng.uniform(14, 58, 120)]))
mean = np.interp(time, [0, 14, 21, 32, 40, 60], [-1, -1, -115, 30, 5, 0])
spread = np.interp(time, [0, 13, 15, 35, 60], [1.5, 2, 22, 24, 10])
X = pd.DataFrame({"time after impact (ms)": time})
y = pd.Series(mean + spread * rng.normal(size=len(time)), name="acceleration (g)")

# %%
# Phases that do not overlap make gates as steep as the ridge allows. The fit says so; here it is what we look for.

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DegenerateDataWarning)
    model = MixtureOfExpertsRegressor(n_experts=4, random_state=0).fit(X, y)
plot_fit(model, X, y)

# %%
# The summary names the laws in the units of the data.

print(model.summary())
