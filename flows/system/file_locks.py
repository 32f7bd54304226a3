"""The machine's slots, one per processor, shared by all runs: file locks that the kernel frees when a process dies."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Literal

POLL_INTERVAL_S = 0.05

HeldLock = IO[bytes]
"""A lock that is held: the open file. It is a context manager; to close it is to let go."""


class StopRequested(Exception):
    """The run was asked to stop while it waited."""


def machine_slots() -> int:
    """Processors this process may use, or what BONSAI_SLOTS says."""
    return int(os.environ.get("BONSAI_SLOTS") or len(os.sched_getaffinity(0)))


@contextmanager
def acquire_slots(
    folder: Path, requested: int | Literal["all"], stop: threading.Event, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold `requested` slots of the machine while the block runs; `on_wait` is called for as long as they are not free.

    Whoever waits for slots holds the turn, so stages get theirs in the order they asked, those that want all included.
    """
    total = machine_slots()
    count = total if requested == "all" else min(requested, total)
    with ExitStack() as held:
        with hold_lock(folder / "turn", stop, on_wait):
            free = list(range(total))
            while count:
                for slot in list(free):
                    if count and (file := try_lock(folder / f"{slot}")):
                        held.enter_context(file)
                        free.remove(slot)
                        count -= 1
                if count:
                    on_wait()
                    if stop.wait(POLL_INTERVAL_S):
                        raise StopRequested
        yield


@contextmanager
def hold_lock(path: Path, stop: threading.Event | None = None, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of that name; other threads and processes wait, and `on_wait` is called for as long as they do."""
    stop = stop or threading.Event()
    while not (file := try_lock(path)):
        on_wait()
        if stop.wait(POLL_INTERVAL_S):
            raise StopRequested
    with file:
        yield


def try_lock(path: Path) -> HeldLock | None:
    """The lock of that name until the block or the process ends, or None when someone else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
