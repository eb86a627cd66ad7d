"""Experts that have collapsed onto few rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moefast._typing import Floats
from moefast.em.standard_samples import StandardSamples
from moefast.mixture import GatedExperts

__all__ = ["collapsed_experts"]


def collapsed_experts(
    samples: StandardSamples, mixture: GatedExperts, totals: Floats, responsibilities: Callable[[], Floats]
) -> tuple[int, ...]:
    """Return the experts at the noise floor, or where it is a shape's, or with fewer than d + 2 different rows.

    d are the columns that experts see.

    What an expert is responsible for of a row counts as that share of one row, whatever the row's weight and
    however many copies of it there are. `responsibilities` is called only where `totals` leave it open.
    """
    least, weight = samples.expert_design.width + 2, samples.sample_weight
    group, group_weight = samples.row_group, samples.distinct_weight
    enough = least * samples.largest_weight
    # Nearly always so, and lists of a few numbers take the least time.
    one_scale = mixture.family.shape_name is None and not mixture.family.has_covariance
    if (
        one_scale
        and min(totals.tolist()) >= enough
        and min(mixture.sigma.tolist()) ** 2 > samples.largest_at_floor
    ):
        return ()
    few = totals < enough
    if few.any() and not np.allclose(group_weight[group_weight > 0], samples.largest_weight):
        of_rows = group_weight if group is None else group_weight[group]
        share = weight / np.maximum(of_rows, 1e-300)
        few &= share @ responsibilities() < least
    at_floor = samples.at_floor(mixture)
    at_floor |= mixture.family.has_collapsed(mixture.shape)
    at_floor |= few
    return tuple(np.flatnonzero(at_floor).tolist()) if at_floor.any() else ()
