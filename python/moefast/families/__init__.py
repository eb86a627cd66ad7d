"""Families: the law of a response around the linear predictor of an expert."""

from moefast.families.binomial import BERNOULLI, Bernoulli, Binomial
from moefast.families.custom import CustomFamily
from moefast.families.family import Family, Predictors
from moefast.families.gamma import Gamma
from moefast.families.gaussian import GAUSSIAN, Gaussian
from moefast.families.multinomial import Multinomial
from moefast.families.multivariate_gaussian import MultivariateGaussian
from moefast.families.negative_binomial import NegativeBinomial
from moefast.families.poisson import Poisson
from moefast.families.registry import FAMILIES, get_family
from moefast.families.student_t import StudentT
from moefast.families.tobit import Tobit

__all__ = [
    "BERNOULLI",
    "FAMILIES",
    "GAUSSIAN",
    "Bernoulli",
    "Binomial",
    "CustomFamily",
    "Family",
    "Gamma",
    "Gaussian",
    "Multinomial",
    "MultivariateGaussian",
    "NegativeBinomial",
    "Poisson",
    "Predictors",
    "StudentT",
    "Tobit",
    "get_family",
]
