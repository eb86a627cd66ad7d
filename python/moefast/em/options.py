"""The settings of EM, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from moefast.threads import resolve_threads
from moefast.validation import check_choice, check_flag, check_integer, check_number

__all__ = ["EXPERT_ALPHA_LEAST", "GATE_ALPHA_AUTO", "EmOptions"]

GATE_ALPHA_AUTO = 1e-6
"""The gate ridge behind ``gate_alpha="auto"``, for rows whose weights are 1 on average.

It is in proportion to the mean weight of the different rows, so that the unit of the weights does not matter.

Separable regions drive the likelihood up for ever as the gate steepens, by less and less. This ridge stops
it: in standard units a gate of norm 1000 costs half a unit of log-likelihood, one of norm 100 a hundred times
less. Ten times the ridge costs several units on real data whose regions have sharp borders.
"""

EXPERT_ALPHA_LEAST = 1e-6
"""The least ridge of experts whose predictors may run away (`Family.may_be_sure`), for rows of mean weight 1.

As that of the gates: an expert of separated successes and failures, or of zeros alone, gets finite coefficients,
on others it has no effect.
"""


@dataclass(frozen=True)
class EmOptions:
    """Settings of EM, checked when made.

    Parameters
    ----------
    noise : {"per_expert", "shared"}
    fit_intercept : bool
        Experts have intercepts b_i.
    fit_gate_intercept : bool
        Gates have intercepts c_i.
    expert_columns, gate_columns : sequence of int, optional
        Positions of the columns that experts and gates see, all by default. The coefficients of the others are 0;
        without any columns gates are constant.
    common_columns : sequence of int
        Positions of columns, among those that experts see, whose coefficients all experts have in common.
    alpha : float
        Ridge of the experts, in standard units.
    alpha_towards : {"zero", "mean"}
        Where `alpha` pulls the slopes of each expert: to 0, or to the mean of all experts' slopes, in which one of
        less noise counts more (the weights are 1 / s_i^2). No other mean would cost less. The mean itself is free,
        and so is a single expert.
    l1_ratio : float
        How much of `alpha`, 0 to 1, is a lasso, as in :class:`sklearn.linear_model.ElasticNet`; towards zero.
    gate_alpha : float or "auto"
        Ridge of the gates, in standard units; see :data:`GATE_ALPHA_AUTO`. A number is taken off the weighted
        log-likelihood as it is, like `alpha`: weights that are all ten times larger make it ten times weaker.
        Neither ridge holds an intercept.
    noise_floor : float
        Smallest s_i, in standard deviations of y; more than 0.
    max_iter : int
    tol : float
        A run has converged when an iteration raises the mean objective by no more than this, relative to
        max(1, its absolute value), both in standard units.
    accelerate : bool
        Anderson acceleration of the last iterations, whose steps are slow otherwise; False is EM as in textbooks.
    n_threads : int or None
    """

    noise: Literal["per_expert", "shared"] = "per_expert"
    fit_intercept: bool = True
    fit_gate_intercept: bool = True
    expert_columns: tuple[int, ...] | None = None
    gate_columns: tuple[int, ...] | None = None
    common_columns: tuple[int, ...] = ()
    alpha: float = 0.0
    alpha_towards: Literal["zero", "mean"] = "zero"
    l1_ratio: float = 0.0
    gate_alpha: float | Literal["auto"] = "auto"
    noise_floor: float = 0.02
    max_iter: int = 1000
    tol: float = 1e-8
    accelerate: bool = True
    n_threads: int | None = None

    def __post_init__(self) -> None:
        check_choice("noise", self.noise, ("per_expert", "shared"))
        if isinstance(self.gate_alpha, str):
            check_choice("gate_alpha", self.gate_alpha, ("auto",))
        else:
            check_number("gate_alpha", self.gate_alpha, low=0.0)
        check_number("alpha", self.alpha, low=0.0)
        check_choice("alpha_towards", self.alpha_towards, ("zero", "mean"))
        check_number("l1_ratio", self.l1_ratio, low=0.0, high=1.0)
        if self.l1_ratio > 0 and self.alpha_towards == "mean":
            raise ValueError(
                f'l1_ratio={self.l1_ratio:g} needs alpha_towards="zero": what a lasso leaves out is 0, not a mean'
            )
        check_number("tol", self.tol, low=0.0)
        check_number("noise_floor", self.noise_floor, low=0.0, open_low=True)
        whole = isinstance(self.max_iter, (int, np.integer)) and not isinstance(self.max_iter, bool)
        if not whole or not 1 <= self.max_iter < 2**31:
            raise ValueError(f"max_iter must be an integer not below 1 nor above 2^31, got {self.max_iter!r}")
        for name in ("fit_intercept", "fit_gate_intercept", "accelerate"):
            check_flag(name, getattr(self, name))
        for name in ("expert_columns", "gate_columns", "common_columns"):
            object.__setattr__(self, name, _checked_columns(name, getattr(self, name)))
        if self.common_columns is None:
            object.__setattr__(self, "common_columns", ())
        if self.l1_ratio > 0 and self.common_columns:
            raise ValueError(f"l1_ratio={self.l1_ratio:g} needs experts without columns in common; set it to 0")
        if self.expert_columns is not None:
            beyond = [j for j in self.common_columns if j not in self.expert_columns]
            if beyond:
                raise ValueError(f"common_columns must be among expert_columns, got {beyond[0]}")
        resolve_threads(self.n_threads)

    @classmethod
    def given(cls, options: EmOptions | None) -> EmOptions:
        """Return `options`, the defaults for None; TypeError for anything else."""
        if options is not None and not isinstance(options, EmOptions):
            raise TypeError(f"options must be an EmOptions or None, got {options!r}")
        return cls() if options is None else options

    @property
    def gate_ridge(self) -> float:
        """`gate_alpha` as a number."""
        return GATE_ALPHA_AUTO if self.gate_alpha == "auto" else float(self.gate_alpha)


def _checked_columns(name: str, columns: object) -> tuple[int, ...] | None:
    """Return positions of columns in increasing order."""
    if columns is None:
        return None
    if not isinstance(columns, (tuple, list, np.ndarray)):
        raise TypeError(f"{name} must be positions of columns or None, got {columns!r}")
    for j in columns:
        check_integer(name, j, low=0)
    if len(set(columns)) < len(columns):
        raise ValueError(f"{name} must name each column once, got {columns!r}")
    return tuple(sorted(int(j) for j in columns))
