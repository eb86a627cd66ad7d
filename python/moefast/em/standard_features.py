"""Features in standard units, without a copy where they are many: the core changes the units of rows it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from moefast._typing import AnyFloats, Floats
from moefast.standardisation import Standardisation

__all__ = ["StandardFeatures"]

# Up to so many numbers, 8 MiB, are put into standard units at once: no memory to speak of, and passes are faster.
_MOST_NUMBERS = 2**20
# Units beyond which (x - centre) / scale may leave the range on the way.
_SAFE = 1e100
# Numbers that are handled at once: few enough for the cache.
_BLOCK = 2**15


@dataclass(frozen=True, eq=False)
class StandardFeatures:
    """Rows of features in standard units.

    Attributes
    ----------
    values : ndarray of shape (n, d), float64 or float32, C-ordered
        In standard units, or in those of the data.
    units : Standardisation or None
        The change to standard units, where these values have not been through it.
    """

    values: AnyFloats
    units: Standardisation | None = None

    @classmethod
    def of(cls, X: AnyFloats, units: Standardisation) -> StandardFeatures:
        """Return X, in the units of the data, in standard units: a copy where it is small, else X itself."""
        if X.size > _MOST_NUMBERS and cls.units_are_safe(units):
            return cls(np.ascontiguousarray(X), units)
        return cls(units.features(X))

    @staticmethod
    def units_are_safe(units: Standardisation) -> bool:
        """Whether the core may change to these units: (x - centre) / scale stays in range on the way."""
        safe = (np.abs(units.x_mean) < _SAFE) & (units.x_scale < _SAFE) & (units.x_scale > 1.0 / _SAFE)
        return bool(safe.all())

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        n, d = self.values.shape
        return n, d

    @cached_property
    def array(self) -> Floats:
        """All rows in standard units, (n, D), kept from the first time on."""
        if self.units is None:
            return np.asarray(self.values, dtype=np.float64)
        whole = np.empty(self.shape)
        for rows in self._blocks():
            whole[rows] = self._block(rows)
        return whole

    def _blocks(self) -> list[slice]:
        n, d = self.shape
        step = max(1, _BLOCK // max(1, d))
        return [slice(first, first + step) for first in range(0, n, step)]

    def _block(self, rows: slice | npt.NDArray[Any]) -> Floats:
        if self.units is None:
            return np.asarray(self.values[rows], dtype=np.float64)
        return self.units.features(self.values[rows])

    def subset(self, rows: npt.NDArray[Any]) -> StandardFeatures:
        """Return some of the rows, by a mask or by position."""
        return StandardFeatures(self._block(rows))

    def linear_form(self, coef: Floats) -> Floats:
        """Return z.coef for each row, (n,)."""
        if self.units is None:
            return np.asarray(self.values @ coef)
        form = np.empty(self.shape[0])
        for rows in self._blocks():
            np.matmul(self._block(rows), coef, out=form[rows])
        return form

    @property
    def core_units(self) -> tuple[Floats, Floats] | tuple[None, None]:
        """The centre and the inverse scale that the core's EmData has to know beside `values`."""
        if self.units is None:
            return None, None
        return self.units.x_mean, self.units.inverse_x_scale
