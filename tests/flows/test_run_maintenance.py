"""What was, can be found, compared, put back, sent elsewhere and swept out; and nothing that is needed or unsaved is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.dvc_state import object_cache
from flows.dvc_state.publish import publish
from flows.dvc_state.stage_state import StageStore, working_directory
from flows.execution.plan import project_status
from flows.execution.run_executor import RunExecutor
from flows.maintenance import compare, doctor, garbage_collection, remote, verify
from flows.maintenance.restore import restore
from flows.parameters import run_request, yaml_edit
from flows.runs import run_record, search
from flows.runs.run_record import Run
from flows.runs.search import RunAnnotation, RunFilter
from flows.runs.workspace import create_workspace
from flows.system import os_processes
from tasks.core.errors import UserError
from tests.support.toy_project import SMALL, build, known

COMMENTED = SMALL.replace("recipes:", "# the recipes, with a word about them\nrecipes:").replace("half: [", "half:  [")


def played(root: Path, **more: Any) -> Run:
    """A run of the toy, conducted without Prefect; shown in the project's own folder when nothing was set."""
    asked = run_request.build_request(root, ["toy"], **more)
    run = run_record.create(root, asked, trigger="test")
    create_workspace(root, run.folder, asked)
    with working_directory(run.folder), StageStore(run.folder) as store:
        run.update(state="Running", started_at=run_record.now(), stages={name: {"state": "Pending"} for name in store.stages})
        executor = RunExecutor(root, run, store)
        for name in store.stages:
            executor.execute(name)
        executor.finish()
    if asked.unmodified:
        with working_directory(root):
            publish(root, store.entries(store.stages))
    return run


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project after a run as it is and one with a number changed."""
    folder = build(tmp_path_factory.mktemp("grown") / "toy", COMMENTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        known(folder, patch)
        played(folder)
        played(folder, overrides={"model.width": 5})
    return folder


@pytest.fixture
def toy(grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(Path(shutil.copytree(grown, tmp_path / "toy", symlinks=True)), grown, monkeypatch)


def settle(folder: Path, before: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a copy of a project one of its own, and this process at home in it."""
    for config in folder.glob("runs/*/.dvc/config"):
        config.write_text(config.read_text().replace(str(before), str(folder)))
    known(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def both(toy: Path) -> tuple[Run, Run]:
    """The run as params.yaml has it, and the one with width 5."""
    second, first = run_record.iter_runs(toy)
    return (first, second) if first.record["whole"] else (second, first)


def commit(toy: Path) -> None:
    git = ["git", "-C", str(toy), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "Keep"]):
        subprocess.run([*git, *command], check=True, capture_output=True)


def total(toy: Path) -> float:
    return float(json.loads((toy / "data" / "toy" / "model" / "model.json").read_text())["sum"])


def clean(toy: Path) -> bool:
    with working_directory(toy):
        return not any(project_status(toy, ["toy"]).values())


def test_runs_are_narrowed_by_use_case_state_time_person_and_pin(toy: Path, bonsai: Any) -> None:
    first, second = both(toy)
    search.write_annotation(first.folder, RunAnnotation(pinned=True, text="the good one"))
    who = first.record["asked"]["who"]
    for wanted, found in (
        (RunFilter(use_case="toy"), 2),
        (RunFilter(use_case="twin"), 0),
        (RunFilter(states=("completed",)), 2),
        (RunFilter(states=("Failed",)), 0),
        (RunFilter(who=who), 2),
        (RunFilter(who="nobody"), 0),
        (RunFilter(pinned=True), 1),
        (RunFilter(since=search.parse_since("1h")), 2),
        (RunFilter(since=search.parse_since("2200-01-01")), 0),
    ):
        assert len(list(search.filter_runs(toy, wanted))) == found, wanted
    assert "the good one" in bonsai("runs", "toy", "--pinned", "--since", "1d")[1]
    assert second.id not in bonsai("runs", "--pinned")[1]
    assert bonsai("runs", "--state", "Failed")[1] == "no such run\n"
    assert "is no time" in bonsai("runs", "--since", "soon")[2]


