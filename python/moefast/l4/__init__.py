"""Method 2 of the papers: experts as the minimum of the L4 loss of fourth-order moments."""

from moefast.l4.experts import L4Experts, L4Run
from moefast.l4.loss import L4Loss, StochasticL4Loss
from moefast.l4.options import L4Options
from moefast.l4.recover import recover_experts

__all__ = ["L4Experts", "L4Loss", "L4Options", "L4Run", "StochasticL4Loss", "recover_experts"]
