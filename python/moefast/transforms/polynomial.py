r"""Transforms of the response that make cross moments with score tensors read off the experts.

For :math:`x \sim N(0, I)` Stein's lemma gives :math:`E[f(x) S_m(x)] = E[\nabla^m f(x)]`. With
:math:`S(z) = E[P(y) \mid a \cdot x = z]`, a polynomial P chosen such that the lower derivatives of S vanish in
the mean removes every term in which a derivative falls on a gate, and

.. math::

    E[P_2(y) S_2(x)] = c_2 \sum_i p_i a_i a_i^T, \qquad
    E[P_3(y) S_3(x)] = c_3 \sum_i p_i a_i^{\otimes 3}, \qquad
    E[Q_4(y) S_4(x)] = c_4 \sum_i p_i a_i^{\otimes 4}.

No derivative of g is needed: :math:`E[h^{(m)}(Z)] = E[h(Z) He_m(Z)]`.

Sources: Makkuva, Oh, Kannan, Viswanath, "Breaking the gridlock in Mixture-of-Experts", ICML 2019 (P2, P3);
"Learning in Gated Neural Networks", AISTATS 2020 (Q4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from scipy.integrate import quad
from scipy.special import eval_hermitenorm

from moefast.links import Link, get_link
from moefast.validation import check_number

__all__ = [
    "PolynomialTransform",
    "ResponseTransform",
    "cubic_transform",
    "hermite_moment",
    "mean_slope",
    "quadratic_transform",
    "quartic_transform",
]

# Beyond 12 standard deviations the normal density is below 1e-31.
_RANGE = 12.0
# A constant this small beside its natural scale cannot be told from zero in data.
_VANISHING = 1e-6
# Integrals known less well than this, beside the integral of the absolute value or 1, are refused.
_ACCURACY = 1e-10
# So are those whose integrand is still this large beside that at the ends of the range.
_TAIL = 1e-8
# Fourth powers of the noise stay in range.
_LARGEST_SIGMA = 1e50


class ResponseTransform(Protocol):
    """A function of the response and the constant it puts before the experts' tensor."""

    @property
    def constant(self) -> float:
        """:math:`c_m`."""

    def __call__(self, y: npt.ArrayLike) -> Any:
        """Evaluate elementwise."""


@dataclass(frozen=True)
class PolynomialTransform:
    r"""A polynomial :math:`P(y) = \sum_j q_j (y - v)^j` and the constant it puts before the experts' tensor.

    Parameters
    ----------
    coefficients : tuple of float
        :math:`q_0, q_1, \ldots`
    constant : float
        :math:`c_m`.
    order : int
        m, the order of the score tensor it is made for.
    about : float
        v.
    error : float
        Estimated absolute error of the coefficients and the constant, from the quadrature behind them.

    Examples
    --------
    >>> from moefast.transforms import cubic_transform
    >>> P = cubic_transform("linear", sigma=0.0)
    >>> round(float(P(2.0)), 6), round(P.constant, 6)  # y^3 - 3 y
    (2.0, 6.0)
    """

    coefficients: tuple[float, ...]
    constant: float
    order: int
    about: float = 0.0
    error: float = 0.0

    def __call__(self, y: npt.ArrayLike) -> Any:
        """Evaluate P elementwise."""
        return Polynomial(self.coefficients)(np.asarray(y, dtype=np.float64) - self.about)[()]

    def channels_about(self, centre: float, n_channels: int = 4) -> tuple[float, ...]:
        """Coefficients of 1, t, t^2, ... when P is written in t = y - centre.

        Raises
        ------
        ValueError
            When P has a higher power than there are channels.
        """
        shifted = Polynomial(self.coefficients)(Polynomial([centre - self.about, 1.0]))
        if len(shifted.coef) > n_channels:
            raise ValueError(
                f"a transform of degree {len(shifted.coef) - 1} needs moments of that order, these have powers of "
                f"y up to {n_channels - 1}"
            )
        return tuple(float(q) for q in shifted.coef) + (0.0,) * (n_channels - len(shifted.coef))


def for_hashable(function: Any, link: Link, *arguments: float) -> Any:
    """Call a cached function, or the bare one for a link that cannot be a key of the cache."""
    try:
        hash(link)
    except TypeError:
        return function.__wrapped__(link, *arguments)
    return function(link, *arguments)


