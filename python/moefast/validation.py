"""Checks of user input whose errors name the column and the value to blame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from moefast._typing import Floats
from moefast.columns import (
    check_finite,
    column_label,
    column_names,
    explain_conversion,
    refuse_categories,
    refuse_misread,
)
from moefast.groups import RowGroups, group_labels
from moefast.samples import NO_TERMS, RowTerms, Samples

__all__ = [
    "check_choice",
    "check_features",
    "check_flag",
    "check_function",
    "check_integer",
    "check_levels",
    "check_number",
    "check_response",
    "check_responses",
    "check_samples",
    "check_terms",
    "check_verbose",
    "check_weights",
    "flat_response",
]

# Whole numbers up to here are exact in float64.
_MOST_TRIALS = 2**53


def check_weights(sample_weight: Any, n_samples: int, *, all_zero: bool = False) -> Floats:
    """Return `sample_weight` as float64 of shape (n_samples,); ones for None.

    Raises
    ------
    ValueError
        For a wrong shape, a negative or non-finite weight (its row is named), a sum beyond the range, or when
        all are zero and `all_zero` is not allowed.
    """
    if sample_weight is None:
        return np.ones(n_samples)
    refuse_misread(sample_weight, "sample_weight")
    weights = np.asarray(sample_weight)
    if weights.dtype.kind == "c":
        raise ValueError("sample_weight must be real, got complex values")
    try:
        weights = weights.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"sample_weight must be numeric: {error}") from None
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got sample_weight of shape {weights.shape}")
    if len(weights) != n_samples:
        raise ValueError(
            f"sample_weight must have one entry per row: expected ({n_samples},), got {weights.shape}"
        )
    check_finite(weights, what="sample_weight")
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise ValueError(f"sample_weight must not be negative, got {weights[row]} at row {row}")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"sample_weight adds up beyond the range of float64 (largest: {weights.max():.3g}); scale it"
        )
    if n_samples > 0 and not all_zero and not weights.any():
        raise ValueError("sample_weight is zero for every row; at least one must be positive")
    return weights


def flat_response(y: Any, n_samples: int) -> Any:
    """Return y, flattened with scikit-learn's DataConversionWarning when it is a single column."""
    return column_or_1d(np.asarray(y), warn=True) if np.shape(y) == (n_samples, 1) else y


def check_response(y: Any, n_samples: int, name: str = "y") -> Floats:
    """Return y as finite float64 of shape (n_samples,), or raise an error that names it.

    A single column is flattened, with a DataConversionWarning.
    """
    refuse_misread(y, name)
    if y is None:
        raise ValueError(f"This requires {name} to be passed, but the target {name} is None")
    if np.iscomplexobj(y):
        raise ValueError(f"{name} must be real, got complex values")
    y = flat_response(y, n_samples)
    if np.shape(y) != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), got {np.shape(y)}")
    try:
        y = np.asarray(y).astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{name} is not numeric: {error}") from None
    check_finite(y, what=name)
    return np.asarray(y)


def check_responses(y: Any, n_samples: int, n_responses: int) -> Floats:
    """Return y as finite float64 of shape (n_samples,), or (n_samples, q) for q > 1 responses."""
    if n_responses == 1:
        return check_response(y, n_samples)
    refuse_misread(y, "y")
    if y is None:
        raise ValueError("This requires y to be passed, but the target y is None")
    if np.iscomplexobj(y):
        raise ValueError("y must be real, got complex values")
    names, columns = column_names(y), np.asarray(y)
    if columns.shape != (n_samples, n_responses):
        raise ValueError(f"y must have shape ({n_samples}, {n_responses}), got {columns.shape}")
    numbers = np.empty((n_samples, n_responses))
    for j in range(n_responses):
        try:
            numbers[:, j] = columns[:, j].astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)(f"y {column_label(j, names)} is not numeric: {error}") from None
    check_finite(numbers, names, "y")
    return numbers


def _n_columns(y: Any) -> int:
    """Return how many columns y has, 1 where it is no table."""
    shape = getattr(y, "shape", None)
    if shape is None:
        try:
            shape = np.asarray(y).shape
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)(f"y is no array of numbers: {error}") from None
    return int(shape[1]) if len(shape) == 2 else 1


def check_features(X: Any, convert: Callable[..., Any] | None = None) -> Floats:
    """Return X as finite float64 of shape (n, d), or raise an error that names the column.

    `convert` takes the place of :func:`sklearn.utils.check_array`, whose arguments it must take: an estimator's
    own keeps the names and the number of its columns too.
    """
    return np.asarray(_finite_table(X, convert, np.float64))


def _finite_table(X: Any, convert: Callable[..., Any] | None, dtype: Any) -> Any:
    """Do the same as :func:`check_features`, with the types that X may have, the first being the usual one."""
    names = column_names(X)
    refuse_misread(X, "X")
    refuse_categories(X)
    try:
        if convert is not None and names is not None and not hasattr(X, "__dataframe__"):
            X = _with_names(X, names)
        table = (convert or partial(check_array, input_name="X"))(X, dtype=dtype, ensure_all_finite=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise explain_conversion(X, error) from None
    check_finite(table, names)
    return table


def _with_names(X: Any, names: Sequence[str]) -> Any:
    """Return a table whose names scikit-learn sees: its older versions want a protocol that polars 2 has not."""
    import pandas as pd  # `import moefast` does without

    return X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X), columns=pd.Index(names))


