"""A real pipeline, driven by the dashboard: start, watch, repeat, change a parameter, cancel, fail, restore."""

from typing import Any

import pytest

from tests.browser.running_project import (
    STAGE_TIMEOUT_MS,
    graph_states,
    newest,
    node,
    open_completed_run,
    press,
    records,
    show_card,
    stages,
    wait_for_end,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]

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