@lru_cache(maxsize=1024)
def _integral(link: Link, power: int, m: int) -> tuple[float, float]:
    def integrand(z: float) -> float:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = np.asarray(link(z)).item() if power == 1 else np.power(link(z), power).item()
        if not np.isfinite(value):  # QUADPACK must never see it: it can crash on NaN
            raise ValueError(f"link {link.name!r}: g(z)^{power} = {value} at z = {z:.3g} is not finite")
        return float(value * eval_hermitenorm(m, z) * np.exp(-0.5 * z * z))

    grid = np.linspace(-_RANGE, _RANGE, 2401)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(np.power(link(grid), power) * eval_hermitenorm(m, grid) * np.exp(-0.5 * grid * grid))
    if np.isfinite(sizes).all() and max(sizes[0], sizes[-1]) > _TAIL * sizes.sum() * (grid[1] - grid[0]):
        raise ValueError(
            f"link {link.name!r}: E[g(Z)^{power} He_{m}(Z)] comes from beyond {_RANGE:g} standard deviations; g "
            "grows too fast for this method"
        )
    edges = [-_RANGE, *sorted(b for b in link.breakpoints if abs(b) < _RANGE), _RANGE]
    # full_output: an integral that misses the tolerance is judged below by its error estimate, not by a warning
    parts = [
        quad(integrand, lo, hi, epsabs=1e-13, epsrel=1e-13, limit=400, full_output=1) for lo, hi in pairwise(edges)
    ]
    scale = float(1.0 / np.sqrt(2.0 * np.pi))
    value, error = scale * float(sum(p[0] for p in parts)), scale * float(sum(p[1] for p in parts))
    size = scale * float(sizes.sum()) * float(grid[1] - grid[0])
    if np.isfinite(value) and error > _ACCURACY * max(1.0, size):
        raise ValueError(
            f"link {link.name!r}: E[g(Z)^{power} He_{m}(Z)] = {value:.6g} is known to {error:.2g} only; give the "
            "places where g jumps or kinks as Link(..., breakpoints=...)"
        )
    return value, error


def hermite_moment(link: str | Link | Callable[[Any], Any], power: int, m: int) -> tuple[float, float]:
    r"""Return :math:`E[g(Z)^p He_m(Z)] = E[(g^p)^{(m)}(Z)]`, :math:`Z \sim N(0, 1)`, and its error estimate.

    Adaptive Gauss-Kronrod quadrature, piecewise between the breakpoints of the link.

    Parameters
    ----------
    link : str, Link or callable
        g.
    power : int
        p.
    m : int
        The order of the Hermite polynomial.

    Returns
    -------
    value, error : float

    Examples
    --------
    >>> from moefast.transforms import hermite_moment
    >>> round(hermite_moment("sigmoid", 1, 1)[0], 6)
    0.206621
    """
    value, error = for_hashable(_integral, get_link(link), power, m)
    return float(value), float(error)


def mean_slope(link: str | Link | Callable[[Any], Any]) -> float:
    """Return E[g'(Z)], the factor between E[y x] and sum_i p_i a_i.

    Raises
    ------
    ValueError
        When it is about zero: E[y x] then says nothing about the signs of the experts.
    """
    link = get_link(link)
    slope = hermite_moment(link, 1, 1)[0]
    refuse_vanishing(link, "E[g']", slope, link_spread(link))
    return slope


def quadratic_transform(link: str | Link | Callable[[Any], Any], sigma: float = 0.0) -> PolynomialTransform:
    r"""Return :math:`P_2(y) = y^2 + \gamma y` with :math:`E[S'] = 0`.

    Parameters
    ----------
    link : str, Link or callable
        g.
    sigma : float
        The noise's standard deviation; it shifts P2 by a constant only, so it has no influence here.

    Returns
    -------
    PolynomialTransform
        Its constant is :math:`c_2`.

    Raises
    ------
    ValueError
        When :math:`E[g']` or :math:`c_2` is about zero; the message has the number.

    Examples
    --------
    >>> from moefast.transforms import quadratic_transform
    >>> P = quadratic_transform("sigmoid")
    >>> round(P.coefficients[1], 6), round(P.constant, 6)
    (-1.0, 0.062396)
    """
    return _transform(link, 2, sigma)


def cubic_transform(link: str | Link | Callable[[Any], Any], sigma: float) -> PolynomialTransform:
    r"""Return :math:`P_3(y) = y^3 + \alpha y^2 + \beta y` with :math:`E[S'] = E[S''] = 0`.

    :math:`(\alpha, \beta + 3 \sigma^2)` solves a 2 x 2 linear system of Gaussian integrals of g.

    Parameters
    ----------
    link : str, Link or callable
        g.
    sigma : float
        The noise's standard deviation.

    Returns
    -------
    PolynomialTransform
        Its constant is :math:`c_3`.

    Raises
    ------
    ValueError
        When :math:`E[g']` or :math:`c_3` is about zero or the system is singular; the message has the number.

    Examples
    --------
    >>> from moefast.transforms import cubic_transform
    >>> P = cubic_transform("sigmoid", sigma=0.0)
    >>> [round(q, 6) for q in P.coefficients], round(P.constant, 6)
    ([0.0, 0.650993, -1.5, 1.0], 0.022769)
    """
    return _transform(link, 3, sigma)


