"""What the files of all single mixtures have in common: rules, and how fits are written and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from moefast.estimators.base import MixtureEstimator
from moefast.estimators.summary import Membership
from moefast.file_fields import Choice, Either, Field, Flag, Listing, Nothing, Number, Record, Row, Text, Whole
from moefast.io.formula_file import formula_content, formula_of
from moefast.search.report import FitReport, report_fields

__all__ = [
    "OF_FLAT_GATES",
    "OF_NOISE",
    "PARAMETERS",
    "SIGMA",
    "check_shares",
    "fit_content",
    "fit_fields",
    "given_parameters",
    "plain_parameters",
    "readable",
    "restore_fit",
    "restore_fit_of_one_response",
]

SIGMA = Number(0.0, 1e307, above=True)
"""Above it even the draws of an expert would leave the range of float64."""
_FEATURES = Either(Nothing(), Listing(Either(Text(), Either(Whole(), Flag()))))
PARAMETERS: dict[str, Field] = {
    "formula": Either(Nothing(), Text()),
    "expert_features": _FEATURES,
    "gate_features": _FEATURES,
    "fit_intercept": Flag(),
    "fit_gate_intercept": Flag(),
    "n_init": Either(Whole(1, 2**31 - 1), Choice(("auto",))),
    "max_iter": Whole(1, 2**31 - 1),
    "tol": Number(0.0),
    "alpha": Number(0.0),
    "gate_alpha": Either(Number(0.0), Choice(("auto",))),
    "time_budget": Either(Number(0.0, above=True), Nothing()),
    "random_state": Either(Whole(high=None), Nothing()),
    "n_threads": Either(Whole(1, 4096), Nothing()),
    "verbose": Either(Whole(-(2**31)), Flag()),
}
"""The rules for the parameters that all estimators have."""
OF_FLAT_GATES: dict[str, Field] = {
    "n_experts": Whole(1, 2**31 - 1),
    "common_features": _FEATURES,
    "alpha_towards": Choice(("zero", "mean")),
    "l1_ratio": Number(0.0, 1.0),
}
OF_NOISE: dict[str, Field] = {"noise": Choice(("per_expert", "shared")), "noise_floor": Number(0.0, above=True)}
_FIGURES: dict[str, tuple[type, Field]] = {
    "n_samples_fit_": (int, Whole(1)),
    "n_groups_fit_": (int, Whole(1)),
    "n_parameters_": (int, Whole(1)),
    "log_likelihood_": (float, Number()),
    "n_iter_": (int, Whole()),
    "converged_": (bool, Flag()),
    "training_weight_": (float, Number(0.0, above=True)),
}


def fit_fields(sizes: tuple[int, int, int], formula: Field) -> dict[str, Field]:
    """Return the rules for what a fit says of itself.

    Parameters
    ----------
    sizes : (int, int, int)
        Experts, features, and columns that the gates see.
    formula : Field
        The rule for its formula.
    """
    k, d, width = sizes
    return {
        "n_features": Whole(1),
        "feature_names": Either(Nothing(), Listing(Text(), d)),
        "target": Either(Nothing(), Text()),
        "formula": formula,
        "membership": Record(
            {
                "prior": Listing(Number(0.0, 1.0 + 1e-6), k),
                "size": Listing(Number(0.0), k),
                "support": Listing(Number(0.0), k),
                "entropy": Number(0.0),
            }
        ),
        "figures": Record({name: rule for name, (_, rule) in _FIGURES.items()}),
        "fit_report": report_fields(k),
        "separated_gates": Either(Nothing(), Listing(Row((Whole(0, k - 2), Whole(0, width))))),
    }


def check_shares(content: Mapping[str, Any]) -> None:
    """Raise ValueError unless the shares of the experts of checked content add up."""
    Number(1.0 - 1e-6, 1.0 + 1e-6).check("the sum of arrays.shares_", sum(content["arrays"]["shares_"]))


def plain_parameters(model: MixtureEstimator) -> dict[str, Any]:
    """Return the parameters as JSON has them; None for a start that is no name, and a seed that is no integer."""
    parameters = model.get_params(deep=False)
    if not isinstance(parameters["start"], str):
        parameters["start"] = None
    seed = parameters["random_state"]
    parameters["random_state"] = int(seed) if isinstance(seed, (int, np.integer)) else None
    for name in ("expert_features", "gate_features", "common_features", "branches"):
        if np.iterable(parameters.get(name)):
            parameters[name] = [e.item() if isinstance(e, np.generic) else e for e in parameters[name]]
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()}


def given_parameters(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of checked content, for the estimator; "auto" for a start that was no name."""
    parameters = content["parameters"]
    return {**parameters, "start": parameters["start"] or "auto"}


def fit_content(model: MixtureEstimator, target: str | None) -> dict[str, Any]:
    """Return what a fit says of itself."""
    names, separated = getattr(model, "feature_names_in_", None), model.separated_gates_
    return {
        "n_features": int(model.n_features_in_),
        "feature_names": None if names is None else [str(n) for n in names],
        "target": model.target_name_ if target is None else target,
        "formula": formula_content(model.formula_),
        "membership": {name: np.asarray(value).tolist() for name, value in vars(model.membership_).items()},
        "figures": {name: kind(getattr(model, name)) for name, (kind, _) in _FIGURES.items()},
        "fit_report": asdict(model.fit_report_),
        "separated_gates": None if separated is None else [list(pair) for pair in separated],
    }


def readable(content: dict[str, Any], check: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Return content that `check` would let be read again; raise ValueError for other, which is not written."""
    try:
        check(content)
    except ValueError as error:
        raise ValueError(f"the model cannot be saved: {error}") from None
    return content


def restore_fit(model: MixtureEstimator, content: Mapping[str, Any]) -> None:
    """Set what the fit said of itself; its mixture is there already.

    Raises
    ------
    ValueError
        When the formula makes other columns.
    """
    for name, (kind, _) in _FIGURES.items():
        setattr(model, name, kind(content["figures"][name]))
    kept = {name: np.array(value, dtype=np.float64) for name, value in content["membership"].items()}
    model.membership_ = Membership(kept["prior"], kept["size"], kept["support"], float(kept["entropy"]))
    model._set_criteria()
    model.fit_report_ = FitReport.from_dict(content["fit_report"])
    separated = content["separated_gates"]
    model.separated_gates_ = None if separated is None else tuple(tuple(pair) for pair in separated)
    model.n_features_in_ = content["n_features"]
    if content["feature_names"] is not None:
        model.feature_names_in_ = np.array(content["feature_names"], dtype=object)
    model.target_name_, model.formula_ = content["target"], formula_of(content["formula"])
    if model.formula_ is not None and list(model.formula_.names) != content["feature_names"]:
        raise ValueError("the columns of formula must be feature_names")


def restore_fit_of_one_response(model: MixtureEstimator, content: Mapping[str, Any]) -> None:
    """Set what the fit said of itself, of a model that has one response and gates linear in their columns."""
    model.n_responses_, model.response_names_ = 1, None
    model.response_std_ = float(content["response_std"])
    restore_fit(model, content)
    model.gate_basis_ = None
