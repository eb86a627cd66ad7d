"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import moefast

NOT_IMPORTED = ("moefast._core", "moefast.cli.__main__")  # the latter runs the command
MODULES = [
    "moefast",
    *(m.name for m in pkgutil.walk_packages(moefast.__path__, "moefast.") if m.name not in NOT_IMPORTED),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_of_the_pages():
    page = Path(__file__).parents[1] / "docs" / "prediction.md"
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.failed == 0
    assert result.attempted > 0


def test_every_public_function_has_an_example():
    """A public name of the top level or of the papers' methods shows how it is used."""
    from moefast import (
        baselines,
        datasets,
        diagnostics,
        em,
        gating,
        hierarchy,
        io,
        l4,
        moments,
        plotting,
        selection,
        spectral,
        tensors,
        transforms,
    )

    public = [
        moefast.HierarchicalMixtureOfExpertsRegressor,
        moefast.MixtureOfExpertsRegressor,
        moefast.MomentAccumulator,
        moefast.build_info,
        moefast.lr_test,
        moefast.select_n_experts,
        baselines.fit_gradient_descent,
        baselines.fit_joint_em,
        baselines.fit_joint_em_many,
        datasets.make_moe,
        datasets.random_mixture,
        tensors.power_iteration,
        diagnostics.diagnose,
        em.fit_em,
        gating.fit_gates,
        hierarchy.HierarchicalMixture,
        l4.recover_experts,
        l4.L4Loss,
        l4.L4Options,
        l4.StochasticL4Loss,
        moments.InputMixture,
        moments.MomentOptions,
        moments.projected_moments,
        io.save_model,
        transforms.marginal_sigma,
        transforms.optimal_transform,
        plotting.plot_experts,
        selection.log_likelihood_scorer,
        spectral.recover_experts,
        spectral.recover_from_moments,
        tensors.SymmetricTensor,
        transforms.cubic_transform,
        transforms.quadratic_transform,
        transforms.quartic_transform,
    ]
    assert [thing.__name__ for thing in public if ">>>" not in (thing.__doc__ or "")] == []
