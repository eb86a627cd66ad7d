"""A file from which a fit goes on where it was: written whole or not at all, with a checksum and what it belongs
to.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from moefast.atomic import check_writable, replacing
from moefast.file_fields import Field

__all__ = ["Checkpoint", "CheckpointError"]

_MAGIC = b"moefast checkpoint 1\n"
# Seconds at least between two writes in the middle of a pass, and how many times as long as the last one took.
_SECONDS_BETWEEN, _TIMES_AS_LONG = 1.0, 20.0


class CheckpointError(ValueError):
    """A checkpoint of another fit, or one that is damaged."""


class Checkpoint:
    """What a fit has come to so far, by stages.

    Parameters
    ----------
    path : str or path-like, optional
        None keeps it in memory only.
    belongs_to : dict
        Of the data, the options and the version, for JSON: a fit goes on only where all are the same.

    Raises
    ------
    CheckpointError
        Where the file is that of another fit, naming what differs, or damaged.
    OSError
        Where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, belongs_to: dict[str, Any]) -> None:
        self._path = path
        self._belongs_to = json.loads(json.dumps(belongs_to))
        self._state: dict[str, Any] = {}
        self._written, self._took = -np.inf, 0.0
        if path is None:
            return
        check_writable(path)
        if os.path.exists(path) and os.path.getsize(path):
            self._state = self._read()

    def __contains__(self, stage: str) -> bool:
        return stage in self._state

    def __getitem__(self, stage: str) -> Any:
        return self._state[stage]

    def get(self, stage: str, field: Field) -> Any:
        """Return what there is of a stage, or None.

        Raises
        ------
        CheckpointError
            Where a file has something there that does not fit the field; the part is named.
        """
        found = self._state.get(stage)
        if found is not None:
            with self.content():
                field.check(stage, found)
        return found

    @contextlib.contextmanager
    def content(self) -> Iterator[None]:
        """Turn a ValueError of a check into one that names the file."""
        try:
            yield
        except ValueError as error:
            raise CheckpointError(f"{self._path} has content that is not from here: {error}; remove it") from None

    def note(self, stage: str, value: Any, *, now: bool = True) -> None:
        """Keep the state of a stage: numbers, texts, arrays, and lists, tuples and dicts of these.

        Without `now` it is written only when the last time is long ago.
        """
        self._state[stage] = value
        if now or time.monotonic() - self._written > max(_SECONDS_BETWEEN, _TIMES_AS_LONG * self._took):
            self._write()

    def forget(self, stage: str) -> None:
        """Drop a stage; the next write leaves it out."""
        self._state.pop(stage, None)

    def _write(self) -> None:
        if self._path is None:
            return
        begin = time.monotonic()
        body = _packed({"belongs_to": self._belongs_to, "state": self._state})
        try:
            with replacing(self._path) as temporary:
                temporary.write_bytes(_MAGIC + hashlib.sha256(body).digest() + body)
        except OSError as error:
            what = "there was none before: make room, or give another name"
            if os.path.exists(self._path) and os.path.getsize(self._path):
                what = "the one before it is good, and the fit goes on from there when it is called again"
            raise type(error)(
                f"the checkpoint {os.fspath(self._path)} could not be written ({error}); {what}"
            ) from error
        self._written = time.monotonic()
        self._took = self._written - begin

    def _read(self) -> dict[str, Any]:
        assert self._path is not None
        with open(self._path, "rb") as file:
            data = file.read()
        start = len(_MAGIC)
        if data[:start] != _MAGIC:
            raise CheckpointError(f"{self._path} is no checkpoint of this version; give another name or remove it")
        digest, body = data[start : start + 32], data[start + 32 :]
        if hashlib.sha256(body).digest() != digest:
            raise CheckpointError(f"{self._path} is damaged: its checksum is not that of its contents; remove it")
        try:
            whole = _unpacked(body)
            whole = {name: dict(whole[name]) for name in ("belongs_to", "state")}
        except Exception as error:  # readers of JSON and of arrays raise what comes to them
            raise CheckpointError(f"{self._path} is damaged: {error}; remove it") from error
        differing = _differences(whole["belongs_to"], self._belongs_to)
        if differing:
            raise CheckpointError(
                f"{self._path} is the checkpoint of another fit: {'; '.join(differing)}. Remove it, or give "
                "another name, to begin anew"
            )
        state: dict[str, Any] = whole["state"]
        return state


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say what differs, at most three things."""
    found = []
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            i = next(i for i in range(len(old)) if old[i] != new[i])
            found.append(f"{name} was {old[i]!r} and is {new[i]!r}")
        elif isinstance(old, list) and isinstance(new, list):
            found.append(f"{name} had {len(old)} entries and has {len(new)}")
        else:
            found.append(f"{name} was {old!r} and is {new!r}")
    return found[:3]


def _packed(value: Any) -> bytes:
    """Return a value as bytes: JSON, in which arrays are numbers of what follows."""
    arrays: list[np.ndarray[Any, Any]] = []

    def plain(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            arrays.append(part)
            return {"array": len(arrays) - 1}
        if isinstance(part, dict):
            return {"dict": {key: plain(item) for key, item in part.items()}}
        if isinstance(part, tuple):
            return {"tuple": [plain(item) for item in part]}
        if isinstance(part, list):
            return [plain(item) for item in part]
        return part.item() if isinstance(part, np.generic) else part

    text = json.dumps(plain(value)).encode()
    out = io.BytesIO()
    out.write(len(text).to_bytes(8, "little") + text)
    for array in arrays:
        np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def _unpacked(data: bytes) -> Any:
    file = io.BytesIO(data)
    text = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    arrays: list[np.ndarray[Any, Any]] = []
    while file.tell() < len(data):
        arrays.append(np.lib.format.read_array(file, allow_pickle=False))

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(item) for item in part]
        if not isinstance(part, dict):
            return part
        ((kind, item),) = part.items()
        if kind == "array":
            return arrays[item]
        if kind == "dict":
            return {key: whole(value) for key, value in item.items()}
        return tuple(whole(value) for value in item)

    return whole(text)
