"""Fitted models as files: JSON with a version and a checksum, never pickle.

Reading a model file runs no code from it. Numbers are written so that they come back bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

import moefast._core as _core
from moefast.atomic import replacing
from moefast.bagging.estimator import BaggedMixtureOfExperts
from moefast.estimators.classifier import MixtureOfExpertsClassifier
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.hierarchical import HierarchicalMixtureOfExpertsRegressor
from moefast.exceptions import ModelFileError
from moefast.families.registry import FAMILIES, from_plain, to_plain
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
from moefast.gate_basis import GATE_BASES
from moefast.io.bagged_file import bagged_content, bagged_of, is_bagged
from moefast.io.calibration_file import calibration_content, calibration_fields, calibration_of
from moefast.io.classifier_file import classifier_content, classifier_of, is_classifier
from moefast.io.fit_fields import (
    OF_FLAT_GATES,
    OF_NOISE,
    PARAMETERS,
    SIGMA,
    check_shares,
    fit_content,
    fit_fields,
    given_parameters,
    plain_parameters,
    readable,
    restore_fit,
)
from moefast.io.formula_file import formula_fields
from moefast.io.gate_basis_file import gate_basis_content, gate_basis_fields, gate_basis_of
from moefast.io.tree_file import is_tree, tree_content, tree_of
from moefast.links import LINKS, get_link
from moefast.mixture import Mixture, check_mixture

__all__ = ["SavedModel", "load_model", "save_model"]

_Single: TypeAlias = MixtureOfExpertsRegressor | HierarchicalMixtureOfExpertsRegressor
SavedModel: TypeAlias = _Single | MixtureOfExpertsClassifier | BaggedMixtureOfExperts
"""What files hold."""

_FORMAT = "moefast model"
_VERSION = 6
# The files of version 5 are those of version 6 without trees of gates.
_READ = (5, _VERSION)
_ARRAYS = ("coef_", "intercept_", "gate_coef_", "gate_intercept_", "sigma_", "shape_", "shares_")
_PARAMETERS: dict[str, Field] = {
    **PARAMETERS,
    **OF_FLAT_GATES,
    **OF_NOISE,
    "family": Record(
        {
            "name": Choice(tuple(FAMILIES)),
            "df": Either(Number(1.0), Nothing()),
            "lower": Either(Number(), Nothing()),
            "upper": Either(Number(), Nothing()),
        }
    ),
    "link": Choice(tuple(LINKS)),
    "gate_basis": Choice(GATE_BASES),
    "covariance_type": Choice(("full", "diag")),
    "start": Either(Choice(("auto", "spectral", "l4", "random")), Nothing()),
    "polish": Flag(),
}


def _content(sizes: tuple[int, int, int], formula: Field, n_functions: int | None, calibration: Field) -> Record:
    """Return the rules for a model of k experts, d features and q responses.

    `formula` and `calibration` are the rules for these, `n_functions` is the number of functions of the gates, if
    there are any.
    """
    k, d, q = sizes
    width = d if n_functions is None else d + n_functions
    by_expert, by_feature = Listing(Number(), k), Listing(Listing(Number(), width), k)

    def of_responses(rule: Field) -> Field:
        return rule if q == 1 else Listing(rule, q)

    covariance: Field = Nothing() if q == 1 else Listing(Listing(Listing(Number(), q), q), k)
    return Record(
        {
            "parameters": Record(_PARAMETERS),
            **fit_fields((k, d, width), formula),
            "n_responses": Whole(1),
            "response_names": Either(Nothing(), Listing(Text(), q)),
            "response_std": of_responses(Number(0.0, above=True)),
            "covariance": covariance,
            "gate_basis": Nothing() if n_functions is None else gate_basis_fields(d, n_functions),
            "calibration": calibration,
            "arrays": Record(
                {
                    "coef_": Listing(of_responses(Listing(Number(), width)), k),
                    "intercept_": Listing(of_responses(Number()), k),
                    "gate_coef_": by_feature,
                    "gate_intercept_": by_expert,
                    "sigma_": Listing(of_responses(SIGMA), k),
                    "shape_": Listing(Number(0.0, above=True), k),
                    "shares_": Listing(Number(0.0, 1.0), k),
                }
            ),
        }
    )


# What tells the sizes.
_SIZES = Record(
    {
        "n_features": Whole(1),
        "n_responses": Whole(1),
        "arrays": Record({"coef_": Listing(Anything(), least=1)}, open=True),
    },
    open=True,
)
_KEPT = Record({"gate_basis": Record({"kept": Listing(Anything(), least=1)}, open=True)}, open=True)


def _check(content: Mapping[str, Any]) -> None:
    """Raise ValueError that names the field to blame when this is not the content of a model file."""
    _SIZES.check("", content)
    # n_experts may have been set anew since the fit: the arrays tell how many there are.
    n_functions = None
    if content.get("gate_basis") is not None:
        _KEPT.check("", content)
        n_functions = len(content["gate_basis"]["kept"])
    sizes = len(content["arrays"]["coef_"]), content["n_features"], content["n_responses"]
    _content(sizes, formula_fields(content), n_functions, calibration_fields(content)).check("", content)
    check_shares(content)


def save_model(model: SavedModel, path: str | os.PathLike[str], target: str | None = None) -> None:
    """Write a fitted model to a file, whole or not at all.

    Of its parameters a `random_state` that is no integer and a `start` that is no name are not kept: the model
    that is read has None and "auto" in their places. Of one chosen by cross-validation the fit that was chosen is
    kept, with the noise and the calibration of its predictions. Of an average of replicates these are, and what
    rows left out said of the average, not of each row.

    Parameters
    ----------
    model : estimator
        A fitted :class:`MixtureOfExpertsRegressor`, :class:`HierarchicalMixtureOfExpertsRegressor`,
        :class:`MixtureOfExpertsClassifier` or :class:`BaggedMixtureOfExperts`.
    path : str or path-like
        An existing file is replaced.
    target : str, optional
        The response's column name, kept for the reader. Default: the name that y had in `fit`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        When the model is not fitted.
    TypeError
        For other objects.
    ValueError
        When its link or family is of your own (code does not go into model files), a formula has categories whose
        levels are neither texts nor numbers, classes are none of these and no booleans, or a parameter
        was set to a value that no fit would take.
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, moefast
    >>> from moefast.datasets import make_moe
    >>> X, y, _ = make_moe(300, 2, 2, random_state=0)
    >>> model = moefast.MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     moefast.save_model(model, pathlib.Path(folder) / "model.json")
    ...     again = moefast.load_model(pathlib.Path(folder) / "model.json")
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    check_is_fitted(model)
    # What a cross-validation has chosen may be a tree.
    chosen = model._as_regressor() if isinstance(model, MixtureOfExpertsRegressor) else model
    if isinstance(chosen, BaggedMixtureOfExperts):
        name = chosen.target_name_ if target is None else target
        content = bagged_content(chosen, name, _content_of)
    elif isinstance(chosen, MixtureOfExpertsClassifier):
        content = classifier_content(chosen, target)
    elif isinstance(chosen, _Single):
        content = _content_of(chosen, target)
    else:
        raise TypeError(
            f"a {type(chosen).__name__} cannot be saved: only MixtureOfExpertsRegressor, "
            "HierarchicalMixtureOfExpertsRegressor, MixtureOfExpertsClassifier and BaggedMixtureOfExperts can; "
            "pickle it"
        )
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "moefast": _core.__version__,
        "sha256": _digest(content),
        "content": content,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, allow_nan=False, indent=1) + "\n", encoding="utf-8")


