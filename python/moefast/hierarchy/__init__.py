"""Mixtures whose gates form a tree."""

from moefast.hierarchy.em import HierarchicalFit, HierarchicalProblem
from moefast.hierarchy.mixture import HierarchicalMixture

__all__ = ["HierarchicalFit", "HierarchicalMixture", "HierarchicalProblem"]
