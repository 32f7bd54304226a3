"""A real pipeline, driven by the dashboard: start, watch, repeat, change a parameter, cancel, fail, restore."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

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
RECORD_STATES = """() => {
    window.states = [];
    setInterval(() => {
        const roots = [document, ...[...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)];
        for (const node of roots.flatMap((root) => [...root.querySelectorAll('[data-stage]')])) {
            const state = `${node.dataset.stage} ${node.getAttribute('class').split(' ')[1]}`;
            if (!window.states.includes(state)) window.states.push(state);
        }
    }, 100);
}"""
"""Collects every state that the graph ever shows for a stage."""


@pytest.fixture(scope="module")
def running_project(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`bonsai up` in a fresh copy of the project; yields its folder and the dashboard's URL."""
    root = tmp_path_factory.mktemp("running") / "project"
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


def test_the_button_starts_a_run_whose_stages_are_shown_live_and_survive_a_reload(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    page = window.open(base, "run?uc=vision")
    page.get_by_text("No runs yet.").wait_for()
    window.screenshot("run-0-nothing")
    page.get_by_role("radio", name="Quick").or_(page.get_by_role("button", name="Quick")).first.click()
    page.wait_for_url("**recipes=**")
    window.wait_until_idle()
    page.evaluate(RECORD_STATES)
    press(page)
    node(page, "clean@vision", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    window.screenshot("run-1-begun")
    states = page.evaluate("() => window.states")
    assert any(f"{stage}@vision {state}" in states for stage in ("fetch", "clean") for state in ("running", "queued")), states
    assert "clean@vision done" in states

    page.reload()
    node(page, "train@vision", "running", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    assert node(page, "clean@vision", "done").is_visible()
    window.screenshot("run-2-reloaded")
    node(page, "release@vision", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    wait_for_end(window, "Run again")
    assert window.problems() == []
    window.screenshot("run-3-finished")
    assert newest(root)["state"] == "Completed"
    assert set(stages(root).values()) <= {"Completed", "Unchanged"}


def test_a_finished_run_fills_all_pages(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    open_completed_run(root, window, base)
    expected = {
        "data": ("Rows read",),
        "data?view=augmentation": ("Augmentation",),
        "results": ("Accuracy",),
        "results?view=mistakes": ("predictions are wrong",),
        "compression": ("int8", "dense"),
        "try_it": ("Draw",),
        "versions": ("vision",),
        "about": ("Workers",),
    }
    for where, words in expected.items():
        page, _, view = where.partition("?")
        opened = window.open(base, f"{page}?uc=vision&{view}")
        for word in words:
            opened.get_by_text(word).locator("visible=true").first.wait_for()
        assert window.problems() == []
        window.screenshot(f"run-4-{page}-{view.partition('=')[2]}".strip("-"))


def test_a_repeated_run_leaves_every_stage_unchanged(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    page = open_completed_run(root, window, base)
    press(page, "Run again")
    node(page, "release@vision", "unchanged").wait_for(timeout=STAGE_TIMEOUT_MS)
    wait_for_end(window, "Run again")
    assert set(stages(root).values()) == {"Unchanged"}
    assert set(graph_states(page)) == {"unchanged"}
    window.screenshot("run-5-again")


def test_a_changed_parameter_runs_only_its_own_branch(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    page = open_completed_run(root, window, base)
    page.get_by_role("button", name="Edit and run").click()
    window.wait_until_idle()
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("tab", name="Recipes").click()
    rows = page.get_by_label("int8 · quantize · Calibration rows", exact=True)
    rows.fill("128")
    rows.press("Enter")
    page.wait_for_url("**calibration_rows=128*")
    window.wait_until_idle()
    press(page)
    node(page, "release@vision", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    wait_for_end(window, "Run again")
    ran = {name for name, state in stages(root).items() if state == "Completed"}
    assert ran == {"compress@vision-int8", "evaluate@vision-int8", "latency@vision", "release@vision"}
    window.screenshot("run-6-changed")


def test_a_run_is_cancelled_after_confirmation(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    page = window.open(base, "run?uc=vision&recipes=int8&vision.fetch.limit=1500&vision.training.epochs=5000")
    press(page)
    node(page, "train@vision", "running").wait_for(timeout=STAGE_TIMEOUT_MS)
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the run").click()
    wait_for_end(window, "Resume")
    assert newest(root)["state"] == "Cancelled"
    node(page, "train@vision", "cancelled").wait_for()
    assert window.problems() == []
    window.screenshot("run-7-cancelled")


def test_an_invalid_path_is_reported_on_the_page(visit: Any, running_project: Any) -> None:
    _, base = running_project
    window = visit()
    page = window.open(base, "run?uc=vision&recipes=int8&vision.fetch.source=path&vision.fetch.path=nowhere.csv")
    page.get_by_role("button", name="Run pipeline", exact=True).click()
    page.get_by_role("alert").filter(has_text="nowhere.csv").first.wait_for(timeout=STAGE_TIMEOUT_MS)
    window.wait_until_idle()
    assert window.problems() == []
    window.screenshot("run-8-broken")


def test_after_restoring_a_run_every_stage_is_unchanged(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    open_completed_run(root, window, base)
    done = [record["id"] for record in records(root) if record["state"] == "Completed"][-1]
    page = window.open(base, f"versions?uc=vision&view=versions&restore={done}")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("button", name="Restore this run").click()
    page.get_by_text(f"Restored {done}").wait_for(timeout=STAGE_TIMEOUT_MS)
    window.wait_until_idle()
    window.screenshot("run-9-restored")
    page = window.open(base, "run?uc=vision")
    show_card(page)
    page.get_by_text("as in params.yaml").wait_for()
    press(page)
    wait_for_end(window, "Run again")
    assert set(stages(root).values()) == {"Unchanged"}
    assert set(graph_states(page)) == {"unchanged"}
    window.screenshot("run-10-unchanged")
