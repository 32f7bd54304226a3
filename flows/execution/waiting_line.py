"""The order in which waiting stages get the machine's slots: the longest first, so that no long one is left for the end.

Longest processing time first (R. Graham, SIAM Journal on Applied Mathematics 17, 1969): its makespan is at most 4/3 of the best.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flows.dvc_state.stage_graph import Stage
from flows.system.file_locks import POLL_INTERVAL_S, StopRequested
from tasks.core import registry

ARRIVAL_S = 0.2
"""How long a stage waits for others that became ready with it."""
NETWORK_STEP_S, FORMAT_STEP_S = 30.0, 5.0
"""About how long a step of a recipe takes, where no earlier run was measured: enough to tell a long recipe from a short one."""


class WaitingLine:
    """The stages of a run that wait for slots. Threads may share one."""

    def __init__(self, expected_s: Mapping[str, float]) -> None:
        self.expected_s = dict(expected_s)
        self._waiting: list[str] = []
        self._mutex = threading.Lock()

    @contextmanager
    def first(self, name: str, stop: threading.Event, on_wait: Callable[[], None]) -> Iterator[None]:
        """Wait until no longer stage waits; the stage leaves the line with the block, in which it takes its slots.

        Raises `StopRequested` when `stop` is set before.
        """
        with self._mutex:
            self._waiting.append(name)
        try:
            if stop.wait(ARRIVAL_S):
                raise StopRequested
            while not self._is_first(name):
                on_wait()
                if stop.wait(POLL_INTERVAL_S):
                    raise StopRequested
            yield
        finally:
            with self._mutex:
                self._waiting.remove(name)

    def _is_first(self, name: str) -> bool:
        with self._mutex:
            return max(self._waiting, key=lambda one: self.expected_s.get(one, 0.0)) == name


def expected_durations(
    stages: Mapping[str, Stage], measured_s: Mapping[str, float], recipes: Mapping[str, list[dict[str, object]]]
) -> dict[str, float]:
    """About how many seconds each stage takes: as measured in an earlier run, or else by the steps of its recipe."""
    durations = {}
    for name, stage in stages.items():
        steps = [kind for step in recipes.get(stage.recipe, []) for kind in step] if stage.verb.startswith("compress") else []
        names = set(registry.registered_names(registry.STEPS_FOLDER))
        changes = [registry.find_class(registry.STEPS_FOLDER, kind).changes for kind in steps if kind in names]  # type: ignore[attr-defined]
        guess = NETWORK_STEP_S * changes.count("network") + FORMAT_STEP_S * changes.count("format")
        durations[name] = measured_s.get(name, guess)
    return durations
