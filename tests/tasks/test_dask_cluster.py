"""Frames are cut to partitions without losing rows; a cluster that fails is named in one line."""

import os
import signal
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from tasks import dask_cluster
from tasks.core.errors import UserError
from tasks.core.storage.event_log import EventLog


def test_partitions_have_the_size_and_all_rows() -> None:
    frames = [pd.DataFrame({"x": range(start, end)}) for start, end in [(0, 3), (3, 4), (4, 20), (20, 20), (20, 23)]]
    partitions = list(dask_cluster.repartition(frames, 5))
    assert [len(partition) for partition in partitions] == [5, 5, 5, 5, 3]
    assert pd.concat(partitions)["x"].tolist() == list(range(23))


def test_a_partition_of_large_rows_is_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "MAX_PARTITION_BYTES", 100)
    frames = [pd.DataFrame({"image": [b"x" * 30] * 2, "y": [place, place]}) for place in range(7)]
    partitions = list(dask_cluster.repartition(frames, 10))
    assert [len(partition) for partition in partitions] == [4, 4, 4, 2]
    assert pd.concat(partitions)["y"].tolist() == sorted([*range(7)] * 2)


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "nowhere")
    with (
        pytest.raises(UserError, match="no Dask scheduler answers at DASK_SCHEDULER_ADDRESS=nowhere"),
        dask_cluster.dask_client(1),
    ):
        pass


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    event_log = EventLog(tmp_path / "clean@mine.jsonl")
    with (
        pytest.raises(UserError, match=r"partitions 0 \(7\) ended its worker process several times over"),
        dask_cluster.dask_client(1) as client,
    ):
        dask_cluster.map_on_cluster(client, die, [7], event_log=event_log, unit="partitions")
    event_log.close()


def test_few_rows_are_worked_on_in_this_process_and_many_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    event_log = EventLog(tmp_path / "clean@mine.jsonl")
    with dask_cluster.client_for_rows(dask_cluster.SMALL_ROWS, 2) as client:
        assert client is None
        where = dask_cluster.map_on_cluster(
            client, lambda number: (number, os.getpid()), [7, 8], event_log=event_log, unit="parts"
        )
    assert where == [(7, os.getpid()), (8, os.getpid())]
    event_log.close()
    requests: list[tuple[object, ...]] = []
    monkeypatch.setattr(dask_cluster, "dask_client", lambda *arguments: requests.append(arguments) or nullcontext("a client"))
    with dask_cluster.client_for_rows(dask_cluster.SMALL_ROWS + 1, 2, "module") as client:
        assert str(client) == "a client"
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:1")
    with dask_cluster.client_for_rows(1, 2) as client:
        assert str(client) == "a client"
    assert requests == [(2, "module"), (2,)]
