"""What going on with a search may bring, judged by what it has brought so far.

The ends of climbs that do not depend on each other are draws from one law, so the best of N of them exceeds the
best of half as many, on average, by what the second half of the work was worth; going on for as long again brings
less, since the expected maximum of a sample is concave in its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from scipy.special import gammaln

__all__ = ["chance_of_another", "gain_of_second_half"]


def gain_of_second_half(values: Sequence[float]) -> float:
    """Return by how much the largest of N values exceeds the largest of N // 2 drawn from them, on average.

    Parameters
    ----------
    values : sequence of float
        At least two.
    """
    v = np.sort(np.asarray(values, dtype=float))[::-1]
    n = len(v)
    half = n // 2
    # The largest of the half is v_j when v_j is among them and none before it, which has the probability
    # C(n - 1 - j, half - 1) / C(n, half).
    after = np.arange(n - 1, half - 2, -1)
    log_odds = _log_choose(after, half - 1) - _log_choose(n, half)
    return float(np.exp(log_odds) @ (v[0] - v[: len(after)]))


def chance_of_another(seen: Sequence[Hashable]) -> float:
    """Estimate the chance that one more draw gives something not seen before.

    The share of the draws that nothing else agreed with (Good, Biometrika 1953, after Turing), one draw added to
    it, since a few draws that all agree prove little: (number seen once + 1) / (draws + 1).
    """
    once = sum(count == 1 for count in Counter(seen).values())
    return min(1.0, (once + 1) / (len(seen) + 1))


def _log_choose(n: np.ndarray | float, k: float) -> np.ndarray:
    return np.asarray(gammaln(np.asarray(n) + 1.0) - gammaln(k + 1.0) - gammaln(np.asarray(n) - k + 1.0))
