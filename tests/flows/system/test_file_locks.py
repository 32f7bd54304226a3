"""Slots of the machine are shared by all runs, and processes are identified across reuse of their numbers."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flows.system import file_locks, os_processes


def test_a_process_is_distinguished_from_a_later_one_with_its_number() -> None:
    me = os_processes.identity()
    assert os_processes.is_alive(me)
    assert not os_processes.is_alive({**me, "started": "12345"})
    assert not os_processes.is_alive({**me, "boot": "another"})
    assert not os_processes.is_alive(None)


def test_slots_are_shared_and_whoever_needs_all_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_SLOTS", "2")
    stop, lock = threading.Event(), threading.Lock()
    working: list[str] = []
    holders: list[tuple[str, ...]] = []

    def work(name: str, slots: Any) -> None:
        with file_locks.acquire_slots(tmp_path, slots, stop):
            with lock:
                working.append(name)
                holders.append(tuple(working))
            time.sleep(0.05)
            with lock:
                working.remove(name)

    threads = [threading.Thread(target=work, args=(f"{n}", "all" if n % 3 == 0 else 1)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(holders) == 9
    assert max(map(len, holders)) == 2
    assert all(names == (name,) for names in holders for name in names if int(name) % 3 == 0)


def test_waiting_for_a_slot_ends_when_the_run_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_SLOTS", "1")
    stop = threading.Event()
    with file_locks.acquire_slots(tmp_path, 1, stop):
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(file_locks.StopRequested), file_locks.acquire_slots(tmp_path, 1, stop):
            pass


def test_held_slots_are_counted_without_taking_one(tmp_path: Path) -> None:
    assert file_locks.held_slots(tmp_path, 4) == 0
    with file_locks.acquire_slots(tmp_path, 1, threading.Event()):
        assert file_locks.held_slots(tmp_path, 4) == 1
    assert file_locks.held_slots(tmp_path, 4) == 0
    assert file_locks.held_slots(tmp_path, 4, locks=tmp_path / "none") == 0
