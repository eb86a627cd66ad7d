r"""Transforms of least variance for responses that are counts, shares or positive numbers.

With :math:`\eta = b + \nu Z`, :math:`Z \sim N(0, 1)`, and y of a family around the predictor :math:`\eta`,
everything is as for a link with normal noise (:mod:`moefast.transforms.optimal`). With
:math:`\phi_m(y) = E[He_m(Z) \mid y]` a transform h serves method 1 at order m when :math:`E[h \phi_r] = 0` for
r < m, and among all of them :math:`\phi_m` less its projection on :math:`1, \phi_1, \ldots, \phi_{m-1}` has the
least variance for its constant :math:`c_m = E[h\, He_m(Z)]`. There is one if and only if :math:`\phi_m` is no
combination of these: y has to take more than m values. So 0 and 1 have none, and successes have one from 3 trials
on.

Experts then have the one norm :math:`\nu` and the one intercept b, which the law of y alone tells
(:func:`marginal_predictor`), and gates are orthogonal to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.special import eval_hermitenorm, polygamma

from moefast._typing import Floats
from moefast.families import Binomial, Family, Gamma, NegativeBinomial, Poisson, Predictors, get_family
from moefast.samples import RowTerms
from moefast.validation import check_integer, check_number, check_response, check_weights

__all__ = ["FamilyTransform", "MarginalPredictor", "family_transform", "marginal_predictor"]


# Quadrature in z, as of the links: the normal mass beyond is below 1e-18. The table of responses reaches to where
# the model puts a share of 1e-9.
_RANGE, _TABLE_RANGE, _TAIL = 9.0, 6.5, 1e-9
# A posterior of z is no narrower than 1 / (norm sqrt(y)); panels are twice as wide, within these.
_WIDEST_PANEL, _NARROWEST_PANEL = 0.25, 0.045
# Counts up to here are tabulated one by one.
_MOST_COUNTS = 20_000
# Knots in log y a standard deviation of it, for positive responses, at least; and at most in all.
_KNOTS, _MOST_KNOTS = 12, 5000
# A constant below this makes the variance of h / c_m, which is 1 / c_m, hopeless.
_VANISHING = 1e-7
# Responses whose posteriors are made at once.
_BLOCK = 256
# Nodes in z for the likelihood of the law of y alone.
_LIKELIHOOD_PANELS = 60


@dataclass(frozen=True, eq=False)
class FamilyTransform:
    """The transform of least variance of a family; call it with y.

    Beyond its table, where the model puts a share of about 1e-9 of the responses, it is constant.

    Attributes
    ----------
    constant : float
        :math:`c_m`.
    order : int
        m, the order of the score tensor it is made for.
    error : float
        Estimated absolute error of the constant and of the conditions, from a coarser quadrature.
    """

    constant: float
    order: int
    error: float
    _function: Callable[[Floats], Floats] = field(repr=False)

    def __call__(self, y: npt.ArrayLike) -> Any:
        """Evaluate h elementwise."""
        return self._function(np.asarray(y, dtype=np.float64))[()]


class MarginalPredictor(NamedTuple):
    """The law of the predictor, N(intercept, norm^2), and the family's shape."""

    norm: float
    intercept: float
    shape: float


