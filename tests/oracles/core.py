"""The core's E-step and runs as functions of loose arrays."""

from moefast import _core


def e_step(X, y, w, p, settings, responsibilities=None, *, sums="all", **frozen):
    """The statistics at the parameters p; `frozen` are means or log_densities."""
    at = (p.experts, p.gates, p.variance, responsibilities, None)
    return _core.e_step(_core.EmData(X, y, w, **frozen), at, settings, sums)
