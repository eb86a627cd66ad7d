"""The checks of method 1: normal x, one norm and one intercept, gates orthogonal to the experts."""

from __future__ import annotations

import numpy as np

from moefast._typing import Floats
from moefast.diagnostics.check import CHANCE, MOMENT_TOLERANCE, Check, departure_from_normality, gap_check
from moefast.links import Link
from moefast.mixture import Mixture
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.source import first_pass
from moefast.samples import Samples
from moefast.spectral.experts import SpectralExperts
from moefast.spectral.response import ResponseScale
from moefast.standardisation import Standardisation
from moefast.transforms.polynomial import hermite_moment

__all__ = ["method_one_checks"]


# Tolerances: effects of this size leave a bias of a few hundredths in the directions (docs/method.md).
_COMMON, _COSINE, _VARIANCE = 0.1, 0.2, 0.05
# A gate that changes by less than this (in logit) over a standard deviation of x is no gate worth a direction.
_FLAT_GATE = 0.2
# Experts and noise this large beside y are those of other data.
_FAR = 1e100
# Directions of the experts with less than this share of the largest singular value count as none.
_DEPENDENT = 1e-8


def method_one_checks(model: Mixture | SpectralExperts, samples: Samples) -> tuple[tuple[Check, ...], Floats]:
    """Return the checks and the eigenvalues of T2, decreasing.

    Raises
    ------
    ValueError
        Where no column varies.
    OverflowError
        For a model out of all proportion to the data.
    """
    share = samples.share
    rows = float(1.0 / (share @ share))  # how many rows of equal weight these are worth
    units = Standardisation.of(samples, y="deviation" if model.link.is_linear else "own")
    standard = units.samples(samples)
    moments = first_pass(standard, len(model.coef), MomentOptions(strategy="two_pass"))
    if moments.rank == 0:
        raise ValueError("X has no column that varies: there is nothing for the moments to see")
    Z = (standard.X - moments.x_mean) @ moments.whitening
    into_z = moments.covariance @ moments.whitening  # x = mean + into_z z on the support of x
    with np.errstate(over="ignore", invalid="ignore"):
        coef, intercept = units.expert_to_standard(model.coef, model.intercept)
        V, intercept = coef @ into_z, intercept + coef @ moments.x_mean
        norms = np.linalg.norm(V, axis=1)
    if not (norms < _FAR).all() or not (np.abs(model.sigma) / units.y_scale < _FAR).all():
        raise OverflowError("model is out of all proportion to the data; was it fitted to other units?")
    gates = _gate_check(model, (units.x_scale[:, None] * into_z), V)
    spectrum = _spectrum(moments, model.link)
    checks = (
        Check(
            "x is normal",
            *departure_from_normality(Z, share, rows),
            "the score tensors are those of a normal x; give x_distribution where x is a mixture of normals",
        ),
        _normality_along(Z, share, rows, V / np.where(norms > 0, norms, 1.0)[:, None]),
        _norm_check(model, norms, gates),
        _intercept_check(model, intercept, norms),
        gates,
        gap_check("gap of T2", spectrum, len(V)),
        _variance_check(model, samples, units, norms),
    )
    return checks, spectrum


def _normality_along(Z: Floats, share: Floats, rows: float, directions: Floats) -> Check:
    """Skewness and excess kurtosis of a_i.x."""
    along = Z @ directions.T
    skewness, kurtosis = share @ along**3, share @ along**4 - 3.0
    return Check(
        "a.x is normal",
        float(max(np.abs(skewness).max(), np.abs(kurtosis).max())),
        MOMENT_TOLERANCE + CHANCE * np.sqrt(24.0 / rows),
        "the transforms average over a normal a.x",
    )


