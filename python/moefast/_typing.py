"""Types that every module uses."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats"]

Floats: TypeAlias = npt.NDArray[np.float64]
