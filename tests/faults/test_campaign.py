"""A part of the fault campaign: nothing is lost, silent, unnamed or undetected. `python -m tests.faults` does all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.faults import attacks, flips, injection, mutations, planted, soak
from tests.faults.trial_log import TrialLog

SEED = 7


def test_no_attack_of_the_corpus_escapes() -> None:
    attempts = list(attacks.corpus())
    assert len(attempts) >= 150
    assert [name for name, attempt in attempts if not attacks.refused(attempt)] == []
    assert attacks.reaches("http", {"host": attacks.ADDRESS, **attacks.COOKIE}), "the dashboard can be used at all"


def test_every_planted_defect_is_found() -> None:
    assert len(planted.DEFECTS) >= 30
    assert planted.undetected() == []


def test_every_mutated_input_is_read_or_refused_by_an_error_that_names_what_is_wrong() -> None:
    outcomes = mutations.run(6_400, SEED)
    assert {name: dict(each.unnamed) for name, each in outcomes.items() if each.unnamed or each.hangs} == {}
    assert sum(each.refused for each in outcomes.values()) > 1_000


@pytest.mark.slow
def test_a_tenth_of_the_mutations() -> None:
    outcomes = mutations.run(100_000, SEED + 1)
    assert {name: dict(each.unnamed) for name, each in outcomes.items() if each.unnamed or each.hangs} == {}


@pytest.mark.slow
def test_every_flipped_bit_is_named_or_costs_nothing() -> None:
    outcomes = flips.run(200, SEED)
    assert {name: (each.silent, dict(each.unnamed)) for name, each in outcomes.items() if each.named < each.flips} == {}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="the injector is a C file; no compiler is here")
def test_a_run_heals_what_kills_and_disk_errors_left() -> None:
    outcomes = injection.run(24, SEED)
    assert [line for each in outcomes.values() for line in each.failures] == []
    assert sum(each.orphans for each in outcomes.values()) == 0
    assert sum(each.faults for each in outcomes.values()) >= 24


def test_a_campaign_takes_up_where_it_ended_and_tries_again_what_failed(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "state.jsonl")
    first = mutations.run(160, SEED, log)
    lines = (tmp_path / "state.jsonl").read_text().strip().splitlines()
    assert len(lines) == 16
    assert mutations.run(160, SEED, log) == first
    assert (tmp_path / "state.jsonl").read_text().strip().splitlines() == lines, "nothing was done again"
    failed = {**json.loads(lines[3]), "refused": 0, "unnamed": {"KeyError: 'x'": 3}}
    (tmp_path / "state.jsonl").write_text("\n".join([*lines[:3], json.dumps(failed), *lines[4:], lines[5][:20]]))
    assert mutations.run(160, SEED, log) == first
    assert log.done("mutation", SEED)[3] == json.loads(lines[3])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_through_one_bonsai_up_complete_and_leave_what_a_collection_keeps() -> None:
    done = soak.run(6, collections=2)
    assert done.completed == 6
    assert done.not_completed == []
    assert done.locked == []
    assert all(done.growth(values) < 1.5 for values in done.memory_bytes.values()), "services that are hardly warm"
    assert len(done.database_bytes) == len(done.disk_bytes) == 2
