"""Refusal of what would not fit into memory, before it is tried."""

from __future__ import annotations

import math

import psutil

__all__ = ["n_sums", "refuse_too_large"]


def n_sums(n_features: int, order: int, one_channel: bool) -> int:
    """Return the size of an accumulator's state: for every channel the packed tensor of (x, 1) of that order."""
    return (1 if one_channel else order + 1) * math.comb(n_features + order, order)


def refuse_too_large(n_features: int, order: int, needed: float, purpose: str = "") -> None:
    """Raise MemoryError when moments of so many features need more bytes than the machine has to give.

    Parameters
    ----------
    n_features, order : int
    needed : float
        Bytes.
    purpose : str
        What they are needed for, as in "need ... GB more to be merged"; nothing for the moments themselves.
    """
    available = float(psutil.virtual_memory().available)
    if needed > available:
        raise MemoryError(
            f"moments of order {order} of {n_features} features need {needed / 1e9:.3g} GB{purpose}, and "
            f"{available / 1e9:.3g} GB are available. Moments along a few directions need next to nothing: take a "
            "second pass over the samples with moefast.moments.projected_moments, which "
            'moefast.spectral.recover_experts(..., strategy="two_pass") does by itself'
        )
