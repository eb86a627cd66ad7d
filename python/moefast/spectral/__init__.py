"""Method 1 of the papers: experts from third-order moments and the tensor power method."""

from moefast.spectral.bernoulli import recover_two_logistic_experts
from moefast.spectral.experts import SpectralExperts, recover_from_moments
from moefast.spectral.given_gates import recover_experts_given_gates
from moefast.spectral.recover import recover_experts

__all__ = [
    "SpectralExperts",
    "recover_experts",
    "recover_experts_given_gates",
    "recover_from_moments",
    "recover_two_logistic_experts",
]
