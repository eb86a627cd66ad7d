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

__all__ = [
    "OptimalTransform",
    "PolynomialTransform",
    "ResponseTransform",
    "cubic_transform",
    "hermite_moment",
    "marginal_sigma",
    "mean_slope",
    "optimal_transform",
    "quadratic_transform",
    "quartic_transform",
]
