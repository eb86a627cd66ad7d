"""Experts made of directions: what both methods of moments share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moefast._typing import Floats
from moefast.moments.source import MomentSource
from moefast.spectral.response import ResponseScale
from moefast.transforms.polynomial import mean_slope

__all__ = ["ScaledExperts", "check_number_of_experts", "scale_directions"]


def check_number_of_experts(k: int, moments: MomentSource) -> None:
    """Raise unless k directions can be linearly independent."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"n_experts must be an integer, got {k!r}")
    if not 1 <= k <= moments.rank:
        raise ValueError(
            f"n_experts must lie between 1 and {moments.rank}, the number of linearly independent columns of X, "
            f"for the methods of moments, got {k}"
        )


@dataclass(frozen=True)
class ScaledExperts:
    """Experts made of directions: fields as of :class:`moefast.spectral.SpectralExperts`."""

    coef: Floats
    intercept: Floats
    proportions: Floats
    sigma: float
    directions: Floats


def scale_directions(raw: Floats, moments: MomentSource, T2: Floats, response: ResponseScale) -> ScaledExperts:
    """Give directions in whitened coordinates, of any sign and length, signs, norms and proportions.

    They come from the lowest moment, which has the least variance: E[y z] = E[g'] sum_i q_i v_i.
    """
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    V = np.divide(raw, norms, out=np.zeros_like(raw), where=norms > 0)
    q = np.linalg.lstsq(V.T, moments.cross_moment(), rcond=1e-6)[0] / mean_slope(response.link)
    V = V * np.where(q < 0, -1.0, 1.0)[:, None]
    q = np.abs(q)
    square, noise = response.square, response.sigma
    if response.link.is_linear:
        scales, proportions = _linear_scales(V, q, T2, square)
        if noise is None:
            noise = np.sqrt(max(square - float(proportions @ scales**2), 1e-4 * square))
    else:
        scales, proportions = np.ones(len(q)), q
    largest = float(proportions.max())
    proportions = np.maximum(proportions, 1e-3 * largest) if largest > 0 else np.ones(len(q))
    coef = scales[:, None] * V @ moments.whitening.T
    return ScaledExperts(
        coef=coef,
        intercept=response.about - coef @ moments.x_mean if response.fit_intercept else np.zeros(len(q)),
        proportions=proportions / proportions.sum(),
        sigma=float(noise or 0.0),
        directions=V,
    )


def _linear_scales(V: Floats, q: Floats, T2: Floats, variance: float) -> tuple[Floats, Floats]:
    """Norms and proportions of linear experts from q_i = p_i |a_i| and T2 = sum_i p_i |a_i|^2 v_i v_i'."""
    inverse = np.linalg.pinv(V, rcond=1e-6)
    energy = np.maximum(np.einsum("ai,ab,bi->i", inverse, T2, inverse), 0.0)
    common = np.sqrt(max(float(energy.sum()), 1e-6 * variance))
    ratio = np.divide(energy, q, out=np.full_like(q, common), where=q > 1e-6 * common)
    scales = np.clip(ratio, 0.25 * common, 4.0 * common)
    return scales, np.divide(q, scales, out=np.zeros_like(q), where=scales > 0)
