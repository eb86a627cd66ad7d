"""Gates with frozen experts."""

from moefast.gating.descent import descend_gates
from moefast.gating.fit import fit_gates

__all__ = ["descend_gates", "fit_gates"]
