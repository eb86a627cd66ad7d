"""Fitted models as files: JSON with a version and a checksum, never pickle.

Reading a model file runs no code from it. Numbers are written so that they come back bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

import moefast._core as _core
from moefast.estimator import MixtureOfExpertsRegressor
from moefast.exceptions import ModelFileError
from moefast.files import replacing
from moefast.fit_report import FitReport
from moefast.links import LINKS, get_link

__all__ = ["load_model", "save_model"]

_FORMAT = "moefast model"
_VERSION = 1
_ARRAYS = {"coef_": 2, "intercept_": 1, "gate_coef_": 2, "gate_intercept_": 1, "sigma_": 1, "shares_": 1}
_SCALARS = {
    "n_samples_fit_": int,
    "n_parameters_": int,
    "log_likelihood_": float,
    "n_iter_": int,
    "converged_": bool,
    "training_weight_": float,
    "response_std_": float,
}


def save_model(model: MixtureOfExpertsRegressor, path: str | os.PathLike[str], target: str | None = None) -> None:
    """Write a fitted model to a file, whole or not at all.

    Parameters
    ----------
    model : MixtureOfExpertsRegressor
        Fitted.
    path : str or path-like
        An existing file is replaced.
    target : str, optional
        The response's column name, kept for the reader.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        When the model is not fitted.
    ValueError
        When its link is a function of your own: code does not go into model files.
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
    if not isinstance(model, MixtureOfExpertsRegressor):
        raise TypeError(f"a {type(model).__name__} cannot be saved: only MixtureOfExpertsRegressor can; pickle it")
    parameters = model.get_params(deep=False)
    if model.link_ not in LINKS.values():
        raise ValueError(f"a model with link {model.link_.name!r} cannot be saved: only {', '.join(LINKS)} can")
    parameters["link"] = model.link_.name
    seed = parameters["random_state"]
    parameters["random_state"] = int(seed) if isinstance(seed, (int, np.integer)) else None
    names = getattr(model, "feature_names_in_", None)
    content = {
        "parameters": {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()},
        "n_features": int(model.n_features_in_),
        "feature_names": None if names is None else [str(n) for n in names],
        "target": target,
        "arrays": {name: getattr(model, name).tolist() for name in _ARRAYS},
        "figures": {name: kind(getattr(model, name)) for name, kind in _SCALARS.items()},
        "fit_report": asdict(model.fit_report_),
    }
    document = {
        "format": _FORMAT,
        "version": _VERSION,
        "moefast": _core.__version__,
        "sha256": _digest(content),
        "content": content,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(document, allow_nan=False, indent=1) + "\n", encoding="utf-8")


def load_model(path: str | os.PathLike[str]) -> MixtureOfExpertsRegressor:
    """Read a model written by :func:`save_model`.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    MixtureOfExpertsRegressor
        Fitted; its attribute ``target_name_`` is the response's column name or None.

    Raises
    ------
    ModelFileError
        When the file is no model, of another version, damaged or cut short.
    OSError
        When it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a model file")
    content = _checked_content(path)
    try:
        return _restore(content)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error


def _checked_content(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError):
        raise ModelFileError(f"{path} is not a moefast model file, or it is damaged or cut short") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ModelFileError(f"{path} is not a moefast model file")
    if document.get("version") != _VERSION:
        raise ModelFileError(
            f"{path} has model format version {document.get('version')!r}; moefast {_core.__version__} reads "
            f"version {_VERSION}: save the model again with this moefast, or use the one that wrote it"
            f" ({document.get('moefast', 'unknown')})"
        )
    content = document.get("content")
    if not isinstance(content, dict) or document.get("sha256") != _digest(content):
        raise ModelFileError(f"{path} is damaged: its checksum does not match its content")
    return content


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _restore(content: dict[str, Any]) -> MixtureOfExpertsRegressor:
    model = MixtureOfExpertsRegressor(**content["parameters"])
    model._checked_parameters()
    # n_experts may have been set anew since the fit: the arrays tell how many there are.
    k, d = len(content["arrays"]["coef_"]), int(content["n_features"])
    for name, ndim in _ARRAYS.items():
        array = np.array(content["arrays"][name], dtype=np.float64)
        if array.shape != ((k, d) if ndim == 2 else (k,)) or not np.isfinite(array).all():
            raise ValueError(f"{name} does not fit {k} experts and {d} features")
        if name == "sigma_" and not (array > 0).all():
            raise ValueError("sigma_ must be positive")
        setattr(model, name, array)
    for name, kind in _SCALARS.items():
        setattr(model, name, kind(content["figures"][name]))
    model.fit_report_ = FitReport.from_dict(content["fit_report"])
    model.n_features_in_ = d
    model.link_ = get_link(model.link)
    if content["feature_names"] is not None:
        if len(content["feature_names"]) != d:
            raise ValueError(f"{len(content['feature_names'])} feature names for {d} features")
        model.feature_names_in_ = np.array(content["feature_names"], dtype=object)
    model.target_name_ = content["target"]
    return model
