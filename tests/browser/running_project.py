"""`bonsai up` in a fresh copy of the project, for tests that start real runs in the browser; and what they do again and again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT_FILES = (
    "tasks",
    "flows",
    "dashboard",
    ".streamlit",
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    "dvc.yaml",
    "params.yaml",
)
GIT = ("git", "-c", "user.name=A tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false")
STAGE_TIMEOUT_MS = 600_000
"""Enough for a stage on a busy machine."""
ENDED = ("Completed", "Failed", "Cancelled", "Crashed")


@contextmanager
def started(root: Path) -> Iterator[Any]:
    """`bonsai up` in a fresh copy of the project in `root` while the block runs; yields its folder and the dashboard's URL."""
    for name in PROJECT_FILES:
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "A fresh copy"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    (root / ".bonsai").mkdir()
    log = root / ".bonsai" / "up.log"
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "DASK_SCHEDULER_ADDRESS"):
        environment.pop(name, None)
    with log.open("wb") as file:
        command = [sys.executable, "-m", "flows.cli.main", "up"]
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=file, process_group=0)
    try:
        yield root, address(log, process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def address(log: Any, process: Any) -> Any:
    """The dashboard's URL, once all three services answer."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        output = log.read_text(errors="replace")
        match = re.search(r"^dashboard\s+(http://\S+)", output, re.MULTILINE)
        if match and re.search(r"^ready\s", output, re.MULTILINE):
            return match[1]
        assert process.poll() is None, output
        time.sleep(0.5)
    raise AssertionError(log.read_text(errors="replace"))


def newest(root: Any) -> Any:
    """The newest run's record."""
    return records(root)[-1]


def records(root: Any) -> Any:
    """The record of each run, the oldest first, with its name as `id`."""
    return [{"id": path.parent.name, **json.loads(path.read_text())} for path in sorted((root / "runs").glob("*/run.json"))]


def stages(root: Any) -> Any:
    return {name: entry["state"] for name, entry in newest(root)["stages"].items()}


def press(page: Any, button: Any = "Run pipeline") -> None:
    """Click the button, and wait until the run has started and the page shows it."""
    before = page.evaluate("() => new URLSearchParams(location.search).get('run')")
    if button == "Run pipeline":
        show_card(page)
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_function(
        """(before) => {
            const query = new URLSearchParams(location.search);
            return !query.has('flow') && query.get('run') && query.get('run') !== before;
        }""",
        arg=before,
        timeout=STAGE_TIMEOUT_MS,
    )


def show_card(page: Any) -> None:
    """Open the card that starts a run, which is closed once there are runs."""
    start, new = (page.get_by_role("button", name=name, exact=True) for name in ("Run pipeline", "New run"))
    start.or_(new).first.wait_for()
    if not start.count():
        new.click()
        start.wait_for()


def wait_for_end(window: Any, button: Any) -> None:
    """Wait until the run has ended, which the page shows by this button."""
    window.page.get_by_role("button", name=button, exact=True).wait_for(timeout=STAGE_TIMEOUT_MS)
    window.wait_until_idle()


def node(page: Any, stage: Any, *states: Any) -> Any:
    return page.locator(", ".join(f'[data-stage="{stage}"].{state}' for state in states)).first


def graph_states(page: Any) -> Any:
    """The state of each stage in the graph."""
    return page.locator("[data-stage]").evaluate_all("(nodes) => nodes.map((node) => node.getAttribute('class').split(' ')[1])")


def open_completed_run(root: Any, window: Any, base: Any) -> Any:
    """Open the page of a completed run of the quick preset; start one when there is none."""
    completed = [record["id"] for record in records(root) if record["state"] == "Completed"]
    page = window.open(base, f"run?uc=vision&run={completed[0] if completed else ''}")
    if not completed:
        show_card(page)
        page.get_by_role("radio", name="Quick").or_(page.get_by_role("button", name="Quick")).first.click()
        page.wait_for_url("**recipes=**")
        press(page)
    wait_for_end(window, "Run again")
    return page
