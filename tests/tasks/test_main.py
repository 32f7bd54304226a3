"""`python -m tasks <stage> <use case> [<recipe>]` answers a person's mistake in one line and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.__main__ import parse_arguments
from tasks.core.errors import UserError

ROOT = Path(__file__).parents[2]


def knock(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasks", *arguments], cwd=workspace, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "params.yaml").write_text("use_cases: {vision: {training: {seed: 7}}}\nrecipes: {dense: []}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python -m tasks <stage> <use case> [<recipe>]"),
        (["tran", "vision"], "no stage 'tran'; did you mean 'train'?"),
        (["train"], "train takes a use case, got 0 arguments"),
        (["train", "vision", "int8"], "train takes a use case, got 2 arguments"),
        (["compress", "vision"], "compress takes a use case and a recipe, got 1 argument"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments, said):
    with pytest.raises(UserError) as caught:
        parse_arguments(arguments)
    assert said in str(caught.value)


def test_a_mistake_is_one_line_and_exit_code_2_and_leaves_nothing(workspace):
    before = sorted(workspace.iterdir())
    answer = knock(workspace, "fetch", "visoin")
    assert answer.returncode == 2
    assert answer.stderr == "error: no use case 'visoin'; did you mean 'vision'? There is: vision\n"
    assert answer.stdout == ""
    assert sorted(workspace.iterdir()) == before


def test_a_stage_whose_input_is_missing_says_which_and_journals_it(workspace):
    answer = knock(workspace, "clean", "vision")
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: data/vision/raw is not there yet")
    assert '"event": "failed"' in (workspace / "journal" / "clean@vision.jsonl").read_text()


@pytest.mark.parametrize("outside", [{}, {"OMP_NUM_THREADS": "2"}, {"OPENBLAS_NUM_THREADS": "2"}])
def test_every_library_counts_the_threads_that_the_parameters_name(workspace, outside):
    code = (
        "from tasks.__main__ import main;"
        "assert main(['augment', 'vision']) == 2; import scipy.linalg, sklearn.linear_model, threadpoolctl;"
        "print({each['num_threads'] for each in threadpoolctl.threadpool_info()})"
    )
    said = subprocess.check_output(
        [sys.executable, "-c", code], cwd=workspace, env={"PYTHONPATH": str(ROOT), **outside}, stderr=subprocess.PIPE, text=True
    )
    assert said.splitlines()[-1] == "{1}"
