"""Whatever happens to a stage is recorded, and its time limit holds."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import yaml

from flows.dvc_state.stage_graph import Stage
from flows.dvc_state.stage_state import StageStore
from flows.execution.run_executor import RunExecutor
from flows.runs import run_record
from flows.runs.workspace import create_workspace
from tests.support.executed_runs import toy_request

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


class FailingStore:
    """A store that fails to look anything up."""

    stages: ClassVar[dict[str, Stage]] = {}
    reasons: ClassVar[dict[str, list[Any]]] = {}

    def restore(self, name: str) -> None:
        raise OSError(28, "No space left on device")

    def outs(self, name: str) -> dict[str, Any]:
        return {}


def test_any_error_around_a_stage_is_recorded_as_its_failure(toy: Path) -> None:
    run = run_record.create(toy, toy_request(toy), trigger="test")
    run.update_stage("fetch@toy", state="Pending")
    run.update_stage("clean@toy", state="Pending")
    executor = RunExecutor(toy, run, cast(StageStore, FailingStore()))
    assert executor.execute("fetch@toy").state == "Failed"
    assert executor.finish() == "Failed"
    record = run_record.find(toy, run.id).record
    assert record["error"] == "fetch@toy: OSError: [Errno 28] No space left on device"
    assert "Traceback" in record["stages"]["fetch@toy"]["details"]
    assert record["stages"]["clean@toy"]["state"] == "NotRun"


def test_a_stage_is_ended_at_its_time_limit_and_its_checkpoints_are_saved(toy: Path) -> None:
    (toy / "tasks" / "stages" / "fetch.py").write_text("import time\n\ndef main(context):\n    time.sleep(600)\n")
    dag = yaml.safe_load((toy / "dvc.yaml").read_text())
    dag["stages"]["fetch"]["meta"] = {"timeout_s": 0.5}
    (toy / "dvc.yaml").write_text(yaml.safe_dump(dag, sort_keys=False))
    run = run_record.create(toy, toy_request(toy), trigger="test")
    create_workspace(toy, run.folder, toy_request(toy))
    checkpoint = run.folder / ".bonsai" / "scratch" / "fetch@toy" / "far.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("[1]")
    with chdir(run.folder), StageStore(run.folder) as store:
        assert store.stages["clean@toy"].timeout_s == 86400, "a day where dvc.yaml says nothing"
        result = RunExecutor(toy, run, store).execute("fetch@toy")
    assert (result.state, result.text) == ("Failed", "ran out of time: 0.5 s")
    entry = run_record.find(toy, run.id).record["stages"]["fetch@toy"]
    assert (toy / ".bonsai" / "kept" / entry["key"] / "far.json").exists()
