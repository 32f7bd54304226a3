"""A person presses Run pipeline, watches it grow, runs it again, changes a number, cancels, and reads why a run broke."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("tasks", "flows", "dashboard", ".streamlit", ".dvc/config", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml")
GIT = ("git", "-c", "user.name=A tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false")
LONG_MS = 600_000
"""What a stage may take on a machine that has other things to do."""
ENDED = ("Completed", "Failed", "Cancelled", "Crashed")
LIVE_STATES = """() => {
    window.seen = [];
    setInterval(() => {
        const roots = [document, ...[...document.querySelectorAll('*')].map((e) => e.shadowRoot).filter(Boolean)];
        for (const node of roots.flatMap((root) => [...root.querySelectorAll('[data-stage]')])) {
            const state = `${node.dataset.stage} ${node.getAttribute('class').split(' ')[1]}`;
            if (!window.seen.includes(state)) window.seen.push(state);
        }
    }, 100);
}"""
"""Writes down every state in which the drawing ever shows a stage."""


@pytest.fixture(scope="module")
def house(chromium, tmp_path_factory):
    """`bonsai up` in a fresh copy of the project: its folder, and the dashboard's address."""
    root = tmp_path_factory.mktemp("house") / "project"
    for name in PARTS:
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


def address(log, process):
    """Where the dashboard answers, once all three parts do."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        told = log.read_text(errors="replace")
        if found := re.search(r"^dashboard\s+(http://\S+)", told, re.MULTILINE):
            return found[1]
        assert process.poll() is None, told
        time.sleep(0.5)
    raise AssertionError(log.read_text(errors="replace"))


def newest(root):
    """The last run's record."""
    return records(root)[-1]


def records(root):
    """What is recorded of each run, the oldest first, with its name as `id`."""
    return [{"id": path.parent.name, **json.loads(path.read_text())} for path in sorted((root / "runs").glob("*/run.json"))]


def stages(root):
    return {name: entry["state"] for name, entry in newest(root)["stages"].items()}


def press(page, button="Run pipeline"):
    """Press the button, and wait until the run has begun and the page is about it."""
    before = page.evaluate("() => new URLSearchParams(location.search).get('run')")
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_function(
        """(before) => {
            const asked = new URLSearchParams(location.search);
            return !asked.has('flow') && asked.get('run') && asked.get('run') !== before;
        }""",
        arg=before,
        timeout=LONG_MS,
    )


def ended(window, button):
    """Wait until the page says that the run is over, by what it offers then."""
    window.page.get_by_role("button", name=button, exact=True).wait_for(timeout=LONG_MS)
    window.settle()


def node(page, stage, *states):
    return page.locator(", ".join(f'[data-stage="{stage}"].{state}' for state in states)).first


def shown(page):
    """The state in which the drawing shows each stage."""
    return page.locator("[data-stage]").evaluate_all("(nodes) => nodes.map((node) => node.getAttribute('class').split(' ')[1])")


def grown(root, window, base):
    """The page of a run of the quick preset that has ended well; makes one when there is none."""
    done = [record["id"] for record in records(root) if record["state"] == "Completed"]
    page = window.open(base, f"run?uc=vision&run={done[0] if done else ''}")
    if not done:
        page.get_by_role("radio", name="Quick").or_(page.get_by_role("button", name="Quick")).first.click()
        page.wait_for_url("**recipes=**")
        press(page)
    ended(window, "Run again")
    return page


def test_the_button_starts_a_run_whose_stages_are_seen_at_work_and_a_reload_loses_nothing(visit, house):
    root, base = house
    window = visit()
    page = window.open(base, "run?uc=vision")
    page.get_by_text("No runs yet.").wait_for()
    window.picture("run-0-nothing")
    page.get_by_role("radio", name="Quick").or_(page.get_by_role("button", name="Quick")).first.click()
    page.wait_for_url("**recipes=**")
    window.settle()
    page.evaluate(LIVE_STATES)
    press(page)
    node(page, "clean@vision", "done").wait_for(timeout=LONG_MS)
    window.picture("run-1-begun")
    seen = page.evaluate("() => window.seen")
    assert any(f"{stage}@vision {state}" in seen for stage in ("fetch", "clean") for state in ("running", "queued")), seen
    assert "clean@vision done" in seen

    page.reload()
    node(page, "train@vision", "running", "done").wait_for(timeout=LONG_MS)
    assert node(page, "clean@vision", "done").is_visible()
    window.picture("run-2-reloaded")
    node(page, "release@vision", "done").wait_for(timeout=LONG_MS)
    ended(window, "Run again")
    assert window.trouble() == []
    window.picture("run-3-finished")
    assert newest(root)["state"] == "Completed"
    assert set(stages(root).values()) <= {"Completed", "Unchanged"}