def _norm_check(model: Mixture | SpectralExperts, norms: Floats, gates: Check) -> Check:
    """Departure from 1 for links that have a scale, from each other for linear experts."""
    if isinstance(model, SpectralExperts):
        value = np.nan
    elif not model.link.is_linear:
        value = float(np.abs(norms - 1.0).max())
    elif gates.holds:  # linear experts behind orthogonal gates may have any norms
        value = 0.0
    else:
        value = float(np.ptp(norms) / max(norms.mean(), 1e-300))
    return Check(
        "common norm",
        value,
        _COMMON,
        "terms with a gate do not cancel" + ("" if model.link.is_linear else "; the link wants |a| = 1 in z"),
    )


def _intercept_check(model: Mixture | SpectralExperts, intercept: Floats, norms: Floats) -> Check:
    """Departure of a_i.mean(x) + b_i from 0 for links that have a place, from each other for linear experts."""
    if isinstance(model, SpectralExperts):
        value = np.nan
    elif model.link.is_linear:
        value = float(np.ptp(intercept) / max(norms.mean(), 1e-300))
    else:
        value = float(np.abs(intercept).max())
    return Check(
        "common intercept",
        value,
        _COMMON,
        "intercepts, and a mean of x through them, leave a bias that no number of rows removes",
    )


def _gate_check(model: Mixture | SpectralExperts, into_z: Floats, V: Floats) -> Check:
    """The largest cosine between a difference of two gates and the span of the experts, in z."""
    value = np.nan
    if isinstance(model, Mixture):
        # Not by QR: parallel experts, or more than columns, would add directions of rounding.
        sizes, right = np.linalg.svd(V, full_matrices=False)[1:]
        basis = right[sizes > _DEPENDENT * max(float(sizes[0]), 1e-300)].T
        gates = model.gate_coef @ into_z
        differences = (gates[:, None] - gates[None]).reshape(-1, gates.shape[1])
        lengths = np.linalg.norm(differences, axis=1)
        steep = lengths > _FLAT_GATE
        inside = np.linalg.norm(differences[steep] @ basis, axis=1) / lengths[steep]
        value = float(inside.max(initial=0.0))
    meaning = "derivatives of the gates mix with the experts"
    if len(V) == 2 and model.link.is_linear:
        meaning += "; for two experts without gate intercept fit_intercept=False is free of this"
    return Check("gates orthogonal", value, _COSINE, meaning)


def _spectrum(moments: ScoreMoments, link: Link) -> Floats:
    options = MomentOptions(link, sigma=0.0)  # the noise has no influence on the quadratic transform
    transform = ResponseScale.of(moments, options).transform(2)
    T2 = moments.score_tensor(2, transform) / transform.constant
    return np.asarray(np.sort(np.linalg.eigvalsh(T2))[::-1])


def _variance_check(
    model: Mixture | SpectralExperts, samples: Samples, units: Standardisation, norms: Floats
) -> Check:
    """Mean square of y against what experts and noise make it, over the variance of y."""
    share, y = samples.share, units.response(samples.y)
    rows = float(1.0 / (share @ share))
    if isinstance(model, Mixture):
        proportions = share @ model.gates(samples.X)
        noise = float(proportions @ (model.sigma / units.y_scale) ** 2)
    else:
        proportions, noise = model.proportions, (model.sigma / units.y_scale) ** 2
    mean = float(share @ y)
    centre = mean if model.link.is_linear else 0.0
    square = (y - centre) ** 2
    explained = float(proportions @ norms**2) if model.link.is_linear else hermite_moment(model.link, 2, 0)[0]
    observed, variance = float(share @ square), float(share @ (y - mean) ** 2)
    spread = float(np.sqrt(share @ (square - observed) ** 2))
    unit = max(variance, 1e-300)
    known = isinstance(model, Mixture) or not model.link.is_linear  # else sigma was made from this very equation
    return Check(
        "variance of y",
        abs(observed - explained - noise) / unit if known else np.nan,
        _VARIANCE + CHANCE * spread / unit / np.sqrt(rows),
        "y varies otherwise than experts of this scale with this noise would: sigma is not to be trusted",
    )
