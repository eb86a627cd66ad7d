r"""Linear experts from the score tensors of their own columns given the gates' columns.

The tensors give the coefficients of the columns that experts see and gates do not (there have to be as many
independent ones as experts); see :mod:`moefast.spectral.conditional_scores`. The rest of the expert i, its
intercept and its coefficients of columns that the gates see too, follows from lower moments. With the dual
vectors, :math:`d_i \cdot \alpha_j = [i = j]`, and a response :math:`t = y - m(x_g) - l \cdot z`,

.. math::

    E[p_i + t\, d_i \cdot z \mid x_g] = p_i(x_g), \qquad
    E[\tfrac12 t^2\, d_i \cdot z + p_i t \mid x_g] = p_i(x_g) (\beta_i(x_g) - m(x_g))

where :math:`\beta_i(x_g)` is the expert at z = 0. So the rows have weights and responses of every expert, right in
the mean, and the rest of the expert is a weighted regression.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from moefast._typing import Floats
from moefast.links import LINKS
from moefast.randomness import RandomState
from moefast.samples import Samples
from moefast.spectral.conditional_scores import ConditionalScores
from moefast.spectral.experts import SpectralExperts
from moefast.spectral.whitening import subspace_whitening
from moefast.standardisation import Standardisation
from moefast.tensors.power_method import power_iteration
from moefast.threads import resolve_threads
from moefast.validation import check_flag, check_integer, check_samples

__all__ = ["ColumnRoles", "check_columns", "recover_experts_given_gates", "recover_given_gates"]


# An expert has the first share of the rows at least. In directions of the regressors in which it seems to have
# less than the second share of its rows, it is held that much nearer to the regression of all rows.
_LEAST_PROPORTION, _LEAST_SHARE = 0.02, 0.2
# The noise variance is at least this share of the variance of what the features' mean slope leaves.
_LEAST_NOISE = 1e-4


@dataclass(frozen=True, eq=False)
class ColumnRoles:
    """Which columns are seen by whom.

    Attributes
    ----------
    own : ndarray of intp
        Of experts alone.
    shared : ndarray of intp
        Of experts and gates.
    gates : ndarray of intp
        Of gates: the shared ones, and others.
    """

    own: npt.NDArray[np.intp]
    shared: npt.NDArray[np.intp]
    gates: npt.NDArray[np.intp]

    @classmethod
    def of(cls, experts: Any, gates: Any, n_features: int) -> ColumnRoles:
        """Return the roles where `experts` and `gates` are positions of columns, None for all."""
        everything = np.arange(n_features)
        experts, gates = (
            everything if c is None else np.array(sorted(c), dtype=np.intp) for c in (experts, gates)
        )
        return cls(np.setdiff1d(experts, gates), np.intersect1d(experts, gates), gates)


def recover_experts_given_gates(
    X: Any,
    y: Any,
    n_experts: int,
    *,
    gate_columns: Any,
    expert_columns: Any = None,
    fit_intercept: bool = True,
    sample_weight: Any = None,
    random_state: RandomState = None,
    n_threads: int | None = None,
) -> SpectralExperts:
    """Recover linear experts that see columns which the gates do not see.

    Consistent for gates of any form, any intercepts, norms and noise, where the experts' own columns less their
    linear regression on the gates' columns are normal and independent of these (normal x, say).
    :func:`recover_experts` wants gates orthogonal to the experts and one norm and intercept instead.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    n_experts : int
        k, at most the number of independent columns that experts see and gates do not.
    gate_columns : sequence of int
        Positions of the columns that the gates see; empty for constant gates.
    expert_columns : sequence of int, optional
        Of those that the experts see; all by default.
    fit_intercept : bool
        Experts have intercepts.
    sample_weight : array-like of shape (n,), optional
    random_state : int, Generator, RandomState or None
        For the restarts of the power method.
    n_threads : int or None

    Returns
    -------
    SpectralExperts
        Its `directions` and `spectrum` are those of the whitened residuals of the experts' own columns.

    Raises
    ------
    ValueError, TypeError
        For bad input, or more experts than own columns that are linearly independent given the gates' columns.
    OverflowError
        When products of X and y leave the range of float64.

    Warns
    -----
    ConvergenceWarning
        When a direction did not settle: as a rule there are fewer experts in the moments than asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.spectral import recover_experts_given_gates
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(50_000, 3))
    >>> X[:, :2] += X[:, 2:]
    >>> second = rng.random(50_000) < 1 / (1 + np.exp(-3 * X[:, 2]))
    >>> y = np.where(second, 1 + 2 * X[:, 0], -X[:, 1]) + 0.1 * rng.normal(size=50_000)
    >>> found = recover_experts_given_gates(X, y, 2, gate_columns=[2], expert_columns=[0, 1], random_state=0)
    >>> order = np.argsort(found.coef[:, 0])
    >>> bool(np.abs(found.coef[order] - [[0, -1, 0], [2, 0, 0]]).max() < 0.1)
    True
    """
    check_flag("fit_intercept", fit_intercept)
    resolve_threads(n_threads)
    samples = check_samples(X, y, sample_weight)
    seen = {"expert_columns": expert_columns, "gate_columns": gate_columns}
    for name, columns in seen.items():
        if columns is not None or name == "gate_columns":
            check_columns(name, columns, samples.n_features)
    roles = ColumnRoles.of(expert_columns, gate_columns, samples.n_features)
    centred = fit_intercept  # a shift would bring intercepts in
    units = Standardisation.of(samples, x="centred", y="centred") if centred else Standardisation.of(samples)
    standard = units.samples(samples)
    check_integer("n_experts", n_experts)
    _refuse_more(n_experts, len(roles.own))
    scores = ConditionalScores.of(standard, roles.own, roles.gates, n_threads)
    _refuse_more(n_experts, scores.rank)
    found = recover_given_gates(standard, scores, roles, n_experts, fit_intercept, random_state).to_units(units)
    if not found.converged:
        warnings.warn(
            f"the tensor power method did not settle on {n_experts} directions: "
            + ", ".join(found.pairs.statuses),
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


def _refuse_more(n_experts: int, available: int) -> None:
    if n_experts > available:
        raise ValueError(
            f"n_experts must be at most {available}, the number of columns that experts see, gates do not, and "
            f"that are linearly independent given those of the gates; got {n_experts}"
        )


def check_columns(name: str, columns: Any, n_features: int) -> None:
    """Raise unless `columns` are different positions of columns."""
    if not isinstance(columns, (tuple, list, np.ndarray)):
        raise TypeError(f"{name} must be positions of columns, got {columns!r}")
    for j in columns:
        check_integer(name, j, low=0, high=n_features - 1)
    if len(set(columns)) < len(columns):
        raise ValueError(f"{name} must name each column once, got {columns!r}")


def recover_given_gates(
    samples: Samples,
    scores: ConditionalScores,
    roles: ColumnRoles,
    n_experts: int,
    fit_intercept: bool = True,
    random_state: RandomState = None,
) -> SpectralExperts:
    """Do the same as :func:`recover_experts_given_gates` from samples in standard units and their scores."""
    second = scores.second_tensor()
    whole = second + np.outer(scores.slope, scores.slope)
    whitening = subspace_whitening(whole, n_experts, scores.moments.whitening)
    pairs = power_iteration(scores.third_tensor(second, whitening.into), n_experts, random_state=random_state)
    # T3 = sum_i p_i^(-1/2) u_i u_i u_i with orthonormal u_i = p_i^(1/2) into' alpha_i
    alpha = np.minimum(pairs.values, _LEAST_PROPORTION**-0.5)[:, None] * (pairs.vectors @ whitening.back.T)
    norms = np.linalg.norm(alpha, axis=1, keepdims=True)
    coef = np.zeros((n_experts, samples.n_features))
    coef[:, roles.own] = alpha @ scores.moments.whitening.T
    rest = _Rest.of(samples, scores, alpha, coef)
    seen = np.column_stack([*([np.ones(samples.n_rows)] if fit_intercept else []), samples.X[:, roles.shared]])
    found, sigma = rest.regressions(seen)
    coef[:, roles.shared] = found[:, int(fit_intercept) :]
    return SpectralExperts(
        coef=coef,
        intercept=found[:, 0] if fit_intercept else np.zeros(n_experts),
        proportions=rest.proportions / rest.proportions.sum(),
        sigma=sigma,
        directions=np.divide(alpha, norms, out=np.zeros_like(alpha), where=norms > 0),
        spectrum=whitening.spectrum,
        pairs=pairs,
        link=LINKS["linear"],
    )


@dataclass(frozen=True, eq=False)
class _Rest:
    """What the rows say of the rest of the experts, once the coefficients of their own columns are known.

    Attributes
    ----------
    scores : ConditionalScores
    alpha : ndarray of shape (k, r)
        The experts in z.
    proportions : ndarray of shape (k,)
        p_i, from the mean slope: sum_i p_i alpha_i = l.
    weights : ndarray of shape (n, k)
        Given the gates' columns these are the gates p_i(x_g) in the mean.
    level : ndarray of shape (n, k)
        m(x_g) less what the expert's own columns add at z = 0.
    """

    scores: ConditionalScores
    alpha: Floats
    proportions: Floats
    weights: Floats
    level: Floats
    _along: Floats

    @classmethod
    def of(cls, samples: Samples, scores: ConditionalScores, alpha: Floats, coef: Floats) -> _Rest:
        duals = np.linalg.pinv(alpha.T, rcond=1e-6)
        along, t = scores.Z @ duals.T, scores.residuals.y[:, None]
        proportions = np.clip(duals @ scores.slope, _LEAST_PROPORTION, 1.0)
        at_zero = samples.y[:, None] - t - samples.X @ coef.T + scores.Z @ (alpha - scores.slope).T
        return cls(scores, alpha, proportions, proportions + t * along, at_zero, along)

    def regressions(self, seen: Floats) -> tuple[Floats, float]:
        """Return every expert's coefficients of regressors (n, p), shape (k, p), and the noise."""
        share, t = self.scores.residuals.share, self.scores.residuals.y
        square = float(share @ t**2)
        weighted = share[:, None] * seen
        values, vectors = np.linalg.eigh(weighted.T @ seen)
        keep = values > 1e-10 * values.max(initial=0.0)
        white = vectors[:, keep] / np.sqrt(values[keep])
        common = white @ (white.T @ (weighted.T @ self.level))  # as if all experts were one
        level = self.level - seen @ common
        # p_i t would belong to it, but t, a residual of the gates' columns, has no products with the regressors
        responses = 0.5 * (t**2 - square)[:, None] * self._along + self.weights * level
        found = common.T
        explained = float(self.proportions @ ((self.alpha - self.scores.slope) ** 2).sum(axis=1))
        for i, proportion in enumerate(self.proportions):
            gram = white.T @ ((weighted * self.weights[:, [i]]).T @ seen) @ white
            sizes, axes = np.linalg.eigh(gram)  # between 0 and 1 but for sampling
            into = white @ axes
            sizes = np.maximum(sizes, _LEAST_SHARE * proportion)
            apart = (into.T @ (weighted.T @ responses[:, i])) / sizes
            apart *= min(1.0, np.sqrt(square / max(float(sizes @ apart**2), 1e-300)))  # no more than there is
            found[i] += into @ apart
            explained += float(share @ (self.weights[:, i] * (seen @ (into @ apart) - level[:, i]) ** 2))
        return found, float(np.sqrt(max(square - explained, _LEAST_NOISE * square)))