def quartic_transform(link: str | Link | Callable[[Any], Any], sigma: float) -> PolynomialTransform:
    r"""Return :math:`Q_4(y) = y^4 + a y^3 + b y^2 + c y` with :math:`E[S^{(r)}] = 0, r = 1, 2, 3`.

    :math:`(a, b + 6 \sigma^2, c + 3 a \sigma^2)` solves a 3 x 3 linear system of Gaussian integrals of g.

    Parameters
    ----------
    link : str, Link or callable
        g.
    sigma : float
        The noise's standard deviation.

    Returns
    -------
    PolynomialTransform
        Its constant is :math:`c_4`, which may be negative (GELU).

    Raises
    ------
    ValueError
        When :math:`E[g']` or :math:`c_4` is about zero or the system is singular; the message has the number.

    References
    ----------
    Makkuva, Oh, Kannan, Viswanath, "Learning in Gated Neural Networks", AISTATS 2020.

    Examples
    --------
    >>> from moefast.transforms import quartic_transform
    >>> Q = quartic_transform("linear", sigma=0.5)  # y^4 - 6 (1 + sigma^2) y^2
    >>> [round(q, 6) + 0.0 for q in Q.coefficients], round(Q.constant, 6)
    ([0.0, 0.0, -7.5, 0.0, 1.0], 24.0)
    """
    return _transform(link, 4, sigma)


def _transform(link: str | Link | Callable[[Any], Any], order: int, sigma: float) -> PolynomialTransform:
    """Return the polynomial of degree `order` that keeps only the highest derivative of S."""
    link = get_link(link)
    check_sigma(sigma)
    in_mean, constant, error = for_hashable(_solve, link, order)
    # E[Q(g + sigma e)] is the heat flow of Q; its inverse makes E[P(y) | z] the polynomial `in_mean` of g.
    P = term = Polynomial(in_mean)
    for j in range(1, order // 2 + 1):
        term = term.deriv(2) * (-0.5 * sigma**2 / j)
        P = P + term
    return PolynomialTransform((0.0, *map(float, P.coef[1:])), constant, order=order, error=error)


@lru_cache(maxsize=256)
def _solve(link: Link, order: int) -> tuple[tuple[float, ...], float, float]:
    """Return Q with E[(Q(g))^(r)] = 0 for 0 < r < order, E[(Q(g))^(order)], and the error of all of them.

    The leading coefficient is 1. E[(g^p)^(r)] = E[g^p He_r] is the matrix of the linear system.
    """
    mean_slope(link)
    powers, orders = range(1, order + 1), range(1, order + 1)
    moments, errors = np.array([[hermite_moment(link, p, r) for p in powers] for r in orders]).transpose(2, 0, 1)
    system = moments[:-1, :-1]
    spread = link_spread(link)
    determinant = float(np.linalg.det(system))
    what = f"the determinant of the {order - 1}x{order - 1} system"
    refuse_vanishing(link, what, determinant, spread ** (order * (order - 1) // 2))
    lower = np.linalg.solve(system, -moments[:-1, -1])
    Q = np.append(lower, 1.0)
    constant = float(moments[-1] @ Q)
    refuse_vanishing(link, f"c{order}", constant, spread**order)
    # First order: A dq = -(dA Q), then the last row.
    lower_error = np.abs(np.linalg.inv(system)) @ (errors[:-1] @ np.abs(Q))
    constant_error = float(errors[-1] @ np.abs(Q) + np.abs(moments[-1, :-1]) @ lower_error)
    return (0.0, *map(float, Q)), constant, max(constant_error, *map(float, lower_error))


def link_spread(link: Link) -> float:
    """Return the standard deviation of g(Z)."""
    mean = hermite_moment(link, 1, 0)[0]
    return float(np.sqrt(max(0.0, hermite_moment(link, 2, 0)[0] - mean**2)))


def check_sigma(sigma: float) -> None:
    """Raise ValueError unless sigma is a number not below 0 whose powers stay in range."""
    check_number("sigma", sigma, high=_LARGEST_SIGMA)


def refuse_vanishing(
    link: Link,
    what: str,
    value: float,
    scale: float,
    hint: str = "g must be neither even nor constant nor a mere step",
) -> None:
    if not np.isfinite(value):
        raise ValueError(f"link {link.name!r}: {what} = {value} is not finite; g grows too fast for this method")
    if abs(value) <= _VANISHING * scale or scale <= 1e-150:
        raise ValueError(
            f"link {link.name!r}: {what} = {value:.3g} is about zero, so the moments do not show the "
            f"experts; {hint}"
        )
