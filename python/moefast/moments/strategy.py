"""One pass that forms the packed tensor, or two passes that never do: which is cheaper.

Work is counted in multiply-adds a row, each kind times what the kernels take for it. The one pass sums, for
every channel 1, y, .. y^m, the C(d + m, m) entries up to order m. Two passes sum the C(d + 2, 2) entries of order
two for three channels, then read the samples again, project them on q directions and sum the C(q + m, m)
entries of one channel. docs/benchmarks.md has the table that the constants come from.

Two passes have to promise a clear gain: reading samples twice costs more where they do not lie in memory, and
one pass leaves behind what serves every link, transform and merge.
"""

from __future__ import annotations

from math import comb
from typing import Literal, TypeAlias

__all__ = ["Strategy", "choose_strategy", "strategy_costs"]

Strategy: TypeAlias = Literal["one_pass", "two_pass"]

# Nanoseconds (one thread, AVX-512): a multiply-add of a tensor, of the narrow second-order sums and of the
# projection, and what a row costs in every pass besides (reading, centring): a constant and a share a feature.
_TENSOR, _SECOND_ORDER, _PROJECTION, _ROW, _FEATURE = 0.026, 0.03, 0.05, 10.0, 0.5
# One pass may take this many times as long before two are chosen.
_CLEAR_GAIN = 1.5


def strategy_costs(n_features: int, n_directions: int, order: int = 3) -> dict[Strategy, float]:
    """Return the estimated cost of each strategy, in nanoseconds a row.

    Parameters
    ----------
    n_features : int
        d.
    n_directions : int
        q.
    order : {3, 4}
        m.

    Returns
    -------
    dict
        With the keys "one_pass" and "two_pass".

    Examples
    --------
    >>> from moefast.moments import strategy_costs
    >>> costs = strategy_costs(200, 3)
    >>> costs["one_pass"] > 10 * costs["two_pass"]
    True
    """
    d, q, m = n_features, n_directions, order
    read = _ROW + _FEATURE * d
    first = read + _SECOND_ORDER * 3 * comb(d + 2, 2)
    second = read + _PROJECTION * d * q + _TENSOR * comb(q + m, m)
    return {"one_pass": read + _TENSOR * (m + 1) * comb(d + m, m), "two_pass": first + second}


def choose_strategy(n_features: int, n_directions: int, order: int = 3) -> Strategy:
    """Return "two_pass" where :func:`strategy_costs` promises a clear gain by it; parameters as there."""
    costs = strategy_costs(n_features, n_directions, order)
    return "two_pass" if costs["one_pass"] > _CLEAR_GAIN * costs["two_pass"] else "one_pass"
