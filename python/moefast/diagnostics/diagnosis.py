r"""How far data are from what the methods of moments promise, and what that means for their answer.

Method 1 is consistent when, after whitening, x is standard normal, the experts have one norm and one intercept and
the gates are orthogonal to the span of the experts. The moments given the gates' columns are when experts see as
many other columns as there are experts, and these are a linear function of the gates' columns plus normal
residuals of one covariance. Each check measures one of these as an effect, beside a limit that is a tolerance plus
what sampling alone brings about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from moefast._typing import Floats
from moefast.diagnostics.check import Check
from moefast.diagnostics.given_gates import given_gates_checks
from moefast.diagnostics.method_one import method_one_checks
from moefast.mixture import Mixture, check_experts, check_mixture
from moefast.spectral.experts import SpectralExperts
from moefast.spectral.given_gates import check_columns
from moefast.validation import check_samples

__all__ = ["SpectralDiagnosis", "diagnose"]


@dataclass(frozen=True)
class SpectralDiagnosis:
    """What the methods of moments may claim for some data; print it.

    Attributes
    ----------
    checks : tuple of Check
        Of method 1: "x is normal", "a.x is normal", "common norm", "common intercept", "gates orthogonal", "gap of
        T2", "variance of y".
    spectrum : ndarray of shape (rank,)
        Eigenvalues of T2 over c_2, in decreasing order; for linear experts over the variance of y.
    given_gates : tuple of Check
        Of the moments given the gates' columns: "own columns", and where there are any "own columns normal", "own
        columns linear", "own columns spread alike", "gap of T2 given gates". Empty where experts are not linear,
        or the columns of the gates not known.
    """

    checks: tuple[Check, ...]
    spectrum: Floats
    given_gates: tuple[Check, ...] = ()

    def __getitem__(self, name: str) -> Check:
        """Return a check by its name; KeyError with all names for another one."""
        checks = {check.name: check for check in (*self.checks, *self.given_gates)}
        if name not in checks:
            raise KeyError(f"no check {name!r}; there are {', '.join(map(repr, checks))}")
        return checks[name]

    @property
    def consistent(self) -> bool:
        """Whether nothing speaks against consistency of method 1's answer; otherwise it is a start only."""
        return all(check.holds is not False for check in self.checks)

    @property
    def consistent_given_gates(self) -> bool:
        """Whether nothing speaks against that of the moments given the gates' columns."""
        return bool(self.given_gates) and all(check.holds is not False for check in self.given_gates)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of moments that the data allow: "method 1", "given the gates' columns", both or none."""
        named = ((self.consistent, "method 1"), (self.consistent_given_gates, "given the gates' columns"))
        return tuple(name for allowed, name in named if allowed)

    def __str__(self) -> str:
        parts = [_part(self.checks, self.consistent)]
        if self.given_gates:
            parts += [
                "",
                "Moments given the gates' columns:",
                _part(self.given_gates, self.consistent_given_gates),
            ]
        return "\n".join([*parts, f"methods that these data allow: {' and '.join(self.methods) or 'neither'}"])


def _part(checks: tuple[Check, ...], consistent: bool) -> str:
    """Return a table of checks and what they mean."""
    verdicts = {True: "holds", False: "VIOLATED", None: "not known"}
    rows = [(c.name, c.value, c.limit, verdicts[c.holds]) for c in checks]
    table = tabulate(rows, headers=["assumption", "departure", "limit", ""], floatfmt=".3f")
    bad = [f"{c.name}: {c.meaning}" for c in checks if c.holds is False]
    unknown = [c.name for c in checks if c.holds is None]
    verdict = "start only: the moments' answer has a bias or an error that EM from it has to repair"
    if consistent:
        verdict = "consistent: the error of the moments' answer falls like 1 / sqrt(n)"
        verdict += f", if these hold too: {', '.join(unknown)}" if unknown else ""
    return "\n".join([table, *bad, verdict])


def diagnose(
    X: Any, y: Any, model: Any, *, gate_columns: Any = None, sample_weight: Any = None
) -> SpectralDiagnosis:
    """Compare data with what the methods of moments promise: method 1, and the moments given the gates' columns.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    model : Mixture, MixtureOfExpertsRegressor or SpectralExperts
        The truth, a polished fit, or the moments' own answer. The last one knows neither gates nor different
        norms and intercepts, so that these checks are "not known" (nor is the variance of y with linear experts).
    gate_columns : sequence of int, optional
        Positions of the columns that the gates see. By default those with a coefficient in the model's gates; the
        experts' own columns are the others that have a coefficient in an expert.
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

    Gates on a column that the experts do not see:

    >>> import numpy as np
    >>> from moefast.mixture import Mixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(20_000, 3))
    >>> X[:, :2] += X[:, 2:]
    >>> truth = Mixture(
    ...     coef=np.array([[1.0, 0.5, 0.0], [-0.5, 2.0, 0.0]]),
    ...     intercept=np.array([1.0, 0.0]),
    ...     gate_coef=np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]),
    ...     gate_intercept=np.zeros(2),
    ...     sigma=np.array([0.1, 0.1]),
    ... )
    >>> diagnose(X, truth.draw(X, rng), truth).methods
    ("given the gates' columns",)
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
    if gate_columns is not None:
        check_columns("gate_columns", gate_columns, samples.n_features)
    checks, spectrum = method_one_checks(model, samples)
    return SpectralDiagnosis(checks, spectrum, given_gates_checks(model, samples, gate_columns))