def test_status_names_the_folder_of_a_run_with_parameters_of_its_own(toy: Path, bonsai: Any) -> None:
    first, second = both(toy)
    code, out, _ = bonsai("status")
    assert code == 0
    assert f"its artifacts are only in runs/{second.id}; `bonsai restore {second.id}` copies them here" in out
    shutil.rmtree(second.folder)
    assert out.count("parameters of its own") == 1
    assert "parameters of its own" not in bonsai("status")[1]
    assert first.record["whole"]


def test_of_ten_thousand_runs_only_those_shown_are_read(toy: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any) -> None:
    for number in range(10_000):
        (toy / "runs" / f"20250101-{number:06}-toy-0000").mkdir()
    read: list[Path] = []
    real = run_record._read
    monkeypatch.setattr(run_record, "_read", lambda folder: read.append(folder) or real(folder))
    _, out, _ = bonsai("runs", "--last", "2")
    assert out.count("-toy-") == 2
    assert len(read) <= 3
    read.clear()
    bonsai("runs", "--since", "2026-01-01", "--who", "nobody")
    assert len(read) == 2, "an id tells the time"


def test_a_run_is_named_by_a_part_of_its_id(toy: Path) -> None:
    first, second = both(toy)
    assert search.find_run(toy, first.id[-4:]).id == first.id
    assert search.find_run(toy, "newest").id == run_record.run_ids(toy)[0]
    with pytest.raises(UserError, match="2 runs begin or end with '20"):
        search.find_run(toy, "20")
    with pytest.raises(UserError, match=f"did you mean {second.id}"):
        search.find_run(toy, second.id[:-1] + "?")
    for wrong in ("../toy", "", "/etc", "."):
        with pytest.raises(UserError, match="no run"):
            search.find_run(toy, wrong)


def test_compare_shows_what_differs_and_nothing_else(toy: Path, bonsai: Any) -> None:
    first, second = both(toy)
    (second.folder / "tasks" / "stages" / "train.py").write_text("# edited\n")
    found = {(each.about, each.name): (each.left, each.right) for each in compare.compare(first, second)}
    assert found["parameters", "use_cases.toy.model.width"] == ("(none)", "5")
    assert [name for about, name in found if about == "code"] == ["tasks/stages/train.py"]
    assert ("stages", "train@toy") in found
    assert ("stages", "clean@toy") not in found
    assert not [name for about, name in found if about == "machine"]
    assert compare.compare(first, first) == []
    code, out, _ = bonsai("compare", first.id, second.id[-4:])
    assert code == 0
    assert "use_cases.toy.model.width" in out
    assert json.loads(bonsai("compare", first.id, second.id, "--json")[1])[0]["about"] == "parameters"
    assert "the same" in bonsai("compare", first.id, first.id)[1]


def test_compare_gives_figures_with_their_intervals(toy: Path) -> None:
    first, second = both(toy)
    rows = [{"recipe": "half", "metric": "share", "value": 0.5, "low": 0.4, "high": 0.6}]
    second.record["results"] = {"toy": {"table": {"rows": rows}, "verdict": {"released": "half"}}}
    found = {each.name: each.right for each in compare.compare(first, second)}
    assert found["toy half: share"] == "0.5000 (0.4000..0.6000)"


def test_restoring_a_run_makes_the_project_what_the_run_was(toy: Path, bonsai: Any) -> None:
    first, second = both(toy)
    before, commented = total(toy), (toy / "params.yaml").read_text()
    assert bonsai("restore", second.id)[0] == 0
    assert total(toy) == before * 5 / 4
    assert clean(toy)
    text = (toy / "params.yaml").read_text()
    assert yaml.safe_load(text)["use_cases"]["toy"]["model"] == {"width": 5}
    assert "# the recipes, with a word about them" in text
    assert bonsai("restore", first.id)[0] == 0, "the parameters of a run are saved: by the run"
    assert total(toy) == before
    assert clean(toy)
    assert yaml.safe_load((toy / "params.yaml").read_text()) == yaml.safe_load(commented)


