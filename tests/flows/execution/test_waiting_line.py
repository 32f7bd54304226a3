"""Waiting stages get slots in the order of their expected duration, the longest first."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from flows.dvc_state.stage_graph import Stage
from flows.execution import waiting_line
from flows.execution.waiting_line import WaitingLine, expected_durations
from flows.system.file_locks import StopRequested


def stage(name: str, recipe: str) -> Stage:
    return Stage(name=name, command=(), verb=name.partition("@")[0], use_case="vision", recipe=recipe)


def test_the_longest_of_those_that_wait_goes_first() -> None:
    line, order, stop, free = (
        WaitingLine({"short": 1.0, "long": 9.0, "middle": 5.0}),
        list[str](),
        threading.Event(),
        threading.Lock(),
    )

    def wait(name: str) -> None:
        with line.first(name, stop, lambda: None), free:
            order.append(name)
            time.sleep(0.02)

    threads = [threading.Thread(target=wait, args=(name,)) for name in ("short", "middle", "long")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["long", "middle", "short"]


def test_a_stage_that_is_stopped_leaves_the_line() -> None:
    line, stop = WaitingLine({}), threading.Event()
    stop.set()
    with pytest.raises(StopRequested), line.first("one", stop, lambda: None):
        pass
    with line.first("other", threading.Event(), lambda: None):
        pass


def test_a_duration_is_that_of_an_earlier_run_or_follows_from_the_recipe(monkeypatch: Any) -> None:
    recipes: dict[str, Any] = {"dense": [], "int8": [{"quantize": {}}], "small": [{"distill": {}}, {"quantize": {}}]}
    stages = {f"compress@vision-{name}": stage(f"compress@vision-{name}", name) for name in recipes}
    stages["evaluate@vision-small"] = stage("evaluate@vision-small", "small")
    durations = expected_durations(stages, {"compress@vision-int8": 77.0}, recipes)
    assert durations == {
        "compress@vision-dense": 0.0,
        "compress@vision-int8": 77.0,
        "compress@vision-small": waiting_line.NETWORK_STEP_S + waiting_line.FORMAT_STEP_S,
        "evaluate@vision-small": 0.0,
    }
