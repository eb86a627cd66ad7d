"""One way to turn `random_state` into a generator."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

__all__ = ["RandomState", "get_generator"]

RandomState: TypeAlias = int | np.random.RandomState | np.random.Generator | None


def get_generator(random_state: RandomState) -> np.random.Generator:
    """Return a numpy Generator for a seed, a Generator, a RandomState or None.

    A Generator is used as it is; a RandomState seeds a new Generator by one draw of its own.

    Examples
    --------
    >>> from moefast.randomness import get_generator
    >>> int(get_generator(0).integers(10))
    8
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(2**31 - 1)))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(
            f"random_state must be a number not below 0, a Generator, a RandomState or None, got {random_state!r}"
        ) from None
