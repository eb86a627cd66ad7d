"""What a fitted model says of itself: figures of the fit, coefficients, who has which rows, the search."""

from moefast.estimators.summary.errors import Inference
from moefast.estimators.summary.membership import Membership
from moefast.estimators.summary.names import feature_names, response_name, response_names
from moefast.estimators.summary.summary import Summary
from moefast.estimators.summary.tables import Coefficients, GateTable

__all__ = [
    "Coefficients",
    "GateTable",
    "Inference",
    "Membership",
    "Summary",
    "feature_names",
    "response_name",
    "response_names",
]
