"""How many experts: information criteria, cross-validation, and a test of k experts against k + 1."""

from moefast.selection.candidate import Candidate
from moefast.selection.likelihood_ratio import LikelihoodRatioTest, lr_test
from moefast.selection.n_experts import select_n_experts
from moefast.selection.regressor_cv import MixtureOfExpertsRegressorCV
from moefast.selection.result import NExpertsSelection
from moefast.selection.scorer import log_likelihood_scorer

__all__ = [
    "Candidate",
    "LikelihoodRatioTest",
    "MixtureOfExpertsRegressorCV",
    "NExpertsSelection",
    "log_likelihood_scorer",
    "lr_test",
    "select_n_experts",
]
