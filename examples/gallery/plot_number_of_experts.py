"""
How many experts
================

``select_n_experts`` fits one to several experts along a path and compares them by BIC, or, with
``criterion="cv"``, by the log-likelihood of rows that were held out. These data were made with
three.
"""

from moefast import select_n_experts
from moefast.datasets import make_moe

X, y, truth = make_moe(800, 3, 3, noise=0.3, random_state=3)
found = select_n_experts(X, y, range(1, 6), criterion="cv", random_state=0)
print(found)

# %%
# One picture of the same.

found.plot()
