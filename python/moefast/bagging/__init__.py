"""The average of mixtures fitted to rows with random weights: laws that predict, and on what the refits agree."""

from moefast.bagging.agreement import Agreement
from moefast.bagging.averaged import AveragedMixture
from moefast.bagging.estimator import BaggedMixtureOfExperts

__all__ = ["Agreement", "AveragedMixture", "BaggedMixtureOfExperts"]
