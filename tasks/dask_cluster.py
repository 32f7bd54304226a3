"""A Dask client for a stage: an existing cluster by address, or a local one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.core.errors import UserError

if TYPE_CHECKING:
    from distributed import Client
    from pandas import DataFrame

    from tasks.core.storage.event_log import EventLog

Result = TypeVar("Result")

DASK_SETTINGS = {
    "distributed.deploy.lost-worker-timeout": "180s",  # the default of 15 s loses the workers of a busy machine for good
    "distributed.scheduler.no-workers-timeout": "120s",  # the default waits forever
    "distributed.scheduler.worker-ttl": "60s",  # the default waits 5 minutes for a worker that does not answer
    "distributed.admin.tick.interval": "500ms",  # the default of 20 ms keeps an idle machine busy
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "5s",  # the default is 0.5 s, in every process
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.worker.profile.enabled": False,  # the default samples every thread's stack 100 times a second
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.daemon": True,
    "distributed.worker.multiprocessing-method": "forkserver",
}
PRELOADED_MODULES = ("distributed.nanny", "distributed.worker", "pandas", "pyarrow.parquet", "pandera.typing.dask")
"""Modules imported once, in the process that workers are forked from. It saves 2.5 CPU-seconds per worker."""

SMALL_ROWS = int(os.environ.get("BONSAI_SMALL_ROWS", "20000"))
"""So few rows are worked on in the stage's own process: a cluster takes 3 CPU-seconds to start. The bytes are the same."""

MAX_PARTITION_BYTES = 32_000_000
"""Most bytes of encoded content in a partition, whatever its number of rows: a worker holds one partition in memory."""


def available_cores() -> int:
    """The number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def client_for_rows(rows: int, tasks: int, *modules: str) -> Iterator[Client | None]:
    """As `dask_client`, but None, this process alone, for at most `SMALL_ROWS` rows unless a cluster is named."""
    if rows <= SMALL_ROWS and not os.environ.get("DASK_SCHEDULER_ADDRESS"):
        yield None
        return
    with dask_client(tasks, *modules) as client:
        yield client


@contextmanager
def dask_client(tasks: int, *modules: str) -> Iterator[Client]:
    """A client for about `tasks` tasks that run code of `modules`.

    With `DASK_SCHEDULER_ADDRESS` set, the client of that cluster, whose workers must import the same `tasks` package and
    see the same files. Otherwise one of worker processes on this machine, one thread each, on the loopback interface only.
    Raises a `UserError` when no scheduler answers at the address.
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
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # once it is waited for, its time and memory count as this process's


def map_on_cluster(
    client: Client | None, function: Callable[..., Result], *arguments: Sequence[Any], event_log: EventLog, unit: str
) -> list[Result]:
    """The results of `function` for each position of `arguments`, in order. A lost worker's task runs again elsewhere.

    Without a client this process computes them. Raises what the function raises, and a `UserError` that names a task whose
    workers were killed several times.
    """
    if client is None:
        return _map_here(function, *arguments, event_log=event_log, unit=unit)
    from distributed import KilledWorker, as_completed

    futures = client.map(function, *arguments, pure=False)
    positions = {future.key: position for position, future in enumerate(futures)}
    results: list[Any] = [None] * len(futures)
    event_log.progress(0, len(futures), unit)
    for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
        position = positions[future.key]
        try:
            results[position] = future.result()
        except KilledWorker:
            client.cancel(futures)
            inputs = ", ".join(str(values[position]) for values in arguments if isinstance(values[position], (str, int)))
            raise UserError(
                f"{unit} {position} ({inputs}) ended its worker process several times over; "
                "it may need more memory than there is: lower fetch.partition_rows, or look at its rows"
            ) from None
        except BaseException:
            client.cancel(futures)
            raise
        future.release()
        event_log.progress(done, len(futures), unit)
    return results


def _map_here(function: Callable[..., Result], *arguments: Sequence[Any], event_log: EventLog, unit: str) -> list[Result]:
    """The results of `function` for each position of `arguments`, computed in this process."""
    results, total = list[Result](), len(arguments[0])
    event_log.progress(0, total, unit)
    for values in zip(*arguments, strict=True):
        results.append(function(*values))
        event_log.progress(len(results), total, unit)
    return results


def repartition(frames: Iterable[DataFrame], size: int) -> Iterator[DataFrame]:
    """The rows of `frames` in frames of `size` rows; the last one may be shorter.

    A frame of large rows may be shorter too: it ends with the input frame that exceeds `MAX_PARTITION_BYTES`.
    """
    import pandas as pd

    buffer: list[DataFrame] = []
    count = encoded_bytes = 0
    for frame in frames:
        buffer.append(frame)
        count, encoded_bytes = count + len(frame), encoded_bytes + _encoded_bytes(frame)
        if count < size and encoded_bytes < MAX_PARTITION_BYTES:
            continue
        rows = pd.concat(buffer, ignore_index=True) if len(buffer) > 1 else buffer[0]
        ready = count if encoded_bytes >= MAX_PARTITION_BYTES else count - count % size
        for start in range(0, ready, size):
            yield rows.iloc[start : min(start + size, ready)].reset_index(drop=True)
        buffer = [rows.iloc[ready:]] if ready < count else []
        count, encoded_bytes = count - ready, _encoded_bytes(rows.iloc[ready:])
    if count:
        yield pd.concat(buffer, ignore_index=True)


def _encoded_bytes(frame: DataFrame) -> int:
    columns = [name for name in frame if len(frame) and isinstance(frame[name].iloc[0], bytes)]
    return sum(int(frame[name].map(len).sum()) for name in columns)
