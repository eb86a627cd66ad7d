r"""How far data are from what Method 1 promises, and what that means for its answer.

The moments are consistent when, after whitening, x is standard normal, the experts have one norm and one intercept
and the gates are orthogonal to the span of the experts. Each check measures one of these as an effect, beside a
limit that is a tolerance plus what sampling alone brings about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from moefast._typing import Floats
from moefast.links import Link
from moefast.mixture import Mixture, check_experts, check_mixture
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.source import first_pass
from moefast.samples import Samples
from moefast.spectral.experts import SpectralExperts
from moefast.spectral.response import ResponseScale
from moefast.standardisation import Standardisation
from moefast.transforms.polynomial import hermite_moment
from moefast.validation import check_samples

__all__ = ["Check", "SpectralDiagnosis", "diagnose"]


# Tolerances: effects of this size leave a bias of a few hundredths in the directions (docs/method.md).
_MOMENT, _COMMON, _COSINE, _GAP, _VARIANCE = 0.2, 0.1, 0.2, 0.5, 0.05
# Standard errors that are granted to chance.
_CHANCE = 4.0
# A gate that changes by less than this (in logit) over a standard deviation of x is no gate worth a direction.
_FLAT_GATE = 0.2
# Experts and noise this large beside y are those of other data.
_FAR = 1e100
# Directions of the experts with less than this share of the largest singular value count as none.
_DEPENDENT = 1e-8


@dataclass(frozen=True)
class Check:
    """One assumption.

    Attributes
    ----------
    name : str
    value : float
        How far from it the data are; NaN where the model given does not tell.
    limit : float
        The tolerance plus the share of chance.
    meaning : str
        What a value beyond the limit does to the answer.
    """

    name: str
    value: float
    limit: float
    meaning: str

    @property
    def holds(self) -> bool | None:
        """Whether the value is within the limit; None where it is not known."""
        return None if np.isnan(self.value) else bool(self.value <= self.limit)


@dataclass(frozen=True)
class SpectralDiagnosis:
    """What Method 1 may claim for some data; print it.

    Attributes
    ----------
    checks : tuple of Check
        "x is normal", "a.x is normal", "common norm", "common intercept", "gates orthogonal", "gap of T2",
        "variance of y".
    spectrum : ndarray of shape (rank,)
        Eigenvalues of T2 over c_2, in decreasing order; for linear experts over the variance of y.
    """

    checks: tuple[Check, ...]
    spectrum: Floats

    def __getitem__(self, name: str) -> Check:
        """Return a check by its name; KeyError with all names for another one."""
        checks = {check.name: check for check in self.checks}
        if name not in checks:
            raise KeyError(f"no check {name!r}; there are {', '.join(map(repr, checks))}")
        return checks[name]

    @property
    def consistent(self) -> bool:
        """Whether nothing speaks against consistency of the moments' answer; otherwise it is a start only."""
        return all(check.holds is not False for check in self.checks)

    def __str__(self) -> str:
        verdicts = {True: "holds", False: "VIOLATED", None: "not known"}
        rows = [(c.name, c.value, c.limit, verdicts[c.holds]) for c in self.checks]
        table = tabulate(rows, headers=["assumption", "departure", "limit", ""], floatfmt=".3f")
        bad = [f"{c.name}: {c.meaning}" for c in self.checks if c.holds is False]
        unknown = [c.name for c in self.checks if c.holds is None]
        if bad:
            verdict = "start only: the moments' answer has a bias or an error that EM from it has to repair"
        else:
            verdict = "consistent: the error of the moments' answer falls like 1 / sqrt(n)"
            verdict += f", if these hold too: {', '.join(unknown)}" if unknown else ""
        return "\n".join([table, *bad, verdict])


