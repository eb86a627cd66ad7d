"""The content of a model file of a `HierarchicalMixtureOfExpertsRegressor`: the shape of its tree, and its fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from moefast.estimators.hierarchical import HierarchicalMixtureOfExpertsRegressor
from moefast.file_fields import Choice, Compound, Either, Field, Listing, Nothing, Number, Record, Row, Whole
from moefast.hierarchy.mixture import HierarchicalMixture, nodes_of_level
from moefast.io.calibration_file import calibration_content, calibration_fields, calibration_of
from moefast.io.fit_fields import (
    OF_NOISE,
    PARAMETERS,
    SIGMA,
    check_shares,
    fit_content,
    fit_fields,
    given_parameters,
    plain_parameters,
    readable,
    restore_fit_of_one_response,
)
from moefast.io.formula_file import formula_fields

__all__ = ["is_tree", "tree_content", "tree_of"]

_OF_EXPERTS = ("coef_", "intercept_", "sigma_", "shares_")
_OF_LEVELS = ("gate_coef_", "gate_intercept_")
_MOST_EXPERTS = 2**31 - 1
# 31 levels that branch have more experts than there may be, and more levels without branches say nothing, but make
# the names of experts long.
_MOST_LEVELS = 100


@dataclass(frozen=True)
class _Branches(Compound):
    """Children of a node at each level."""

    def check(self, name: str, value: object) -> None:
        Listing(Whole(1, _MOST_EXPERTS), least=1).check(name, value)
        assert isinstance(value, (list, tuple))
        Whole(1, _MOST_LEVELS).check(f"the number of levels of {name}", len(value))
        Whole(1, _MOST_EXPERTS).check(f"the product of {name}", prod(value))

    def __str__(self) -> str:
        return "a list of whole numbers above 0"


_PARAMETERS: dict[str, Field] = {
    **PARAMETERS,
    **OF_NOISE,
    "branches": _Branches(),
    "start": Either(Choice(("auto", "spectral", "random")), Nothing()),
}
# What tells the sizes.
_SIZES = Record({"n_features": Whole(1), "branches": _Branches()}, open=True)


def is_tree(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of such a file."""
    return "branches" in content


def tree_content(model: HierarchicalMixtureOfExpertsRegressor, target: str | None) -> dict[str, Any]:
    """Return what is written.

    Raises
    ------
    ValueError
        For a parameter that no fit would take.
    """
    content = {
        "branches": list(model.branches_),
        "parameters": plain_parameters(model),
        **fit_content(model, target),
        "response_std": float(model.response_std_),
        "calibration": calibration_content(model.calibration_),
        "arrays": {
            **{name: getattr(model, name).tolist() for name in _OF_EXPERTS},
            **{name: [of_level.tolist() for of_level in getattr(model, name)] for name in _OF_LEVELS},
        },
    }
    return readable(content, _check)


def _check(content: Mapping[str, Any]) -> None:
    """Raise ValueError that names the field to blame when this is not the content of such a file."""
    _SIZES.check("", content)
    # The parameter may have been set anew since the fit.
    branches, d = content["branches"], content["n_features"]
    k = prod(branches)

    def of_levels(rule: Field) -> Row:
        return Row(
            [Listing(Listing(rule, b), nodes_of_level(branches, level)) for level, b in enumerate(branches)]
        )

    Record(
        {
            "branches": _Branches(),
            "parameters": Record(_PARAMETERS),
            **fit_fields((k, d, d), formula_fields(content)),
            "separated_gates": Nothing(),
            "response_std": Number(0.0, above=True),
            "calibration": calibration_fields(content),
            "arrays": Record(
                {
                    "coef_": Listing(Listing(Number(), d), k),
                    "intercept_": Listing(Number(), k),
                    "sigma_": Listing(SIGMA, k),
                    "shares_": Listing(Number(0.0, 1.0), k),
                    "gate_coef_": of_levels(Listing(Number(), d)),
                    "gate_intercept_": of_levels(Number()),
                }
            ),
        }
    ).check("", content)
    check_shares(content)


def tree_of(content: Mapping[str, Any]) -> HierarchicalMixtureOfExpertsRegressor:
    """Return the fitted estimator that was written.

    Raises
    ------
    ValueError
        For content that is none.
    """
    _check(content)
    parameters = given_parameters(content)
    model = HierarchicalMixtureOfExpertsRegressor(**{**parameters, "branches": tuple(parameters["branches"])})
    model._checked_parameters()
    arrays = content["arrays"]
    of_experts = {name: np.array(arrays[name], dtype=np.float64) for name in _OF_EXPERTS}
    of_levels = {name: tuple(np.array(level, dtype=np.float64) for level in arrays[name]) for name in _OF_LEVELS}
    model.shares_ = of_experts.pop("shares_")
    fitted: dict[str, Any] = {name.rstrip("_"): values for name, values in {**of_experts, **of_levels}.items()}
    mixture = HierarchicalMixture(tuple(content["branches"]), **fitted)
    model._set_parameters(mixture, calibration_of(content["calibration"]))
    restore_fit_of_one_response(model, content)
    return model
