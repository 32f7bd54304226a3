"""A run is restored in the project, and nothing that is saved nowhere else is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.dvc_state import object_cache
from flows.maintenance.restore import restore
from flows.parameters import yaml_edit
from flows.runs import run_record
from tasks.core.errors import UserError
from tests.support.executed_runs import both_runs, commit_params, execute_run, is_up_to_date, model_sum


def test_restore_brings_back_a_runs_parameters_and_artifacts(project: Path, bonsai: Any) -> None:
    first, second = both_runs(project)
    before, commented = model_sum(project), (project / "params.yaml").read_text()
    assert bonsai("restore", second.id)[0] == 0
    assert model_sum(project) == before * 5 / 4
    assert is_up_to_date(project)
    text = (project / "params.yaml").read_text()
    assert yaml.safe_load(text)["use_cases"]["toy"]["model"] == {"width": 5}
    assert "# the recipes, with a word about them" in text
    assert bonsai("restore", first.id)[0] == 0, "the parameters of a run are saved: by the run"
    assert model_sum(project) == before
    assert is_up_to_date(project)
    assert yaml.safe_load((project / "params.yaml").read_text()) == yaml.safe_load(commented)


def test_a_run_of_fewer_recipes_is_restored_as_it_was(project: Path) -> None:
    narrow = execute_run(project, recipes=["dense"])
    assert restore(project, narrow) == []
    assert is_up_to_date(project)
    assert not (project / "data" / "toy" / "compressed" / "half").exists()
    assert restore(project, next(run for run in run_record.iter_runs(project) if run.record["whole"])) == []
    assert (project / "data" / "toy" / "compressed" / "half" / "model.json").exists()
    assert is_up_to_date(project)


def test_restore_does_not_overwrite_unsaved_changes(project: Path) -> None:
    second = both_runs(project)[1]
    target = project / "data" / "toy" / "clean" / "rows" / "part-00000.json"
    before = target.read_bytes()
    target.unlink()
    target.write_text("[1, 2, 3]")
    with pytest.raises(UserError, match=r"data/toy/clean was changed by hand .* `dvc commit -f clean@toy`.* --force") as refusal:
        restore(project, second)
    assert "\n" not in str(refusal.value)
    assert target.read_text() == "[1, 2, 3]"
    yaml_edit.set_values(project / "params.yaml", {"use_cases.toy.model.width": 7})
    (line,) = restore(project, second, force=True)
    kept = Path(line.partition("it is kept as ")[2].partition(",")[0])
    assert (kept / "rows" / "part-00000.json").read_text() == "[1, 2, 3]", "what no stage wrote is kept aside"
    assert target.read_bytes() == before
    yaml_edit.set_values(project / "params.yaml", {"use_cases.toy.model.width": 7})
    with pytest.raises(UserError, match=r"params.yaml has changes that no commit and no run has"):
        restore(project, second)
    commit_params(project)
    assert restore(project, second) == []
    assert is_up_to_date(project)


def test_restore_reports_changed_code_and_restores_it_on_request(project: Path) -> None:
    second = both_runs(project)[1]
    code = (project / "tasks" / "stages" / "train.py").read_text()
    (project / "tasks" / "stages" / "train.py").write_text(code + "# edited\n")
    lines = restore(project, second)
    assert "tasks/stages/train.py" in lines[0]
    assert "--code" in lines[0]
    assert lines[1].startswith("not up to date: train@toy")
    with pytest.raises(UserError, match=r"tasks/ or dvc.yaml has changes that no commit has"):
        restore(project, second, code=True)
    assert restore(project, second, code=True, force=True) == []
    assert (project / "tasks" / "stages" / "train.py").read_text() == code
    assert is_up_to_date(project)


def test_restore_reports_objects_missing_from_the_cache(project: Path) -> None:
    second = both_runs(project)[1]
    md5 = second.record["stages"]["train@toy"]["outs"]["data/toy/model"]["md5"]
    object_cache.object_path(object_cache.objects_folder(project), md5).unlink()
    before = (project / "params.yaml").read_text()
    with pytest.raises(UserError, match=f"`bonsai pull {second.id}`"):
        restore(project, second)
    assert (project / "params.yaml").read_text() == before
