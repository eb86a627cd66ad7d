"""
A law for every row
===================

Noise that depends on the region: the interval of a mixture is narrow where the data are, wide where
they are not, and the density has two parts where two laws are possible.
"""

import matplotlib.pyplot as plt
import numpy as np

from moefast import MixtureOfExpertsRegressor

rng = np.random.default_rng(4)
x = rng.uniform(0, 10, 900)
early = rng.random(900) < 1 / (1 + np.exp(3 * (x - 4)))
upper = rng.random(900) < 0.4
y = np.where(early, 1 + 0.2 * x, np.where(upper, 3 + 0.8 * (x - 4), 1 - 0.3 * (x - 4)))
y += np.where(early, 0.1, 0.5) * rng.normal(size=900)
X = x[:, None]
model = MixtureOfExpertsRegressor(n_experts=3, random_state=0).fit(X, y)

# %%
# Left the density of y at every x, right three cuts through it. A mean with an interval around it would be between
# the branches, where nothing is.

at, values = np.linspace(0, 10, 200), np.linspace(-3, 10, 260)
density = np.array([model.score_samples(at[:, None], np.full(200, v)) for v in values])
fig, (ax, cuts) = plt.subplots(1, 2, figsize=(10, 3.6))
shades = {"origin": "lower", "extent": (0, 10, -3, 10), "aspect": "auto", "cmap": "Blues"}
ax.imshow(np.exp(density) ** 0.5, **shades)
ax.plot(x, y, "k.", ms=1)
ax.set(xlabel="x", ylabel="y")
for cut in (2, 5, 9):
    there = np.full((len(values), 1), cut)
    cuts.plot(values, np.exp(model.score_samples(there, values)), label=f"x = {cut}")
cuts.set(xlabel="y", ylabel="density", ylim=(0, 1.5))
cuts.legend()
fig.tight_layout()