def test_a_run_of_fewer_recipes_is_restored_as_it_was(toy: Path) -> None:
    narrow = played(toy, recipes=["dense"])
    assert restore(toy, narrow) == []
    assert clean(toy)
    assert not (toy / "data" / "toy" / "compressed" / "half").exists()
    assert restore(toy, next(run for run in run_record.iter_runs(toy) if run.record["whole"])) == []
    assert (toy / "data" / "toy" / "compressed" / "half" / "model.json").exists()
    assert clean(toy)


def test_restore_does_not_overwrite_what_is_saved_nowhere(toy: Path) -> None:
    second = both(toy)[1]
    target = toy / "data" / "toy" / "clean" / "rows" / "part-00000.json"
    before = target.read_bytes()
    target.unlink()
    target.write_text("[1, 2, 3]")
    with pytest.raises(UserError, match=r"data/toy/clean was changed by hand .* `dvc commit -f clean@toy`.* --force") as refusal:
        restore(toy, second)
    assert "\n" not in str(refusal.value)
    assert target.read_text() == "[1, 2, 3]"
    yaml_edit.set_values(toy / "params.yaml", {"use_cases.toy.model.width": 7})
    assert restore(toy, second, force=True) == []
    assert target.read_bytes() == before
    yaml_edit.set_values(toy / "params.yaml", {"use_cases.toy.model.width": 7})
    with pytest.raises(UserError, match=r"params.yaml has changes that no commit and no run has"):
        restore(toy, second)
    commit(toy)
    assert restore(toy, second) == []
    assert clean(toy)


def test_restore_says_that_the_code_has_changed_and_takes_the_runs_on_request(toy: Path) -> None:
    second = both(toy)[1]
    code = (toy / "tasks" / "stages" / "train.py").read_text()
    (toy / "tasks" / "stages" / "train.py").write_text(code + "# edited\n")
    said = restore(toy, second)
    assert "tasks/stages/train.py" in said[0]
    assert "--code" in said[0]
    assert said[1].startswith("not up to date: train@toy")
    with pytest.raises(UserError, match=r"tasks/ or dvc.yaml has changes that no commit has"):
        restore(toy, second, code=True)
    assert restore(toy, second, code=True, force=True) == []
    assert (toy / "tasks" / "stages" / "train.py").read_text() == code
    assert clean(toy)


def test_restore_says_when_the_cache_has_it_no_longer(toy: Path) -> None:
    second = both(toy)[1]
    md5 = second.record["stages"]["train@toy"]["outs"]["data/toy/model"]["md5"]
    object_cache.object_path(object_cache.objects_folder(toy), md5).unlink()
    before = (toy / "params.yaml").read_text()
    with pytest.raises(UserError, match=f"`bonsai pull {second.id}`"):
        restore(toy, second)
    assert (toy / "params.yaml").read_text() == before


def objects(toy: Path) -> set[Path]:
    return set(object_cache.objects_folder(toy).glob("??/*"))


def test_gc_keeps_what_a_kept_run_or_the_project_needs(toy: Path, bonsai: Any) -> None:
    first, second = both(toy)
    before = objects(toy)
    _, out, _ = bonsai("gc", "--keep", "0", "--dry-run")
    assert "would remove" in out
    assert objects(toy) == before
    assert first.folder.exists()
    search.write_annotation(second.folder, RunAnnotation(pinned=True))
    _, out, _ = bonsai("gc", "--keep", "0")
    assert out.splitlines() == [f"removed {first.id}", out.splitlines()[-1]]
    assert second.folder.exists()
    assert not first.folder.exists()
    assert objects(toy) == before, "the project's own folder shows the first run, and the second is pinned"
    assert clean(toy)
    search.write_annotation(second.folder, RunAnnotation(pinned=False))
    swept = garbage_collection.collect_garbage(toy, keep=0)
    assert swept.runs == [second.id]
    assert swept.freed_bytes > 0
    assert objects(toy) < before
    assert clean(toy)
    with working_directory(toy):
        shutil.rmtree(toy / "data")
        again = played(toy)
    assert {entry["state"] for entry in again.record["stages"].values()} <= {"Unchanged", "Restored"}


