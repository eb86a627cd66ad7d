"""What users fit: the estimators and what they answer."""

from moefast.estimators.classifier import MixtureOfExpertsClassifier
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.estimators.hierarchical import HierarchicalMixtureOfExpertsRegressor
from moefast.estimators.number_predictions import NumberPredictions
from moefast.estimators.prediction import MixturePredictions

__all__ = [
    "HierarchicalMixtureOfExpertsRegressor",
    "MixtureOfExpertsClassifier",
    "MixtureOfExpertsRegressor",
    "MixturePredictions",
    "NumberPredictions",
]
