"""Types that every module uses."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["AnyFloats", "Floats"]

Floats: TypeAlias = npt.NDArray[np.float64]
# Of features as they were given.
AnyFloats: TypeAlias = npt.NDArray[np.float64 | np.float32]
