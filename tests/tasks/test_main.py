"""`python -m tasks <stage> <use case> [<recipe>]` reports a user error in one line and leaves no file behind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.__main__ import parse_arguments
from tasks.core.errors import UserError

ROOT = Path(__file__).parents[2]


def run_stage(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasks", *arguments], cwd=project, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Any:
    (tmp_path / "params.yaml").write_text("use_cases: {vision: {training: {seed: 7}}}\nrecipes: {dense: []}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python -m tasks <stage> <use case> [<recipe>]"),
        (["tran", "vision"], "no stage 'tran'; did you mean 'train'?"),
        (["train"], "train takes a use case, got 0 arguments"),
        (["train", "vision", "int8"], "train takes a use case, got 2 arguments"),
        (["compress", "vision"], "compress takes a use case and a recipe, got 1 argument"),
        (["compress_seed", "vision", "8"], "compress_seed takes a use case and a recipe and a seed, got 2 arguments"),
        (["train_seed", "vision", "int8"], "train_seed: 'int8' is no seed; give one of `seeds` in params.yaml, such as 8"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: Any, message: Any) -> None:
    with pytest.raises(UserError) as caught:
        parse_arguments(arguments)
    assert message in str(caught.value)


def test_the_last_argument_of_a_stage_that_repeats_another_is_its_seed() -> None:
    assert parse_arguments(["compress", "vision", "int8"]) == ("compress", "vision", "int8", None)
    assert parse_arguments(["train_seed", "vision", "8"]) == ("train_seed", "vision", "", 8)
    assert parse_arguments(["evaluate_seed", "vision", "int8", "8"]) == ("evaluate_seed", "vision", "int8", 8)


def test_names_may_be_given_as_dvc_writes_them() -> None:
    named = ["evaluate_seed", "--use_case", "vision", "--seed", "8", "--recipe", "int8"]
    assert parse_arguments(named) == ("evaluate_seed", "vision", "int8", 8)
    assert parse_arguments(["train", "--use_case", "vision"]) == ("train", "vision", "", None)
    for wrong in (["--usecase", "vision"], ["--use_case", "vision", "--use_case", "nlp"], ["--use_case", "a", "--recipe", "b"]):
        with pytest.raises(UserError, match="train takes a use case, got"):
            parse_arguments(["train", *wrong])


def test_a_seed_that_params_yaml_does_not_list_is_refused(project: Any) -> None:
    result = run_stage(project, "train_seed", "vision", "8")
    assert (result.returncode, result.stderr) == (2, "error: params.yaml: seeds has no 8; it has none\n")


def test_a_user_error_is_one_line_and_exit_code_2_and_leaves_no_file(project: Any) -> None:
    before = sorted(project.iterdir())
    result = run_stage(project, "fetch", "visoin")
    assert result.returncode == 2
    assert result.stderr == "error: no use case 'visoin'; did you mean 'vision'? There is: vision\n"
    assert result.stdout == ""
    assert sorted(project.iterdir()) == before


def test_a_stage_names_its_missing_input_and_logs_the_failure(project: Any) -> None:
    result = run_stage(project, "clean", "vision")
    assert result.returncode == 2
    assert result.stderr.startswith("error: data/vision/raw is not there yet")
    assert '"event": "failed"' in (project / "journal" / "clean@vision.jsonl").read_text()


@pytest.mark.parametrize("environment", [{}, {"OMP_NUM_THREADS": "2"}, {"OPENBLAS_NUM_THREADS": "2"}])
def test_every_library_counts_the_threads_that_the_parameters_name(project: Any, environment: Any) -> None:
    code = (
        "from tasks.__main__ import main;"
        "assert main(['augment', 'vision']) == 2; import scipy.linalg, sklearn.linear_model, threadpoolctl;"
        "print({each['num_threads'] for each in threadpoolctl.threadpool_info()})"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", code], cwd=project, env={"PYTHONPATH": str(ROOT), **environment}, stderr=subprocess.PIPE, text=True
    )
    assert output.splitlines()[-1] == "{1}"
