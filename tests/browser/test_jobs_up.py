"""What a person comes to do with `bonsai up`, with the clicks or keys that it may take."""

import json
import re
from typing import Any

import pytest

from tests.browser.running_project import STAGE_TIMEOUT_MS, newest, node, records, show_card, wait_for_end
from tests.browser.test_jobs import Clicks

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1500)]

FOCUSED = """() => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element?.innerText ?? "";
}"""
MAX_TABS = 8
NAVIGATION = "stSidebarNavItems"


def has_started(page: Any, before: int, root: Any) -> None:
    """Wait until the page shows a run that was not there before."""
    page.wait_for_function(
        "() => !new URLSearchParams(location.search).has('flow') && new URLSearchParams(location.search).get('run')",
        timeout=STAGE_TIMEOUT_MS,
    )
    assert len(records(root)) == before + 1


def cancel(window: Any) -> None:
    """Cancel the run on the page, and wait for its end."""
    window.page.get_by_role("button", name="Cancel", exact=True).click()
    window.page.get_by_role("button", name="Cancel the run").click()
    wait_for_end(window, "Resume")


def test_a_run_is_started_by_keyboard_alone_with_at_most_eight_tabs(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    page = window.open(base, "run?uc=vision")
    for _ in range(MAX_TABS):
        page.keyboard.press("Tab")
        words = page.evaluate(FOCUSED)
        if "Skip to main content" in words:
            page.keyboard.press("Enter")
        if "Start the demo" in words:
            break
    else:
        pytest.fail(f"{MAX_TABS} tabs do not reach the button")
    page.keyboard.press("Enter")
    has_started(page, 0, root)
    node(page, "clean@vision", "running", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    cancel(window)


def test_a_schedule_at_half_past_two_in_berlin_takes_four_clicks(visit: Any, running_project: Any) -> None:
    _, base = running_project
    window = visit()
    page = window.open(base, "run?uc=vision")
    clicks = Clicks(window)
    clicks(page.get_by_test_id(NAVIGATION).get_by_role("link", name="Schedules"))
    page.get_by_role("button", name="Edit").first.wait_for()
    window.wait_until_idle()
    clicks(page.get_by_role("button", name="Edit").first)
    line = page.get_by_role("textbox", name="Cron expression").first
    line.wait_for()
    assert page.get_by_test_id("stPopoverBody").bounding_box()["height"] > 200, "the form is not cut short"
    clicks(line)
    page.keyboard.press("Control+A")
    page.keyboard.type("30 2 * * *")
    page.get_by_role("textbox", name="Time zone").first.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Europe/Berlin")
    clicks(page.get_by_role("button", name=re.compile("Add schedule|Save schedule")).first)
    page.get_by_text(re.compile(r"next \d\d \w{3} 02:30 in Europe/Berlin")).first.wait_for()
    assert clicks.count <= 4
    window.wait_until_idle()
    assert window.problems() == []
    window.screenshot("jobs-schedule")


def test_a_run_takes_two_clicks_and_a_label_is_corrected_and_trained_with_in_five(visit: Any, running_project: Any) -> None:
    root, base = running_project
    window = visit()
    page = window.open(base, "run?uc=vision")
    before = len(records(root))
    show_card(page)
    clicks = Clicks(window)
    clicks(page.get_by_role("radio", name="Quick").or_(page.get_by_role("button", name="Quick")).first)
    page.wait_for_url("**recipes=**")
    window.wait_until_idle()
    clicks(page.get_by_role("button", name="Run pipeline", exact=True))
    has_started(page, before, root)
    assert clicks.count == 2
    node(page, "clean@vision", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    cancel(window)
    first = newest(root)

    clicks = Clicks(window)
    clicks(page.get_by_test_id(NAVIGATION).get_by_role("link", name="Labels"))
    clicks(page.get_by_role("button", name="Find suspected labels"))
    suggestion = page.get_by_role("button", name=re.compile("^It is ")).first
    suggestion.wait_for(timeout=STAGE_TIMEOUT_MS)
    window.wait_until_idle()
    window.screenshot("jobs-labels")
    clicks(suggestion)
    page.get_by_text("1 rows decided since this run").wait_for()
    window.wait_until_idle()
    clicks(page.get_by_role("button", name="Retrain"))
    page.get_by_role("heading", name="Run", exact=True).wait_for()
    has_started(page, before + 1, root)
    assert clicks.count <= 5
    node(page, "clean@vision", "done").wait_for(timeout=STAGE_TIMEOUT_MS)
    second = newest(root)
    assert second["stages"]["fetch@vision"]["state"] == "Restored"
    report = json.loads((root / "runs" / second["id"] / "data/vision/clean/ledger.json").read_text())
    assert report["corrections"] == {"confirmed": 0, "relabelled": 1, "excluded": 0, "not applied": 0}
    (line,) = (root / "corrections/vision.jsonl").read_text().splitlines()
    decision = json.loads(line)
    assert (decision["action"], decision["why"]) == ("relabel", "suspected label")
    assert first["id"] != second["id"]
    cancel(window)
    assert window.problems() == []
