"""Pictures of a fitted model. matplotlib is needed here and nowhere else (``pip install "moefast[plot]"``).

Functions that draw one panel take ``ax`` and return the axes; without it they draw on a new figure of pyplot.
"""

from moefast.plotting.calibration import plot_calibration
from moefast.plotting.coefficients import plot_coefficients
from moefast.plotting.cross_validation import plot_cross_validation
from moefast.plotting.experts import plot_experts, plot_explained
from moefast.plotting.figures import picture_format, require_matplotlib, save_figure
from moefast.plotting.gates import plot_gates
from moefast.plotting.laws import plot_fit, plot_laws
from moefast.plotting.residuals import plot_quantile_residuals, plot_residuals
from moefast.plotting.search import plot_search

__all__ = [
    "picture_format",
    "plot_calibration",
    "plot_coefficients",
    "plot_cross_validation",
    "plot_experts",
    "plot_explained",
    "plot_fit",
    "plot_gates",
    "plot_laws",
    "plot_quantile_residuals",
    "plot_residuals",
    "plot_search",
    "require_matplotlib",
    "save_figure",
]
