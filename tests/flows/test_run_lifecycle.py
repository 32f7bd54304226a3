"""A run's record is true, its parameters are checked at the door, and what a kill leaves behind is mended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import yaml

from flows.dvc_state.stage_graph import Stage, load_stages
from flows.dvc_state.stage_state import StageStore, working_directory
from flows.execution.plan import plan_run, stage_durations
from flows.execution.run_executor import RunExecutor
from flows.execution.stage_process import run_stage_process
from flows.parameters import run_request
from flows.runs import recovery, run_record
from flows.runs.workspace import create_workspace
from flows.system import file_locks, os_processes
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.data import sources
from tests.support.toy_project import REPOSITORY, build, known

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build(tmp_path / "toy")
    known(folder, monkeypatch)
    return folder


def asked(toy: Path, **more: Any) -> run_request.RunRequest:
    return run_request.build_request(toy, ["toy"], **more)


def test_what_is_asked_is_narrowed_and_what_differs_is_named_in_full(toy: Path) -> None:
    found = run_request.build_request(toy, ["toy"], ["half"], {"training.epochs": 3, "recipes.half.0.halve.times": 2})
    assert found.overrides == {"use_cases.toy.training.epochs": 3, "recipes.half.0.halve.times": 2}
    assert list(found.values["use_cases"]) == ["toy"]
    assert list(found.values["recipes"]) == ["dense", "half"], "dense is what the others are compared with"
    assert not found.unmodified


def test_a_number_set_to_what_it_is_already_is_no_override(toy: Path) -> None:
    found = run_request.build_request(toy, ["twin"], overrides={"fetch.limit": 10})
    assert found.overrides == {}
    assert found.unmodified


def test_a_relative_setting_goes_to_every_use_case_asked_for(toy: Path) -> None:
    found = run_request.build_request(toy, overrides={"training.epochs": 3})
    assert set(found.overrides) == {"use_cases.toy.training.epochs", "use_cases.twin.training.epochs"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"use_cases": ["toi"]}, "did you mean 'toy'"),
        ({"recipes": ["hlf"]}, "did you mean 'half'"),
        ({"overrides": {"model.widht": 3}}, "did you mean 'width'"),
        ({"overrides": {"model.width": 0}}, "greater than or equal to 1, got 0"),
        ({"overrides": {"recipes.half.0.halve.times": 99}}, "less than or equal to 8, got 99"),
        ({"overrides": {"fetch.path": "own.cvs"}}, "did you mean 'own.csv'"),
    ],
)
def test_a_wrong_request_is_refused_with_the_nearest_right_thing(toy: Path, request_: dict[str, Any], said: str) -> None:
    (toy / "own.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=said) as refusal:
        run_request.build_request(toy, **{"use_cases": ["toy"], **request_})
    assert "\n" not in str(refusal.value)


def test_values_are_read_as_in_params_yaml() -> None:
    given = ["a=3", "b=1e-3", "c=[1, 2]", "d=no", "e=", "f=x=y", "g=true"]
    assert run_request.parse_overrides(given) == {"a": 3, "b": 0.001, "c": [1, 2], "d": "no", "e": "", "f": "x=y", "g": True}
    for wrong in ("a", "=3"):
        with pytest.raises(UserError, match="name=value"):
            run_request.parse_overrides([wrong])
    with pytest.raises(UserError, match="not a YAML value"):
        run_request.parse_overrides(["a=[1"])


def test_ones_own_data_is_named_by_its_content(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text("[1]")
    first = asked(toy, overrides={"fetch.path": "own.json"}, cwd=tmp_path)
    assert first.values["use_cases"]["toy"]["fetch"]["path"] == str(tmp_path / "own.json")
    (tmp_path / "own.json").write_text("[2]")
    second = asked(toy, overrides={"fetch.path": "own.json"}, cwd=tmp_path)
    assert first.overrides["use_cases.toy.fetch.fingerprint"] != second.overrides["use_cases.toy.fetch.fingerprint"]


def test_all_that_a_fetch_reads_is_named_by_its_content(tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    (tmp_path / "news.csv").write_text("ticker,time,text\n")
    (tmp_path / "data" / "nlp" / "release").mkdir(parents=True)
    (tmp_path / "data" / "nlp" / "release" / "model.onnx").write_bytes(b"one")
    wanted = {"fetch.news": "news.csv", "use_cases.finance.fetch.scorer": "data/nlp/release"}

    def fetched() -> Any:
        request = run_request.build_request(tmp_path, ["finance"], overrides=wanted, cwd=tmp_path)
        return request.values["use_cases"]["finance"]["fetch"]

    first = fetched()
    assert (first["news"], first["scorer"]) == (str(tmp_path / "news.csv"), str(tmp_path / "data" / "nlp" / "release"))
    case = registry.build("use_cases", "finance", {"fetch": first})
    (tmp_path / "data" / "nlp" / "release" / "model.onnx").write_bytes(b"two")
    second = fetched()
    (tmp_path / "news.csv").write_text("ticker,time,text\nONE,2020-01-07,good\n")
    assert len({first["fingerprint"], second["fingerprint"], fetched()["fingerprint"]}) == 3
    with pytest.raises(UserError, match=r"news\.csv changed since this run was asked for"):
        next(case.load())
    with pytest.raises(UserError, match=r"did you mean 'news\.csv'"):
        run_request.build_request(tmp_path, ["finance"], overrides={**wanted, "fetch.news": "news.cvs"}, cwd=tmp_path)


def test_what_lies_among_the_outputs_is_named_by_its_whole_path_and_the_rest_is_linked(tmp_path: Path) -> None:
    shutil.copy2(REPOSITORY / "params.yaml", tmp_path)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["use_cases"]["finance"]["fetch"] = {"news": "news.csv", "scorer": "data/nlp/release"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "news.csv").write_text("ticker,time,text\n")
    (tmp_path / "data" / "nlp" / "release").mkdir(parents=True)
    found = run_request.build_request(tmp_path, ["finance"])
    assert found.links == ("news.csv",)
    assert found.values["use_cases"]["finance"]["fetch"]["scorer"] == str(tmp_path / "data" / "nlp" / "release")


def test_a_folder_is_named_by_its_names_sizes_and_contents(tmp_path: Path) -> None:
    folder, memory = tmp_path / "images", tmp_path / "memory.json"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.png").write_bytes(b"one")
    first = run_request.cached_fingerprint(folder, memory)
    assert run_request.cached_fingerprint(folder, memory) == first
    assert run_request.cached_fingerprint(folder, tmp_path / "other.json") == first
    (folder / "a" / "1.png").rename(folder / "a" / "2.png")
    assert run_request.cached_fingerprint(folder, memory) != first


def test_the_fetch_stage_accepts_what_the_run_wrote_down(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "1.png").write_bytes(b"one")
    for path in (folder, folder / "cats" / "1.png"):
        assert sources.verified_path(str(path), run_request.cached_fingerprint(path, tmp_path / "memory.json")) == path
    (folder / "cats" / "1.png").write_bytes(b"other")
    with pytest.raises(UserError, match="changed since this run was asked for"):
        sources.verified_path(str(folder), json.loads((tmp_path / "memory.json").read_text())[str(folder)]["fingerprint"])


def test_data_inside_the_project_is_found_from_a_runs_folder_too(toy: Path) -> None:
    (toy / "own.json").write_text("[1]")
    values = yaml.safe_load((toy / "params.yaml").read_text())
    values["use_cases"]["toy"]["fetch"] = {"path": "own.json"}
    (toy / "params.yaml").write_text(yaml.safe_dump(values))
    (toy / "work").mkdir()
    create_workspace(toy, toy / "work", asked(toy))
    assert (toy / "work" / "own.json").read_text() == "[1]"


def test_a_run_is_recorded_from_the_first_moment(toy: Path) -> None:
    run = run_record.create(toy, asked(toy), trigger="test")
    record = json.loads((run.folder / "run.json").read_text())
    assert record["state"] == "Pending"
    assert record["asked"]["how"] == "test"
    assert os_processes.is_alive(record["process"])
    assert [each.id for each in run_record.active_runs(toy)] == [run.id]
    run.update(state="Completed")
    assert list(run_record.active_runs(toy)) == []
    assert run_record.find(toy, run.id).record["state"] == "Completed"


@pytest.mark.parametrize("name", ["../toy", "/etc", ".", "", "nothing"])
def test_a_run_is_found_by_name_only(toy: Path, name: str) -> None:
    with pytest.raises(UserError, match="no run"):
        run_record.find(toy, name)


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    me = os_processes.identity()
    assert os_processes.is_alive(me)
    assert not os_processes.is_alive({**me, "started": "12345"})
    assert not os_processes.is_alive({**me, "boot": "another"})
    assert not os_processes.is_alive(None)


def test_a_dead_run_is_buried_and_its_checkpoints_are_kept(toy: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    run = run_record.create(toy, asked(toy), trigger="test")
    run.update(process={**os_processes.identity(), "pid": int(dead.stdout), "started": "1"}, state="Running")
    run.update_stage("train@toy", state="Running", key="abc")
    scratch = run.folder / ".bonsai" / "scratch" / "train@toy"
    scratch.mkdir(parents=True)
    (scratch / "checkpoint").write_text("half done")
    assert run_record.state(run_record.find(toy, run.id)) == "Crashed"
    assert recovery.recover(toy) == [f"the process of run {run.id} had died; it is now Crashed"]
    assert run_record.find(toy, run.id).record["stages"]["train@toy"]["state"] == "Crashed"
    assert recovery.recover(toy) == []
    assert not recovery.restore_checkpoints(toy, toy / "runs" / "next", "train@toy", "another key")
    assert recovery.restore_checkpoints(toy, toy / "runs" / "next", "train@toy", "abc")
    assert (toy / "runs" / "next" / ".bonsai" / "scratch" / "train@toy" / "checkpoint").read_text() == "half done"


@pytest.mark.parametrize(
    "left",
    [
        "",
        '{"read": {"/a": [{"pid"',
        '{"write": {"/a": {"pid": 999999, "cmd": "dvc repro"}}}',
        '{"read": {"/a": [{"pid": 1, "cmd": "dvc"}]}}',
    ],
)
def test_what_a_kill_left_of_dvcs_rwlock_does_not_lock_the_project(toy: Path, left: str) -> None:
    rwlock = toy / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text(left)
    os.utime(rwlock, (1, 1))  # as old as can be: whoever has that number now came later
    assert len(list(recovery.repair_dvc_files(toy))) == 1
    assert not rwlock.exists() or json.loads(rwlock.read_text()) == {"write": {}, "read": {}}


def test_a_living_holder_keeps_its_entry(toy: Path) -> None:
    rwlock = toy / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    mine = {"pid": os.getpid(), "cmd": "dvc repro"}
    rwlock.write_text(json.dumps({"write": {"/a": mine, "/b": {"pid": 999999, "cmd": "dvc repro"}}, "read": {}}))
    assert list(recovery.repair_dvc_files(toy))
    assert json.loads(rwlock.read_text())["write"] == {"/a": mine}


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n  fetch@toy:\n    cmd: [", "<<<<<<< HEAD\nschema: '2.0'\n"])
def test_a_lock_file_cut_short_is_put_aside(toy: Path, left: str) -> None:
    (toy / "dvc.lock").write_text(left)
    assert len(list(recovery.repair_dvc_files(toy))) == 1
    assert not (toy / "dvc.lock").exists()
    assert next(toy.glob("dvc.lock.broken-*")).read_text() == left
    assert list(recovery.repair_dvc_files(toy)) == []


def test_a_lock_file_cut_short_is_taken_from_the_last_commit(toy: Path) -> None:
    good = "schema: '2.0'\nstages: {}\n"
    (toy / "dvc.lock").write_text(good)
    git = ["git", "-C", str(toy), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "Keep"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    (toy / "dvc.lock").write_text("")
    assert list(recovery.repair_dvc_files(toy))
    assert (toy / "dvc.lock").read_text() == good


def test_drafts_of_dead_writers_are_removed_and_those_of_living_ones_kept(toy: Path) -> None:
    data = toy / "data" / "toy"
    for name in (".raw.999999.partial", f".clean.{os.getpid()}.partial"):
        (data / name).mkdir(parents=True)
    recovery.recover(toy)
    assert [path.name for path in data.iterdir()] == [f".clean.{os.getpid()}.partial"]


def test_slots_are_shared_and_whoever_wants_all_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_SLOTS", "2")
    stop, lock = threading.Event(), threading.Lock()
    now: list[str] = []
    seen: list[tuple[str, ...]] = []

    def work(name: str, wanted: Any) -> None:
        with file_locks.acquire_slots(tmp_path, wanted, stop):
            with lock:
                now.append(name)
                seen.append(tuple(now))
            time.sleep(0.05)
            with lock:
                now.remove(name)

    threads = [threading.Thread(target=work, args=(f"{n}", "all" if n % 3 == 0 else 1)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 9
    assert max(map(len, seen)) == 2
    assert all(together == (name,) for together in seen for name in together if int(name) % 3 == 0)


def test_waiting_for_a_slot_ends_when_the_run_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONSAI_SLOTS", "1")
    stop = threading.Event()
    with file_locks.acquire_slots(tmp_path, 1, stop):
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(file_locks.StopRequested), file_locks.acquire_slots(tmp_path, 1, stop):
            pass


def run_python(folder: Path, body: str, **more: Any) -> Any:
    command = ("python", "-c", body)
    return run_stage_process("try@toy", command, folder, **{"stop": threading.Event(), "on_event": lambda event: None, **more})


def test_a_process_that_ends_badly_is_explained_in_one_line(tmp_path: Path) -> None:
    assert run_python(tmp_path, "raise SystemExit('error: no luck')").error == "no luck"
    assert (
        run_python(tmp_path, "import os; os.kill(os.getpid(), 9)").error == "was ended by SIGKILL, by hand or for want of memory"
    )
    assert run_python(tmp_path, "raise SystemExit(3)").error == "ended with exit code 3"
    assert run_python(tmp_path, "import time; time.sleep(60)", timeout_s=0.3).error == "ran out of time: 0.3 s"


def test_a_stop_ends_the_whole_group_even_one_that_will_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.execution.stage_process.GRACE_S", 0.5)
    stop, pids = threading.Event(), tmp_path / "pids"
    body = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)"
    )
    threading.Thread(target=lambda: (wait_until(pids.exists), stop.set())).start()
    outcome = run_python(tmp_path, body, stop=stop)
    assert outcome.stopped
    assert outcome.error == "was stopped"
    for pid in map(int, pids.read_text().split()):
        wait_until(
            lambda pid=pid: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
        )


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_journal_is_heard_line_by_line_and_each_line_once(tmp_path: Path) -> None:
    events: list[Any] = []
    body = (
        "import json, pathlib, time\n"
        "with pathlib.Path('journal/try@toy.jsonl').open('a') as file:\n"
        "    for n in range(3):\n"
        "        file.write(json.dumps({'event': 'log', 'message': str(n)})); file.flush(); time.sleep(0.15); file.write('\\n')\n"
        "    file.write(json.dumps({'event': 'finished', 'wall_s': 1.5, 'cpu_s': 1.0, 'peak_memory_bytes': 5}) + '\\n')\n"
    )
    for _ in range(2):
        events.clear()
        outcome = run_python(tmp_path, body, on_event=events.append)
        assert [event.get("message") for event in events] == ["0", "1", "2", None]
        assert outcome.cost == {"wall_s": 1.5, "cpu_s": 1.0, "peak_memory_bytes": 5}


def test_a_plan_names_what_would_run_and_why_and_leaves_nothing(toy: Path) -> None:
    steps = {step.name: step for step in plan_run(toy, asked(toy))}
    assert {step.verdict for step in steps.values()} == {"Run"}
    assert [reason.kind for reason in steps["fetch@toy"].reasons] == ["new"]
    assert "after fetch@toy" in map(str, steps["clean@toy"].reasons)
    assert list((toy / ".bonsai" / "plans").iterdir()) == []


def test_times_come_from_the_newest_run_that_ran_a_stage(toy: Path) -> None:
    for seconds in (5.0, 7.0):
        run = run_record.create(toy, asked(toy), trigger="test")
        run.update_stage("train@toy", state="Completed", wall_s=seconds)
        run.folder.rename(run.folder.with_name(f"2026010{seconds:.0f}-000000-toy-aaaa"))
    assert stage_durations(toy)["train@toy"] == 7.0


def test_the_toy_has_the_stages_of_the_real_score(toy: Path) -> None:
    with working_directory(toy):
        assert {stage.verb for stage in load_stages(toy).values()} == set(
            yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]
        )


class Deaf:
    """A ledger that cannot keep anything."""

    stages: ClassVar[dict[str, Stage]] = {}
    reasons: ClassVar[dict[str, list[Any]]] = {}

    def restore(self, name: str) -> None:
        raise OSError(28, "No space left on device")

    def outs(self, name: str) -> dict[str, Any]:
        return {}


def test_whatever_goes_wrong_around_a_stage_is_recorded_as_its_failure(toy: Path) -> None:
    run = run_record.create(toy, asked(toy), trigger="test")
    run.update_stage("fetch@toy", state="Pending")
    run.update_stage("clean@toy", state="Pending")
    executor = RunExecutor(toy, run, cast(StageStore, Deaf()))
    assert executor.execute("fetch@toy").state == "Failed"
    assert executor.finish() == "Failed"
    record = run_record.find(toy, run.id).record
    assert record["error"] == "fetch@toy: OSError: [Errno 28] No space left on device"
    assert "Traceback" in record["stages"]["fetch@toy"]["details"]
    assert record["stages"]["clean@toy"]["state"] == "NotRun"


def test_a_stage_that_hangs_is_ended_when_its_time_is_up_and_its_checkpoints_are_kept(toy: Path) -> None:
    (toy / "tasks" / "stages" / "fetch.py").write_text("import time\n\ndef main(context):\n    time.sleep(600)\n")
    score = (toy / "dvc.yaml").read_text()
    (toy / "dvc.yaml").write_text(score.replace("    desc: Bring", "    meta: {timeout_s: 0.5}\n    desc: Bring"))
    run = run_record.create(toy, asked(toy), trigger="test")
    create_workspace(toy, run.folder, asked(toy))
    checkpoint = run.folder / ".bonsai" / "scratch" / "fetch@toy" / "far.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("[1]")
    with working_directory(run.folder), StageStore(run.folder) as store:
        assert store.stages["clean@toy"].timeout_s == 86400, "a day where dvc.yaml says nothing"
        ending = RunExecutor(toy, run, store).execute("fetch@toy")
    assert (ending.state, ending.text) == ("Failed", "ran out of time: 0.5 s")
    entry = run_record.find(toy, run.id).record["stages"]["fetch@toy"]
    assert (toy / ".bonsai" / "kept" / entry["key"] / "far.json").exists()


def test_every_stage_of_the_real_score_has_its_time() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert all(stage["meta"]["timeout_s"] >= 3600 for stage in stages.values())
