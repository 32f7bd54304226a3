"""`prefect deploy --all` on a process work pool, a worker, and a run that Prefect's client requests."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from tests.support.bonsai_process import Env, environment, read_records, run_dvc, stage_states, wait_for
from tests.support.toy_project import REPOSITORY, SMALL, build_project


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deployments_go_onto_a_work_pool_and_a_worker_runs_them(
    server: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefect_api, "TIMEOUT_S", 60.0)  # a page gives the server ten seconds; a busy machine takes longer
    toy = build_project(tmp_path / "toy", SMALL)
    shutil.copytree(REPOSITORY / "flows", toy / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    project = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    project["deployments"] = [each for each in project["deployments"] if each["name"].partition("-")[0] in ("all", "vision")]
    (toy / "prefect.yaml").write_text(yaml.safe_dump(project).replace("vision", "toy"))
    surroundings = environment(toy, {**server, "PREFECT_HOME": str(toy / ".prefect"), "PREFECT_WORKER_QUERY_SECONDS": "1"})

    def prefect(*arguments: str) -> str:
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(command, cwd=toy, env=surroundings, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("work-pool", "create", "bonsai", "--type", "process")
    prefect("deploy", "--all")
    client = prefect_api.Server(server["PREFECT_API_URL"], server["PREFECT_API_AUTH_STRING"])
    deployments = {each.name: each for each in client.deployments()}
    assert {"all", "toy", "toy-nightly"} <= set(deployments)
    assert [each.cron for each in deployments["toy-nightly"].schedules] == ["0 3 * * *"]
    with pytest.raises(prefect_api.RequestRefused, match="less than the minimum"):
        client.start(deployments["toy"], {"overrides": {"training.epochs": 0}}, "wrong")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "bonsai"]
    with (toy / "worker.log").open("w") as log:
        worker = subprocess.Popen(command, cwd=toy, env=surroundings, stdout=log, stderr=log)
    try:
        flow_run = client.start(deployments["toy"], {}, "right").id

        def ended() -> str:
            with suppress(Unreadable):  # a server so busy that it drops a connection is queried again
                state = client.flow_run(flow_run).state
                return state if state in ("Completed", "Failed", "Crashed") else ""
            return ""

        assert wait_for(ended, 250) == "Completed", (toy / "worker.log").read_text()
    finally:
        worker.send_signal(signal.SIGINT)
        try:
            worker.wait(90)
        except subprocess.TimeoutExpired:  # how Prefect's own worker ends is not what is tested
            worker.kill()
            worker.wait()
    assert set(stage_states(read_records(toy)[0]).values()) == {"Completed"}
    assert "up to date" in run_dvc(toy, "status")
