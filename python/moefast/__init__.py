"""Mixtures of experts for numbers and classes, fitted from cross-moment tensors and EM with a C++ core."""

from __future__ import annotations

from typing import Any

import moefast._core as _core
from moefast.bagging.estimator import BaggedMixtureOfExperts
from moefast.estimators.classifier import MixtureOfExpertsClassifier
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.hierarchical import HierarchicalMixtureOfExpertsRegressor
from moefast.exceptions import DegenerateDataWarning, ModelFileError
from moefast.io.model_file import load_model, save_model
from moefast.moments.accumulator import MomentAccumulator
from moefast.selection.likelihood_ratio import lr_test
from moefast.selection.n_experts import select_n_experts
from moefast.selection.regressor_cv import MixtureOfExpertsRegressorCV
from moefast.threads import resolve_threads, take_blas_buffers

__all__ = [
    "BaggedMixtureOfExperts",
    "DegenerateDataWarning",
    "HierarchicalMixtureOfExpertsRegressor",
    "MixtureOfExpertsClassifier",
    "MixtureOfExpertsRegressor",
    "MixtureOfExpertsRegressorCV",
    "ModelFileError",
    "MomentAccumulator",
    "__version__",
    "build_info",
    "load_model",
    "lr_test",
    "save_model",
    "select_n_experts",
]

__version__: str = _core.__version__

take_blas_buffers()


def build_info() -> dict[str, Any]:
    """Tell what the extension was built with and how it runs.

    Returns
    -------
    dict
        version, compiler, openmp (whether threads are there at all), eigen, instruction_set (what the
        kernels use: the best this CPU has, or what the environment variable ``MOEFAST_ISA`` names),
        instruction_sets (what they could use here), super_block_rows, and threads: how many
        ``n_threads=None`` uses now.

    Examples
    --------
    >>> import moefast
    >>> moefast.build_info()["version"] == moefast.__version__
    True
    """
    info: dict[str, Any] = dict(_core.build_info())
    info["threads"] = resolve_threads(None) if info["openmp"] else 1
    return info
