"""Frames are cut to partitions without losing rows; a cluster that fails is named in one line."""

import os
import signal
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
