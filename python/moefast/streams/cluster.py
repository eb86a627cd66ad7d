"""The workers of a Dask cluster: a task for each part, and one for each sum of neighbours in the tree."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import threadpoolctl

from moefast.streams.sum_tree import FAN_IN, SumTree
from moefast.streams.workers import Begun, Task

__all__ = ["DaskWorkers"]

# How often a task is tried again that failed, as where a file was out of reach for a moment. One that kills its
# workers is given up by the scheduler, after distributed.scheduler.allowed-failures of them and one more: how
# often until it is held guilty, or after how many deaths, since each takes seconds, while four also meet the
# innocent by chance. And how often a pass is made anew at most.
_RETRIES, _ACCUSED, _DEATHS, _ATTEMPTS = 3, 3, 8, 10
# How often to look whether a task is done, and for how long the cluster may be without workers: as they come up
# again, or are still to be started.
_SECONDS_BETWEEN_LOOKS, _WITHOUT_WORKERS = 0.02, 300.0

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

        accused: Counter[str] = Counter()
        while True:
            try:
                return self._attempt(task, parts, note, accused.total())
            except KilledWorker as error:
                # A worker that dies takes the innocent along: whoever is accused again and again is guilty.
                who = str(error.task).partition("-of-")[0]
                accused[who] += 1
                deaths = accused[who] * (1 + error.allowed_failures)
                if accused[who] >= _ACCUSED or deaths >= _DEATHS or accused.total() >= _ATTEMPTS:
                    raise RuntimeError(
                        f"{task.name}: workers died over the same task, {_described(who, task.name, parts)}, "
                        "or one that waited beside it: too little memory for a batch, as a rule (batch_rows), or "
                        "a file that kills its reader; the checkpoint, where there is one, is good"
                    ) from error

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
        waiting: Any = as_completed([*terms[:-1], last])
        done, seen = 0, time.monotonic()
        while waiting.count():
            if not waiting.has_ready():
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                if time.monotonic() - seen > _WITHOUT_WORKERS / 2:
                    self._refuse_no_workers(task.name)
                    seen = time.monotonic()
                continue
            future, done, seen = next(waiting), done + 1, time.monotonic()
            if future.status == "error":
                future.result()
            note(Begun(0, []), min(done, len(parts)) - 1)
        result: T = last.result()
        return result

    def _refuse_no_workers(self, name: str) -> None:
        """Raise RuntimeError where the cluster has no worker, nor gets one for a while."""
        begin = time.monotonic()
        while not self._client.scheduler_info()["workers"]:
            if time.monotonic() - begin > _WITHOUT_WORKERS / 2:
                raise RuntimeError(
                    f"{name}: the cluster has no workers, and had none for {time.monotonic() - begin:.0f} s; "
                    "start some (a LocalCluster gives up those that are not back in time after their death: "
                    "distributed.deploy.lost-worker-timeout), and call the fit again: with a checkpoint it goes "
                    "on where it was"
                )
            time.sleep(_SECONDS_BETWEEN_LOOKS)


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
