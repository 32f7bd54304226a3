"""A Dask cluster in this process, and contexts of stages that use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

from tasks.core.stage_context import StageContext
from tasks.core.storage.event_log import EventLog


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """The address of a Dask cluster in this process: workers behave the same, and it starts without delay."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as local:
        yield local.scheduler_address


@pytest.fixture
def make_context(tmp_path: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes the context of a use case's clean stage in a folder of its own."""
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", scheduler)
    event_logs = []

    def make(case: Any, name: Any = "mine") -> Any:
        root = tmp_path / name
        event_logs.append(EventLog(root / "journal" / f"clean@{name}.jsonl"))
        return StageContext(name=name, case=case, event_log=event_logs[-1], root=root)

    yield make
    for event_log in event_logs:
        event_log.close()
