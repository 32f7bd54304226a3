"""The commands that the dashboard runs in processes of their own."""

import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dashboard.readers import bonsai_commands
from dashboard.readers.bonsai_commands import CommandError


def completed(returncode: Any = 0, stdout: Any = "", stderr: Any = "") -> Any:
    return subprocess.CompletedProcess([], returncode, stdout, stderr)


def test_a_plan_is_the_json_that_the_command_prints(tmp_path: Path) -> None:
    with patch.object(subprocess, "run", return_value=completed(stdout='[{"stage": "fetch@vision"}]')) as run:
        assert bonsai_commands.plan(tmp_path, "vision", ["--recipe", "int8"]) == [{"stage": "fetch@vision"}]
    assert run.call_args.args[0][1:] == ["-m", "flows.cli.main", "plan", "vision", "--json", "--recipe", "int8"]
    assert run.call_args.kwargs["cwd"] == tmp_path


@pytest.mark.parametrize(("stderr", "reason"), [("warning: x\nerror: no such recipe\n", "no such recipe"), ("", r"\?")])
def test_the_reason_of_a_failed_plan_is_its_last_line(tmp_path: Path, stderr: Any, reason: Any) -> None:
    with (
        patch.object(subprocess, "run", return_value=completed(2, stderr=stderr)),
        pytest.raises(CommandError, match=f"^{reason}$"),
    ):
        bonsai_commands.plan(tmp_path, "vision")


@pytest.mark.parametrize("error", [OSError("no such file"), subprocess.TimeoutExpired("bonsai", 5)])
def test_a_command_that_does_not_start_or_end_is_an_error(tmp_path: Path, error: Any) -> None:
    with patch.object(subprocess, "run", side_effect=error), pytest.raises(CommandError):
        bonsai_commands.run(tmp_path, "doctor")
