"""The scale of the least loss between two others, such as the noise for which rows are likeliest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

__all__ = ["best_scale"]


def best_scale(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return the scale from `low` to `high` of the least loss, to 1 %; a local minimum where there are several.

    Examples
    --------
    >>> import math
    >>> round(best_scale(lambda scale: math.log(scale) + 2.0 / scale**2, 0.5, 10.0), 1)
    2.0
    """
    ends = (float(np.log(low)), float(np.log(high)))
    found = minimize_scalar(
        lambda logarithm: loss(float(np.exp(logarithm))), bounds=ends, method="bounded", options={"xatol": 0.01}
    )
    return float(np.exp(found.x))
