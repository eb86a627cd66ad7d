r"""The model itself: parameters of a mixture of experts and what follows from them.

.. math::

    P(y \mid x) = \sum_i p_i(x)\, N(y \mid g(a_i \cdot x + b_i), s_i^2), \qquad p(x) = \mathrm{softmax}(W x + c)

or with the law :math:`f(y \mid a_i \cdot x + b_i)` of another family in place of N, see :mod:`moefast.families`;
of several responses with :math:`N_q(y \mid A_i x + b_i, \Sigma_i)`.
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
from moefast.families import GAUSSIAN, Family, Gaussian, Predictors
from moefast.families.quantiles import family_quantile
from moefast.links import LINKS, Link
from moefast.quantiles import mixture_quantile
from moefast.row_products import row_products
from moefast.samples import NO_TERMS, RowTerms
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
    family: Family = GAUSSIAN
    covariance: Floats | None = None

    @property
    def shape(self) -> Floats:
        """The shapes of the experts' laws, of families that have one, else 1; shape (k,)."""
        return np.ones(len(self.coef))

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
        return int(self.coef.shape[-1])

    def predictors(self, X: Floats, terms: RowTerms = NO_TERMS) -> Predictors:
        """Return g(a_i.x + b_i), with the offset, and what else there is of the experts."""
        if self.coef.ndim == 2:
            eta = self.link(row_products(X, self.coef) + self.intercept)
        else:
            each = row_products(X, self.coef.reshape(-1, self.n_features))
            eta = each.reshape(len(X), *self.coef.shape[:2]) + self.intercept
        if terms.offset is not None:
            eta = eta + terms.offset[:, None]
        trials = 1.0 if terms.n_trials is None else terms.n_trials[:, None]
        return Predictors(eta, self.sigma, self.shape, trials, self.covariance)

    def expert_means(self, X: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return what each expert expects of y, g(a_i.x + b_i) for normal y, shape (n, k), or (n, k, q)."""
        return self.family.mean(self.predictors(X, terms))

    def gates(self, X: Floats) -> Floats:
        """Return p_i(x), shape (n, k)."""
        return np.exp(self.log_gates(X))

    def joint_log_density(
        self, X: Floats, y: Floats, terms: RowTerms = NO_TERMS, means: Floats | None = None
    ) -> Floats:
        """Return log p_i(x) + log f(y | expert i), shape (n, k); `means` replaces what normal experts predict."""
        of = self.predictors(X, terms) if means is None else Predictors(means, self.sigma, self.shape)
        values: Floats = self.log_gates(X) + self.family.log_density(of, y[:, None])
        return values

    def log_density(self, X: Floats, y: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return log P(y | x), shape (n,)."""
        values: Floats = logsumexp(self.joint_log_density(X, y, terms), axis=1)
        return values

    def responsibilities(
        self, X: Floats, y: Floats, terms: RowTerms = NO_TERMS, means: Floats | None = None
    ) -> Floats:
        """Return P(expert i | x, y), shape (n, k); `means` replaces what normal experts predict."""
        joint = self.joint_log_density(X, y, terms, means)
        joint -= joint.max(axis=1, keepdims=True)
        np.exp(joint, out=joint)
        joint /= joint.sum(axis=1, keepdims=True)
        return joint

    def mean(self, X: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return E[y | x], shape (n,), or (n, q)."""
        p, of = self._gated(X, terms)
        return np.asarray(np.sum(p * self.family.mean(of), axis=1))

    def std(self, X: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return the standard deviation of y given x, shape (n,), or (n, q)."""
        p, of = self._gated(X, terms)
        unit = self.sigma.max(axis=0)  # squares of very large or small units would leave the range
        means, inside = self.family.mean(of), np.where(p > 0, self.family.std(of), 0.0) / unit
        distance = (means - np.sum(p * means, axis=1, keepdims=True)) / unit
        return np.asarray(unit * np.sqrt(np.sum(p * (inside**2 + distance**2), axis=1)))

    def _gated(self, X: Floats, terms: RowTerms) -> tuple[Floats, Predictors]:
        """Return p_i(x) and what experts say, 0 where p_i(x) is 0: there it may be infinite.

        p_i(x) is of shape (n, k), or (n, k, 1) for several responses.
        """
        p, of = self.gates(X), self.predictors(X, terms)
        if self.covariance is not None:
            p = p[:, :, None]
        return p, of.moved(np.where(p > 0, of.eta, 0.0))

    def log_density_grid(self, X: Floats, grid: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return log P(y | x) at every row of X and every y of a grid of shape (g,), shape (n, g)."""
        log_gates, of = self.log_gates(X), self.predictors(X, terms)
        total = np.full((len(X), len(grid)), -np.inf)
        for i in range(self.n_experts):
            np.logaddexp(total, log_gates[:, i, None] + self.family.log_density(of.of_expert(i), grid), out=total)
        return total

    def log_probabilities(self, X: Floats) -> Floats:
        """Return the logarithms of the probabilities of all classes, (n, C), of classes."""
        of_experts = self.family.log_probabilities(self.predictors(X))
        return np.asarray(logsumexp(self.log_gates(X)[:, :, None] + of_experts, axis=1))

    def probabilities(self, X: Floats) -> Floats:
        """Return the probabilities of all classes, (n, C), of classes."""
        return np.exp(self.log_probabilities(X))

    def cdf(self, X: Floats, y: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return P(Y <= y | x), shape (n,); of each response by itself, (n, q)."""
        p, of = self._gated(X, terms)
        return np.asarray(np.sum(p * self.family.cdf(of, y[:, None]), axis=1))

    def quantile(self, X: Floats, levels: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Return the smallest y with P(Y <= y | x) >= q for each q of shape (m,), shape (n, m).

        NaN beyond the range.
        """
        p, of = self._gated(X, terms)
        if isinstance(self.family, Gaussian):
            return np.stack([mixture_quantile(p, of.eta, self.sigma, float(q)) for q in levels], axis=1)
        return np.stack([family_quantile(self.family, p, of, float(q)) for q in levels], axis=1)

    def draw(self, X: Floats, rng: np.random.Generator, terms: RowTerms = NO_TERMS) -> Floats:
        """Return one y for each row of X, shape (n,), or (n, q)."""
        p = self.gates(X)
        u = np.asarray(rng.uniform(size=(len(X), 1)))
        chosen = np.minimum((np.cumsum(p, axis=1) < u).sum(axis=1), self.n_experts - 1)
        return self.family.draw(self.predictors(X, terms).chosen(chosen), rng)[:, 0]


@dataclass(frozen=True)
class Mixture(GatedExperts):
    """Parameters of a mixture of k experts over d features.

    Attributes
    ----------
    coef : ndarray of shape (k, d)
        a_i; (k, q, d) for families with q predictors an expert, and for q responses.
    intercept : ndarray of shape (k,)
        b_i; (k, q) likewise.
    gate_coef : ndarray of shape (k, d)
        W; the last row is 0.
    gate_intercept : ndarray of shape (k,)
        c; the last entry is 0.
    sigma : ndarray of shape (k,)
        s_i; 1 for families without a scale; (k, q) for q responses.
    link : Link
        g.
    family : Family
        The law of y.
    shape : ndarray of shape (k,)
        Of families that have one, else 1; the default is 1.
    covariance : ndarray of shape (k, q, q), or None
        Of several responses; its diagonal has the squares of `sigma`.

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
    family: Family = GAUSSIAN
    shape: Floats = field(default=None)  # type: ignore[arg-type]  # ones, as many as there are experts
    covariance: Floats | None = None

    def __post_init__(self) -> None:
        if self.shape is None:
            object.__setattr__(self, "shape", np.ones(len(self.coef)))

    def log_gates(self, X: Floats) -> Floats:
        """Return log p_i(x), shape (n, k)."""
        values: Floats = log_softmax(row_products(X, self.gate_coef) + self.gate_intercept, axis=1)
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
            shape=self.shape[order],
            covariance=None if self.covariance is None else self.covariance[order],
        )

    def of_response(self, j: int) -> Mixture:
        """Return what the mixture says of one of several responses by itself: the same gates, normal experts."""
        coef, intercept, sigma = self.coef[:, j], self.intercept[:, j], self.sigma[:, j]
        return replace(self, coef=coef, intercept=intercept, sigma=sigma, family=GAUSSIAN, covariance=None)

    def quantile(self, X: Floats, levels: Floats, terms: RowTerms = NO_TERMS) -> Floats:
        """Do the same as for any experts; of each of several responses by itself, shape (n, m, q)."""
        if self.covariance is None:
            return super().quantile(X, levels, terms)
        each = [self.of_response(j) for j in range(self.sigma.shape[1])]
        return np.stack([response.quantile(X, levels) for response in each], axis=2)

    def to_units(self, s: Standardisation) -> Mixture:
        """Return a mixture found in standard units in the units of the data.

        Only linear experts of families of location can be shifted in y, only those of homogeneous links (ReLU)
        rescaled; for other links and families `s` has y_mean 0 and y_scale 1.
        """
        coef, intercept = s.expert_to_units(self.coef, self.intercept)
        gates = s.gate_to_units(self.gate_coef, self.gate_intercept)
        moved = self._moved((coef, intercept), gates, s.y_scale)
        return replace(moved, family=self.family.in_units(-s.y_mean / s.y_scale, 1.0 / s.y_scale))

    def to_standard(self, s: Standardisation) -> Mixture:
        """Undo :meth:`to_units`; OverflowError where the result leaves the range of float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            experts = s.expert_to_standard(self.coef, self.intercept)
            gates = s.gate_to_standard(self.gate_coef, self.gate_intercept)
            moved = self._moved(experts, gates, 1.0 / s.y_scale)
            parts = (*experts, *gates, moved.sigma**2)
        if not all(np.isfinite(part).all() for part in parts):
            raise OverflowError("the mixture is out of all proportion to the data; was it fitted to other units?")
        return replace(moved, family=self.family.in_units(s.y_mean, s.y_scale))

    def _moved(self, experts: tuple[Floats, Floats], gates: tuple[Floats, Floats], unit: Any) -> Mixture:
        covariance = self.covariance
        if covariance is not None:
            covariance = unit[:, None] * covariance * unit
        (coef, intercept), (gate_coef, gate_intercept) = experts, gates
        return replace(
            self,
            coef=coef,
            intercept=intercept,
            gate_coef=gate_coef,
            gate_intercept=gate_intercept,
            sigma=self.sigma * unit,
            covariance=covariance,
        )


def check_experts(name: str, experts: Any, n_features: int, n_predictors: int = 1) -> None:
    """Raise unless `experts` has a finite coef (k, n_features) and intercept (k,), and a Link.

    With q > 1 predictors an expert their shapes are (k, q, n_features) and (k, q).
    """
    for attribute in ("coef", "intercept", "link"):
        if not hasattr(experts, attribute):
            hint = ", whose mixture_ has" if hasattr(experts, "mixture_") else ""
            raise TypeError(f"{name} must have coef, intercept and link, got {type(experts).__name__}{hint}")
    if not isinstance(experts.link, Link):
        raise TypeError(f"{name} must have a Link for link, got {experts.link!r}")
    coef, intercept = np.asarray(experts.coef), np.asarray(experts.intercept)
    several = () if n_predictors == 1 else (n_predictors,)
    right = coef.ndim == 2 + len(several) and coef.shape[1:-1] == several and intercept.shape == coef.shape[:-1]
    if not right or len(coef) == 0:
        q = "".join(f"{n}, " for n in several)
        raise ValueError(
            f"{name} must have coef of shape (k, {q}d) and intercept of shape (k,{f' {q[:-2]}' * bool(q)}), got "
            f"{coef.shape} and {intercept.shape}"
        )
    if coef.shape[-1] != n_features:
        raise ValueError(f"{name} has {coef.shape[-1]} features, X has {n_features}")
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise ValueError(f"{name} has NaN or infinity in coef or intercept")


def check_mixture(name: str, mixture: Mixture, n_features: int, n_predictors: int = 1) -> None:
    """Raise ValueError unless all parameters of a mixture over `n_features` fit together and are finite."""
    check_experts(name, mixture, n_features, n_predictors)
    k = mixture.n_experts
    several = np.shape(mixture.intercept) if mixture.covariance is not None else (k,)
    gates = ("gate_coef", mixture.gate_coef, (k, n_features)), ("gate_intercept", mixture.gate_intercept, (k,))
    check_arrays(name, [*gates, ("sigma", mixture.sigma, several)])
    check_sigma(name, mixture.sigma)
    if mixture.covariance is None:
        return
    check_arrays(name, [("covariance", mixture.covariance, (*several, several[-1]))])
    symmetric = np.allclose(mixture.covariance, np.swapaxes(mixture.covariance, 1, 2))
    scaled = mixture.covariance / mixture.sigma[:, :, None] / mixture.sigma[:, None, :]
    if not symmetric or not (np.linalg.eigvalsh(scaled) > 0).all():
        raise ValueError(f"{name} must have covariances that are symmetric and positive definite")


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
