"""From starts to the best optimum of the likelihood; :mod:`moefast.search.best_optimum` tells the way."""

from moefast.search.best_optimum import find_best_optimum, search
from moefast.search.budget import Deadline
from moefast.search.given_starts import best_of_starts, optimum_of_starts
from moefast.search.portfolio import StartOptions
from moefast.search.report import ClimbReport, FitReport, MoveReport, StartReport
from moefast.search.settings import SearchSettings

__all__ = [
    "ClimbReport",
    "Deadline",
    "FitReport",
    "MoveReport",
    "SearchSettings",
    "StartOptions",
    "StartReport",
    "best_of_starts",
    "find_best_optimum",
    "optimum_of_starts",
    "search",
]
