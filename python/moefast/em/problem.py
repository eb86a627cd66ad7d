r"""Joint EM for experts with any link and softmax gates.

The E-step and all statistics of the M-step are one pass over the samples in C++; experts are solved by
weighted least squares, or where there is a link by one damped Gauss-Newton step; gates take one Newton step of
the weighted multinomial logistic regression, halved until the objective does not fall. The objective is

.. math::

    \sum_n w_n \log P(y_n \mid x_n) - \tfrac{\alpha}{2} \sum_i \|a_i\|^2 / s_i^2
        - \tfrac{\lambda}{2} \sum_i \|W_i - \overline{W}\|^2

in standard units (features and response divided by their standard deviations), so neither ridge depends on
the units of the data nor on which gate row is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

import moefast._core as _core
from moefast._typing import Floats
from moefast.em.finite import refuse_infinite
from moefast.em.fit import EmFit, EmStart, FitResult, HardAssignment
from moefast.em.options import GATE_ALPHA_AUTO, EmOptions
from moefast.em.rows import row_groups
from moefast.links import LINKS, Link
from moefast.mixture import Mixture, check_mixture
from moefast.samples import Samples
from moefast.standardisation import Spread, Standardisation
from moefast.threads import resolve_threads
from moefast.transforms.polynomial import hermite_moment
from moefast.validation import check_samples

__all__ = [
    "GATE_ALPHA_AUTO",
    "EmFit",
    "EmOptions",
    "EmProblem",
    "EmStart",
    "FitResult",
    "HardAssignment",
    "fit_em",
]


# Cubes of a response that cannot be rescaled stay in range.
_LARGEST_RESPONSE = 1e100


class EmProblem:
    """One data set in standard units, on which EM runs from many starts.

    Parameters
    ----------
    X : ndarray of shape (n, d), float64
    y : ndarray of shape (n,), float64
    weights : ndarray of shape (n,), float64
        Positive.
    options : EmOptions
    link : Link
        g. The response keeps its units, which g knows, unless g is homogeneous.

    Attributes
    ----------
    Z : ndarray of shape (n, d)
        Standard features. They are centred only when both experts and gates have intercepts, since a shift
        would otherwise bring intercepts in; likewise t.
    t : ndarray of shape (n,)
        Standard response.
    standardisation : Standardisation
    response_std : float
        Of y, 1 when it is constant; the noise floor is a multiple of it.
    constant_response : bool
    y_level : float
        The mean of y.
    variance_floor : float
        Smallest s_i^2, in standard units.
    constant, collinear : list of int
        Columns that do not vary, and columns that depend linearly on the others.
    row_group : ndarray of shape (n,), intp
        A number for each row, the same for rows of the same values.
    weight_per_row : float
        Mean weight of the different rows: what "auto" ridges are in proportion to, so that neither the unit of the
        weights nor writing a row twice in place of weight 2 changes a fit.
    """

    def __init__(
        self, X: Floats, y: Floats, weights: Floats, options: EmOptions, link: Link = LINKS["linear"]
    ) -> None:
        self.options = options
        self._n_threads = resolve_threads(options.n_threads)  # looks at files of the system
        self.link = link
        self.weights = np.ascontiguousarray(weights)
        centre_x = options.fit_intercept and options.fit_gate_intercept
        samples = Samples(X, y, self.weights)
        spread = Spread.of(samples)
        self.constant = [int(j) for j in np.flatnonzero(spread.x_deviation == 0)] if centre_x else []
        self.constant_response, self.y_level = spread.y_deviation == 0, spread.y_mean
        self.response_std = spread.y_deviation or 1.0
        self.standardisation = Standardisation.of(
            spread,
            x="centred" if centre_x else "root mean square",
            y="centred" if options.fit_intercept and link.is_linear else "root mean square",
        )
        if not link.is_homogeneous:
            self.standardisation = replace(self.standardisation, y_scale=1.0)
            if max(spread.y_deviation, abs(spread.y_mean)) > _LARGEST_RESPONSE:
                raise OverflowError(
                    f"y has a mean of {spread.y_mean:.3g} and a standard deviation of {spread.y_deviation:.3g}, "
                    f"beyond {_LARGEST_RESPONSE:g}; link {link.name!r} leaves y its units, so rescale y"
                )
        elif not link.is_linear and y.any():  # an expert whose linear form has variance 1 keeps it
            unit = float(np.sqrt(hermite_moment(link, 2, 0)[0]))
            self.standardisation = replace(self.standardisation, y_scale=self.standardisation.y_scale / unit)
        self.Z = self.standardisation.features(X)
        self.t = np.ascontiguousarray(self.standardisation.response(y))
        floor = options.noise_floor * self.response_std / self.standardisation.y_scale
        self.variance_floor = max(floor**2, 1e-300)
        self.collinear = self._dependent_columns()
        self.row_group = row_groups(self)
        self.weight_per_row = self.total_weight / self.n_distinct
        if options.gate_alpha == "auto":
            self.options = replace(options, gate_alpha=GATE_ALPHA_AUTO * self.weight_per_row)

    @property
    def n_rows(self) -> int:
        """The number of samples."""
        return len(self.t)

    @property
    def total_weight(self) -> float:
        """The sum of the weights, which counts as the number of rows."""
        return float(self.weights.sum())

    def _dependent_columns(self) -> list[int]:
        """Columns with 1 - R^2 below 1e-10 on the others, by a pivoted Cholesky of the correlations."""
        gram = self.Z.T @ (self.Z * (self.weights / self.total_weight)[:, None])
        _, pivots, rank, _ = dpstrf(gram, tol=1e-10, lower=1)
        return sorted(set(int(p) - 1 for p in pivots[rank:]) - set(self.constant))

    def _settings(self, max_iter: int, frozen_noise: bool = False, **of_search: Any) -> Any:
        o = self.options
        return _core.EmSettings(
            max_iter=max_iter,
            tol=o.tol,
            expert_intercept=bool(o.fit_intercept),
            gate_intercept=bool(o.fit_gate_intercept),
            update_noise=not frozen_noise,
            shared_noise=o.noise == "shared",
            variance_floor=self.variance_floor,
            alpha=float(o.alpha),
            gate_alpha=o.gate_ridge,
            accelerate=bool(o.accelerate),
            n_threads=self._n_threads,
            **of_search,
            link=self.link.name if self.link.is_built_in else self._call_link,
        )

    def _call_link(self, t: Floats) -> tuple[Floats, Floats]:
        return self.link(t), self.link.slope(t)

    def run(
        self,
        start: Mixture | None = None,
        *,
        responsibilities: Floats | None = None,
        means: Floats | None = None,
        frozen_noise: bool = False,
        max_iter: int | None = None,
    ) -> EmFit:
        """Run EM in standard units.

        Parameters
        ----------
        start : Mixture, optional
            In standard units. May be left out when `responsibilities` are given.
        responsibilities : ndarray of shape (n, k), optional
            The first M-step uses these in place of the posterior.
        means : ndarray of shape (n, k), optional
            Predictions of frozen experts in standard units: only gates and noise are then fitted.
        frozen_noise : bool
            Keep the noise of `start`.
        max_iter : int, optional
            The default is that of the options.

        Returns
        -------
        EmFit
            In standard units.
        """
        if start is None:
            if responsibilities is None:
                raise ValueError("either start or responsibilities must be given")
            start = self._blank(responsibilities.shape[1])
        start, out = self._run(start, responsibilities, means, frozen_noise, max_iter)
        return self._fit(start, out, means)

    def improved(
        self,
        start: Mixture,
        *,
        responsibilities: Floats | None = None,
        means: Floats | None = None,
        frozen_noise: bool = False,
        max_iter: int | None = None,
    ) -> tuple[Mixture, float]:
        """Return the mixture and log-likelihood of :meth:`run`, without its judgement of collapse.

        On few rows the latter takes ten times as long as an iteration.
        """
        start, out = self._run(start, responsibilities, means, frozen_noise, max_iter)
        return _mixture(start, out), float(out["log_likelihood"])

    def expert_improved(self, expert: Floats, weights: Floats) -> tuple[Floats, float]:
        """Return one linear expert (a, b), shape (d + 1,), and its variance: an iteration with other weights.

        The same as :meth:`improved` of a mixture of it alone, less what making mixtures takes.
        """
        out = _core.em_run(
            self.Z,
            self.t,
            weights,
            expert[None],
            np.zeros((1, len(expert))),
            np.array([max(1.0, self.variance_floor)]),
            self._settings(1),
            None,
            None,
        )
        return out["experts"][0], float(out["variance"][0])

    def _run(
        self,
        start: Mixture,
        responsibilities: Floats | None,
        means: Floats | None,
        frozen_noise: bool,
        max_iter: int | None,
    ) -> tuple[Mixture, Any]:
        start, parameters = self._parameters(start, frozen_noise)
        out = _core.em_run(
            self.Z,
            self.t,
            self.weights,
            *parameters,
            self._settings(self.options.max_iter if max_iter is None else max_iter, frozen_noise),
            responsibilities,
            means,
        )
        return start, out

    def run_many(
        self,
        starts: Sequence[EmStart],
        *,
        frozen_noise: bool = False,
        max_iter: int | None = None,
        to_beat: float | None = None,
        inverse_temperature: float = 1.0,
        gradient_tol: float = np.inf,
    ) -> list[EmFit]:
        r"""Run EM from every start, in parallel.

        Each fit is bit for bit that of :meth:`run`, for any number of threads. A run goes on from where it
        stopped when given the mixture of its fit.

        Parameters
        ----------
        starts : sequence of Mixture, HardAssignment or ndarray of shape (n, k)
            In standard units; experts may differ in number.
        frozen_noise : bool
            Keep the noise of the starts, which is 1 for an assignment.
        max_iter : int, optional
            The default is that of the options.
        to_beat : float, optional
            An objective, as in :attr:`EmFit.trace`. A run whose gains fall, and would stay 10 below it even if
            they added up to many times what their fall promises, stops with the status "beaten".
        inverse_temperature : float
            beta, at most 1. Below 1 the responsibilities are in proportion to :math:`(p_i N_i)^\beta`, and in
            place of the log-likelihood EM climbs :math:`\sum_n w_n \log(\sum_i (p_i N_i)^\beta) / \beta`, which
            is smoother: deterministic annealing (Ueda and Nakano, Neural Networks 1998).
        gradient_tol : float
            A run goes on until :attr:`EmFit.gradient` is no larger than this, besides what `tol` asks, or nothing
            above rounding is left to gain.

        Returns
        -------
        list of EmFit
            In standard units, in the order of the starts.
        """
        mixtures, tuples = [], []
        for start in starts:
            responsibilities = labels = None
            if isinstance(start, HardAssignment):
                labels = np.ascontiguousarray(start.labels, dtype=np.int32)
                start = self._blank(start.n_experts)
            elif isinstance(start, np.ndarray):
                responsibilities = np.ascontiguousarray(start, dtype=np.float64)
                start = self._blank(start.shape[1])
            mixture, parameters = self._parameters(start, frozen_noise)
            mixtures.append(mixture)
            tuples.append((*parameters, responsibilities, labels))
        settings = self._settings(
            self.options.max_iter if max_iter is None else max_iter,
            frozen_noise,
            to_beat=to_beat,
            inverse_temperature=inverse_temperature,
            gradient_tol=gradient_tol,
        )
        ends = _core.em_run_batch(self.Z, self.t, self.weights, tuples, settings)
        return [self._fit(start, end) for start, end in zip(mixtures, ends, strict=True)]

    def _blank(self, k: int) -> Mixture:
        """Equal gates; the rest is made by the first M-step."""
        d = self.Z.shape[1]
        return Mixture(np.zeros((k, d)), np.zeros(k), np.zeros((k, d)), np.zeros(k), np.ones(k), self.link)

    def _parameters(
        self, start: Mixture, frozen_noise: bool = False
    ) -> tuple[Mixture, tuple[Floats, Floats, Floats]]:
        """Return the start with its last gate row 0, and experts, gates, variances within the options."""
        k = start.n_experts
        start = replace(start.ordered(np.arange(k)), link=self.link)
        intercept = start.intercept if self.options.fit_intercept else np.zeros(k)
        gate_intercept = start.gate_intercept if self.options.fit_gate_intercept else np.zeros(k)
        variance = np.maximum(start.sigma**2, 1e-300 if frozen_noise else self.variance_floor)
        if self.options.noise == "shared" and not frozen_noise:
            variance = np.full(k, variance.mean())
        experts = np.column_stack([start.coef, intercept])
        return start, (experts, np.column_stack([start.gate_coef, gate_intercept]), variance)

    def _fit(self, start: Mixture, out: Any, means: Floats | None = None) -> EmFit:
        """Return the core's result as a fit; `means` are those of frozen experts."""
        mixture = _mixture(start, out)
        return EmFit(
            mixture=mixture,
            log_likelihood=float(out["log_likelihood"]),
            trace=out["trace"],
            totals=out["totals"],
            n_iter=int(out["n_iter"]),
            gradient=float(out["gradient"]),
            status=str(out["status"]),
            collapsed=self.collapsed(
                out["variance"], out["totals"], lambda: mixture.responsibilities(self.Z, self.t, means)
            ),
        )

    def collapsed(
        self, variance: Floats, totals: Floats, responsibilities: Callable[[], Floats]
    ) -> tuple[int, ...]:
        """Return the experts at the noise floor or responsible for fewer than d + 2 different rows.

        What an expert is responsible for of a row counts as that share of one row, whatever the row's weight and
        however many copies of it there are. `responsibilities` is called only where `totals` leave it open.
        """
        least = self.Z.shape[1] + 2
        group_weight = np.bincount(self.row_group, self.weights)
        few = totals < least * group_weight.max()
        if few.any() and not np.allclose(group_weight[group_weight > 0], group_weight.max()):
            share = self.weights / np.maximum(group_weight[self.row_group], 1e-300)
            few &= share @ responsibilities() < least
        at_floor = variance <= self.variance_floor * (1 + 1e-9)
        return tuple(int(i) for i in np.flatnonzero(at_floor | few))

    def reweighted(self, weights: Floats) -> EmProblem:
        """Return the same samples in the same units with other weights, not negative, shape (n,)."""
        other = copy(self)
        other.weights = np.ascontiguousarray(weights)
        return other

    def subset(self, rows: npt.NDArray[np.bool_]) -> EmProblem:
        """Return some of the samples, in the same units; `rows` is a mask of shape (n,)."""
        other = copy(self)
        other.Z, other.t, other.weights = self.Z[rows], self.t[rows], self.weights[rows]
        other.row_group = np.unique(self.row_group[rows], return_inverse=True)[1]
        return other

    @property
    def n_distinct(self) -> int:
        """The number of different rows."""
        return int(self.row_group.max()) + 1

    def with_noise(self, noise: Literal["per_expert", "shared"]) -> EmProblem:
        """Return the same samples in the same units with experts' noise of their own, or one for all."""
        other = copy(self)
        other.options = replace(self.options, noise=noise)
        return other

    def with_gate_alpha(self, gate_alpha: float) -> EmProblem:
        """Return the same samples in the same units with another ridge on the gates."""
        other = copy(self)
        other.options = replace(self.options, gate_alpha=gate_alpha)
        return other

    def to_units(self, fit: EmFit) -> EmFit:
        """Return a fit made in standard units in the units of the data."""
        shift = self.total_weight * np.log(self.standardisation.y_scale)
        with np.errstate(over="ignore", invalid="ignore"):  # `result` refuses what is not finite
            mixture = fit.mixture.to_units(self.standardisation)
        return replace(fit, mixture=mixture, log_likelihood=fit.log_likelihood - shift)

    def result(self, fit: EmFit) -> EmFit:
        """Do the same as :meth:`to_units`, or raise OverflowError naming the column whose units are to blame."""
        found = self.to_units(fit)
        m = found.mixture
        refuse_infinite(self, (m.coef, m.intercept, m.gate_coef, m.gate_intercept, m.sigma), found.log_likelihood)
        return found