def test_gc_keeps_its_hands_off_the_cache_while_a_run_is_at_work(toy: Path) -> None:
    second, before = both(toy)[1], objects(toy)
    with working_directory(second.folder), StageStore(second.folder):
        swept = garbage_collection.collect_garbage(toy, keep=1)
    assert "a run is active" in swept.objects_kept_because
    assert len(swept.runs) == 1
    assert objects(toy) == before


def test_whoever_wants_the_cache_waits_while_it_is_swept(toy: Path) -> None:
    entered = threading.Event()

    def use() -> None:
        with object_cache.shared_lock(object_cache.objects_folder(toy)):
            entered.set()

    with object_cache.exclusive_lock(object_cache.objects_folder(toy)) as nobody:
        assert nobody
        other = threading.Thread(target=use)
        other.start()
        assert not entered.wait(0.1)
    other.join(5)
    assert entered.is_set()


def test_a_run_under_way_is_not_swept_out(toy: Path) -> None:
    first, second = both(toy)
    first.update(state="Running", process=os_processes.identity())
    assert garbage_collection.collect_garbage(toy, keep=0).runs == [second.id]


def test_what_another_name_still_holds_is_not_counted_as_freed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    os.link(tmp_path / "a", tmp_path / "b")
    assert garbage_collection.freed_bytes([], [tmp_path / "a"]) == 0
    assert garbage_collection.freed_bytes([], [tmp_path / "a", tmp_path / "b"]) == 5


def test_a_run_made_in_one_clone_is_restored_in_another(
    toy: Path, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any
) -> None:
    second = both(toy)[1]
    where = tmp_path / "remote"
    for folder in (toy, build(tmp_path / "other", COMMENTED)):
        with (folder / ".dvc" / "config").open("a") as config:
            config.write(f"['remote \"store\"']\n    url = {where}\n")
    code, _, err = bonsai("push", second.id)
    assert (code, err.count("\n")) == (2, 1)
    assert "dvc remote default" in err
    assert f"pushed {second.id}" in bonsai("push", second.id, "-r", "store")[1]
    other = settle(tmp_path / "other", grown, monkeypatch)
    commit(other)
    assert bonsai("pull", "-r", "store")[1].split() == [second.id]
    assert "has no run 'nothing'" in bonsai("pull", "nothing", "-r", "store")[2]
    assert f"pulled {second.id}" in bonsai("pull", second.id, "-r", "store")[1]
    assert bonsai("runs")[1].count(second.id) == 1
    assert bonsai("restore", second.id)[0] == 0
    assert clean(other)
    assert total(other) == json.loads((second.folder / "data" / "toy" / "model" / "model.json").read_text())["sum"]
    assert remote.pull(other, second.id, "store")[1] == 0


def test_dvcs_own_push_works_in_a_runs_folder(toy: Path, tmp_path: Path) -> None:
    config = toy / ".dvc" / "config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    remote = store\n"))
    with config.open("a") as file:
        file.write(f"['remote \"store\"']\n    url = {tmp_path / 'remote'}\n")
    run = played(toy, overrides={"model.width": 5})
    done = subprocess.run([sys.executable, "-m", "dvc", "push"], cwd=run.folder, capture_output=True, text=True, check=True)
    assert "pushed" in done.stdout


