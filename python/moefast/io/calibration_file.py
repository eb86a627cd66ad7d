"""What rows held out have said of intervals as JSON: two lists of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from moefast.calibration import Calibration
from moefast.file_fields import Field, Listing, Nothing, Number, Record

__all__ = ["calibration_content", "calibration_fields", "calibration_of"]

_SHARES = Listing(Number(0.0, 1.0, above=True), least=1)


def calibration_fields(content: Mapping[str, Any]) -> Field:
    """Return the rule for the field "calibration" of a model file."""
    if content.get("calibration") is None:
        return Nothing()
    return Record({"left_out": _SHARES, "by_law": _SHARES})


def calibration_content(calibration: Calibration | None) -> dict[str, Any] | None:
    """Return the content of the field."""
    if calibration is None:
        return None
    return {"left_out": calibration.left_out.tolist(), "by_law": calibration.by_law.tolist()}


def calibration_of(content: Mapping[str, Any] | None) -> Calibration | None:
    """Return the calibration from the content of a checked field.

    Raises
    ------
    ValueError
        When it is no map that grows.
    """
    if content is None:
        return None
    left_out, by_law = np.array(content["left_out"]), np.array(content["by_law"])
    if len(left_out) != len(by_law):
        raise ValueError(
            f"calibration.left_out and calibration.by_law must be as many, got {len(left_out)} and {len(by_law)}"
        )
    if (np.diff(left_out) <= 0).any() or left_out[-1] >= 1.0 or (np.diff(by_law) < 0).any():
        raise ValueError("calibration must have a left_out that increases below 1, and a by_law that never falls")
    return Calibration(left_out, by_law)
