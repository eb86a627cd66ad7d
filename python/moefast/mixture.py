r"""The model itself: parameters of a mixture of experts and what follows from them.

.. math::

    P(y \mid x) = \sum_i p_i(x)\, N(y \mid g(a_i \cdot x + b_i), s_i^2), \qquad p(x) = \mathrm{softmax}(W x + c)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

from moefast._typing import Floats
from moefast.links import LINKS, Link
from moefast.quantiles import mixture_cdf, mixture_quantile
from moefast.standardisation import Standardisation

__all__ = ["GatedExperts", "Mixture", "check_arrays", "check_experts", "check_mixture", "check_sigma"]


class GatedExperts(ABC):
    """What follows from the experts and log p_i(x), however the gates come about."""

    coef: Floats
    intercept: Floats
    gate_coef: Floats | tuple[Floats, ...]
    gate_intercept: Floats | tuple[Floats, ...]
    sigma: Floats
    link: Link

    @abstractmethod
    def log_gates(self, X: Floats) -> Floats:
        """Return log p_i(x), shape (n, k)."""

    @property
    def n_experts(self) -> int:
        """The number of experts k."""
        return len(self.coef)

    @property
    def n_features(self) -> int:
        """The number of features d."""
        return int(self.coef.shape[1])

    def expert_means(self, X: Floats) -> Floats:
        """Return g(a_i.x + b_i), shape (n, k)."""
        return self.link(X @ self.coef.T + self.intercept)

    def gates(self, X: Floats) -> Floats:
        """Return p_i(x), shape (n, k)."""
        return np.exp(self.log_gates(X))

    def joint_log_density(self, X: Floats, y: Floats, means: Floats | None = None) -> Floats:
        """Return log p_i(x) + log N(y | expert i), shape (n, k); `means` replaces what the experts predict."""
        z = (y[:, None] - (self.expert_means(X) if means is None else means)) / self.sigma
        values: Floats = self.log_gates(X) - 0.5 * z**2 - np.log(self.sigma) - 0.5 * np.log(2 * np.pi)
        return values

    def log_density(self, X: Floats, y: Floats) -> Floats:
        """Return log P(y | x), shape (n,)."""
        values: Floats = logsumexp(self.joint_log_density(X, y), axis=1)
        return values

    def responsibilities(self, X: Floats, y: Floats, means: Floats | None = None) -> Floats:
        """Return P(expert i | x, y), shape (n, k); `means` replaces what the experts predict."""
        joint = self.joint_log_density(X, y, means)
        return np.asarray(np.exp(joint - logsumexp(joint, axis=1, keepdims=True)), dtype=np.float64)

    def mean(self, X: Floats) -> Floats:
        """Return E[y | x], shape (n,)."""
        p, means = self._gated_means(X)
        return np.asarray(np.sum(p * means, axis=1))

    def std(self, X: Floats) -> Floats:
        """Return the standard deviation of y given x, shape (n,)."""
        p, means = self._gated_means(X)
        unit = float(self.sigma.max())  # squares of very large or small units would leave the range
        distance = (means - np.sum(p * means, axis=1, keepdims=True)) / unit
        return np.asarray(unit * np.sqrt(np.sum(p * ((self.sigma / unit) ** 2 + distance**2), axis=1)))

    def _gated_means(self, X: Floats) -> tuple[Floats, Floats]:
        """Return p_i(x) and what the experts predict, 0 where p_i(x) is 0: there it may be infinite."""
        p = self.gates(X)
        return p, np.where(p > 0, self.expert_means(X), 0.0)

    def log_density_grid(self, X: Floats, grid: Floats) -> Floats:
        """Return log P(y | x) at every row of X and every y of a grid of shape (g,), shape (n, g)."""
        log_gates, means = self.log_gates(X), self.expert_means(X)
        total = np.full((len(X), len(grid)), -np.inf)
        for i, s in enumerate(self.sigma):
            z = (grid - means[:, i, None]) / s
            np.logaddexp(total, log_gates[:, i, None] - 0.5 * z**2 - np.log(s), out=total)
        return np.asarray(total - 0.5 * np.log(2 * np.pi))

    def cdf(self, X: Floats, y: Floats) -> Floats:
        """Return P(Y <= y | x), shape (n,)."""
        return mixture_cdf(*self._gated_means(X), self.sigma, y)

    def quantile(self, X: Floats, levels: Floats) -> Floats:
        """Return the y with P(Y <= y | x) = q for each q of shape (m,), shape (n, m); NaN beyond the range."""
        p, means = self._gated_means(X)
        return np.stack([mixture_quantile(p, means, self.sigma, float(q)) for q in levels], axis=1)

    def draw(self, X: Floats, rng: np.random.Generator) -> Floats:
        """Return one y for each row of X, shape (n,)."""
        p = self.gates(X)
        u = np.asarray(rng.uniform(size=(len(X), 1)))
        chosen = np.minimum((np.cumsum(p, axis=1) < u).sum(axis=1), self.n_experts - 1)
        rows = np.arange(len(X))
        return np.asarray(self.expert_means(X)[rows, chosen] + self.sigma[chosen] * rng.normal(size=len(X)))


@dataclass(frozen=True)
class Mixture(GatedExperts):
    """Parameters of a mixture of k experts over d features.

    Attributes
    ----------
    coef : ndarray of shape (k, d)
        a_i.
    intercept : ndarray of shape (k,)
        b_i.
    gate_coef : ndarray of shape (k, d)
        W; the last row is 0.
    gate_intercept : ndarray of shape (k,)
        c; the last entry is 0.
    sigma : ndarray of shape (k,)
        s_i.
    link : Link
        g.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.mixture import Mixture
    >>> m = Mixture(np.eye(2), np.zeros(2), np.array([[5.0, 0.0], [0.0, 0.0]]), np.zeros(2), np.full(2, 0.1))
    >>> m.mean(np.array([[2.0, 3.0]])).round(3)
    array([2.])
    """

    coef: Floats
    intercept: Floats
    gate_coef: Floats
    gate_intercept: Floats
    sigma: Floats
    link: Link = field(default=LINKS["linear"])

    def log_gates(self, X: Floats) -> Floats:
        """Return log p_i(x), shape (n, k)."""
        values: Floats = log_softmax(X @ self.gate_coef.T + self.gate_intercept, axis=1)
        return values

    def ordered(self, order: npt.NDArray[np.intp]) -> Mixture:
        """Return the same mixture with its experts in another order; the last gate row is again 0."""
        gate_coef, gate_intercept = self.gate_coef[order], self.gate_intercept[order]
        with np.errstate(invalid="ignore"):  # infinite gates are refused later
            gate_coef, gate_intercept = gate_coef - gate_coef[-1], gate_intercept - gate_intercept[-1]
        return replace(
            self,
            coef=self.coef[order],
            intercept=self.intercept[order],
            gate_coef=gate_coef,
            gate_intercept=gate_intercept,
            sigma=self.sigma[order],
        )

    def to_units(self, s: Standardisation) -> Mixture:
        """Return a mixture found in standard units in the units of the data.

        Only linear experts can be shifted in y, only those of homogeneous links (ReLU) rescaled; for other links
        `s` has y_mean 0 and y_scale 1.
        """
        coef, intercept = s.expert_to_units(self.coef, self.intercept)
        gate_coef, gate_intercept = s.gate_to_units(self.gate_coef, self.gate_intercept)
        return Mixture(coef, intercept, gate_coef, gate_intercept, self.sigma * s.y_scale, self.link)

    def to_standard(self, s: Standardisation) -> Mixture:
        """Undo :meth:`to_units`."""
        coef, intercept = s.expert_to_standard(self.coef, self.intercept)
        gate_coef, gate_intercept = s.gate_to_standard(self.gate_coef, self.gate_intercept)
        return Mixture(coef, intercept, gate_coef, gate_intercept, self.sigma / s.y_scale, self.link)


def check_experts(name: str, experts: Any, n_features: int) -> None:
    """Raise unless `experts` has a finite coef (k, n_features) and intercept (k,), and a Link."""
    for attribute in ("coef", "intercept", "link"):
        if not hasattr(experts, attribute):
            hint = ", whose mixture_ has" if hasattr(experts, "mixture_") else ""
            raise TypeError(f"{name} must have coef, intercept and link, got {type(experts).__name__}{hint}")
    if not isinstance(experts.link, Link):
        raise TypeError(f"{name} must have a Link for link, got {experts.link!r}")
    coef, intercept = np.asarray(experts.coef), np.asarray(experts.intercept)
    if coef.ndim != 2 or len(coef) == 0 or intercept.shape != coef.shape[:1]:
        raise ValueError(
            f"{name} must have coef of shape (k, d) and intercept of shape (k,), got {coef.shape} and "
            f"{intercept.shape}"
        )
    if coef.shape[1] != n_features:
        raise ValueError(f"{name} has {coef.shape[1]} features, X has {n_features}")
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(f"{name} has NaN or infinity in coef or intercept")


def check_mixture(name: str, mixture: Mixture, n_features: int) -> None:
    """Raise ValueError unless all parameters of a mixture over `n_features` fit together and are finite."""
    check_experts(name, mixture, n_features)
    k = mixture.n_experts
    gates = ("gate_coef", mixture.gate_coef, (k, n_features)), ("gate_intercept", mixture.gate_intercept, (k,))
    check_arrays(name, [*gates, ("sigma", mixture.sigma, (k,))])
    check_sigma(name, mixture.sigma)


def check_arrays(name: str, arrays: Sequence[tuple[str, Floats, tuple[int, ...]]]) -> None:
    """Raise ValueError unless the arrays of `name`, each with what it is called, have a shape and are finite."""
    for what, values, shape in arrays:
        if np.shape(values) != shape:
            raise ValueError(f"{name} must have {what} of shape {shape}, got {np.shape(values)}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has NaN or infinity in {what}")


def check_sigma(name: str, sigma: Floats) -> None:
    """Raise ValueError unless all noise is positive."""
    if not (sigma > 0).all():
        raise ValueError(f"{name} must have positive sigma, got {sigma}")
