r"""The least-variance transform of the response, where link and noise are known.

With :math:`\phi_m(y) = E[He_m(Z) \mid y]` under the model's marginal, :math:`Z \sim N(0, 1)`,
:math:`y = g(Z) + \sigma e`, a transform h serves Method 1 at order m when

.. math::

    E[h(y) He_r(Z)] = E[h \phi_r] = 0, \quad r < m, \qquad c_m = E[h(y) He_m(Z)] = E[h \phi_m] \neq 0.

Among all of them :math:`h_m = \phi_m` less its projection on :math:`1, \phi_1, \ldots, \phi_{m-1}` in
:math:`L^2(P_y)` has the least variance for its constant, :math:`\mathrm{var}(h_m / c_m) = 1 / c_m`. For linear g
it is the polynomial itself; elsewhere it also knows which responses say little about Z (those in the pile of ReLU
at 0, say).

The posteriors are sums over Gauss-Legendre nodes in z, tabulated in y and interpolated by a cubic spline. The
conditions above are then solved for the spline as it stands, by quadrature in (z, e): they hold for it whatever
the table's resolution, which costs efficiency only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import CubicSpline
from scipy.special import eval_hermitenorm, roots_hermitenorm

from moefast._typing import Floats
from moefast.best_scale import best_scale
from moefast.links import Link, get_link
from moefast.standardisation import location_and_scale
from moefast.transforms.polynomial import check_sigma, for_hashable, link_spread, mean_slope, refuse_vanishing
from moefast.validation import check_integer, check_response, check_weights

__all__ = ["OptimalTransform", "marginal_sigma", "optimal_transform"]


# Quadrature in z: the normal mass beyond is below 1e-18. The table in y reaches from g(-6) to g(6) and 8 standard
# deviations of the noise more (mass beyond: 2e-9); further out the transform is constant.
_RANGE, _TABLE_RANGE, _TABLE_MARGIN = 9.0, 6.0, 8.0
# Posteriors are those of a noise not below this share of the standard deviation of g(Z): at sigma -> 0 they
# would become points, and the transform as wild as the inverse of g.
_NARROWEST = 0.02
# With more noise than this, in standard deviations of g(Z), c_m is beyond quadrature.
_MOST_NOISE = 1000.0
# Knots of the table a standard deviation of the noise, and at most.
_KNOTS, _MOST_KNOTS = 8, 20_000
# A panel of nodes in z is this wide at most, and g changes by this many standard deviations of the noise in it,
# but where g is so steep that a panel becomes narrower than the last number a response names its z anyway.
_PANEL, _PANEL_CHANGE, _NARROWEST_PANEL = 0.25, 0.5, 0.01
# A transform known less well than this beside its constant is refused.
_ACCURACY = 1e-3
# Beyond this many standard deviations the likelihood is below 1e-31.
_WINDOW = 12.0


@dataclass(frozen=True, eq=False)
class OptimalTransform:
    """The least-variance transform h(y) of a link at a noise level; call it with y.

    Beyond the ends of its table, where the model puts a share of about 1e-9 of the responses, it is constant.

    Attributes
    ----------
    constant : float
        :math:`c_m`.
    order : int
        m, the order of the score tensor it is made for.
    sigma : float
        The noise for which the defining conditions hold.
    width : float
        The noise behind the posteriors: sigma, or its floor of 0.02 standard deviations of g(Z).
    error : float
        Estimated absolute error of the constant and of the conditions, from a coarser quadrature.
    """

    constant: float
    order: int
    sigma: float
    width: float
    error: float
    _spline: CubicSpline = field(repr=False)

    def __call__(self, y: npt.ArrayLike) -> Any:
        """Evaluate h elementwise."""
        return _clamped(self._spline, np.asarray(y, dtype=np.float64))[()]


def optimal_transform(link: str | Link | Callable[[Any], Any], sigma: float, order: int = 3) -> OptimalTransform:
    r"""Return the least-variance transform for a known noise.

    Parameters
    ----------
    link : str, Link or callable
        g.
    sigma : float
        The noise's standard deviation. Below 0.02 standard deviations of g(Z) the transform is built from
        posteriors at that floor; it stays unbiased at the given sigma, its variance is no longer the least.
    order : {2, 3, 4}
        m.

    Returns
    -------
    OptimalTransform

    Raises
    ------
    ValueError
        When :math:`E[g']` or :math:`c_m` is about zero, or the lower posteriors are linearly dependent; the
        message has the number.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.transforms import optimal_transform
    >>> h = optimal_transform("linear", sigma=0.5)
    >>> y = np.array([-1.0, 0.0, 1.0, 2.0])
    >>> (1.25**3 * h(y)).round(6) + 0.0  # y^3 - 3 (1 + sigma^2) y
    array([ 2.75,  0.  , -2.75,  0.5 ])
    """
    link = get_link(link)
    check_sigma(sigma)
    check_integer("order", order, low=2, high=4)
    transform: OptimalTransform = for_hashable(_optimal_transform, link, float(sigma), int(order))
    return transform


@lru_cache(maxsize=64)
def _optimal_transform(link: Link, sigma: float, order: int) -> OptimalTransform:
    mean_slope(link)
    spread = link_spread(link)
    noisy = f"at sigma={sigma:.3g} beside {spread:.3g}, the standard deviation of g(Z), the noise hides them"
    if sigma > _MOST_NOISE * spread:
        raise ValueError(f"link {link.name!r}: the moments do not show the experts; {noisy}")
    hint = f"{noisy}, or g is even, constant or a mere step"
    width = max(sigma, _NARROWEST * spread)
    table = _table(link, width)
    posteriors, _ = _posteriors(link, width, table, order)
    fine, coarse = (
        _conditions(link, sigma, width, CubicSpline(table, posteriors.T), order, *rule)
        for rule in ((10, 40), (8, 32))
    )
    solved = []
    for moments in (fine, coarse):
        lower = moments[:order, :order]
        scale = float(np.prod(np.linalg.norm(lower, axis=0)))
        refuse_vanishing(link, "the determinant of the lower posteriors", float(np.linalg.det(lower)), scale, hint)
        share = np.linalg.solve(lower, moments[:order, order])
        solved.append(np.append(share, moments[order, order] - moments[order, :order] @ share))
    projection, constant = solved[0][:-1], float(solved[0][-1])
    refuse_vanishing(link, f"c{order} of the optimal transform", constant, 1.0, hint)
    values = posteriors[order] - projection @ posteriors[:order]
    error = float(np.abs(solved[0] - solved[1]).max())
    if error > _ACCURACY * constant:
        raise ValueError(
            f"link {link.name!r}: the optimal transform at sigma={sigma:.3g} has the constant {constant:.3g}, "
            f'known to {error:.2g} only; use transform="polynomial" or a smaller sigma, or give the places where '
            "g jumps or kinks"
        )
    return OptimalTransform(constant, order, sigma, width, error, CubicSpline(table, values))


def marginal_sigma(
    y: npt.ArrayLike, link: str | Link | Callable[[Any], Any], sample_weight: npt.ArrayLike | None = None
) -> float:
    """Return the noise that makes y = g(Z) + sigma e most likely, Z standard normal.

    Under the assumptions of Method 1 that is the law of the response, so its likelihood in the one unknown sigma
    can be written down. It knows the noise far better than mean(y^2) - E[g(Z)^2] where g has flat pieces.

    Parameters
    ----------
    y : array-like of shape (n,)
        Finite.
    link : str, Link or callable
        g.
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    float
        Between 0.02 standard deviations of g(Z), or 0.01 of y, and the standard deviation of y.

    Raises
    ------
    ValueError, TypeError
        For bad y or weights.

    Examples
    --------
    >>> import numpy as np
    >>> from moefast.transforms import marginal_sigma
    >>> rng = np.random.default_rng(0)
    >>> y = np.maximum(rng.normal(size=10_000), 0.0) + 0.1 * rng.normal(size=10_000)
    >>> round(marginal_sigma(y, "relu"), 2)
    0.1
    """
    link = get_link(link)
    y = check_response(y, np.size(y))
    if len(y) == 0:
        raise ValueError("y must have at least one entry")
    share = check_weights(sample_weight, len(y))
    share = share / share.sum()
    largest = float(location_and_scale(y[:, None], share)[1][0])
    smallest = max(_NARROWEST * link_spread(link), 0.01 * largest)
    if largest <= smallest:
        return smallest

    def loss(sigma: float) -> float:
        table = _table(link, sigma)
        _, log_density = _posteriors(link, sigma, table, 0)
        return -float(share @ np.interp(y, table, log_density))

    return best_scale(loss, smallest, largest)


def _clamped(spline: CubicSpline, y: Floats) -> Floats:
    return np.asarray(spline(np.clip(y, spline.x[0], spline.x[-1])))


def _table(link: Link, width: float) -> Floats:
    """Return the knots in y."""
    values = link(np.linspace(-_TABLE_RANGE, _TABLE_RANGE, 1201))
    low, high = float(values.min()) - _TABLE_MARGIN * width, float(values.max()) + _TABLE_MARGIN * width
    return np.linspace(low, high, min(_MOST_KNOTS, 2 + int(_KNOTS * (high - low) / width)))


def _nodes(link: Link, width: float, n_nodes: int) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights in z, panels cut at kinks and where g has changed enough."""
    kinks = [b for b in link.breakpoints if abs(b) < _RANGE]
    fine = np.union1d(np.linspace(-_RANGE, _RANGE, 1801), kinks)
    steps = np.diff(fine)
    steep = np.minimum(np.abs(np.diff(link(fine))) / (_PANEL_CHANGE * width), steps / _NARROWEST_PANEL)
    done = np.concatenate([[0.0], np.cumsum(steps / _PANEL + steep)])
    edges = np.union1d(np.interp(np.linspace(0.0, done[-1], 2 + int(done[-1])), done, fine), kinks)
    nodes, weights = leggauss(n_nodes)
    half = 0.5 * np.diff(edges)
    z = (0.5 * (edges[1:] + edges[:-1])[:, None] + half[:, None] * nodes).ravel()
    return z, (half[:, None] * weights).ravel()


