"""The hands a stage borrows: a Dask cluster by address, or one of its own on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.contracts import Mistake

if TYPE_CHECKING:
    from distributed import Client

    from tasks.journal import Journal

Result = TypeVar("Result")

SETTINGS = {
    "distributed.deploy.lost-worker-timeout": "180s",  # the default 15 s gives a busy machine's workers up for ever
    "distributed.scheduler.no-workers-timeout": "120s",  # the default waits for ever
    "distributed.admin.tick.limit": "60s",
    "distributed.comm.timeouts.connect": "60s",
    "distributed.worker.daemon": True,
}


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def cluster(tasks: int) -> Iterator[Client]:
    """A client for about `tasks` pieces of work.

    With `DASK_SCHEDULER_ADDRESS` set it is that cluster, which must import the same `tasks` package and see the same
    files; otherwise worker processes of this machine, one thread each, that listen on the loopback interface only.
    """
    import dask
    from distributed import Client, LocalCluster

    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    with dask.config.set(SETTINGS):
        if address:
            try:
                client = Client(address, set_as_default=False, timeout="20s")
            except (OSError, TimeoutError, ValueError) as error:
                raise Mistake(f"no Dask scheduler answers at DASK_SCHEDULER_ADDRESS={address} ({error}); start or unset it") from None
            with client:
                yield client
        else:
            workers = max(1, min(cores(), tasks))
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs="ERROR",
                ) as local,
                Client(local, set_as_default=False) as client,
            ):
                yield client


def each(client: Client, work: Callable[..., Result], *arguments: Sequence[Any], journal: Journal, unit: str) -> list[Result]:
    """`work` once per position of `arguments`, on the cluster; results in order. A lost worker's piece is done again."""
    from distributed import as_completed

    futures = client.map(work, *arguments, pure=False, retries=2)
    journal.progress(0, len(futures), unit)
    for done, future in enumerate(as_completed(futures), start=1):
        if future.status == "error":
            future.result()
        journal.progress(done, len(futures), unit)
    return [future.result() for future in futures]


def in_blocks(rows: Iterable[Any], size: int) -> Iterator[Any]:
    """Frames of any length, joined and cut again into frames of `size` rows; the last may be shorter."""
    import pandas as pd

    held: list[Any] = []
    count = 0
    for frame in rows:
        held.append(frame)
        count += len(frame)
        while count >= size:
            joined = pd.concat(held, ignore_index=True)
            yield joined.iloc[:size].reset_index(drop=True)
            held, count = [joined.iloc[size:]], count - size
    if count:
        yield pd.concat(held, ignore_index=True)
