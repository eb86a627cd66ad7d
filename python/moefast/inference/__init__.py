"""How sure a fit is: standard errors, intervals, tests and the bootstrap of a mixture of experts."""

from moefast.inference.bootstrap_result import BootstrapResult
from moefast.inference.estimate import FunctionEstimate, MeanPrediction
from moefast.inference.result import InferenceResult

__all__ = ["BootstrapResult", "FunctionEstimate", "InferenceResult", "MeanPrediction"]
