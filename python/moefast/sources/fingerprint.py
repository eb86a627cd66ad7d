"""What something is, in numbers, texts and lists: by this a checkpoint knows whether it belongs to a call."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

__all__ = ["fingerprint"]

# Objects inside objects: deeper ones are told by their types.
_DEPTH = 6


def fingerprint(value: Any, depth: int = _DEPTH) -> Any:
    """Return what a value is, for JSON: the same for what is equal, also in another process.

    Functions are told by their code, constants and the values they close over, arrays by a digest, random
    generators by their state, fitted models by their mixture, other objects by their attributes.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return repr(value)  # infinities and NaN too
    if isinstance(value, np.generic):
        return fingerprint(value.item(), depth)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), _digest(np.ascontiguousarray(value).tobytes())]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if depth == 0:
        return kind
    if isinstance(value, (list, tuple)):
        return [fingerprint(item, depth - 1) for item in value]
    if isinstance(value, dict):
        return {str(key): fingerprint(item, depth - 1) for key, item in value.items()}
    if isinstance(value, np.random.Generator):
        return [kind, fingerprint(value.bit_generator.state, depth - 1)]
    if isinstance(value, np.random.RandomState):
        return [kind, fingerprint(value.get_state(legacy=False), depth - 1)]
    if hasattr(value, "__code__"):
        return _of_function(value, depth)
    if hasattr(value, "mixture_"):
        return [kind, fingerprint(value.mixture_, depth - 1)]
    if hasattr(value, "__dict__") and vars(value):
        return [kind, fingerprint(vars(value), depth - 1)]
    return [kind, getattr(value, "__name__", "")]


def _of_function(function: Any, depth: int) -> Any:
    code = function.__code__
    constants = [item for item in code.co_consts if not hasattr(item, "co_code")]
    closed_over = [cell.cell_contents for cell in function.__closure__ or ()]
    told = [_digest(code.co_code), list(code.co_names), fingerprint(constants, depth - 1)]
    return [function.__qualname__, *told, fingerprint(closed_over, depth - 1)]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
