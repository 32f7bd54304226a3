"""Prefect's server as it is started here: garbage that waits for the database stops nobody."""

import subprocess
import sys
from pathlib import Path

WRITER_WAITS_WITH_A_CURSOR_LEFT_OVER = """
import sqlite3, sys, threading, time, weakref
from flows.services import prefect_server

class Knot:
    "Garbage, for as long as nobody looks for it."
    def __init__(self, **held):
        self.held, self.itself = held, self

prefect_server.COLLECT_INTERVAL_S, prefect_server.FULL_COLLECTION_EVERY = 0.05, 2
prefect_server.collect_garbage_in_background()
holder, writer = (sqlite3.connect(sys.argv[1], isolation_level=None, check_same_thread=False, timeout=3) for _ in range(2))
knot = weakref.ref(Knot(cursor=writer.execute("SELECT 1 UNION SELECT 2")))
holder.execute("BEGIN IMMEDIATE")

def write():
    try:
        writer.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        print(error)

waiting = threading.Thread(target=write)
waiting.start()
longest, last = 0.0, time.monotonic()
while waiting.is_alive():
    garbage = [Knot() for _ in range(1000)]
    longest, last = max(longest, time.monotonic() - last), time.monotonic()
while knot():
    time.sleep(0.01)
print(longest)
"""
"""A cursor of a connection that waits for its turn to write can be freed only when the wait is over."""


def test_a_cursor_that_cannot_be_freed_yet_stops_no_request(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER_WAITS_WITH_A_CURSOR_LEFT_OVER, str(tmp_path / "prefect.db")]
    locked, longest = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert locked == "database is locked"
    assert float(longest) < 1.5, "of the three seconds that the writer waited"