@dataclass(frozen=True, eq=False)
class _Law:
    """A family around b + norm Z.

    Attributes
    ----------
    family : Family
    of : MarginalPredictor
    n_trials : float
    """

    family: Family
    of: MarginalPredictor
    n_trials: float

    def predictors(self, z: Floats) -> Predictors:
        """Return eta at z, one a column."""
        eta = self.of.intercept + self.of.norm * np.atleast_1d(z)[None]
        return Predictors(eta, np.ones(1), np.array([self.of.shape]), self.n_trials)

    def responses(self) -> tuple[Floats, Floats]:
        """Return responses and what each stands for: 1, or the length of its cell for a density."""
        if isinstance(self.family, Binomial):
            return np.arange(self.n_trials + 1.0), np.ones(int(self.n_trials) + 1)
        low, high = (self.predictors(np.array([z])) for z in (-_TABLE_RANGE, _TABLE_RANGE))
        with np.errstate(over="ignore"):
            last = float(self.family.quantile(high, 1.0 - _TAIL)[0, 0])
        if isinstance(self.family, Gamma):
            first = np.log(self.family.quantile(low, _TAIL)[0, 0])
            spread = min(1.0, float(np.sqrt(polygamma(1, self.of.shape))))
            knots = min(_MOST_KNOTS, 2 + int(_KNOTS * (np.log(last) - first) / spread))
            t = np.linspace(first, np.log(last), knots)
            return np.exp(t), np.exp(t) * (t[1] - t[0])
        if not last <= _MOST_COUNTS:
            raise ValueError(
                f"norm={self.of.norm:.3g} and intercept={self.of.intercept:.3g} put a share of {_TAIL:g} of the "
                f"counts above {last:.3g}, beyond {_MOST_COUNTS}, up to where they are tabulated"
            )
        return np.arange(last + 1.0), np.ones(int(last) + 1)

    def posteriors(
        self, y: Floats, cell: Floats, order: int, nodes: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        """Return phi_0 .. phi_order at responses, (order + 1, len(y)), and their probabilities."""
        z, weights = nodes
        hermite = np.stack([eval_hermitenorm(m, z) for m in range(order + 1)], axis=1)
        of = self.predictors(z)
        phi, log_total = np.empty((order + 1, len(y))), np.empty(len(y))
        for start in range(0, len(y), _BLOCK):
            rows = slice(start, start + _BLOCK)
            log_joint = self.family.log_density(of, y[rows, None]) + np.log(weights)
            largest = log_joint.max(axis=1, keepdims=True)
            joint = np.exp(log_joint - largest)
            total = joint.sum(axis=1)
            phi[:, rows] = (joint @ hermite).T / total
            log_total[rows] = largest[:, 0] + np.log(total)
        return phi, np.exp(log_total) * cell


def family_transform(
    family: str | Family,
    norm: float,
    intercept: float,
    *,
    shape: float | None = None,
    n_trials: int = 1,
    order: int = 3,
) -> FamilyTransform:
    r"""Return the transform of least variance for responses of a family around intercept + norm Z.

    Parameters
    ----------
    family : {"poisson", "negative_binomial", "gamma", "binomial"} or such a Family
    norm, intercept : float
        Of the experts, for whitened x: :math:`|a_i|`, positive, and :math:`b_i`.
    shape : float, optional
        Of the gamma or negative binomial distribution (size); the family's first guess by default.
    n_trials : int
        Of the binomial, the same for all rows.
    order : {2, 3, 4}
        m.

    Returns
    -------
    FamilyTransform

    Raises
    ------
    ValueError
        Where the responses take too few values, or say too little, for a transform of this order; the message has
        the constant. For counts beyond 20 000.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.transforms import family_transform
    >>> h = family_transform("binomial", 1.0, 0.0, n_trials=3)
    >>> h(np.arange(4.0)).round(3)
    array([-0.118,  0.221, -0.221,  0.118])
    """
    law = _law(family, norm, intercept, shape, n_trials)
    check_integer("order", order, low=2, high=4)
    y, cell = law.responses()
    if len(y) <= order:
        raise ValueError(
            f"family {law.family.name!r}: a transform of order {order} needs a response of more than {order} "
            f"values, this one has {len(y)}"
        )
    width = float(np.clip(2.0 / (law.of.norm * np.sqrt(max(len(y), 1.0))), _NARROWEST_PANEL, _WIDEST_PANEL))
    fine, coarse = (_solved(law, y, cell, order, _nodes(width, n)) for n in (10, 8))
    (values, constant), error = fine, abs(fine[1] - coarse[1])
    if not constant > max(_VANISHING, 10.0 * error):
        raise ValueError(
            f"family {law.family.name!r}: c{order} of the transform is {constant:.2g}, about zero: the response "
            "says too little"
        )
    if isinstance(law.family, Gamma):
        t = np.log(y)
        spline = CubicSpline(t, values)
        return FamilyTransform(constant, order, error, lambda v: _at_log(spline, v))
    return FamilyTransform(constant, order, error, lambda v: values[_position(v, len(values))])


def _at_log(spline: CubicSpline, y: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(spline(np.clip(np.log(y), spline.x[0], spline.x[-1])))


def _position(y: Floats, n: int) -> npt.NDArray[np.intp]:
    return np.asarray(np.clip(np.rint(y), 0, n - 1), dtype=np.intp)


def _solved(law: _Law, y: Floats, cell: Floats, order: int, nodes: tuple[Floats, Floats]) -> tuple[Floats, float]:
    """Return h at the responses and its constant: the last of phi_0 .. phi_m, orthogonal to those before it."""
    phi, probability = law.posteriors(y, cell, order, nodes)
    root = np.sqrt(probability)
    triangle = np.asarray(np.linalg.qr((phi * root).T, mode="r"))
    share = np.linalg.solve(triangle[:order, :order], triangle[:order, order])
    return phi[order] - share @ phi[:order], float(triangle[order, order] ** 2)


def _nodes(width: float, n: int) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes in z and their shares of the normal law."""
    edges = np.linspace(-_RANGE, _RANGE, 1 + int(np.ceil(2.0 * _RANGE / width)))
    nodes, weights = leggauss(n)
    half = 0.5 * np.diff(edges)
    z = (0.5 * (edges[1:] + edges[:-1])[:, None] + half[:, None] * nodes).ravel()
    return z, (half[:, None] * weights).ravel() * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


def _law(family: str | Family, norm: float, intercept: float, shape: float | None, n_trials: int) -> _Law:
    """Return the checked law."""
    family = _checked_family(family, n_trials)
    check_number("norm", norm, open_low=True, high=100.0)
    check_number("intercept", intercept, low=-100.0, high=100.0)
    if shape is not None:
        check_number("shape", shape, open_low=True, high=1e8)
    of = MarginalPredictor(float(norm), float(intercept), float(shape or family.initial_shape))
    return _Law(family, of, float(n_trials))


def _checked_family(family: str | Family, n_trials: int) -> Family:
    family = get_family(family)
    if not isinstance(family, (Poisson, NegativeBinomial, Gamma, Binomial)):
        raise ValueError(
            f"family must be 'poisson', 'negative_binomial', 'gamma' or 'binomial', got {family.name!r}; for "
            "normal noise there is optimal_transform"
        )
    check_integer("n_trials", n_trials, high=_MOST_COUNTS)
    return family


def marginal_predictor(
    y: npt.ArrayLike,
    family: str | Family,
    *,
    shape: float | None = None,
    n_trials: int = 1,
    sample_weight: npt.ArrayLike | None = None,
) -> MarginalPredictor:
    """Return the norm and intercept, and the shape where it is not given, that make the responses most likely.

    Parameters
    ----------
    y : array-like of shape (n,)
    family, n_trials
        As for :func:`family_transform`.
    shape : float, optional
        Fitted where the family has one and it is not given. The law of y alone tells it badly from the norm.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    MarginalPredictor

    Raises
    ------
    ValueError, TypeError
        For bad y or weights.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.transforms import marginal_predictor
    >>> rng = np.random.default_rng(0)
    >>> y = rng.poisson(np.exp(0.5 + 0.8 * rng.normal(size=20_000)))
    >>> norm, intercept, _ = marginal_predictor(y, "poisson")
    >>> round(norm, 1), round(intercept, 1)
    (0.8, 0.5)
    """
    family = _checked_family(family, n_trials)
    y = check_response(y, np.size(y))
    if len(y) == 0:
        raise ValueError("y must have at least one entry")
    share = check_weights(sample_weight, len(y))
    terms = RowTerms(n_trials=np.full(len(y), float(n_trials)) if family.takes_trials else None)
    family.check(y, terms)
    first = family.first_predictor(y, terms)
    assert first is not None  # of one predictor
    share = share / share.sum()
    values, place = np.unique(y, return_inverse=True)
    share = np.asarray(np.bincount(place, weights=share), dtype=np.float64)
    table = values if family.is_discrete or len(values) < _BLOCK else _quantiles(values, share)
    z, weights = _nodes(2.0 * _RANGE / _LIKELIHOOD_PANELS, 6)
    fitted = shape is None and family.shape_name is not None

    def law_at(at: Any) -> _Law:
        fixed = shape or family.initial_shape
        found = MarginalPredictor(float(np.exp(at[1])), float(at[0]), float(np.exp(at[2])) if fitted else fixed)
        return _Law(family, found, float(n_trials))

    def loss(at: Any) -> float:
        log_joint = family.log_density(law_at(at).predictors(z), table[:, None]) + np.log(weights)
        largest = log_joint.max(axis=1)
        log_density = largest + np.log(np.exp(log_joint - largest[:, None]).sum(axis=1))
        return -float(share @ np.interp(values, table, log_density))

    start: list[float] = [
        float(np.mean(first)),
        float(np.log(0.1 + 0.7 * np.std(first))),
        float(np.log(family.initial_shape)),
    ]
    ends = [(-30.0, 30.0), (-5.0, 3.0), (-4.0, 8.0)]
    n = 3 if fitted else 2
    end: Any = minimize(
        loss,
        np.array(start[:n]),
        method="Nelder-Mead",
        bounds=ends[:n],
        options={"xatol": 1e-4, "fatol": 1e-10, "maxiter": 600},
    )
    return law_at(end.x).of


def _quantiles(values: Floats, share: Floats) -> Floats:
    """Return some of many different positive responses: quantiles, and steps in the logarithm from end to end."""
    done = np.cumsum(share) - 0.5 * share
    steps = np.clip(np.geomspace(values[0], values[-1], _BLOCK), values[0], values[-1])
    return np.unique(np.concatenate([steps, np.interp(np.linspace(0.0, 1.0, _BLOCK), done, values)]))
