"""Symmetric tensors and their decomposition."""

from moefast.tensors.jennrich import Components, jennrich
from moefast.tensors.power_method import TensorPairs, power_iteration
from moefast.tensors.symmetric import SymmetricTensor

__all__ = ["Components", "SymmetricTensor", "TensorPairs", "jennrich", "power_iteration"]
