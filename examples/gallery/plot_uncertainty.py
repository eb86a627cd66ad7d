"""
How sure a fit is
=================

Disease progression in 442 people with diabetes, from four of the ten measurements in scikit-learn's
table: two experts, and the standard errors of what they say.
"""

from sklearn.datasets import load_diabetes

from moefast import MixtureOfExpertsRegressor
from moefast.plotting import plot_coefficients

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X = X[["age", "bmi", "bp", "s5"]]
model = MixtureOfExpertsRegressor(n_experts=2, gate_features=["bmi", "bp"], random_state=0).fit(X, y)
sure = model.inference(X, y)
print(sure.summary_frame().round(3))

# %%
# Coefficients with their 95 % intervals, an expert each.

plot_coefficients(model, X, inference=sure)
