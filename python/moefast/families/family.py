r"""What a family is: the law :math:`f(y \mid \eta)` of a response around a predictor.

.. math::

    \eta_i = a_i \cdot x + b_i + \text{offset}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from moefast._typing import Floats
from moefast.samples import RowTerms

__all__ = ["Family", "Predictors"]


@dataclass(frozen=True, eq=False)
class Predictors:
    """What the experts say of some rows.

    Attributes
    ----------
    eta : ndarray of shape (n, k)
        The predictors, with the offset; (n, k, q) where an expert has q of them.
    sigma : ndarray of shape (k,)
        Read by families with a scale; (k, q) for q responses.
    shape : ndarray of shape (k,)
        Read by families with a shape.
    n_trials : ndarray of shape (n, 1), or 1.0
        Read by the binomial.
    covariance : ndarray of shape (k, q, q), or None
        Of several responses.
    """

    eta: Floats
    sigma: Floats
    shape: Floats
    n_trials: Floats | float = 1.0
    covariance: Floats | None = None

    def moved(self, eta: Floats) -> Predictors:
        """Return the same with other predictors."""
        return Predictors(eta, self.sigma, self.shape, self.n_trials, self.covariance)

    def transposed(self) -> Predictors:
        """Return the same by rows of experts, (k, n), along which numpy is fast."""
        trials = self.n_trials if isinstance(self.n_trials, float) else self.n_trials.T
        eta = np.ascontiguousarray(np.swapaxes(self.eta, 0, 1))
        covariance = None if self.covariance is None else self.covariance[:, None]
        return Predictors(eta, self.sigma[:, None], self.shape[:, None], trials, covariance)

    def of_expert(self, i: int) -> Predictors:
        """Return what expert i says, (n, 1)."""
        one = slice(i, i + 1)
        covariance = None if self.covariance is None else self.covariance[one]
        return Predictors(self.eta[:, one], self.sigma[one], self.shape[one], self.n_trials, covariance)

    def chosen(self, experts: npt.NDArray[np.intp]) -> Predictors:
        """Return what one expert says of each row, (n, 1)."""
        eta = self.eta[np.arange(len(experts)), experts][:, None]
        covariance = None if self.covariance is None else self.covariance[experts, None]
        return Predictors(eta, self.sigma[experts, None], self.shape[experts, None], self.n_trials, covariance)


class Family(ABC):
    """The law of a response around a predictor.

    Densities, distribution functions and draws take arrays that broadcast against predictors of shape (n, k).

    Attributes
    ----------
    name : str
    is_location : bool
        eta is where y lies: y may be shifted and rescaled together with it.
    absorbs_offset : bool
        y less the offset has the same law around the predictor without it.
    has_outliers : bool
        Some y may lie anywhere: neither they nor their squares tell where the others are.
    has_scale : bool
        There is an s, `sigma` of a mixture.
    has_covariance : bool
        There are several responses, with as many predictors and a covariance in place of s.
    shape_name : str or None
        What the field calls the shape, where there is one.
    takes_trials : bool
        y counts successes among `n_trials`.
    is_discrete : bool
        y is a whole number.
    may_be_sure : bool
        Experts may have no spread on their rows, where all counts are 0 for instance: the likelihood rises for
        ever as the predictor runs away.
    """

    name: str
    is_location: ClassVar[bool] = False
    absorbs_offset: ClassVar[bool] = False
    has_outliers: ClassVar[bool] = False
    has_scale: ClassVar[bool] = False
    has_covariance: ClassVar[bool] = False
    takes_trials: ClassVar[bool] = False
    is_discrete: ClassVar[bool] = False
    may_be_sure: ClassVar[bool] = False
    initial_shape: float = 1.0

    def __eq__(self, other: object) -> bool:
        """Whether it is the same law, set in the same way."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def is_continuous(self) -> bool:
        """Whether no y has a probability of its own: y is no whole number, and at no limit.

        Then P(Y <= y | x) is uniform on responses of the law, and intervals hold any share of them.
        """
        return not (self.is_discrete or self.may_be_sure)

    @property
    def shape_name(self) -> str | None:
        """What the field calls the shape; None where there is none to fit."""
        return None

    @property
    def n_predictors(self) -> int:
        """How many linear forms an expert has."""
        return 1

    @property
    def n_scales(self) -> int:
        """Of an expert: how many parameters its scale, or covariance, has."""
        return int(self.has_scale)

    @property
    def predicts(self) -> str:
        """What the predictor is of, in words."""
        return "y" if self.is_location else "log E[y]"

    @property
    def in_words(self) -> str:
        """What the response is, for titles."""
        return f"{self.name.replace('_', ' ')} responses"

    @property
    @abstractmethod
    def core(self) -> tuple[Any, ...] | Callable[..., Any] | None:
        """What the C++ core is told of the family; None stands for normal responses."""

    @abstractmethod
    def check(self, y: Floats, terms: RowTerms) -> None:
        """Raise ValueError, naming row and value, for a response that the family cannot have."""

    def row_term(self, y: Floats, terms: RowTerms) -> Floats | None:
        """Return what log f has of the rows alone, as the core reads it, shape (n,)."""
        return None

    def has_collapsed(self, shape: Floats) -> npt.NDArray[np.bool_]:
        """Whether a shape (k,) is where the likelihood knows no bounds, as at the noise floor."""
        return np.zeros(len(shape), dtype=bool)

    def says_little(self, terms: RowTerms) -> bool:
        """Whether a row tells so little that only many of them tell good optima from bad ones."""
        return False

    @abstractmethod
    def first_predictor(self, y: Floats, terms: RowTerms) -> Floats | None:
        """Return the predictor that fits each y alone, a little towards the middle: finite, shape (n,).

        None where an expert has several: it is made from predictors of 0.
        """

    def log_probabilities(self, of: Predictors) -> Floats:
        """Return the logarithms of the probabilities of all classes, (n, k, C), of such families."""
        raise NotImplementedError

    def indicators(self, y: Floats) -> Floats:
        """Return columns of which starts take random contrasts, of families with several predictors.

        Of classes 1 where y is it, (n, C); of several responses these.
        """
        raise NotImplementedError

    def expected_indicators(self, of: Predictors) -> Floats:
        """Return what each expert expects of :meth:`indicators`, (n, k, C)."""
        raise NotImplementedError

    @abstractmethod
    def mean(self, of: Predictors) -> Floats:
        """Return E[y | expert i], (n, k)."""

    @abstractmethod
    def std(self, of: Predictors) -> Floats:
        """Return the standard deviation of y given expert i, (n, k)."""

    @abstractmethod
    def log_density(self, of: Predictors, y: Floats) -> Floats:
        """Return log f(y | expert i), (n, k)."""

    @abstractmethod
    def cdf(self, of: Predictors, y: Floats) -> Floats:
        """Return P(Y <= y | expert i), (n, k)."""

    @abstractmethod
    def quantile(self, of: Predictors, level: float) -> Floats:
        """Return the smallest y with P(Y <= y | expert i) >= level, (n, k)."""

    @abstractmethod
    def draw(self, of: Predictors, rng: np.random.Generator) -> Floats:
        """Return one y of each expert, (n, k)."""

    def in_units(self, shift: float, scale: float) -> Family:
        """Return the family of (y - shift) / scale, of families of location."""
        return self

    def at_limits(self, y: Floats, t: Floats, standard: Family) -> Floats:
        """Return t, y in the units of the family `standard`, at the limits of that where y is at a limit."""
        return t

    def is_density(self, y: Floats) -> npt.NDArray[np.bool_] | bool:
        """Whether log f is a density at y, and so depends on the unit of y, of families of location."""
        return True

    def is_possible(self, y: Floats, most: Floats | float = np.inf) -> npt.NDArray[np.bool_]:
        """Whether y is a whole number from 0 to `most`: of families of counts."""
        return np.asarray((y >= 0) & (y <= most) & (y == np.floor(y)))

    def refuse(self, bad: Any, y: Floats, what: str) -> None:
        """Raise ValueError naming the first row that is bad, if any."""
        if np.any(bad):
            row = int(np.argmax(bad))
            raise ValueError(f"y must be {what} for family={self.name!r}, got {y[row]:.6g} at row {row}")

    def refuse_terms(self, terms: RowTerms) -> None:
        """Raise ValueError for trials or an offset that the family does not know."""
        if terms.offset is not None and self.n_predictors > 1:
            raise ValueError("offset is for one predictor, several classes or responses have more; leave it out")
        if terms.n_trials is not None and not self.takes_trials:
            raise ValueError(f"n_trials is for family='binomial', not for {self.name!r}; leave it out")
