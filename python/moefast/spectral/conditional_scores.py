r"""Score tensors of the experts' own columns given the gates' columns, for linear experts.

The experts' own columns are those that the gates do not see. Where :math:`x_e = C x_g + c + e` with e normal,
independent of the gates' columns :math:`x_g` and whitened to z, gates are constants for derivatives by z: with
:math:`\alpha_i` the expert i in z, any gates, any intercepts, any norms and any noise

.. math::

    E[t\, S_1(z)] = \sum_i p_i \alpha_i, \qquad \tfrac12 E[t^2 S_2(z)] = \sum_i p_i \alpha_i^{\otimes 2},

    \tfrac16 E[t^3 S_3(z)] = \sum_i p_i \alpha_i^{\otimes 3}, \qquad p_i = E[p_i(x_g)],

for the response t less any function of :math:`x_g`; docs/method.md has the proof. Two things take most of the
variance off. The regression on z goes as well: with its slope :math:`l = \sum_i p_i \alpha_i` the tensors of
:math:`t - l \cdot z` are those of the experts :math:`\alpha_i - l`, and

.. math::

    \sum_i p_i \alpha_i^{\otimes 2} = T_2 + l^{\otimes 2}, \qquad
    \sum_i p_i \alpha_i^{\otimes 3} = T_3 + \mathrm{sym}_3(T_2 \otimes l) + l^{\otimes 3}.

And the powers are taken less what does not show in the tensors (:mod:`moefast.spectral.control_variates`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import moefast._core as _core
from moefast._typing import Floats
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.source import first_pass
from moefast.moments.two_pass import projected_score_tensor
from moefast.samples import Samples
from moefast.spectral.control_variates import power_residual, regression_coefficients
from moefast.transforms.polynomial import PolynomialTransform

__all__ = ["ConditionalScores"]


# A column with less than this share of its variance left by the gates' columns is a combination of them.
_DEPENDENT = 1e-10


@dataclass(frozen=True, eq=False)
class ConditionalScores:
    """The samples as the residuals of their regressions, and score tensors from these.

    Attributes
    ----------
    residuals : Samples
        (e, t): the experts' own columns less their regression on the gates' columns, the response less its
        regression on all of them.
    moments : ScoreMoments
        Of the residuals: the whitening of e.
    Z : ndarray of shape (n, r)
        Whitened residuals.
    given : ndarray of shape (n, 1 + g)
        A constant and the gates' columns, centred.
    slope : ndarray of shape (r,)
        l, of the response on z.
    n_distinct : int
        The number of different rows.
    n_threads : int or None
    """

    residuals: Samples
    moments: ScoreMoments
    Z: Floats
    given: Floats
    slope: Floats
    n_distinct: int
    n_threads: int | None

    @classmethod
    def of(
        cls,
        samples: Samples,
        own: npt.NDArray[np.intp],
        gates: npt.NDArray[np.intp],
        n_threads: int | None = None,
    ) -> ConditionalScores:
        """Regress samples in standard units: their columns `own` and the response on the columns `gates`."""
        X, share = samples.X, samples.share
        # Centred, though there is a constant: columns far from zero would lose digits in their products.
        given = np.column_stack([np.ones(len(X)), X[:, gates] - share @ X[:, gates]])
        targets = np.column_stack([X[:, own], samples.y])
        targets -= share @ targets
        weighted = given * share[:, None]
        residuals = targets - given @ regression_coefficients(weighted.T @ given, weighted.T @ targets)
        left = share @ residuals[:, :-1] ** 2
        residuals[:, :-1][:, left <= _DEPENDENT * (share @ targets[:, :-1] ** 2)] = 0.0
        e, t = np.ascontiguousarray(residuals[:, :-1]), residuals[:, -1]
        options = MomentOptions(strategy="two_pass", n_threads=n_threads)
        moments = first_pass(Samples(e, np.ascontiguousarray(t), samples.sample_weight), 1, options)
        Z, slope = (e - moments.x_mean) @ moments.whitening, moments.cross_moment()
        residuals_of_both = Samples(e, t - Z @ slope, samples.sample_weight)
        groups = _core.equal_rows(np.ascontiguousarray(X), samples.y)
        n_distinct = samples.n_rows if groups is None else int(groups.max()) + 1
        return cls(residuals_of_both, moments, Z, given, slope, n_distinct, n_threads)

    @property
    def rank(self) -> int:
        """The dimension of z: how many experts can be told apart."""
        return self.moments.rank

    def second_tensor(self) -> Floats:
        """Return T2 of the experts less their mean slope, (r, r): add l l' for that of the experts."""
        return self._tensor(2, np.eye(self.rank))

    def third_tensor(self, second: Floats, directions: Floats) -> Floats:
        """Return the experts' tensor of order 3 along directions (r, q), (q, q, q); `second` as returned above."""
        slope = directions.T @ self.slope
        mixed = np.multiply.outer(directions.T @ second @ directions, slope)
        mixed = mixed + mixed.transpose(0, 2, 1) + mixed.transpose(2, 1, 0)
        whole = self._tensor(3, directions) + mixed + np.einsum("i,j,k->ijk", slope, slope, slope)
        return np.asarray(whole)

    def _tensor(self, order: int, directions: Floats) -> Floats:
        """Return the mean of t^m S_m(z) / m! along directions, by way of the residual of t^m."""
        share = self.residuals.share
        power = power_residual(self.residuals.y, self.Z, self.given, order, share, self.n_distinct)
        identity = PolynomialTransform((0.0, 1.0), 1.0, order=order)
        samples = replace(self.residuals, y=power)
        tensor = projected_score_tensor(samples, self.moments, order, identity, directions, self.n_threads)
        return np.asarray(tensor / (2.0 if order == 2 else 6.0))
