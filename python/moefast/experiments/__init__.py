"""The comparisons of the papers, each from simulation to picture by ``moefast reproduce NAME``."""

from moefast.experiments import (
    expert_error,
    gate_error,
    gates_given,
    landscapes,
    learning_curves,
    real_data,
    starts,
)
from moefast.experiments.runner import DataFile, Experiment, Plan, run_experiment

__all__ = ["EXPERIMENTS", "DataFile", "Experiment", "Plan", "run_experiment"]

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (expert_error, gates_given, gate_error, learning_curves, starts, landscapes, real_data)
}
"""By the name they are asked for."""
