"""The workers of a Dask cluster: a task for each part, and one for each sum of neighbours in the tree."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import threadpoolctl

from moefast.streams.sum_tree import FAN_IN, SumTree
from moefast.streams.workers import Begun, Task

__all__ = ["DaskWorkers"]

# How often a task is tried again that failed, as where a file was out of reach for a moment. One that kills its
# workers is given up by the scheduler, after distributed.scheduler.allowed-failures of them; and how many
# different tasks may be given up so before a pass is.
_RETRIES, _ACCUSED = 3, 5

T = TypeVar("T")


class DaskWorkers:
    """Workers of a cluster.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    TypeError
        For anything else.
    """

    def __init__(self, client: Any) -> None:
        try:
            import distributed
        except ImportError as error:
            raise ImportError(f"client needs dask ({error}): pip install 'moefast[dask]'") from None
        if not isinstance(client, distributed.Client):
            raise TypeError(f"client must be a distributed.Client or None, got {type(client).__name__}")
        if client.asynchronous:
            raise TypeError("client must not be asynchronous: a fit waits for its passes")
        self._client = client
        self._run = uuid.uuid4().hex[:12]  # keys of other fits are other keys

    def total(
        self,
        task: Task[T],
        parts: Sequence[Any],
        begun: Begun[T] | None,
        note: Callable[[Begun[T], int], None],
    ) -> T:
        """Return the sum over all parts; see :class:`moefast.streams.workers.Workers`.

        Added up on the workers, in the order of the tree. A pass that has been begun is made anew.
        """
        from distributed.scheduler import KilledWorker

        accused: set[str] = set()
        while True:
            try:
                return self._attempt(task, parts, note, len(accused))
            except KilledWorker as error:
                # A worker that dies takes the innocent along: whoever is accused twice is guilty.
                who = str(error.task).partition("-of-")[0]
                if who in accused or len(accused) >= _ACCUSED:
                    raise RuntimeError(
                        f"{task.name}: workers died over the same task, {_described(who, task.name, parts)}: too "
                        "little memory for a batch, as a rule (batch_rows), or a file that kills its reader; the "
                        "checkpoint, where there is one, is good"
                    ) from error
                accused.add(who)

    def _attempt(
        self, task: Task[T], parts: Sequence[Any], note: Callable[[Begun[T], int], None], number: int
    ) -> T:
        from distributed import as_completed

        client, suffix = self._client, f"of-{self._run}-{task.name}-{number}"

        def submit(name: str, function: Callable[..., Any], *args: Any) -> Any:
            return client.submit(function, *args, key=f"{name}-{suffix}", retries=_RETRIES, pure=False)

        whole = submit("what", _itself, task)  # a result: made again where its worker dies
        level = terms = [submit(f"part-{i}", _term, whole, part) for i, part in enumerate(parts)]
        depth = 0
        while len(level) > 1:
            depth += 1
            level = [
                submit(f"sum-{depth}-{i}", _sum, task.add, level[i : i + FAN_IN])
                for i in range(0, len(level), FAN_IN)
            ]
        (last,) = level
        waiting = as_completed([*terms[:-1], last])  # type: ignore[no-untyped-call]
        for done, future in enumerate(waiting, 1):
            if future.status == "error":
                future.result()
            note(Begun(0, []), min(done, len(parts)) - 1)
        result: T = last.result()
        return result


def _described(key: str, name: str, parts: Sequence[Any]) -> str:
    """Say which task it is, by the part that it reads where it reads one."""
    kind, _, number = key.partition("-")
    return f"that of {parts[int(number)].label}" if kind == "part" and number.isdigit() else f"{key} of {name}"


def _term(task: Task[T], part: Any) -> T:
    """Return the term of a part, by one thread."""
    with threadpoolctl.threadpool_limits(1):
        return task.of_part(part)


def _sum(add: Callable[[T, T], T], terms: list[T]) -> T:
    return SumTree(add).total(terms)


def _itself(value: T) -> T:
    return value
