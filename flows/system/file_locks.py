"""The machine's slots, one per processor, shared by all runs: file locks that the kernel frees when a process dies."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Literal

POLL_S = 0.05

Held = IO[bytes]
"""A lock that is held: the open file. It is a context manager; to close it is to let go."""


class Stopped(Exception):
    """The run was asked to stop while it waited."""


def machine_slots() -> int:
    """Processors this process may use, or what BONSAI_SLOTS says."""
    return int(os.environ.get("BONSAI_SLOTS") or len(os.sched_getaffinity(0)))


@contextmanager
def taken(
    folder: Path, wanted: int | Literal["all"], stop: threading.Event, waits: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold `wanted` slots of the machine while the block runs; `waits` is called for as long as they are not free.

    Whoever waits for slots holds the turn, so stages get theirs in the order they asked, those that want all included.
    """
    total = machine_slots()
    count = total if wanted == "all" else min(wanted, total)
    with ExitStack() as held:
        with locked(folder / "turn", stop, waits):
            free = list(range(total))
            while count:
                for slot in list(free):
                    if count and (file := try_lock(folder / f"{slot}")):
                        held.enter_context(file)
                        free.remove(slot)
                        count -= 1
                if count:
                    waits()
                    if stop.wait(POLL_S):
                        raise Stopped
        yield


@contextmanager
def locked(path: Path, stop: threading.Event | None = None, waits: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of that name; other threads and processes wait, and `waits` is called for as long as they do."""
    stop = stop or threading.Event()
    while not (file := try_lock(path)):
        waits()
        if stop.wait(POLL_S):
            raise Stopped
    with file:
        yield


def try_lock(path: Path) -> Held | None:
    """The lock of that name until the block or the process ends, or None when someone else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
