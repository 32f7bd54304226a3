"""A part of the kill campaign; `python -m tests.faults --only kills` does all of it."""

from __future__ import annotations

import pytest

from tests.faults import kills


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_servers_monitors_and_registry_writers_leave_one_champion_and_a_whole_log() -> None:
    outcome = kills.run(12, seed=10)
    assert outcome.failures == []
    assert outcome.kills.total() == 12
    assert min(outcome.kills.values()) >= 2
    assert len(outcome.kills) == 3
    assert outcome.answered > 20
    assert 0.5 * outcome.answered < outcome.log_rows
    assert outcome.versions >= 2
