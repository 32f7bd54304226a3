"""Prefect's SQLite database: checked before a server uses it, set aside when it is damaged, and pruned with the runs."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

FILE = "prefect.db"
COMPANIONS = ("-wal", "-shm", "-journal")
URL_VARIABLE = "PREFECT_API_DATABASE_CONNECTION_URL"
BUSY_TIMEOUT_S = 10.0
UNKNOWN_RUNS_KEPT = timedelta(days=1)
"""How long ended flow runs without a record stay, such as missed and cancelled ones."""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


def path(root: Path) -> Path | None:
    """The file of the project's database; None where another database is configured, such as PostgreSQL."""
    if os.environ.get(URL_VARIABLE) or os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        return None
    return Path(os.environ.get("PREFECT_HOME") or root / ".prefect") / FILE


def set_aside_if_damaged(root: Path) -> str:
    """Move a damaged database aside, so that the server makes a new one; returns a line for people, or nothing.

    Results do not depend on it: the runs' own records are complete. A database that another process has locked is not judged.
    """
    database = path(root)
    if database is None or not database.exists() or not (damage := find_damage(database)):
        return ""
    name = f"{database.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    for suffix in ("", *COMPANIONS):
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(database.with_name(name + suffix))
    return f"Prefect's database was damaged ({damage}); it is kept as {name}, and a new one is made; no run is lost"


def find_damage(database: Path) -> str:
    """What is wrong with a SQLite file, found by SQLite's own check; empty if nothing is, or if it is locked.

    The whole check: of 3,000 single flipped bits in a table with two indexes, it finds 1,241 and the quick one 332. The others
    lie in free space or within a text.
    """
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as error:
        return "" if "locked" in str(error) or "busy" in str(error) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    if result != "ok":
        return str(result).splitlines()[0]
    return "its tables are gone" if tables and "alembic_version" not in tables else ""


def prune(root: Path, *, kept: Collection[str], removed: Collection[str]) -> int:
    """Delete the flow runs that were `removed` with their runs, and ended ones that nobody `kept` and that are a day old.

    Their task runs, states, logs, artifacts and events go too. Returns by how many bytes the file shrank; it shrinks only
    while no server uses it, and its free pages are used again otherwise.
    """
    database = path(root)
    if database is None or not database.exists() or find_damage(database):
        return 0
    before = database.stat().st_size
    with closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        if not _has_tables(connection):
            return 0
        with _transaction(connection):
            connection.execute("CREATE TEMP TABLE kept (id TEXT PRIMARY KEY)")
            connection.execute("CREATE TEMP TABLE removed (id TEXT PRIMARY KEY)")
            connection.executemany("INSERT OR IGNORE INTO kept VALUES (?)", [(each,) for each in kept])
            connection.executemany("INSERT OR IGNORE INTO removed VALUES (?)", [(each,) for each in removed])
            oldest = f"{datetime.now(UTC) - UNKNOWN_RUNS_KEPT:%Y-%m-%d %H:%M:%S}"
            ended = ", ".join(f"'{state}'" for state in ENDED)
            connection.execute(
                "DELETE FROM flow_run WHERE id NOT IN (SELECT id FROM kept) AND "
                f"(id IN (SELECT id FROM removed) OR (state_type IN ({ended}) AND COALESCE(end_time, created) < ?))",
                (oldest,),
            )
            for table in ("log", "artifact"):
                connection.execute(
                    f"DELETE FROM {table} WHERE flow_run_id IS NOT NULL AND flow_run_id NOT IN (SELECT id FROM flow_run)"
                )
            connection.execute("DELETE FROM artifact_collection WHERE latest_id NOT IN (SELECT id FROM artifact)")
            connection.execute("DELETE FROM events WHERE occurred < ?", (oldest,))
            connection.execute("DELETE FROM event_resources WHERE event_id NOT IN (SELECT id FROM events)")
        _shrink(connection)
    return max(0, before - database.stat().st_size)


def take_write_locks_at_once() -> None:
    """Let every transaction of this process's server take SQLite's write lock when it begins, and wait for it.

    One that reads first and writes later fails at once with "database is locked" when another has written in between, however
    long the busy timeout is (https://www.sqlite.org/isolation.html, SQLITE_BUSY_SNAPSHOT).
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction
    AioSqliteConfiguration.begin_transaction = (  # type: ignore[method-assign]
        lambda self, session, with_for_update=False: begin(self, session, with_for_update=True)
    )


def _has_tables(connection: sqlite3.Connection) -> bool:
    needed = {"flow_run", "log", "artifact", "artifact_collection", "events", "event_resources"}
    return needed <= {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _shrink(connection: sqlite3.Connection) -> None:
    """Give free pages back to the file system; not while a server uses the file."""
    connection.execute("PRAGMA busy_timeout = 200")
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise
