"""DVC's own SQLite files in a workspace: they only save it work, so a damaged one is deleted, and DVC makes it again."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

COMPANIONS = ("", "-wal", "-shm", "-journal")
BUSY_TIMEOUT_S = 5.0


def folder(workspace: Path) -> Path:
    """The folder of a workspace's files, for DVC's setting `site_cache_dir`; by default all users of a machine share one."""
    return workspace / ".dvc" / "tmp" / "site"


def delete_damaged(workspace: Path) -> list[Path]:
    """Delete the files that SQLite itself finds damaged, and return them; one that another process has locked is not judged.

    Every command that opens the workspace would end in an error of SQLite otherwise, until a person deletes them.
    """
    damaged = [path for path in folder(workspace).rglob("*.db") if _is_damaged(path)]
    for path in damaged:
        for companion in COMPANIONS:
            path.with_name(path.name + companion).unlink(missing_ok=True)
    return damaged


def _is_damaged(path: Path) -> bool:
    """Whether SQLite's quick check, a text that is no UTF-8 or a hash that is no JSON says so; DVC would end in an error."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return True
            if "hashes" in path.parts:
                for (value,) in connection.execute("SELECT value FROM Cache WHERE typeof(value) = 'text'"):
                    json.loads(value)
    except sqlite3.OperationalError as error:  # locked, or removed by its owner at this moment
        return "decode" in str(error) or "no such" in str(error)
    except (sqlite3.DatabaseError, ValueError):
        return True
    return False
