"""Prefect's concurrency limits for a stage's tags, such as one on `gpu`; requested only when the stage has work to do."""

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

POLL_S = 5.0
"""How long to wait for a slot before checking whether the run was stopped."""


@contextmanager
def acquire_tag_slots(tags: Sequence[str], stop: Event, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a slot of each limit that exists for one of the tags; `on_wait` is called while there is none.

    `prefect concurrency-limit create gpu 1` creates such a limit. Prefect's own tags on tasks are not used: they cost a
    request, which may be delayed by two seconds, even where the stage is unchanged or no limit exists. An unreachable
    server limits nothing. Raises `StopRequested` when `stop` is set first.
    """
    names = [name for tag in tags if _exists(name := f"tag:{tag}")]
    slots = ExitStack()
    while names:
        if stop.is_set():
            raise StopRequested
        try:
            slots.enter_context(concurrency(names, timeout_seconds=POLL_S))
            break
        except TimeoutError:
            on_wait()
        except (httpx.HTTPError, ConcurrencySlotAcquisitionError) as error:
            log.warning("no slot of %s could be requested: %s", ", ".join(names), error)
            break
    try:
        yield
    finally:
        try:
            slots.close()
        except httpx.HTTPError as error:  # the server releases it by itself when its lease ends
            log.warning("the slot of %s could not be released: %s", ", ".join(names), error)


def _exists(name: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(name).active
        except ObjectNotFound:
            return False
        except httpx.HTTPError as error:
            log.warning("the limit %s could not be looked up: %s", name, error)
            return False
