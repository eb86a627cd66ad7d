"""
Two lines and some outliers
===========================

One row in twenty is wrong by far. With normal noise an expert goes after them, or widens; with
Student's t (``family="student_t"``) they are what they are: rare.
"""

import matplotlib.pyplot as plt
import numpy as np

from moefast import MixtureOfExpertsRegressor

rng = np.random.default_rng(1)
n = 400
x = rng.uniform(-3, 3, n)
left = rng.random(n) < 1 / (1 + np.exp(4 * (x - 0.5)))
line = np.where(left, 1.5 * x + 1, -x + 4)
y = line + 0.3 * rng.normal(size=n)
wrong = rng.random(n) < 0.05
y[wrong] += rng.normal(scale=8, size=wrong.sum())
X = x[:, None]

# %%
# The two laws are dashed; the rule who follows which is soft, around x = 0.5.

at = np.linspace(-3, 3, 300)
fig, panels = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
for ax, family in zip(panels, ["gaussian", "student_t"], strict=True):
    model = MixtureOfExpertsRegressor(n_experts=2, family=family, random_state=0).fit(X, y)
    low, high = model.predict_interval(at[:, None], 0.9).T
    ax.plot(x, y, ".", color="0.6", ms=3)
    ax.fill_between(at, low, high, alpha=0.3)
    ax.plot(at, model.predict(at[:, None]))
    ax.plot(at, 1.5 * at + 1, "k--", lw=1)
    ax.plot(at, -at + 4, "k--", lw=1)
    ax.set(title=f"{family}: sigma {model.sigma_.round(2)}", ylim=(-8, 8), xlabel="x")
fig.tight_layout()
