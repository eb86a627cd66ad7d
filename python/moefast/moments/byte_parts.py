"""Large arrays as bytes, a part at a time: numpy and zlib look for no signals while they work."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["checksum", "join"]

# Handled within milliseconds.
_PART_BYTES = 1 << 23


def _parts(array: npt.NDArray[Any]) -> Iterator[memoryview]:
    numbers = array.ravel().view(np.uint8)
    return (numbers[start : start + _PART_BYTES].data for start in range(0, len(numbers), _PART_BYTES))


def join(arrays: Iterable[npt.NDArray[Any]]) -> bytes:
    """Return the bytes of all arrays, one after the other, followed by their CRC-32 (little-endian)."""
    out, crc = io.BytesIO(), 0
    for array in arrays:
        for part in _parts(array):
            crc = zlib.crc32(part, crc)
            out.write(part)
    out.write(crc.to_bytes(4, "little"))
    return out.getvalue()


def checksum(data: bytes) -> int:
    """Return the CRC-32 of all but the last four bytes."""
    crc = 0
    for part in _parts(np.frombuffer(data, np.uint8)[:-4]):
        crc = zlib.crc32(part, crc)
    return crc
