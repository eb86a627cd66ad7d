"""From samples to score tensors."""

from moefast.moments.accumulator import MomentAccumulator
from moefast.moments.dataset import accumulate_dataset
from moefast.moments.input_mixture import InputMixture
from moefast.moments.options import MomentOptions
from moefast.moments.scores import ScoreMoments
from moefast.moments.strategy import choose_strategy, strategy_costs
from moefast.moments.two_pass import TwoPassMoments, projected_moments, projected_score_tensor

__all__ = [
    "InputMixture",
    "MomentAccumulator",
    "MomentOptions",
    "ScoreMoments",
    "TwoPassMoments",
    "accumulate_dataset",
    "choose_strategy",
    "projected_moments",
    "projected_score_tensor",
    "strategy_costs",
]
