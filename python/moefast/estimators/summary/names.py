"""What to call the columns of X, and y."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moefast.estimators.base import MixtureEstimator

__all__ = ["coefficients_in_words", "feature_names", "response_name", "response_names"]


def feature_names(model: MixtureEstimator) -> list[str]:
    """Return the model's column names, or x0, x1, ... without names, and those of the functions of its gates."""
    names = getattr(model, "feature_names_in_", None)
    found = [f"x{j}" for j in range(model.n_features_in_)] if names is None else [str(n) for n in names]
    return found if model.gate_basis_ is None else [*found, *model.gate_basis_.names]


def response_names(model: MixtureEstimator) -> list[str]:
    """Return the names of a model's responses, or y0, y1, ... when they had none."""
    names = model.response_names_
    return [f"y{j}" for j in range(model.n_responses_)] if names is None else list(names)


def response_name(y: Any) -> str | None:
    """Return the name of a series, or of a data frame's only column; None where there is no name.

    Examples
    --------
    >>> import pandas as pd
    >>> response_name(pd.Series([1.0, 2.0], name="yield"))
    'yield'
    """
    name = getattr(y, "name", None)
    if name is None:
        columns = getattr(y, "columns", None)
        name = columns[0] if columns is not None and len(columns) == 1 else None
    # polars calls a series without a name ""
    return None if name is None or callable(name) or str(name) == "" else str(name)


def coefficients_in_words(
    coefficients: Sequence[tuple[int, int]], experts: Sequence[str], names: Sequence[str]
) -> str:
    """Name coefficients, which are given by expert and column, where column d is the intercept.

    Examples
    --------
    >>> coefficients_in_words([(0, 1), (0, 2), (1, 0)], ["expert 0", "expert 1"], ["age", "dose"])
    'expert 0 (dose and intercept) and expert 1 (age)'
    """
    terms: dict[str, list[str]] = {}
    for i, j in coefficients:
        terms.setdefault(experts[i], []).append([*names, "intercept"][j])
    return _listed([f"{expert} ({_listed(of)})" for expert, of in terms.items()])


def _listed(words: Sequence[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])