def test_a_finished_run_fills_the_pages_of_metrics_samples_and_compression(visit, house):
    root, base = house
    window = visit()
    grown(root, window, base)
    filled = {
        "data": ("Rows read",),
        "data?view=augmentation": ("Augmentation",),
        "results": ("Accuracy",),
        "results?view=mistakes": ("was",),
        "compression": ("int8", "dense"),
        "try_it": ("Draw",),
        "versions": ("vision",),
        "about": ("Workers",),
    }
    for where, words in filled.items():
        page, _, view = where.partition("?")
        there = window.open(base, f"{page}?uc=vision&{view}")
        for said in words:
            there.get_by_text(said).locator("visible=true").first.wait_for()
        assert window.trouble() == []
        window.picture(f"run-4-{page}-{view.partition('=')[2]}".strip("-"))


def test_a_run_asked_for_again_has_nothing_left_to_do(visit, house):
    root, base = house
    window = visit()
    page = grown(root, window, base)
    press(page, "Run again")
    node(page, "release@vision", "unchanged").wait_for(timeout=LONG_MS)
    ended(window, "Run again")
    assert set(stages(root).values()) == {"Unchanged"}
    assert set(shown(page)) == {"unchanged"}
    window.picture("run-5-again")


def test_of_a_changed_number_only_its_own_branch_runs(visit, house):
    root, base = house
    window = visit()
    page = grown(root, window, base)
    page.get_by_role("button", name="Edit and run").click()
    window.settle()
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("tab", name="Recipes").click()
    rows = page.get_by_label("int8 · quantize · Calibration rows", exact=True)
    rows.fill("128")
    rows.press("Enter")
    page.wait_for_url("**calibration_rows=128*")
    window.settle()
    press(page)
    node(page, "release@vision", "done").wait_for(timeout=LONG_MS)
    ended(window, "Run again")
    ran = {name for name, state in stages(root).items() if state == "Completed"}
    assert ran == {"compress@vision-int8", "evaluate@vision-int8", "release@vision"}
    window.picture("run-6-changed")


def test_a_run_is_cancelled_once_that_is_confirmed(visit, house):
    root, base = house
    window = visit()
    page = window.open(base, "run?uc=vision&recipes=int8&vision.fetch.limit=1500&vision.training.epochs=5000")
    press(page)
    node(page, "train@vision", "running").wait_for(timeout=LONG_MS)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    ended(window, "Resume")
    assert newest(root)["state"] == "Cancelled"
    node(page, "train@vision", "cancelled").wait_for()
    assert window.trouble() == []
    window.picture("run-7-cancelled")


def test_a_wrong_path_is_named_on_the_page(visit, house):
    _, base = house
    window = visit()
    page = window.open(base, "run?uc=vision&recipes=int8&vision.fetch.source=path&vision.fetch.path=nowhere.csv")
    page.get_by_role("button", name="Run pipeline", exact=True).click()
    page.get_by_role("alert").filter(has_text="nowhere.csv").first.wait_for(timeout=LONG_MS)
    window.settle()
    assert window.trouble() == []
    window.picture("run-8-broken")


def test_a_run_put_into_the_projects_own_folder_finds_every_stage_unchanged(visit, house):
    root, base = house
    window = visit()
    grown(root, window, base)
    done = [record["id"] for record in records(root) if record["state"] == "Completed"][-1]
    page = window.open(base, f"versions?uc=vision&view=versions&restore={done}")
    page.get_by_role("button", name="Restore", exact=True).click()
    page.get_by_role("button", name="Restore this run").click()
    page.get_by_text(f"Restored {done}").wait_for(timeout=LONG_MS)
    window.settle()
    window.picture("run-9-restored")
    page = window.open(base, "run?uc=vision")
    page.get_by_text("as in params.yaml").wait_for()
    press(page)
    ended(window, "Run again")
    assert set(stages(root).values()) == {"Unchanged"}
    assert set(shown(page)) == {"unchanged"}
    window.picture("run-10-unchanged")
