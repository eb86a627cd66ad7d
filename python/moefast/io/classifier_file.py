"""The content of a model file of a `MixtureOfExpertsClassifier`: its classes, its parameters, and its fit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast.estimators.classifier import MixtureOfExpertsClassifier
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
from moefast.io.fit_fields import (
    OF_FLAT_GATES,
    PARAMETERS,
    check_shares,
    fit_content,
    fit_fields,
    given_parameters,
    plain_parameters,
    readable,
    restore_fit_of_one_response,
)
from moefast.io.formula_file import formula_fields
from moefast.links import get_link
from moefast.mixture import Mixture

__all__ = ["classifier_content", "classifier_of", "is_classifier"]

_PARAMETERS: dict[str, Field] = {
    **PARAMETERS,
    **OF_FLAT_GATES,
    "start": Either(Choice(("auto", "random")), Nothing()),
}
_ARRAYS = ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "shares_")
# Labels by their kind: what they are in JSON, and in numpy. "object" are texts that a data frame had.
_LABELS: dict[str, tuple[Field, Any]] = {
    "text": (Text(), np.str_),
    "object": (Text(), object),
    "whole": (Whole(-(2**63), 2**63 - 1), np.int64),
    "number": (Number(), np.float64),
    "flag": (Flag(), np.bool_),
}
_SIZES = Record(
    {
        "n_features": Whole(1),
        "classes": Record({"kind": Choice(tuple(_LABELS)), "labels": Listing(Anything(), least=2)}),
        "arrays": Record({"coef_": Listing(Anything(), least=1)}, open=True),
    },
    open=True,
)


def is_classifier(content: Mapping[str, Any]) -> bool:
    """Whether this is the content of such a file."""
    return "classes" in content


def classifier_content(model: MixtureOfExpertsClassifier, target: str | None) -> dict[str, Any]:
    """Return what is written.

    Raises
    ------
    ValueError
        For classes that are neither texts nor numbers nor truth values, and a parameter that no fit would take.
    """
    content = {
        "classes": {"kind": _kind(model.classes_), "labels": model.classes_.tolist()},
        "parameters": plain_parameters(model),
        **fit_content(model, target),
        "response_std": float(model.response_std_),
        "arrays": {name: getattr(model, name).tolist() for name in _ARRAYS},
    }
    return readable(content, _check)


def _kind(classes: npt.NDArray[Any]) -> str:
    kinds = {"U": "text", "T": "text", "i": "whole", "u": "whole", "f": "number", "b": "flag"}
    if classes.dtype.kind == "O" and all(isinstance(label, str) for label in classes):
        return "object"
    if classes.dtype.kind not in kinds:
        names = ", ".join(sorted({type(label).__name__ for label in classes.tolist()}))
        raise ValueError(
            f"a model whose classes are {names} cannot be saved: only texts, numbers and booleans can"
        )
    return kinds[classes.dtype.kind]


def _check(content: Mapping[str, Any]) -> None:
    """Raise ValueError that names the field to blame when this is not the content of such a file."""
    _SIZES.check("", content)
    k, d, n_classes = len(content["arrays"]["coef_"]), content["n_features"], len(content["classes"]["labels"])

    def of_classes(rule: Field) -> Field:
        return rule if n_classes == 2 else Listing(rule, n_classes - 1)

    label, _ = _LABELS[content["classes"]["kind"]]
    Record(
        {
            "classes": Record({"kind": Anything(), "labels": Listing(label)}),
            "parameters": Record(_PARAMETERS),
            **fit_fields((k, d, d), formula_fields(content)),
            "response_std": Number(0.0, above=True),
            "arrays": Record(
                {
                    "coef_": Listing(of_classes(Listing(Number(), d)), k),
                    "intercept_": Listing(of_classes(Number()), k),
                    "gate_coef_": Listing(Listing(Number(), d), k),
                    "gate_intercept_": Listing(Number(), k),
                    "shares_": Listing(Number(0.0, 1.0), k),
                }
            ),
        }
    ).check("", content)
    check_shares(content)
    labels = content["classes"]["labels"]
    if any(not before < after for before, after in pairwise(labels)):
        raise ValueError("classes.labels must be sorted and different")


def classifier_of(content: Mapping[str, Any]) -> MixtureOfExpertsClassifier:
    """Return the fitted estimator that was written.

    Raises
    ------
    ValueError
        For content that is none.
    """
    _check(content)
    model = MixtureOfExpertsClassifier(**given_parameters(content))
    model._checked_parameters()
    _, dtype = _LABELS[content["classes"]["kind"]]
    model.classes_ = np.array(content["classes"]["labels"], dtype=dtype)
    arrays = {name: np.array(values, dtype=np.float64) for name, values in content["arrays"].items()}
    model.shares_ = arrays.pop("shares_")
    ones = np.ones(len(model.shares_))
    fitted: dict[str, Any] = {name.rstrip("_"): values for name, values in arrays.items()}
    model._set_parameters(
        Mixture(**fitted, sigma=ones, shape=ones, link=get_link("linear"), family=model._family())
    )
    restore_fit_of_one_response(model, content)
    return model
