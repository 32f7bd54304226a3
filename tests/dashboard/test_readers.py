"""Readers of records, event logs and artifacts: valid files are parsed, damaged ones raise `Unreadable` with a message."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dashboard.charts import training_charts
from dashboard.readers import project_files
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs import run_records, run_status
from dashboard.readers.runs.event_logs import LogTail, StageEvents
from dashboard.text.translations import catalogue, text
from flows.runs.search import ANNOTATION_FILE, MAX_NOTE_LENGTH, RunAnnotation, RunFilter
from tests.support import recorded_runs

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = recorded_runs.project(tmp_path_factory.mktemp("project") / "p")
    recorded_runs.finished(root)
    recorded_runs.run(root, "Failed", number=1)
    recorded_runs.run(root, "Running", number=2)
    recorded_runs.run(root, "Cancelled", number=3, overrides={"use_cases.vision.training.epochs": 3}, whole=False)
    return root


@pytest.fixture
def root(shared: Any, tmp_path: Path) -> Any:
    return shutil.copytree(shared, tmp_path / "copy")


def newest_artifacts(root: Any) -> Any:
    return Artifacts(root, next(iter(sorted((root / "runs").iterdir()))), "vision")


def sentence(trouble: Any) -> Any:
    return text("en", trouble.key, **trouble.values)


def test_runs_are_listed_newest_first_with_their_states(root: Any) -> None:
    page = run_records.list_runs(root)
    assert [run.state for run in page.runs] == ["cancelled", "running", "failed", "completed"]
    assert page.total == 4
    assert page.next is None


def test_a_run_whose_process_is_gone_reads_crashed(root: Any) -> None:
    path = root / "runs" / run_records.run_ids(root)[1] / "run.json"
    record = json.loads(path.read_text())
    record["process"]["started"] = "0"
    path.write_text(json.dumps(record))
    assert run_records.load(root, path.parent.name).state == "crashed"
    assert all(
        stage.state not in run_status.WORKING for stage in run_status.stages(run_records.load(root, path.parent.name)).values()
    )


def test_filters_narrow_by_state_text_use_case_and_pin(root: Any) -> None:
    names = run_records.run_ids(root)
    run_records.save_annotation(run_records.load(root, names[3]), RunAnnotation(pinned=True, text="the good one"))
    assert [run.id for run in run_records.list_runs(root, RunFilter(states=("failed",))).runs] == [names[2]]
    assert [run.id for run in run_records.list_runs(root, RunFilter(text="GOOD")).runs] == [names[3]]
    assert [run.id for run in run_records.list_runs(root, RunFilter(text="epochs")).runs] == [names[0]]
    assert [run.id for run in run_records.list_runs(root, RunFilter(pinned=True)).runs] == [names[3]]
    assert run_records.list_runs(root, RunFilter(use_case="finance")).runs == []


def test_ten_thousand_runs_are_listed_by_reading_only_those_shown(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record = (root / "runs" / run_records.run_ids(root)[3] / "run.json").read_text()
    for number in range(10_000):
        folder = root / "runs" / f"20250101-{number:06}-vision-0000"
        folder.mkdir()
        if number % 100 == 0:
            (folder / "run.json").write_text(record)
    read = []
    monkeypatch.setattr(run_records, "_parse_record", lambda path, *version: read.append(path) or run_records.Record())
    page = run_records.list_runs(root, count=4)
    assert (len(page.runs), page.total) == (4, 10_004)
    assert len(read) == 4
    assert page.next == 4


def test_a_run_behind_hundreds_of_another_use_case_is_found_by_its_name_alone(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = json.loads((root / "runs" / run_records.run_ids(root)[3] / "run.json").read_text())
    folder = root / "runs" / "20240101-000000-credit-0000"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({**oldest, "use_cases": ["credit"]}))
    for number in range(400):
        (root / "runs" / f"20250101-{number:06}-vision-0000").mkdir()
    read = []
    parse = run_records._parse_record
    monkeypatch.setattr(
        run_records, "_parse_record", lambda path, *version: read.append(path.parent.name) or parse(path, *version)
    )
    assert [run.id for run in run_records.latest(root, "credit")] == [folder.name]
    assert read == [folder.name]


def test_a_run_of_many_use_cases_is_found_however_many_others_are_newer(root: Any) -> None:
    oldest = json.loads((root / "runs" / run_records.run_ids(root)[3] / "run.json").read_text())
    for number in range(700):
        folder = root / "runs" / f"20250101-{number:06}-5-use-cases-0000"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({**oldest, "use_cases": ["credit" if number == 0 else "nlp"]}))
    assert [run.record.use_cases for run in run_records.latest(root, "credit")] == [["credit"]]
    assert run_records.latest(root, "finance") == []


@pytest.mark.parametrize(
    ("run_id", "use_case", "may_be"),
    [
        ("20260101-000000-vision-0a1b", "vision", True),
        ("20260101-000000-vision-0a1b", "credit", False),
        ("20260101-000000-vision-my-own-0a1b", "My_own", True),
        ("20260101-000000-vision-my-own-0a1b", "own_0", False),
        ("20260101-000000-7-use-cases-0a1b", "credit", True),
        ("renamed by hand", "credit", True),
    ],
)
def test_a_run_id_excludes_most_other_use_cases(run_id: Any, use_case: Any, may_be: Any) -> None:
    assert run_records.may_include(run_id, use_case) is may_be


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "a/b", "", "..", ".hidden", "x" * 200, "a\nb", "a b", 7, None])
def test_a_name_that_leaves_the_project_is_refused(root: Any, name: Any) -> None:
    with pytest.raises(Unreadable):
        run_records.load(root, name)
    with pytest.raises(Unreadable):
        project_files.slug(name)


def test_a_symbolic_link_out_of_the_project_is_not_followed(root: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"password": "x"}')
    target = newest_artifacts(root).use_case_folder / "clean" / "ledger.json"
    target.unlink()
    target.symlink_to(secret)
    with pytest.raises(Unreadable, match="outside"):
        newest_artifacts(root).quality_report()


@pytest.mark.parametrize("file", ["evaluations/dense/metrics.json", "release/table.json", "clean/ledger.json"])
def test_every_prefix_of_a_json_artifact_is_unreadable(root: Any, file: Any) -> None:
    read = {
        "metrics.json": lambda some: some.metrics("dense"),
        "table.json": Artifacts.table,
        "ledger.json": Artifacts.quality_report,
    }
    path = newest_artifacts(root).use_case_folder / file
    whole = path.read_bytes()
    cuts = range(0, len(whole) - 2, max(1, len(whole) // 60))
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with pytest.raises(Unreadable) as trouble:
            read[path.name](newest_artifacts(root))
        assert path.name in sentence(trouble.value)


@pytest.mark.parametrize("content", ["[]", "null", "3", '{"rows_in": "many"}', "{}", "[" * 100_000, '{"kept": NaN}'])
def test_json_of_unexpected_structure_is_unreadable(root: Any, content: Any) -> None:
    (newest_artifacts(root).use_case_folder / "clean" / "ledger.json").write_text(content)
    with pytest.raises(Unreadable) as trouble:
        newest_artifacts(root).quality_report()
    assert "ledger.json" in sentence(trouble.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stages": 3}', '{"state": "Completed", "use_cases": "vision"}', "\x00\x01"])
def test_a_damaged_record_is_listed_as_unreadable(root: Any, content: Any) -> None:
    name = run_records.run_ids(root)[0]
    (root / "runs" / name / "run.json").write_text(content)
    page = run_records.list_runs(root)
    assert page.unreadable == [name]
    assert len(page.runs) == 3


def test_null_where_a_record_has_nothing_reads_as_nothing(root: Any) -> None:
    name = run_records.run_ids(root)[3]
    path = root / "runs" / name / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "error": None, "overrides": None, "code": None, "results": None}))
    assert run_records.load(root, name).record.error == ""
    assert run_records.results_row(run_records.load(root, name), "vision") == {}


def test_a_missing_truncated_or_invalid_parquet_file_is_unreadable(root: Any) -> None:
    part = newest_artifacts(root).use_case_folder / "clean" / "rows" / "part-00000.parquet"
    whole = part.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"PAR1" + b"\x00" * 100 + b"PAR1"):
        part.write_bytes(content)
        os.utime(part, ns=(len(content), len(content)))
        with pytest.raises(Unreadable, match="damaged"):
            newest_artifacts(root).rows("clean/rows")
        with pytest.raises(Unreadable, match="damaged"):
            newest_artifacts(root).columns("clean/rows")
    part.unlink()
    with pytest.raises(Unreadable, match="missing"):
        newest_artifacts(root).rows("clean/rows")


def test_artifacts_read_what_the_stages_wrote(root: Any) -> None:
    artifacts = newest_artifacts(root)
    assert artifacts.recipes() == ["dense", "int8", "pruned"]
    assert artifacts.verdict().released == "int8"
    assert artifacts.metrics("int8").against_dense["test"].by_class[0].rows > 0
    assert artifacts.latency().variants["int8"].batches["1"].median_ms > 0
    assert len(artifacts.predictions("dense", "test")) == 40
    report = artifacts.quality_report()
    assert report.rows_in == report.kept + report.quarantined + report.duplicates
    assert artifacts.card().startswith("\n# A card")


def test_the_results_row_of_a_run_is_that_of_its_released_recipe(root: Any) -> None:
    run = run_records.load(root, run_records.run_ids(root)[3])
    assert run_records.results_row(run, "vision")["recipe"] == "int8"


def test_an_event_log_is_read_incrementally(tmp_path: Path) -> None:
    path = recorded_runs.event_log(tmp_path, "train@vision", [{"event": "started", "pid": 1}])
    tail = LogTail(path)
    assert len(tail.read().attempts) == 1
    with path.open("a") as file:
        file.write(json.dumps({"event": "progress", "done": 3, "total": 4, "unit": "steps"}) + "\n" + '{"event": "log", "mess')
    assert tail.read().share == 0.75
    with path.open("a") as file:
        file.write('age": "whole now", "level": "info"}\n')
    assert [line.message for line in tail.read().lines] == ["whole now"]


def test_every_prefix_of_an_event_log_can_be_read(root: Any, tmp_path: Path) -> None:
    whole = (root / "runs" / run_records.run_ids(root)[3] / "journal" / "train@vision.jsonl").read_bytes()
    path = tmp_path / "cut.jsonl"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert LogTail(path).read().ended == (cut == len(whole))


def test_a_replaced_event_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = recorded_runs.event_log(tmp_path, "train@vision", [{"event": "started"}, {"event": "log", "message": "old"}])
    tail = LogTail(path)
    assert len(tail.read().lines) == 1
    again = [{"event": "started", "pid": 2}, *[{"event": "log", "message": f"new {n}"} for n in range(5)]]
    recorded_runs.event_log(tmp_path, "train@vision", again, at=recorded_runs.BEGAN.replace(hour=11))
    assert next(iter(tail.read().lines)).message == "new 0"


@pytest.mark.parametrize(
    "event",
    [
        {"event": "progress", "done": "x", "total": None, "unit": 3},
        {"event": "metric", "step": 1, "values": {"loss": "high"}},
        {"event": "metric", "step": [], "values": 3},
        {"event": "log"},
        {"event": "table", "name": "t", "rows": "none"},
        {"event": "unheard of"},
        {"event": None},
        {"event": "finished"},
    ],
)
def test_a_malformed_event_does_not_stop_the_reader(event: Any) -> None:
    events = StageEvents()
    events.apply(event)
    events.apply({"event": "log", "message": "on"})
    assert events.lines[-1].message == "on"


def test_a_long_log_message_is_truncated() -> None:
    events = StageEvents()
    events.apply({"event": "log", "message": "x" * 1_000_000})
    assert len(events.lines[-1].message) == 2000


def test_a_curve_resumed_from_a_checkpoint_has_each_step_once() -> None:
    events = StageEvents()
    for step in (1, 2, 3, 2, 3, 4):
        events.apply({"event": "metric", "step": step, "values": {"loss": step, "broken": None}})
    assert [step for step, _ in events.curves["loss"]] == [1, 2, 3, 4]
    assert events.curves["broken"] == []


def test_progress_counts_stages_and_weighs_them_by_their_earlier_times(root: Any) -> None:
    run = run_records.load(root, run_records.run_ids(root)[1])
    stages = run_status.stages(run, "vision")
    took = dict.fromkeys(stages, 10.0)
    progress = run_status.progress(stages, took)
    assert (progress.done, progress.total) == (3, 12)
    assert progress.share == pytest.approx((3 + 0.3) / 12)
    assert progress.seconds_left == pytest.approx(87.0)
    assert run_status.progress(stages, {}).seconds_left is None


def test_a_stage_that_was_never_timed_counts_as_much_as_the_others(root: Any) -> None:
    stages = run_status.stages(run_records.load(root, run_records.run_ids(root)[1]), "vision")
    durations = {name: 10.0 for name, stage in stages.items() if stage.state in run_records.SUCCEEDED}
    assert run_status.progress(stages, durations).share == pytest.approx((3 + 0.3) / 12)


def test_the_default_stage_is_the_failed_one(root: Any) -> None:
    failed = run_status.stages(run_records.load(root, run_records.run_ids(root)[2]), "vision")
    assert run_status.default_stage(failed) == "train@vision"
    assert "not finite" in failed["train@vision"].error
    assert "boom" in failed["train@vision"].details


def test_curves_of_one_measure_share_an_axis_with_the_loss_first() -> None:
    names = ("validation_accuracy", "loss", "validation_log_loss", "learning_rate", "validation_loss")
    names_by_kind = run_status.curves_by_kind(dict.fromkeys(names))
    assert list(names_by_kind) == ["loss", "accuracy", "log loss", "learning rate"]
    assert names_by_kind["loss"] == ["loss", "validation_loss"]


@pytest.mark.parametrize(("names", "columns"), [(("loss", "validation_loss"), 2), (("validation_loss", "teacher_loss"), 1)])
def test_the_names_of_curves_stand_side_by_side_only_where_none_is_cut(names: Any, columns: Any) -> None:
    drawing = training_charts.live_curves(step="epoch", value="loss", order=names, height=200, few=True)
    assert drawing["encoding"]["color"]["legend"]["columns"] == columns


def test_the_state_of_the_project_folder_comes_from_its_event_logs(root: Any) -> None:
    source = root / "runs" / run_records.run_ids(root)[3]
    shutil.copytree(source / "journal", root / "journal")
    stages = run_status.stages(run_records.load(root, run_records.WORKSPACE), "vision")
    assert stages["release@vision"].state == "done"
    assert stages["evaluate@vision-int8"].entry.needs


def test_a_note_is_kept_beside_the_record_and_a_damaged_one_pins_the_run(root: Any) -> None:
    run = run_records.load(root, run_records.run_ids(root)[0])
    run_records.save_annotation(run, RunAnnotation(pinned=True, text="x" * 9000))
    assert run_records.annotation(run).pinned
    assert len(run_records.annotation(run).text) == MAX_NOTE_LENGTH
    (run.folder / ANNOTATION_FILE).write_text("{")
    assert run_records.annotation(run).pinned
    assert "is damaged" in run_records.annotation(run).text


def test_every_reason_why_something_cannot_be_read_is_in_the_catalogue() -> None:
    assert {key for key in catalogue() if key.startswith("unreadable.")} >= {
        f"unreadable.{name}"
        for name in ("name", "outside", "missing", "damaged", "large", "closed", "run", "shape", "rows", "column")
    }


def test_a_run_that_took_its_model_from_the_cache_shows_that_models_curves(tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root)
    record = json.loads((folder / "run.json").read_text())
    record["stages"]["train@vision"]["state"] = "Restored"
    (folder / "run.json").write_text(json.dumps(record))
    run = run_records.load(root, folder.name)
    curves = run_status.reused_curves(run, "vision", run_status.stages(run, "vision"))
    assert [step for step, _ in curves["train@vision"]["loss"]] == [1, 2, 3, 4, 5]


def test_the_latencies_of_an_older_run_are_joined_from_its_evaluations(root: Any) -> None:
    artifacts = newest_artifacts(root)
    folder = artifacts.use_case_folder
    timing = json.loads((folder / "latency" / "latency.json").read_text())
    before = artifacts.latency()
    shutil.rmtree(folder / "latency")
    for recipe in artifacts.recipes():
        timed = {name: timing["variants"][name] for name in {"eager PyTorch", "dense", recipe}}
        (folder / "evaluations" / recipe / "latency.json").write_text(json.dumps(timing | {"variants": timed}))
        recorded_runs.seal(folder / "evaluations" / recipe)
    assert newest_artifacts(root).latency() == before