def check_samples(
    X: Any,
    y: Any,
    sample_weight: Any = None,
    convert: Callable[..., Any] | None = None,
    *,
    use: Literal["function", "fit", "model"] = "function",
    terms: RowTerms = NO_TERMS,
    groups: Any = None,
) -> Samples:
    """Check (X, y, sample_weight) for the plain functions of the package and for estimators.

    `convert` is that of :func:`check_features`. For "fit" an X of float32 stays so, and there and for a fitted
    "model" y may have several columns. `terms` are those of all rows, and `groups` has a label for each where
    several rows are of one expert.

    Returns
    -------
    Samples
        Without the rows of weight zero, so that these cannot influence anything. X is C-ordered whatever it was:
        sums by BLAS differ in the last bit between memory layouts. Rows in groups are sorted by group.

    Raises
    ------
    ValueError, TypeError
        For wrong shapes, values that are not numbers, NaN, infinity, bad weights and bad groups; the message names
        the column.
    """
    names = column_names(X)
    X = _finite_table(X, convert, [np.float64, np.float32] if use == "fit" else np.float64)
    refuse_misread(y, "y")
    q = 1 if y is None or use == "function" else _n_columns(y)
    responses = column_names(y) if q > 1 else None
    if y is not None:
        y = y if q > 1 else column_or_1d(y, warn=True)
        check_consistent_length(X, y)
    y = check_responses(y, len(X), q)
    weights = check_weights(sample_weight, len(y))
    labels = None if groups is None else group_labels(groups, len(y))
    keep = weights > 0
    if not keep.all():
        X, y, weights, terms = X[keep], y[keep], weights[keep], terms[keep]
        labels = None if labels is None else labels[keep]
    of_rows = None if labels is None else _checked_groups(labels, weights)
    if of_rows is not None:
        order = of_rows.order
        X, y, weights, terms = X[order], y[order], weights[order], terms[order]
    of_columns = None if names is None else tuple(names)
    of_responses = None if responses is None else tuple(responses)
    return Samples(
        np.ascontiguousarray(X), np.ascontiguousarray(y), weights, of_columns, terms, of_rows, of_responses
    )


def _checked_groups(labels: npt.NDArray[Any], weights: Floats) -> RowGroups | None:
    """Return the groups of rows of positive weight, or None where each row has a label of its own."""
    groups = RowGroups.of(labels)
    if groups.n_groups == len(labels):
        return None
    g = groups.varying(weights[groups.order])
    if g is not None:
        first, *others = weights[groups.order][groups.starts[g] : groups.starts[g + 1]]
        other = next(w for w in others if w != first)
        raise ValueError(
            "sample_weight must be the same for all rows of a group, whose log-likelihood it multiplies, got "
            f"{first:g} and {other:g} in group {groups.name(g)}"
        )
    return groups


def check_terms(offset: Any, n_trials: Any, n_samples: int) -> RowTerms:
    """Return what is known of rows besides x and y, each a number for all rows or an array of shape (n_samples,).

    Raises
    ------
    ValueError, TypeError
        For wrong shapes, values that are not finite numbers, and trials that are no whole numbers from 1 to 2^53.
    """

    def column(value: Any, name: str) -> Floats | None:
        if value is None:
            return None
        return check_response(np.full(n_samples, value) if np.ndim(value) == 0 else value, n_samples, name)

    shift, trials = column(offset, "offset"), column(n_trials, "n_trials")
    if trials is not None:
        bad = (trials < 1) | (trials > _MOST_TRIALS) | (trials != np.floor(trials))
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(
                f"n_trials must be whole numbers from 1 to {_MOST_TRIALS}, got {trials[row]:.6g} at row {row}"
            )
    return NO_TERMS if shift is None and trials is None else RowTerms(shift, trials)


def check_integer(name: str, value: object, high: int = 2**31 - 1, low: int = 1) -> None:
    """Raise TypeError unless `value` is an integer, ValueError unless it lies between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
    if value > high:
        raise ValueError(f"{name} must be at most {high}, got {value}")


def check_number(name: str, value: Any, low: float = 0.0, open_low: bool = False, high: float = np.inf) -> None:
    """Raise ValueError unless `value` is a finite number from `low` to `high`, without `low` if `open_low`."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        number = number and math.isfinite(value)
    except OverflowError:  # a whole number beyond the range
        number = False
    if not number or value < low or (open_low and value == low) or float(value) > high:
        limits = f"{'above' if open_low else 'not below'} {low:g}"
        limits += f" and at most {high:g}" if np.isfinite(high) else ""
        raise ValueError(f"{name} must be a finite number {limits}, got {value!r}")


def check_levels(name: str, value: Any) -> Floats:
    """Return a probability, shape (), or several, shape (m,), as float64.

    Raises
    ------
    TypeError, ValueError
        When it is no number or a sequence of numbers above 0 and below 1; the value is named.
    """
    levels = np.asarray(value)
    if levels.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a number or a sequence of numbers, got {value!r}")
    if levels.ndim > 1 or levels.size == 0:
        raise ValueError(f"{name} must be a number or a sequence of numbers, got an array of shape {levels.shape}")
    bad = ~((levels > 0) & (levels < 1))
    if bad.any():
        raise ValueError(f"{name} must lie above 0 and below 1, got {levels[bad].ravel()[0]}")
    return levels.astype(np.float64)


def check_flag(name: str, value: object) -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def check_verbose(value: object) -> None:
    """Raise unless `value` is True, False or an integer not below 0."""
    if not isinstance(value, (bool, np.bool_)):
        check_integer("verbose", value, low=0)


def check_function(name: str, value: object) -> None:
    """Raise TypeError unless `value` is None or can be called."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function or None, got {value!r}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
