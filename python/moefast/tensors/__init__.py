"""Symmetric tensors and their decomposition."""

from moefast.tensors.power_method import TensorPairs, power_iteration
from moefast.tensors.symmetric import SymmetricTensor

__all__ = ["SymmetricTensor", "TensorPairs", "power_iteration"]
