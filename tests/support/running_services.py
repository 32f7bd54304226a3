"""A `bonsai up` that runs for a test, and a toy project whose stages wait at the test's word."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dashboard.readers import prefect_api
from dashboard.readers.project_files import Unreadable
from flows import settings
from tests.support.bonsai_process import environment, read_records, wait_for

FINAL = ("Completed", "Failed", "Cancelled", "Crashed")
VERBS = ("fetch", "clean", "augment", "train", "compress", "evaluate", "release")


def add_hold_files(toy: Path) -> Path:
    """Make each stage of the toy project wait for as long as the file `hold-<stage>` lies in the project's folder."""
    for verb in VERBS:
        path = toy / "tasks" / "stages" / f"{verb}.py"
        wait = f'while os.path.exists(os.path.join(os.environ.get("BONSAI_ROOT", "."), "hold-{verb}")): time.sleep(0.05)'
        path.write_text(path.read_text().replace("def main(context):", f"def main(context):\n    {wait}"))
    return toy


@dataclass
class RunningServices:
    """A running `bonsai up`, and a client of its Prefect server like the dashboard's."""

    root: Path
    process: subprocess.Popen[str]
    output_lines: list[str] = field(default_factory=list)

    @property
    def server(self) -> prefect_api.Server:
        address = settings.read_server_file(self.root)
        return prefect_api.Server(address["api_url"], address["auth_string"])

    def request_run(self, name: str, key: str = "", **parameters: Any) -> str:
        """Request a run of the deployment; returns the id of the flow run."""
        deployment = next(each for each in self.server.deployments() if each.name == name)
        return self.server.start(deployment, parameters, key or f"{time.monotonic()}").id

    def wait_until_ended(self, flow_run_id: str, seconds: float = 240) -> str:
        """The final state of the flow run. A server that is too busy to answer is queried again until the time is over."""

        def final_state() -> str:
            with suppress(Unreadable):
                state = self.server.flow_run(flow_run_id).state
                return state if state in FINAL else ""
            return ""

        return str(wait_for(final_state, seconds))

    def record(self, flow_run_id: str) -> dict[str, Any]:
        """The record of the flow run; empty while there is none."""
        matching = [each for each in read_records(self.root) if each["prefect"].get("flow_run_id") == flow_run_id]
        return matching[0] if matching else {}

    def descendants(self) -> list[psutil.Process]:
        """All children of `bonsai up` and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def start_services(toy: Path) -> Iterator[RunningServices]:
    """Run `bonsai up` in the project for the duration of the block."""
    command = [sys.executable, "-m", "flows.cli.main", "up", "--port", "0", "--dashboard-port", "0"]
    with (toy / "up.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=toy, env={**environment(toy, {}), "BONSAI_SLOTS": "1"}, stdout=log, stderr=log, text=True
        )

    def ready() -> bool:
        assert process.poll() is None, (toy / "up.log").read_text()
        return "runs can be started" in (toy / "up.log").read_text()

    try:
        wait_for(ready, 240)
        yield RunningServices(toy, process, (toy / "up.log").read_text().splitlines())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