def _content_of(model: _Single, target: str | None) -> dict[str, Any]:
    """Return what is written of a single mixture."""
    if isinstance(model, HierarchicalMixtureOfExpertsRegressor):
        return tree_content(model, target)
    if np.isnan(model.n_parameters_):
        raise ValueError("a marginal is no fit and cannot be saved; save the model of all responses")
    if model.link_ not in LINKS.values():
        raise ValueError(f"a model with link {model.link_.name!r} cannot be saved: only {', '.join(LINKS)} can")
    content = {
        "parameters": plain_parameters(model) | {"link": model.link_.name, "family": to_plain(model.family_)},
        **fit_content(model, target),
        "n_responses": model.n_responses_,
        "response_names": None if model.response_names_ is None else list(model.response_names_),
        "response_std": np.asarray(model.response_std_).tolist(),
        "covariance": None if model.covariance_ is None else model.covariance_.tolist(),
        "gate_basis": gate_basis_content(model.gate_basis_),
        "calibration": calibration_content(model.calibration_),
        "arrays": {name: getattr(model, name).tolist() for name in _ARRAYS},
    }
    return readable(content, _check)


def load_model(path: str | os.PathLike[str]) -> SavedModel:
    """Read a model written by :func:`save_model`.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    estimator
        Fitted, of one of the classes that :func:`save_model` takes; its attribute ``target_name_`` is the
        response's column name or None.

    Raises
    ------
    ModelFileError
        When the file is no model, of another version, damaged or cut short, or a field is out of its range,
        whatever the checksum says; the field is named.
    OSError
        When it cannot be read.
    ImportError
        When the model has a formula and formulaic is not installed.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a model file")
    content = _checked_content(path)
    try:
        if is_bagged(content):
            return bagged_of(content, _restore)
        return classifier_of(content) if is_classifier(content) else _restore(content)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error


def _checked_content(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path} is not a moefast model file, or it is damaged or cut short") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ModelFileError(f"{path} is not a moefast model file")
    if document.get("version") not in _READ:
        known = " and ".join(map(str, _READ))
        raise ModelFileError(
            f"{path} has model format version {document.get('version')!r}; moefast {_core.__version__} reads "
            f"versions {known}: save the model again with this moefast, or use the one that wrote it"
            f" ({document.get('moefast', 'unknown')})"
        )
    content = document.get("content")
    damaged = f"{path} is damaged: its checksum does not match its content"
    try:
        if not isinstance(content, dict) or document.get("sha256") != _digest(content):
            raise ModelFileError(damaged)
    except RecursionError:  # nested as deep as no model is
        raise ModelFileError(damaged) from None
    return content


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _restore(content: dict[str, Any]) -> _Single:
    """Return the single mixture that was written."""
    if is_tree(content):
        return tree_of(content)
    _check(content)
    parameters = given_parameters(content)
    model = MixtureOfExpertsRegressor(**{**parameters, "family": from_plain(parameters["family"])})
    model._checked_parameters()
    arrays = {name: np.array(values, dtype=np.float64) for name, values in content["arrays"].items()}
    model.shares_ = arrays.pop("shares_")
    fitted = {name.rstrip("_"): values for name, values in arrays.items()}
    shape = fitted.pop("shape")
    mixture = Mixture(**fitted, link=get_link(model.link))  # type: ignore[arg-type]  # by name
    model.n_responses_, std = content["n_responses"], content["response_std"]
    family, covariance = model._family(model.n_responses_), content["covariance"]
    mixture = replace(mixture, family=family, shape=shape)
    if covariance is not None:
        mixture = replace(mixture, covariance=np.array(covariance, dtype=np.float64))
        check_mixture("the model", mixture, mixture.n_features, model.n_responses_)
    model._set_parameters(mixture, calibration_of(content["calibration"]))
    model.response_std_ = float(std) if covariance is None else np.array(std, dtype=np.float64)
    names = content["response_names"]
    model.response_names_ = None if names is None else tuple(names)
    restore_fit(model, content)
    model.gate_basis_ = gate_basis_of(content["gate_basis"], model.n_features_in_)
    return model
