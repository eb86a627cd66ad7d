"""How far data are from what the methods of moments promise."""

from moefast.diagnostics.check import Check
from moefast.diagnostics.diagnosis import SpectralDiagnosis, diagnose

__all__ = ["Check", "SpectralDiagnosis", "diagnose"]