def _posteriors(link: Link, width: float, table: Floats, order: int) -> tuple[Floats, Floats]:
    """Return phi_0 .. phi_order, shape (order + 1, knots), and the log density of y, shape (knots,)."""
    z, weights = _nodes(link, width, 10)
    values = link(z)
    by_value = np.argsort(values, kind="stable")
    z, values = z[by_value], values[by_value]
    log_weights = np.log(weights[by_value]) - 0.5 * z * z - np.log(2.0 * np.pi * width)
    hermite = np.stack([eval_hermitenorm(m, z) for m in range(order + 1)], axis=1)
    posteriors, log_density = np.empty((order + 1, len(table))), np.empty(len(table))
    for start in range(0, len(table), 128):  # blocks of knots, each with the nodes that matter to it
        block = slice(start, start + 128)
        y = table[block]
        below = values[max(0, np.searchsorted(values, y[0]) - 1)]
        above = values[min(len(values) - 1, np.searchsorted(values, y[-1]))]
        low = np.searchsorted(values, min(y[0], below) - _WINDOW * width)
        high = np.searchsorted(values, max(y[-1], above) + _WINDOW * width)
        exponent = log_weights[low:high] - 0.5 * ((y[:, None] - values[low:high]) / width) ** 2
        largest = exponent.max(axis=1, keepdims=True)
        likelihood = np.exp(exponent - largest)
        total = likelihood.sum(axis=1)
        posteriors[:, block] = (likelihood @ hermite[low:high]).T / total
        log_density[block] = largest[:, 0] + np.log(total)
    return posteriors, log_density


def _conditions(
    link: Link, sigma: float, width: float, spline: CubicSpline, order: int, n_nodes: int, n_noise: int
) -> Floats:
    """Return E[phi_l(y) He_r(Z)] of the interpolated phi_l, shape (order + 1, order + 1), r first."""
    z, weights = _nodes(link, width, n_nodes)
    weights = weights * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    noise, shares = roots_hermitenorm(n_noise)
    smoothed = np.zeros((len(z), order + 1))
    for e, share in zip(noise, shares / shares.sum(), strict=True):
        smoothed += share * _clamped(spline, link(z) + sigma * e)
    hermite = np.stack([eval_hermitenorm(r, z) for r in range(order + 1)])
    return np.asarray((hermite * weights) @ smoothed)
