"""One candidate number of experts: the figures of its fit, and what is made of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from moefast.estimators.flat import MixtureOfExpertsRegressor

__all__ = ["CRITERIA", "Candidate", "best_candidate"]

CRITERIA = ("bic", "cv", "icl")
"""What a number of experts may be chosen by."""


@dataclass(frozen=True)
class Candidate:
    """What is known of the fit with one number of experts: a row of the table.

    Attributes
    ----------
    n_experts : int
    log_likelihood : float
        Of all rows, with their weights.
    n_parameters : int
    aic, bic : float
        The smaller the better, as for `icl`.
    icl : float
        BIC + 2 `entropy`.
    entropy : float
        Of the responsibilities r, - sum of w r log r over rows and experts: 0 where each row is of one expert
        beyond doubt.
    cv_log_likelihood : float
        Mean log P(y | x) for each unit of weight, every row, or group of rows, by a fit that has not seen it; NaN
        without cross-validation.
    cv_standard_error : float
        Of `cv_log_likelihood`, over rows or groups.
    smallest_share : float
        Of the weight, that the smallest expert is responsible for.
    collapsed : tuple of int
        Experts at the noise floor or responsible for fewer than d + 2 different rows: the likelihood, and all
        that is made of it, then says little.
    converged : bool
    n_climbs, n_at_best : int
        How many independent climbs the search made and how many of them ended at the best optimum; 0 where it
        had nothing to search. Where few agree, a longer search may find a better optimum.
    """

    n_experts: int
    log_likelihood: float
    n_parameters: int
    aic: float
    bic: float
    icl: float
    entropy: float
    cv_log_likelihood: float
    cv_standard_error: float
    smallest_share: float
    collapsed: tuple[int, ...]
    converged: bool
    n_climbs: int
    n_at_best: int

    @classmethod
    def of(cls, model: MixtureOfExpertsRegressor) -> Candidate:
        """Return the figures of a fitted model, without cross-validation."""
        report = model.fit_report_
        return cls(
            n_experts=len(model.coef_),
            log_likelihood=model.log_likelihood_,
            n_parameters=model.n_parameters_,
            aic=model.aic_,
            bic=model.bic_,
            icl=model.icl_,
            entropy=model.entropy_,
            cv_log_likelihood=math.nan,
            cv_standard_error=math.nan,
            smallest_share=float(model.shares_.min()),
            collapsed=report.collapsed,
            converged=model.converged_,
            n_climbs=report.n_independent,
            n_at_best=report.n_at_best,
        )


def best_candidate(table: Sequence[Candidate], criterion: str, one_standard_error: bool = False) -> Candidate:
    """Return the candidate of the best criterion among those without collapsed experts, among all if all have.

    Parameters
    ----------
    table : sequence of Candidate
        By increasing number of experts, of which the smaller wins a tie.
    criterion : {"bic", "cv", "icl"}
    one_standard_error : bool
        With "cv": the fewest experts whose log-likelihood is at most one standard error of the best below it.
    """
    sound = [candidate for candidate in table if not candidate.collapsed] or list(table)
    if criterion != "cv":
        return min(sound, key=lambda candidate: float(getattr(candidate, criterion)))
    best = max(sound, key=lambda candidate: candidate.cv_log_likelihood)
    if not one_standard_error:
        return best
    least = best.cv_log_likelihood - best.cv_standard_error
    return next(candidate for candidate in sound if candidate.cv_log_likelihood >= least)