def test_the_doctor_looks_at_some_objects_and_at_all_when_asked(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SAMPLE_BYTES", 100)
    (quick,), (full,) = doctor.cache(toy), doctor.cache(toy, full=True)
    assert "--full checks all" in quick.text
    assert f"{len(objects(toy))} objects, all" in full.text
    victim = next(iter(objects(toy)))
    victim.unlink()
    assert not [found for found in doctor.cache(toy, full=True) if found.state == "bad"]


def test_a_run_that_is_played_again_is_the_same_but_for_the_clock(toy: Path, bonsai: Any) -> None:
    first = both(toy)[0]
    code, out, _ = bonsai("verify", first.id)
    assert code == 0, out
    assert "verified: 7 stages identical, 2 identical but for latencies within 100%" in out
    assert not (toy / ".bonsai" / "verify" / first.id).exists()
    kept = json.loads((first.folder / "verified.json").read_text())
    assert {each["state"] for each in kept["stages"]} == {"identical", "within tolerance"}


def test_a_difference_is_named_where_it_arises_with_its_first_artifact(toy: Path, bonsai: Any) -> None:
    second = both(toy)[1]
    code = second.folder / "tasks" / "stages" / "train.py"
    code.write_text(code.read_text().replace('json.dumps({"sum": total})', 'json.dumps({"sum": total + 1})'))
    ended, out, _ = bonsai("verify", second.id)
    assert ended == 1
    assert "differs at train@toy: data/toy/model/model.json, " in out
    states = {each["stage"]: each["state"] for each in json.loads((second.folder / "verified.json").read_text())["stages"]}
    assert states.pop("train@toy") == "differs"
    assert "differs" not in states.values(), "what follows was given the run's own model"
    assert (toy / ".bonsai" / "verify" / second.id / "journal" / "train@toy.jsonl").exists()


def test_latencies_are_held_against_each_other_by_their_ratios() -> None:
    def timed(ratio: float, median: float) -> dict[str, Any]:
        return {"a": {"speedup_over": {"ratio": ratio}, "median_ms": median}}

    assert verify.largest_deviation(timed(2.0, 5.0), timed(2.5, 50.0)) == pytest.approx(0.2)
    assert verify.largest_deviation({"median_ms": 3.0}, {"median_ms": 2.0}) == 0.5
    assert verify.largest_deviation({"median_ms": 3.0}, {"other_ms": 3.0}) == float("inf")


HAND_WRITTEN = """# numbers
use_cases:
  toy: {training: {epochs: 3}}   # the toy
  twin:
    fetch: {}
    model:   # its network
      width: 3

# the recipes
recipes:
  half: [{halve: {times: 1}}]    # by two
  third: []
"""


@pytest.mark.parametrize(
    ("numbers", "before", "after"),
    [
        ({"use_cases.toy.training.epochs": 5}, "epochs: 3", "epochs: 5"),
        ({"use_cases.toy.training.learning_rate": 1e-5}, "epochs: 3", "epochs: 3, learning_rate: 1.0e-05"),
        ({"recipes.half.0.halve.times": 2}, "times: 1", "times: 2"),
        ({"use_cases.twin.fetch.limit": 9}, "fetch: {}", "fetch: {limit: 9}"),
        ({"use_cases.twin.model.flaw": "no: #"}, "width: 3\n", "width: 3\n      flaw: 'no: #'\n"),
        ({"use_cases.toy.training": {"seed": 1}}, "{epochs: 3}", "{seed: 1}"),
    ],
)
def test_numbers_are_turned_without_touching_the_words_around_them(
    tmp_path: Path, numbers: dict[str, Any], before: str, after: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(HAND_WRITTEN)
    yaml_edit.set_values(path, numbers)
    assert path.read_text() == HAND_WRITTEN.replace(before, after)


def test_recipes_and_use_cases_come_and_go_by_the_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(HAND_WRITTEN)
    yaml_edit.replace_sections(path, {"use_cases": {"own": {"fetch": {}}}, "recipes": {"third": [], "fifth": [{"halve": {}}]}})
    expected = HAND_WRITTEN.replace("      width: 3\n", "      width: 3\n  own: {fetch: {}}\n")
    expected = expected.replace("  half: [{halve: {times: 1}}]    # by two\n", "") + "  fifth: [{halve: {}}]\n"
    assert path.read_text() == expected
