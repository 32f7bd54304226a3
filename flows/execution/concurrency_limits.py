"""Prefect's concurrency limits that are named after a stage's tags, such as one on `gpu`; asked for when there is work to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event

import httpx
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from flows.system.file_locks import StopRequested

log = logging.getLogger("bonsai.limits")

LOOK_S = 5.0
"""How long a place is waited for before it is looked whether the run was stopped."""


@contextmanager
def admitted(tags: Sequence[str], stop: Event, waits: Callable[[], None]) -> Iterator[None]:
    """Hold a place within each limit there is for one of the tags; `waits` is called while there is none.

    `prefect concurrency-limit create gpu 1` makes such a limit. A task of Prefect's with tags would ask the server, by a
    request that may be put off for two seconds, even where the stage turns out to be unchanged or nobody has set a limit.
    A server that is away limits nothing. Raises `StopRequested` when `stop` is set first.
    """
    names = [name for tag in tags if _exists(name := f"tag:{tag}")]
    place = ExitStack()
    while names:
        if stop.is_set():
            raise StopRequested
        try:
            place.enter_context(concurrency(names, timeout_seconds=LOOK_S))
            break
        except TimeoutError:
            waits()
        except (httpx.HTTPError, ConcurrencySlotAcquisitionError) as error:
            log.warning("no place within %s could be asked for: %s", ", ".join(names), error)
            break
    try:
        yield
    finally:
        try:
            place.close()
        except httpx.HTTPError as error:  # the server lets go of it by itself when it hears nothing more
            log.warning("the place within %s could not be given back: %s", ", ".join(names), error)


def _exists(name: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(name).active
        except ObjectNotFound:
            return False
        except httpx.HTTPError as error:
            log.warning("whether there is a limit %s could not be asked: %s", name, error)
            return False
