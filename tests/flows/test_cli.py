"""The command line says what it means, refuses in one line what cannot be, and is quick where nothing is to be done."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.maintenance import doctor
from flows.parameters import run_request
from flows.reporting.console import format_duration
from flows.reporting.results_table import print_results
from tasks.core import params_file
from tasks.core.atomic_files import write_json
from tests.support.toy_project import REPOSITORY, SMALL, build_project, use_toy_registry

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")  # DVC's, of its pygtrie


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = build_project(tmp_path / "toy", SMALL)
    use_toy_registry(folder, monkeypatch)
    monkeypatch.chdir(folder)
    return folder


def test_a_use_case_that_is_not_listed_runs_by_name_with_its_defaults_and_the_project_stays_as_it_is(toy: Path) -> None:
    asked = run_request.build_request(toy, ["twin"])
    assert asked.use_cases == ("twin",)
    assert asked.values["use_cases"] == {"twin": params_file.default_stanza()}
    assert not asked.unmodified, "the project's own folder has no stages to show it in"
    again = run_request.build_request(toy, ["twin"], overrides=asked.overrides)
    assert again.values == asked.values
    assert run_request.build_request(toy).use_cases == ("toy",)
    assert run_request.unlisted_use_cases(toy) == ["twin"]


def test_a_plan_knows_the_stages_of_a_use_case_that_is_not_listed_and_status_says_how_to_list_it(toy: Path, bonsai: Any) -> None:
    code, out, _ = bonsai("plan", "twin")
    assert code == 0
    assert "fetch@twin" in out
    code, _, err = bonsai("status", "twin")
    assert (code, err.count("\n")) == (2, 1)
    assert "`bonsai new twin`" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "toi"], "did you mean 'toy'"),
        (["run", "toy", "--recipe", "hlf"], "did you mean 'half'"),
        (["run", "toy", "--set", "model.widht=3"], "did you mean 'width'"),
        (["run", "toy", "--set", "model.width=0"], "got 0"),
        (["run", "toy", "--set", "model.width"], "name=value"),
        (["run", "toy", "--set", "fetch.path=nowhere.csv"], "there is no"),
        (["plan", "toy", "--set", "recipes.half.0.halve.tims=3"], "did you mean 'times'"),
        (["status", "toi"], "did you mean 'toy'"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_before_anything_is_made(
    toy: Path, bonsai: Any, arguments: list[str], said: str
) -> None:
    code, out, err = bonsai(*arguments)
    assert code == 2
    assert out == ""
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (toy / "runs").exists()


def test_outside_a_project_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = bonsai("plan")
    assert code == 2
    assert "no dvc.yaml and params.yaml" in err


def test_it_finds_the_project_from_a_folder_inside_it(toy: Path, monkeypatch: pytest.MonkeyPatch, bonsai: Any) -> None:
    monkeypatch.chdir(toy / "tasks" / "models")
    assert bonsai("stages")[0] == 0


def test_a_plan_gives_a_reason_for_every_stage_to_run(toy: Path, bonsai: Any) -> None:
    code, out, _ = bonsai("plan", "toy", "--json")
    assert code == 0
    steps = json.loads(out)
    assert [step["stage"] for step in steps][:2] == ["fetch@toy", "clean@toy"]
    assert all(step["verdict"] == "Run" and step["reasons"] for step in steps)
    _, text, _ = bonsai("plan", "toy")
    assert "9 of 9 stages to run" in text
    assert "it has not been run yet" in text


def test_stages_shows_each_verb_once_with_what_it_needs(toy: Path, bonsai: Any) -> None:
    _, out, _ = bonsai("stages")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "Add them up, epoch by epoch." in lines["train"]
    assert "augment, clean" in lines["train"]
    assert "use case and recipe" in lines["evaluate"]


def test_status_tells_what_is_out_of_date(toy: Path, bonsai: Any) -> None:
    _, out, _ = bonsai("status")
    assert "fetch@toy" in out
    assert "it has not been run yet" in out
    assert "no run yet" in out


def test_runs_lists_the_newest_first_and_knows_the_dead(toy: Path, bonsai: Any) -> None:
    for name, state in (("20260101-000000-toy-aaaa", "Completed"), ("20260102-000000-toy-bbbb", "Running")):
        record = {"state": state, "overrides": {"use_cases.toy.model.width": 3}, "results": {}, "process": None, "ended_at": ""}
        write_json(toy / "runs" / name / "run.json", {**record, "started_at": "2026-01-01T00:00:00+00:00", "use_cases": ["toy"]})
    _, out, _ = bonsai("runs")
    lines = [line.split() for line in out.splitlines() if "toy-" in line]
    assert [line[:2] for line in lines] == [["20260102-000000-toy-bbbb", "Crashed"], ["20260101-000000-toy-aaaa", "Completed"]]
    assert lines[0][2] == "toy.model.width=3"


def test_the_doctor_finds_a_flipped_byte_in_the_cache(toy: Path) -> None:
    good = toy / ".dvc" / "cache" / "files" / "md5" / "5d" / "41402abc4b2a76b9719d911017c592"
    good.parent.mkdir(parents=True)
    good.write_text("hello")
    assert [finding.state for finding in doctor.cache(toy)] == ["ok"]
    good.write_text("hellp")
    (finding,) = doctor.cache(toy, full=True)
    assert finding.state == "bad"
    assert str(good) in finding.text


def test_the_doctor_names_versions_that_were_not_tested(toy: Path) -> None:
    (toy / "constraints.txt").write_text("pyyaml==0.1\nrich\n# a note\nno-such-package==1\n")
    (finding,) = doctor.versions(toy)
    assert finding.state == "note"
    assert "(tested: 0.1)" in finding.text
    assert "no-such-package" not in finding.text


def test_the_doctor_mends_what_it_finds(toy: Path) -> None:
    (toy / "dvc.lock").write_text("")
    assert [finding.state for finding in doctor.leftovers(toy)] == ["note"]
    assert [finding.state for finding in doctor.leftovers(toy)] == ["ok"]


def test_help_and_plans_load_neither_prefect_nor_torch(toy: Path) -> None:
    body = (
        "import sys; from flows.cli import main; sys.argv = ['bonsai', 'stages']\n"
        "try:\n    main.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'prefect', 'torch', 'networkx', 'pandas'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", body], cwd=toy, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_goes_on_when_nobody_reads_its_news_any_more() -> None:
    body = (
        "import sys; from flows.reporting.console import ConsoleDisplay; screen = ConsoleDisplay()\n"
        "for _ in range(2000): screen.message('x' * 100)\n"
        "print('still here', file=sys.stderr)"
    )
    where: dict[str, Any] = {"env": {**os.environ, "PYTHONPATH": str(REPOSITORY)}, "text": True}
    with subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **where) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "still here\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.44, "0.4 s"), (12, "12 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


def test_the_table_shows_intervals_sizes_and_the_chosen_one() -> None:
    speed = {"ratio": 3.344, "low": 3.21, "high": 3.44}
    rows = [
        {"recipe": "dense", "metric": "accuracy", "value": 0.98, "low": 0.97, "high": 0.99, "bytes": 589584, "drop": None},
        {
            "recipe": "int8",
            "metric": "accuracy",
            "value": 0.97,
            "low": 0.96,
            "high": 0.98,
            "bytes": 53062,
            "chosen": True,
            "drop": {"value": 0.01, "low": -0.01, "high": 0.02},
            "latency_ms": {"1": {"median_ms": 0.0967}},
            "speedup_over": {"dense": {"1": speed}},
        },
    ]
    console = Console(width=200, file=io.StringIO())
    print_results({"vision": {"table": {"rows": rows}, "verdict": {"released": "int8", "reason": "released 'int8'"}}}, console)
    said = console.file.getvalue()
    for part in ("0.9700 (0.9600..0.9800)", "+0.0100 (-0.0100..+0.0200)", "53.1", "0.0967", "3.34 (3.21..3.44)", "chosen"):
        assert part in said
    assert "x eager" not in said, "a column that nobody fills is left out"
