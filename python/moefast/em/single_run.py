"""EM from one given start, on a table in its own units."""

from __future__ import annotations

from typing import Any

from moefast.em.fit import EmFit
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.mixture import Mixture, check_mixture
from moefast.validation import check_samples

__all__ = ["fit_em"]


def fit_em(
    X: Any,
    y: Any,
    start: Mixture,
    *,
    sample_weight: Any = None,
    groups: Any = None,
    options: EmOptions | None = None,
) -> EmFit:
    """Run joint EM from a given start until it settles.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    start : Mixture
        In the units of the data, for instance the truth of a simulation. Its link is that of the experts.
    sample_weight : array-like of shape (n,), optional
    groups : array-like of shape (n,), optional
        A label for each row, where all rows of a group are of one expert: `options` then have `gate_columns` that
        are the same in all rows of a group.
    options : EmOptions, optional

    Returns
    -------
    EmFit
        In the units of the data.

    Raises
    ------
    ValueError, TypeError
        For bad input (the column is named), or a start of another shape.

    Examples
    --------
    >>> from moefast.datasets import make_moe
    >>> from moefast.em import fit_em
    >>> X, y, truth = make_moe(2000, 3, 2, random_state=0)
    >>> fit = fit_em(X, y, truth)
    >>> fit.converged, bool(abs(fit.mixture.coef - truth.coef).max() < 0.02)
    (True, True)
    """
    samples = check_samples(X, y, sample_weight, groups=groups)
    if not isinstance(start, Mixture):
        raise TypeError(f"start must be a Mixture, got {type(start).__name__}")
    check_mixture("start", start, samples.n_features)
    problem = EmProblem(samples, EmOptions.given(options), start.link)
    return problem.result(problem.run(start.to_standard(problem.standardisation)))
