"""File locks, released by the kernel when a process dies; and machine slots made of them: one per CPU, shared by all runs."""

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
"""A held lock: the open file. Closing it, or leaving it as a context manager, releases the lock."""


class StopRequested(Exception):
    """The stop event was set while the caller waited for a lock."""


def machine_slots() -> int:
    """Number of slots: BONSAI_SLOTS, or the CPUs that this process may use."""
    return int(os.environ.get("BONSAI_SLOTS") or len(os.sched_getaffinity(0)))


@contextmanager
def acquire_slots(
    folder: Path, requested: int | Literal["all"], stop: threading.Event, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold `requested` slots for the duration of the block; `on_wait` is called repeatedly while they are not free.

    A caller holds the lock `turn` while it collects its slots. So slots are granted in the order of requests, also to a
    request for all of them. Raises `StopRequested` when `stop` is set while it waits.
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


def held_slots(folder: Path, total: int, locks: Path = Path("/proc/locks")) -> int:
    """How many of the `total` slots are held, as the kernel lists locks; looking takes none of them. 0 where it lists none."""
    try:
        listed = {
            line.split()[-3].rpartition(":")[2] for line in locks.read_text(encoding="ascii").splitlines() if "FLOCK" in line
        }
    except (OSError, IndexError):
        return 0
    slots = [folder / str(number) for number in range(total)]
    return sum(slot.exists() and str(slot.stat().st_ino) in listed for slot in slots)


@contextmanager
def hold_lock(path: Path, stop: threading.Event | None = None, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path` for the duration of the block; `on_wait` is called repeatedly while another holds it.

    Raises `StopRequested` when `stop` is set while it waits.
    """
    stop = stop or threading.Event()
    while not (file := try_lock(path)):
        on_wait()
        if stop.wait(POLL_INTERVAL_S):
            raise StopRequested
    with file:
        yield


def try_lock(path: Path) -> HeldLock | None:
    """Take the lock file `path` without waiting; None when another thread or process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
