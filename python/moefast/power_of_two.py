"""Values over a power of two: their squares stay in the range of float64, and no bit of a digit changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from moefast._typing import Floats

__all__ = ["over_power_of_two"]


def over_power_of_two(values: Floats, axis: int | tuple[int, ...] | None = None) -> tuple[Floats, Any]:
    """Return values over 2^e, the largest along the axis below 1 in size, and e, with the axis kept.

    Examples
    --------
    >>> import numpy as np
    >>> scaled, exponent = over_power_of_two(np.array([3e200, -4e200]))
    >>> bool(np.isclose(np.ldexp(np.sqrt(np.sum(scaled**2)), exponent[0]), 5e200))
    True
    """
    _, exponent = np.frexp(np.abs(values).max(axis=axis, keepdims=True, initial=0.0))
    return np.ldexp(values, -exponent), exponent
