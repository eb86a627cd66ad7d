"""From optima of the sample to the optimum of all rows, in few passes.

The sample's optimum lies some units of log-likelihood away, about n / m times P / 2 of P parameters, but its
second derivatives are those of all rows to a per cent or so: a step of Newton's method with them, for which a pass
without products gives the gradient, leaves about a thousandth of the distance, and what the steps show of the
second derivatives is learnt (BFGS). Where it ends is judged by the decrement, what a further step would gain, in
units of log-likelihood; a tolerance on the mean would be one that grows with the rows. Where several optima
compete, a pass shows for all of them what they are worth, and what the first step will gain. EM goes on where the
second derivatives of the sample are of no use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from moefast.em.fit import EmFit
from moefast.em.newton import NewtonEnd
from moefast.em.streamed import StreamedProblem
from moefast.mixture import Mixture
from moefast.streams.passes import OutOfPasses, PassLog

__all__ = ["StreamEnd", "optimum_of_stream"]

# Parameters from which on a matrix of second derivatives costs more than it spares: 3000 take 72 MB.
_MOST_PARAMETERS = 3000
# Of the tolerance on the decrement: what an iteration of EM may gain that has arrived, being a fraction of what is
# left.
_OF_EM = 0.05

T = TypeVar("T")


@dataclass(frozen=True)
class StreamEnd:
    """Where a fit on all rows ended.

    Attributes
    ----------
    fit : EmFit
        In standard units.
    chosen : int
        From which of the starts.
    decrement : float or None
        What a further step would gain; None where the second derivatives say nothing.
    by_newton : bool
        Whether Newton's method arrived, and not EM.
    """

    fit: EmFit
    chosen: int
    decrement: float | None
    by_newton: bool


def optimum_of_stream(
    problem: StreamedProblem,
    passes: PassLog,
    starts: Sequence[Mixture],
    *,
    tol: float,
    max_passes: int,
    told: Callable[[float], None] = lambda decrement: None,
) -> StreamEnd:
    """Return the best optimum near the starts.

    Parameters
    ----------
    problem : StreamedProblem
    passes : PassLog
        Counts those of a run before it stopped, too.
    starts : sequence of Mixture
        Optima of the sample, in standard units, the best first.
    tol : float
        On the decrement, in the unit of the objective.
    max_passes : int
        That of the log.
    told : callable
        Is told the decrement where it is known.
    """
    passes.together([(problem.parameters(start), "gradient") for start in starts])
    few = problem.whole.n_parameters(starts[0].n_experts) <= _MOST_PARAMETERS
    usable = few and problem.whole.lasso == 0  # a lasso has no second derivatives

    def newton(start: Mixture, most: int) -> NewtonEnd | None:
        # At a bound the core looks beside the start.
        end = _within(most, lambda n: problem.newton(passes, start, tol=tol, max_passes=n))
        if end is not None:
            told(end.decrement)
        return end

    def em(start: Mixture, most: int) -> EmFit:
        end = _within(most, lambda n: problem.em(passes, start, tol=_OF_EM * tol, max_iter=n))
        return problem.em(passes, start, tol=_OF_EM * tol, max_iter=0) if end is None else end

    chosen, mixture = 0, starts[0]
    if len(starts) > 1:
        ends = [newton(start, 1) if usable else None for start in starts]
        worth = [
            _first(problem, passes, start) if end is None else _worth(end)
            for start, end in zip(starts, ends, strict=True)
        ]
        chosen = min(range(len(starts)), key=lambda i: worth[i])
        mixture = starts[chosen]
    n_iter, decrement = 0, None
    fit: EmFit | None = None
    while True:
        left = max(1, max_passes - passes.n_passes + 1)  # what is known already counts for those
        end = newton(mixture, left) if usable else None
        if end is not None:
            fit = replace(end.fit, n_iter=n_iter + end.fit.n_iter)
            n_iter, mixture, decrement = fit.n_iter, end.fit.mixture, end.decrement
            if end.fit.converged:
                return StreamEnd(fit, chosen, decrement, by_newton=True)
            if end.curvature in ("indefinite", "saddle", "unknown"):
                decrement = None
        left = max_passes - passes.n_passes
        if left < 1:
            fit = fit or problem.em(passes, mixture, tol=0.0, max_iter=0)
            return StreamEnd(fit, chosen, decrement, by_newton=False)
        by_em = em(mixture, left)
        fit = replace(by_em, n_iter=n_iter + by_em.n_iter)
        n_iter, mixture = fit.n_iter, by_em.mixture
        moved = by_em.n_iter > 0
        if by_em.converged and usable:
            end = newton(mixture, 1)
            at_maximum = end is not None and end.curvature == "maximum"
            decrement = end.decrement if end is not None and at_maximum else None
            if decrement is not None and decrement > tol and moved and passes.n_passes < max_passes:
                continue
        return StreamEnd(fit, chosen, decrement, by_newton=False)


def _worth(end: NewtonEnd) -> tuple[bool, bool, float]:
    """Sort key, the best first: what the start is worth with half of what the next step is to gain.

    Far from the optimum that is more than what comes.
    """
    gain = 0.5 * end.decrement if end.curvature == "maximum" else 0.0
    return end.fit.status == "degenerate", bool(end.fit.collapsed), -(float(end.fit.trace[-1]) + gain)


def _within(most: int, run: Callable[[int], T]) -> T | None:
    """Run for as many steps as passes allow, as some take several; None where not even one is possible."""
    for fewer in range(most, 0, -1):
        try:
            return run(fewer)
        except OutOfPasses:
            continue  # what has been passed is remembered
    return None


def _first(problem: StreamedProblem, passes: PassLog, start: Mixture) -> tuple[bool, bool, float]:
    fit = problem.em(passes, start, tol=0.0, max_iter=0)
    return fit.status == "degenerate", bool(fit.collapsed), -float(fit.trace[-1])
