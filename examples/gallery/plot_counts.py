"""
Counts with an exposure
=======================

Visits to a doctor over observation times that differ: two kinds of people, and age decides who is
likely to be of which. ``family="poisson"`` has log rates that are linear; the logarithm of the time
each person was seen is their offset.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from moefast import MixtureOfExpertsRegressor

rng = np.random.default_rng(2)
n = 1500
age, burden = rng.uniform(20, 80, n), rng.normal(size=n)
years = rng.uniform(0.5, 3, n)
often = rng.random(n) < 1 / (1 + np.exp(-(age - 50) / 5))
rate = np.exp(np.where(often, 1.2 + 0.4 * burden, -0.5 + 0.1 * burden))
visits = rng.poisson(years * rate)
X = pd.DataFrame({"age": age, "burden": burden})

model = MixtureOfExpertsRegressor(n_experts=2, family="poisson", random_state=0)
model.fit(X, visits, offset=np.log(years))

# %%
# How sure is it of the effect of the burden in each of the two kinds? The truth is 0.4 and 0.1.

print(model.inference(X, visits, offset=np.log(years)).summary_frame().round(3))

# %%
# The share of people who come often, by age. The truth is dashed.

at = np.linspace(20, 80, 200)
gates = model.predict_gates(pd.DataFrame({"age": at, "burden": 0.0}))
frequent = np.argmax(model.intercept_)
fig, ax = plt.subplots(figsize=(5, 3.2))
ax.plot(at, gates[:, frequent])
ax.plot(at, 1 / (1 + np.exp(-(at - 50) / 5)), "k--", lw=1)
ax.set(xlabel="age", ylabel="share who come often")
fig.tight_layout()
