"""The doctor checks a sample of the cached objects, or all of them on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.maintenance import doctor
from tests.support.executed_runs import cached_objects


def test_the_doctor_checks_a_sample_of_objects_or_all_on_request(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SAMPLE_BYTES", 100)
    (quick,), (full,) = doctor.cache(project), doctor.cache(project, full=True)
    assert "--full checks all" in quick.text
    assert f"{len(cached_objects(project))} objects, all" in full.text
    victim = next(iter(cached_objects(project)))
    victim.unlink()
    assert not [found for found in doctor.cache(project, full=True) if found.state == "bad"]
