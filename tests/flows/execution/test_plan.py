"""A plan names what a run would execute and why, and changes nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from flows.execution.plan import plan_run, project_status, stage_durations
from flows.maintenance.restore import restore
from flows.runs import run_record
from tests.support.bonsai_process import run_dvc
from tests.support.executed_runs import both_runs, execute_run, is_up_to_date, toy_request

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


def test_a_plan_names_what_would_run_and_why_and_leaves_nothing(toy: Path) -> None:
    stages = {stage.name: stage for stage in plan_run(toy, toy_request(toy))}
    assert {stage.verdict for stage in stages.values()} == {"Run"}
    assert [reason.kind for reason in stages["fetch@toy"].reasons] == ["new"]
    assert "after fetch@toy" in map(str, stages["clean@toy"].reasons)
    assert list((toy / ".bonsai" / "plans").iterdir()) == []


def test_durations_come_from_the_newest_run_that_executed_a_stage(toy: Path) -> None:
    for seconds in (5.0, 7.0):
        run = run_record.create(toy, toy_request(toy), trigger="test")
        run.update_stage("train@toy", state="Completed", wall_s=seconds)
        run.folder.rename(run.folder.with_name(f"2026010{seconds:.0f}-000000-toy-aaaa"))
    assert stage_durations(toy)["train@toy"] == 7.0


@pytest.mark.parametrize("added", ["registry/toy/1", "tasks/use_cases/toy/words.txt"])
def test_files_that_dvc_add_tracks_hinder_no_status_no_restore_and_no_run(project: Path, added: str) -> None:
    (project / added).parent.mkdir(parents=True, exist_ok=True)
    (project / added).write_text("x")
    run_dvc(project, "add", added)
    if added.startswith("registry"):
        assert is_up_to_date(project)
    else:
        assert [reason.kind for reason in project_status(project)["fetch@toy"]] == ["data"]
    assert restore(project, both_runs(project)[0], force=True) is not None
    run = execute_run(project)
    assert run.record["state"] == "Completed"
    assert is_up_to_date(project)


@pytest.mark.parametrize("name", ["; touch F #", "$(touch F)", "a'; touch F; '"])
def test_a_name_in_params_yaml_is_no_command_of_the_shell_also_for_dvc_itself(project: Path, name: str) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["recipes"][name] = params["recipes"].pop("half")
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_dvc(project, "repro")
    assert "is no name of a recipe" in failed.value.stdout + failed.value.stderr
    assert not list(project.rglob("F"))
