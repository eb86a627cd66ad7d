"""Transforms of the response whose score tensors show the experts."""

from moefast.transforms.optimal import OptimalTransform, marginal_sigma, optimal_transform
from moefast.transforms.polynomial import (
    PolynomialTransform,
    ResponseTransform,
    cubic_transform,
    hermite_moment,
    mean_slope,
    quadratic_transform,
    quartic_transform,
)
from moefast.transforms.responses import (
    FamilyTransform,
    MarginalPredictor,
    family_transform,
    marginal_predictor,
)

__all__ = [
    "FamilyTransform",
    "MarginalPredictor",
    "OptimalTransform",
    "PolynomialTransform",
    "ResponseTransform",
    "cubic_transform",
    "family_transform",
    "hermite_moment",
    "marginal_predictor",
    "marginal_sigma",
    "mean_slope",
    "optimal_transform",
    "quadratic_transform",
    "quartic_transform",
]
