"""A damaged database of Prefect is set aside and made anew, and ended flow runs go with their runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.maintenance import garbage_collection
from flows.runs import run_record
from flows.services import prefect_database
from tests.support.bonsai_process import run_bonsai
from tests.support.toy_project import build_project


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_HOME", prefect_database.URL_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A small intact database where Prefect's would be."""
    path = tmp_path / ".prefect" / "prefect.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("CREATE TABLE filler (text)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 500,) for _ in range(200)])
        connection.commit()
    return path


def test_an_intact_a_missing_and_a_locked_database_stay(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_database, "BUSY_TIMEOUT_S", 0.1)
    assert prefect_database.set_aside_if_damaged(tmp_path) == ""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert prefect_database.set_aside_if_damaged(tmp_path) == ""
    database.unlink()
    assert prefect_database.set_aside_if_damaged(tmp_path) == ""


@pytest.mark.parametrize("how", ["header", "page", "cut", "text"])
def test_a_damaged_database_is_kept_under_another_name_and_said(tmp_path: Path, database: Path, how: str) -> None:
    content = bytearray(database.read_bytes())
    if how == "header":
        content[:16] = b"x" * 16
    elif how == "page":
        content[4096 * 3 : 4096 * 3 + 64] = b"\xff" * 64
    elif how == "cut":
        content = content[: 4096 * 5]
    else:
        content = bytearray(b"not a database at all\n" * 100)
    database.write_bytes(bytes(content))
    line = prefect_database.set_aside_if_damaged(tmp_path)
    assert "Prefect's database was damaged" in line
    assert "no run is lost" in line
    assert not database.exists()
    assert len(list(database.parent.glob("prefect.db.damaged-*"))) == 1


def test_an_index_that_differs_from_its_table_is_damage(tmp_path: Path, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.execute("CREATE INDEX by_name ON runs (name)")
        connection.executemany("INSERT INTO runs VALUES (?)", [(f"run-{number:04}",) for number in range(300)])
        connection.commit()
    assert prefect_database.find_damage(database) == ""
    content = database.read_bytes()
    first, last = content.find(b"run-0150"), content.rfind(b"run-0150")
    assert first != last, "in the table and in its index"
    database.write_bytes(content[:last] + b"run-9150" + content[last + 8 :])
    assert "by_name" in prefect_database.find_damage(database)


def test_postgresql_is_left_alone(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database.write_bytes(b"x")
    monkeypatch.setenv(prefect_database.URL_VARIABLE, "postgresql+asyncpg://u:p@h/d")
    assert prefect_database.set_aside_if_damaged(tmp_path) == ""
    assert prefect_database.prune(tmp_path, kept=(), removed=()) == 0


@pytest.mark.slow
def test_a_run_starts_with_a_damaged_database_and_gc_prunes_the_flow_runs_of_removed_runs(tmp_path: Path) -> None:
    toy = build_project(tmp_path / "toy")
    database = toy / ".prefect" / "prefect.db"
    database.parent.mkdir()
    database.write_bytes(b"damaged " * 10_000)
    output = run_bonsai(toy, "run", "toy", server={})
    assert "Prefect's database was damaged" in output
    run_bonsai(toy, "run", "toy", "--set", "model.width=5", server={})

    def count(table: str) -> Any:
        with closing(sqlite3.connect(database)) as connection:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    before = {table: count(table) for table in ("flow_run", "task_run", "flow_run_state", "task_run_state", "log")}
    assert before["flow_run"] == 2
    report = garbage_collection.collect_garbage(toy, keep=1)
    assert len(report.runs) == 1
    after = {table: count(table) for table in before}
    assert after["flow_run"] == 1
    assert all(0 < after[table] <= before[table] * 0.6 for table in before if before[table] > 1), (before, after)
    with closing(sqlite3.connect(database)) as connection:
        (kept,) = connection.execute("SELECT id FROM flow_run").fetchone()
    assert kept == next(run_record.iter_runs(toy)).record["prefect"]["flow_run_id"]
