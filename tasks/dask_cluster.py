"""The hands a stage borrows: a Dask cluster by address, or one of its own on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.core.errors import UserError

if TYPE_CHECKING:
    from distributed import Client
    from pandas import DataFrame

    from tasks.core.event_log import EventLog

Result = TypeVar("Result")

DASK_SETTINGS = {
    "distributed.deploy.lost-worker-timeout": "180s",  # the default 15 s gives a busy machine's workers up for ever
    "distributed.scheduler.no-workers-timeout": "120s",  # the default waits for ever
    "distributed.scheduler.worker-ttl": "60s",  # the default waits 5 minutes for a worker that stands still
    "distributed.admin.tick.interval": "500ms",  # 20 ms by default: a machine kept awake
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "5s",  # half a second by default, in every process
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.worker.profile.enabled": False,  # looks at every thread's stack a hundred times a second
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.daemon": True,
    "distributed.worker.multiprocessing-method": "forkserver",
}
PRELOADED_MODULES = ("distributed.nanny", "distributed.worker", "pandas", "pyarrow.parquet", "pandera.typing.dask")
"""Imported once, in the process that workers are forked from: each worker would pay 2.5 CPU-seconds for it."""

MAX_PARTITION_BYTES = 128_000_000
"""Encoded content a partition may hold, whatever its number of rows: a partition is what a worker has in memory."""


def available_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def dask_client(tasks: int, *modules: str) -> Iterator[Client]:
    """A client for about `tasks` pieces of work, done by code of `modules`.

    With `DASK_SCHEDULER_ADDRESS` set it is that cluster, which must import the same `tasks` package and see the same
    files; otherwise worker processes of this machine, one thread each, that listen on the loopback interface only.
    """
    import dask
    from distributed import Client

    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    with dask.config.set(DASK_SETTINGS):
        if not address:
            with _local_cluster(max(1, min(available_cores(), tasks)), modules) as client:
                yield client
            return
        try:
            client = Client(address, set_as_default=False, timeout="20s")
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"no Dask scheduler answers at DASK_SCHEDULER_ADDRESS={address} ({error}); start or unset it"
            ) from None
        with client:
            yield client


@contextmanager
def _local_cluster(workers: int, modules: tuple[str, ...]) -> Iterator[Client]:
    from multiprocessing import forkserver, set_forkserver_preload

    from distributed import Client, LocalCluster

    set_forkserver_preload([*PRELOADED_MODULES, *modules])
    local = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        silence_logs="CRITICAL",
    )
    try:
        with local, Client(local, set_as_default=False) as client:
            yield client
    finally:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # waited for, it counts in this process's time and memory


def map_on_cluster(
    client: Client, context: Callable[..., Result], *arguments: Sequence[Any], event_log: EventLog, unit: str
) -> list[Result]:
    """`context` once per position of `arguments`, on the cluster; results in order. A lost worker's piece is done again.

    Raises what a piece raised, and a `UserError` that names the piece which took its workers down with it.
    """
    from distributed import KilledWorker, as_completed

    futures = client.map(context, *arguments, pure=False)
    position = {future.key: place for place, future in enumerate(futures)}
    results: list[Any] = [None] * len(futures)
    event_log.progress(0, len(futures), unit)
    for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
        place = position[future.key]
        try:
            results[place] = future.result()
        except KilledWorker:
            client.cancel(futures)
            what = ", ".join(str(values[place]) for values in arguments if isinstance(values[place], (str, int)))
            raise UserError(
                f"{unit} {place} ({what}) ended its worker process several times over; "
                "it may need more memory than there is: lower fetch.partition_rows, or look at its rows"
            ) from None
        except BaseException:
            client.cancel(futures)
            raise
        future.release()
        event_log.progress(done, len(futures), unit)
    return results


def repartition(frames: Iterable[DataFrame], size: int) -> Iterator[DataFrame]:
    """Frames of any length, joined and cut again into frames of `size` rows; the last may be shorter.

    So may one of rows that are large: a block ends with the frame in which it passes `MAX_PARTITION_BYTES` of encoded content.
    """
    import pandas as pd

    held: list[DataFrame] = []
    count = heavy = 0
    for frame in frames:
        held.append(frame)
        count, heavy = count + len(frame), heavy + _encoded_bytes(frame)
        if count < size and heavy < MAX_PARTITION_BYTES:
            continue
        joined = pd.concat(held, ignore_index=True) if len(held) > 1 else held[0]
        whole = count if heavy >= MAX_PARTITION_BYTES else count - count % size
        for start in range(0, whole, size):
            yield joined.iloc[start : min(start + size, whole)].reset_index(drop=True)
        held = [joined.iloc[whole:]] if whole < count else []
        count, heavy = count - whole, _encoded_bytes(joined.iloc[whole:])
    if count:
        yield pd.concat(held, ignore_index=True)


def _encoded_bytes(frame: DataFrame) -> int:
    columns = [name for name in frame if len(frame) and isinstance(frame[name].iloc[0], bytes)]
    return sum(int(frame[name].map(len).sum()) for name in columns)
