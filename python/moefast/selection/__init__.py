"""How many experts: information criteria, cross-validation, and a test of k experts against k + 1."""

from moefast.selection.candidate import Candidate
from moefast.selection.n_experts import select_n_experts
from moefast.selection.result import NExpertsSelection
from moefast.selection.scorer import log_likelihood_scorer

__all__ = ["Candidate", "NExpertsSelection", "log_likelihood_scorer", "select_n_experts"]
