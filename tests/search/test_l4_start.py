"""Method 2 as a start of the estimator, polished and not."""

import numpy as np
import pytest

from moefast import MixtureOfExpertsRegressor, l4
from moefast.datasets import make_moe
from moefast.em import fit_em


@pytest.mark.parametrize("link", ["linear", "tanh", "leaky_relu"])
def test_an_l4_start_is_polished_to_the_optimum_of_the_truth(link):
    X, y, truth = make_moe(20_000, 6, 3, link=link, orthogonal_gate=True, random_state=0)
    model = MixtureOfExpertsRegressor(3, link=link, start="l4", random_state=0).fit(X, y)
    assert [start.kind for start in model.fit_report_.starts] == ["L4"]
    assert model.log_likelihood_ == pytest.approx(fit_em(X, y, truth).log_likelihood, abs=0.01)


def test_unpolished_it_has_the_experts_of_method_2():
    X, y, _ = make_moe(20_000, 6, 2, orthogonal_gate=True, random_state=0)
    model = MixtureOfExpertsRegressor(2, start="l4", polish=False, random_state=0).fit(X, y)
    experts = l4.recover_experts(X, y, 2, random_state=5).coef
    for expert in experts:  # the starts differ, the minimum does not
        assert np.abs(model.coef_ - expert).max(axis=1).min() < 1e-3
    assert model.fit_report_.starts[0].kind == "L4, unpolished"
