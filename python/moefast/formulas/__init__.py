"""Formulas such as ``y ~ age + C(sex) | region``: what they say, and what a fit learns of the data for them."""

from moefast.formulas.fitted import FittedFormula
from moefast.formulas.formula import Formula

__all__ = ["FittedFormula", "Formula"]
