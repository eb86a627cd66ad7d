"""The content of a model file of a `BaggedMixtureOfExperts`: what it is made of, and its replicates one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import clone

from moefast.bagging.averaged import AveragedMixture
from moefast.bagging.estimator import BaggedMixtureOfExperts
from moefast.bagging.replicate_mixture import mixture_of
from moefast.file_fields import (
    Anything,
    Choice,
    Either,
    Field,
    Flag,
    Listing,
    Nothing,
    Number,
    Record,
    Text,
    Whole,
)
from moefast.io.calibration_file import calibration_content, calibration_fields, calibration_of
from moefast.io.formula_file import formula_content, formula_fields, formula_of

__all__ = ["bagged_content", "bagged_of", "is_bagged"]

_PARAMETERS: dict[str, Field] = {
    "n_replicates": Whole(2, 2**31 - 1),
    "start": Choice(("cold", "warm")),
    "n_folds": Either(Whole(2, 2**31 - 1), Nothing()),
    "spread": Either(Number(0.0, above=True), Choice(("out-of-bag",))),
    "random_state": Either(Whole(high=None), Nothing()),
    "n_jobs": Either(Whole(-(2**31)), Nothing()),
    "verbose": Either(Whole(-(2**31)), Flag()),
}


def _rules(content: Mapping[str, Any]) -> Record:
    return Record(
        {
            "parameters": Record(_PARAMETERS),
            "spread": Number(0.0, above=True),
            "calibration": calibration_fields(content),
            "out_of_bag_log_likelihood": Either(Number(), Nothing()),
            "n_features": Whole(1),
            "feature_names": Either(Nothing(), Listing(Text())),
            "target": Either(Nothing(), Text()),
            "formula": formula_fields(content),
            "replicates": Listing(Anything(), least=1),
        }
    )


def is_bagged(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of such a file."""
    return "replicates" in content


def bagged_content(
    model: BaggedMixtureOfExperts, target: str | None, of_one: Callable[[Any, str | None], dict[str, Any]]
) -> dict[str, Any]:
    """Return what is written; `of_one` is the same of a single mixture."""
    parameters = {name: value for name, value in model.get_params(deep=False).items() if name in _PARAMETERS}
    parameters = {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()}
    seed, names = parameters["random_state"], getattr(model, "feature_names_in_", None)
    parameters["random_state"] = seed if isinstance(seed, int) else None
    known = np.isfinite(model.out_of_bag_log_likelihood_)
    return {
        "parameters": parameters,
        "spread": model.spread_,
        "calibration": calibration_content(model.calibration_),
        "out_of_bag_log_likelihood": float(model.out_of_bag_log_likelihood_) if known else None,
        "n_features": int(model.n_features_in_),
        "feature_names": None if names is None else [str(n) for n in names],
        "target": target,
        "formula": formula_content(model.formula_),
        "replicates": [of_one(one, None) for one in model.estimators_],
    }


def bagged_of(content: Mapping[str, Any], restore: Callable[[Any], Any]) -> BaggedMixtureOfExperts:
    """Return the fitted estimator that was written; `restore` is the same of a single mixture.

    Raises
    ------
    ValueError
        For content that is none.
    """
    _rules(content).check("", content)
    replicates = [restore(one) for one in content["replicates"]]
    first = replicates[0]
    names, d = content["feature_names"], content["n_features"]
    for number, one in enumerate(replicates):
        if one.n_features_in_ != d or one.family_ != first.family_ or one.link_ != first.link_:
            raise ValueError(f"replicates.{number} must have n_features, family and link of the first")
    if names is not None and len(names) != d:
        raise ValueError(f"feature_names must be {d} names, got {len(names)}")
    estimator = clone(first).set_params(random_state=None)
    model = BaggedMixtureOfExperts(estimator, **content["parameters"])
    model.estimators_, model.estimator_, model.spread_ = replicates, estimator, float(content["spread"])
    model.candidates_, model.candidate_scores_ = [], []
    model.mixture_ = AveragedMixture([mixture_of(one) for one in replicates], model.spread_)
    model.calibration_ = calibration_of(content["calibration"])
    score = content["out_of_bag_log_likelihood"]
    model.out_of_bag_log_likelihood_ = np.nan if score is None else float(score)
    model.n_features_in_, model.formula_ = d, formula_of(content["formula"])
    if names is not None:
        model.feature_names_in_ = np.array(names, dtype=object)
    if model.formula_ is not None and list(model.formula_.names) != names:
        raise ValueError("the columns of formula must be feature_names")
    model.target_name_ = content["target"]
    return model
