"""The doctor checks a sample of the cached objects, or all of them on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.maintenance import doctor
from tests.support.executed_runs import both_runs, cached_objects


def test_the_doctor_checks_a_sample_of_objects_or_all_on_request(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SAMPLE_BYTES", 100)
    (quick,), (full,) = doctor.cache(project), doctor.cache(project, full=True)
    assert "--full checks all" in quick.text
    assert f"{len(cached_objects(project))} objects, all" in full.text
    victim = next(iter(cached_objects(project)))
    victim.unlink()
    assert not [finding for finding in doctor.cache(project, full=True) if finding.state == "bad"]


def test_the_doctor_finds_a_flipped_byte_in_the_cache(toy: Path) -> None:
    cached = toy / ".dvc" / "cache" / "files" / "md5" / "5d" / "41402abc4b2a76b9719d911017c592"
    cached.parent.mkdir(parents=True)
    cached.write_text("hello")
    assert [finding.state for finding in doctor.cache(toy)] == ["ok"]
    cached.write_text("hellp")
    (finding,) = doctor.cache(toy, full=True)
    assert finding.state == "bad"
    assert "the cached object 5d41402abc4b2a76b9719d911017c592 was damaged" in finding.text
    (kept,) = (toy / ".dvc" / "cache" / "damaged").iterdir()
    assert str(kept) in finding.text
    assert (kept.read_text(), cached.exists()) == ("hellp", False)


def test_the_doctor_names_versions_that_were_not_tested(toy: Path) -> None:
    (toy / "constraints.txt").write_text("pyyaml==0.1\nrich\n# a note\nno-such-package==1\n")
    (finding,) = doctor.versions(toy)
    assert finding.state == "note"
    assert "(tested: 0.1)" in finding.text
    assert "no-such-package" not in finding.text


def test_the_doctor_repairs_what_it_reports(toy: Path) -> None:
    (toy / "dvc.lock").write_text("")
    assert [finding.state for finding in doctor.leftovers(toy)] == ["note"]
    assert [finding.state for finding in doctor.leftovers(toy)] == ["ok"]


def test_the_doctor_names_damaged_records_and_repairs_those_with_a_copy(project: Path) -> None:
    first, second = both_runs(project)
    for path in (first.folder / "run.json", second.folder / "run.json", second.folder / "run.copy.json"):
        path.write_text("{")
    assert sorted(finding.state for finding in doctor.records(project)) == ["bad", "note", "ok"]
    assert [str(second.folder) in finding.text for finding in doctor.records(project)].count(True) == 1
    assert sorted(finding.state for finding in doctor.records(project)) == ["bad", "ok"]
