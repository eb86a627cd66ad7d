"""T4 in the coordinates of the L4 loss, and the way from candidates in them to experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast._typing import Floats
from moefast.l4.experts import L4Run
from moefast.l4.loss import L4Loss, StochasticL4Loss
from moefast.l4.solvers import Descent
from moefast.moments.options import MomentOptions
from moefast.moments.source import MomentSource, moment_source
from moefast.samples import Samples
from moefast.spectral.directions import ScaledExperts, check_number_of_experts, scale_directions
from moefast.spectral.response import ResponseScale
from moefast.spectral.whitening import SubspaceWhitening, subspace_whitening
from moefast.standardisation import Standardisation
from moefast.tensors.symmetric import SymmetricTensor
from moefast.transforms.polynomial import ResponseTransform

__all__ = ["L4Problem"]


@dataclass(frozen=True)
class L4Problem:
    """The moments of samples as the L4 loss wants them.

    Attributes
    ----------
    samples : Samples
    moments : MomentSource
        Of these samples.
    response : ResponseScale
    fourth : ResponseTransform
        The quartic transform.
    T2 : ndarray of shape (rank, rank)
        Over c_2.
    whitening : SubspaceWhitening
        By T2.
    into, back : ndarray of shape (rank, dim)
        candidates' coordinates are into' z; back takes candidates to directions in z.
    scale : float
        `tensor` is T4 over c_4 and this.
    tensor : ndarray of shape (dim,) * 4 or SymmetricTensor
    """

    samples: Samples
    moments: MomentSource
    response: ResponseScale
    fourth: ResponseTransform
    T2: Floats
    whitening: SubspaceWhitening
    into: Floats
    back: Floats
    scale: float
    tensor: Floats | SymmetricTensor

    @classmethod
    def of(cls, samples: Samples, n_experts: int, options: MomentOptions, whiten: bool) -> L4Problem:
        """Form the moments of samples in standard units; see :class:`moefast.l4.L4Options` for `whiten`."""
        moments = moment_source(samples, n_experts if whiten else samples.n_features, options, order=4)
        check_number_of_experts(n_experts, moments)
        response = ResponseScale.of(moments, options)
        second, fourth = response.transform(2), response.transform(4)
        T2 = moments.score_tensor(2, second) / second.constant
        whitening = subspace_whitening(T2, n_experts, moments.whitening)
        if whiten:
            into, back, scale = whitening.into, whitening.back, float(n_experts)
        else:
            # Unit experts are what |a|^2 - 1 wants; T2 has sum_i p_i |a_i|^2 for its trace.
            leading = np.maximum(whitening.spectrum[:n_experts], 0.0)
            square = float(leading.sum()) if options.link.is_linear else 1.0
            into = back = np.eye(moments.rank)
            scale = square**2 or 1.0
        T4 = moments.score_tensor(4, fourth, into) / (fourth.constant * scale)
        tensor = T4 if whiten else SymmetricTensor.from_dense(T4)
        return cls(samples, moments, response, fourth, T2, whitening, into, back, scale, tensor)

    def stochastic_loss(self, loss: L4Loss) -> StochasticL4Loss:
        """Return the loss whose mean over all rows is that on the tensor."""
        weights = self.samples.sample_weight
        Q = self.fourth(self.samples.y)
        return StochasticL4Loss(
            (self.samples.X - self.moments.x_mean) @ (self.moments.whitening @ self.into),
            (Q - np.average(Q, weights=weights)) / (self.fourth.constant * self.scale),
            loss.mu,
            loss.lam,
            gram=self.into.T @ self.into,
            sample_weight=weights,
        )

    def experts(self, candidates: Floats) -> ScaledExperts:
        """Return the experts of candidates of shape (k, dim), in the units of the moments."""
        return scale_directions(candidates @ self.back.T, self.moments, self.T2, self.response)

    def run(self, descent: Descent, units: Standardisation) -> L4Run:
        """Return the experts of a descent in the units of the data."""
        found = self.experts(descent.candidates)
        coef, intercept = units.finite_expert_to_units(found.coef, found.intercept)
        return L4Run(
            coef=coef,
            intercept=intercept,
            proportions=found.proportions,
            sigma=found.sigma * units.y_scale,
            directions=found.directions,
            losses=descent.losses,
            status=descent.status,
            n_iter=descent.n_iter,
        )
