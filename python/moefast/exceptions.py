"""The warnings and errors of the package that have no name of their own elsewhere."""

from __future__ import annotations

__all__ = ["DegenerateDataWarning", "ModelFileError"]


class DegenerateDataWarning(UserWarning):
    """The data or the fit leaves something undetermined; a finite answer was chosen.

    Raised for constant and exactly collinear columns, fewer rows than parameters, experts that
    collapsed onto a few rows, and a response of two values or small counts, which is not normal.
    """


class ModelFileError(ValueError):
    """A model file is damaged, cut short, of another version, or no model file at all."""
