"""The workers of a Dask cluster: a task for each part, and one for each sum of neighbours in the tree."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import threadpoolctl

from moefast.sources.batch import SourceError
from moefast.streams.sum_tree import FAN_IN, SumTree
from moefast.streams.workers import Begun, Task

__all__ = ["DaskWorkers"]

# How often a task is tried again that failed, as where a file was out of reach for a moment. One that kills its
# workers is given up by the scheduler, after distributed.scheduler.allowed-failures of them.
_RETRIES = 3

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
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        client, prefix = self._client, f"moefast-{self._run}-{task.name}"
        whole = client.scatter(task, broadcast=True, hash=False)  # type: ignore[no-untyped-call]
        level = [
            client.submit(_term, whole, part, key=f"{prefix}-part-{i}", retries=_RETRIES, pure=False)
            for i, part in enumerate(parts)
        ]
        terms, depth = level, 0
        while len(level) > 1:
            depth += 1
            level = [
                client.submit(
                    _sum,
                    whole,
                    level[i : i + FAN_IN],
                    key=f"{prefix}-sum-{depth}-{i}",
                    retries=_RETRIES,
                    pure=False,
                )
                for i in range(0, len(level), FAN_IN)
            ]
        try:
            waiting = as_completed([*terms[:-1], level[0]])  # type: ignore[no-untyped-call]
            for done, future in enumerate(waiting, 1):
                if future.status == "error":
                    future.result()
                note(Begun(0, []), min(done, len(parts)) - 1)
            result: T = level[0].result()
            return result
        except KilledWorker as error:
            raise RuntimeError(
                f"{task.name}: workers died over the same task, {error.task}: too little memory for a batch, as a "
                "rule (batch_rows), or a file that kills its reader; the checkpoint, where there is one, is good"
            ) from error
        except SourceError:
            raise
        finally:
            del terms, level


def _term(task: Task[T], part: Any) -> T:
    """Return the term of a part, by one thread."""
    with threadpoolctl.threadpool_limits(1):
        return task.of_part(part)


def _sum(task: Task[T], terms: list[T]) -> T:
    return SumTree(task.add).total(terms)