def _mixture(start: Mixture, out: Any) -> Mixture:
    """Return the parameters in the core's result."""
    return replace(
        start,
        coef=out["experts"][:, :-1],
        intercept=out["experts"][:, -1],
        gate_coef=out["gates"][:, :-1],
        gate_intercept=out["gates"][:, -1],
        sigma=np.sqrt(out["variance"]),
    )


def fit_em(
    X: Any, y: Any, start: Mixture, *, sample_weight: Any = None, options: EmOptions | None = None
) -> EmFit:
    """Run joint EM from a given start until it settles.

    Parameters
    ----------
    X : array-like of shape (n, d)
    y : array-like of shape (n,)
    start : Mixture
        In the units of the data, for instance the truth of a simulation. Its link is that of the experts.
    sample_weight : array-like of shape (n,), optional
    options : EmOptions, optional

    Returns
    -------
    EmFit
        In the units of the data.

    Raises
    ------
    ValueError, TypeError
        For bad input (the column is named), or a start of another shape.

    Examples
    --------
    >>> from moefast.datasets import make_moe
    >>> from moefast.em import fit_em
    >>> X, y, truth = make_moe(2000, 3, 2, random_state=0)
    >>> fit = fit_em(X, y, truth)
    >>> fit.converged, bool(abs(fit.mixture.coef - truth.coef).max() < 0.02)
    (True, True)
    """
    samples = check_samples(X, y, sample_weight)
    X, y, weights = samples.X, samples.y, samples.sample_weight
    if not isinstance(start, Mixture):
        raise TypeError(f"start must be a Mixture, got {type(start).__name__}")
    check_mixture("start", start, X.shape[1])
    problem = EmProblem(X, y, weights, EmOptions.given(options), start.link)
    return problem.result(problem.run(start.to_standard(problem.standardisation)))