def diagnose(X: Any, y: Any, model: Any, *, sample_weight: Any = None) -> SpectralDiagnosis:
    """Compare data with what Method 1 promises.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    model : Mixture, MixtureOfExpertsRegressor or SpectralExperts
        The truth, a polished fit, or the moments' own answer. The last one knows neither gates nor different
        norms and intercepts, so that these checks are "not known" (nor is the variance of y with linear experts).
    sample_weight : array-like of shape (n,), optional

    Returns
    -------
    SpectralDiagnosis

    Raises
    ------
    ValueError, TypeError
        For bad data, columns none of which varies, a model of something else or of another number of features.
    OverflowError
        For a model out of all proportion to the data.

    Examples
    --------
    >>> from moefast.datasets import make_moe
    >>> from moefast.diagnostics import diagnose
    >>> X, y, truth = make_moe(20_000, 6, 2, orthogonal_gate=True, x_mean=0.7, random_state=0)
    >>> diagnosis = diagnose(X, y, truth)
    >>> diagnosis.consistent, diagnosis["common intercept"].holds, diagnosis["gates orthogonal"].holds
    (False, False, True)
    """
    model = getattr(model, "mixture_", model)
    if not isinstance(model, (Mixture, SpectralExperts)):
        raise TypeError(
            "model must be a Mixture, a fitted MixtureOfExpertsRegressor or SpectralExperts, got "
            f"{type(model).__name__}"
        )
    samples = check_samples(X, y, sample_weight)
    if isinstance(model, Mixture):
        check_mixture("model", model, samples.n_features)
    else:
        check_experts("model", model, samples.n_features)
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
        _normality(Z, share, rows),
        _normality_along(Z, share, rows, V / np.where(norms > 0, norms, 1.0)[:, None]),
        _norm_check(model, norms, gates),
        _intercept_check(model, intercept, norms),
        gates,
        _gap_check(spectrum, len(V)),
        _variance_check(model, samples, units, norms),
    )
    return SpectralDiagnosis(checks, spectrum)


def _normality(Z: Floats, share: Floats, rows: float) -> Check:
    """E[|z|^2 z z'] = (r + 2) I and E[|z|^2 z] = 0 for a normal z: the largest departure in any direction.

    For independent columns that is the largest excess kurtosis, or the length of the vector of skewnesses.
    """
    r = Z.shape[1]
    heavy = (share * np.einsum("ni,ni->n", Z, Z))[:, None] * Z
    kurtosis = float(np.abs(np.linalg.eigvalsh(heavy.T @ Z - (r + 2) * np.eye(r))).max())
    skewness = float(np.linalg.norm(heavy.sum(axis=0)))
    # By chance, after whitening: entries of variance (2 r + 8) / n and (2 r + 4) / n.
    chance = 2.5 * np.sqrt(r * (2 * r + 8) / rows)
    return Check(
        "x is normal",
        max(kurtosis, skewness),
        _MOMENT + chance,
        "the score tensors are those of a normal x; give x_distribution where x is a mixture of normals",
    )


def _normality_along(Z: Floats, share: Floats, rows: float, directions: Floats) -> Check:
    """Skewness and excess kurtosis of a_i.x."""
    along = Z @ directions.T
    skewness, kurtosis = share @ along**3, share @ along**4 - 3.0
    return Check(
        "a.x is normal",
        float(max(np.abs(skewness).max(), np.abs(kurtosis).max())),
        _MOMENT + _CHANCE * np.sqrt(24.0 / rows),
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


def _gap_check(spectrum: Floats, k: int) -> Check:
    """The largest absolute eigenvalue beyond the k-th, over the k-th; infinite where there is no k-th."""
    rest = float(np.abs(spectrum[k:]).max(initial=0.0))
    last = float(spectrum[min(k, len(spectrum)) - 1])
    return Check(
        "gap of T2",
        rest / last if last > 0 and k <= len(spectrum) else np.inf,
        _GAP,
        "the k directions are not told from the rest: too few rows, too many experts, or gates that show",
    )


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
        _VARIANCE + _CHANCE * spread / unit / np.sqrt(rows),
        "y varies otherwise than experts of this scale with this noise would: sigma is not to be trusted",
    )
