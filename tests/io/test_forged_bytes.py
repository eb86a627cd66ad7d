"""Accumulators and checkpoints with a right checksum and wrong content."""

import hashlib
import struct
import zlib

import numpy as np
import pytest

from moefast import MomentAccumulator
from moefast.streams.checkpoint import Checkpoint, CheckpointError

# In the header of an accumulator: magic, version, order, item size; d, rows in blocks, rows that wait.
OF_HEADER = {"n_features": 28, "pending": 44}


@pytest.mark.parametrize("field", OF_HEADER)
@pytest.mark.parametrize("value", [-1, -(2**62), 1000, 2**40, 2**62])
def test_sizes_that_an_accumulator_does_not_have(field, value):
    data = bytearray(MomentAccumulator(2).update(np.ones((5, 2)), np.arange(5.0)).to_bytes())
    struct.pack_into("<q", data, OF_HEADER[field], value)
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"data is damaged|n_features must be"):
        MomentAccumulator.from_bytes(bytes(data))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 9,
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"\xff\xfe",
        (60).to_bytes(8, "little") + b'{"dict": {"belongs_to": {"array": 3}, "state": {"dict": {}}}}',
        (4).to_bytes(8, "little") + b"null\x93NUMPY\x01\x00\x02\x00\xc2\xb4",
    ],
)
def test_checkpoints_of_other_content_are_refused(tmp_path, body):
    path = tmp_path / "c"
    Checkpoint(path, {"rows": 3}).note("pass", 1)
    start = path.read_bytes().index(b"\n") + 1
    path.write_bytes(path.read_bytes()[:start] + hashlib.sha256(body).digest() + body)
    with pytest.raises(CheckpointError, match=r"is damaged: .*; remove it"):
        Checkpoint(path, {"rows": 3})
