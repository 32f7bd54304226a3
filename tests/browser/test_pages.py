"""Interaction with the pages, escaping of hostile text, and accessibility."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dashboard.readers.runs import run_records
from tests.browser.urls import ALL_LOOKS, PROJECT_PAGES, RESULTS, RUN_PAGES, STATES, VIEWS, file_name, query_of_run
from tests.support import dashboard_scenarios, recorded_runs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

SCHEMES = ("light", "dark")
AXE = os.environ.get("BONSAI_AXE", "")
"""Path of axe.min.js (npm pack axe-core); the accessibility test is skipped without it."""
STREAMLIT_EXCEPTIONS = {
    "list": "[data-testid=stSidebarNavItems]",  # sections of its navigation are divisions within a list
    "listitem": "[data-testid=stSidebarNavItems]",
    "empty-table-header": "[data-testid=stDataFrame]",  # the column in which rows are picked has no name
    "presentation-role-conflict": "[data-testid=stFileUploaderDropzone]",  # its area for dropped files can have the focus
}
"""Rules that Streamlit's own elements break, and the selectors of these elements."""
FIND_VIOLATIONS = """async (own) => {
    const found = await axe.run(document, {resultTypes: ['violations'], elementRef: true});
    return found.violations.flatMap((rule) => rule.nodes
        .filter((node) => !(own[rule.id] && node.element?.closest(own[rule.id])))
        .map((node) => `${rule.id} (${rule.impact}): ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`));
}"""


@pytest.mark.parametrize("width", [1440, 768, 400])
def test_no_edge_of_the_graph_leaves_the_drawing(windows: Any, addresses: Any, width: Any) -> None:
    page = windows(addresses["lived_in"], width).open(addresses["lived_in"], "run?uc=vision")
    inside = page.evaluate(
        """() => {
            const svg = [...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('svg')).find(Boolean);
            const box = svg.viewBox.baseVal;
            return [...svg.querySelectorAll('path.edge, .card')].every((e) => {
                const b = e.getBBox(), m = e.getCTM(), s = svg.getCTM() ?? new DOMMatrix();
                const x = e.classList.contains('card') ? m.e - s.e : b.x, y = e.classList.contains('card') ? m.f - s.f : b.y;
                return x >= -1 && y >= -1 && x + b.width <= box.width + 1 && y + b.height <= box.height + 1;
            });
        }"""
    )
    assert inside


def test_a_stage_is_selected_by_mouse_and_by_keyboard_and_survives_a_reload(visit: Any, projects: Any, addresses: Any) -> None:
    page = visit().open(addresses["lived_in"], f"run?{query_of_run(projects['lived_in'], 'vision', 'Completed')}")
    page.locator('[data-stage="clean@vision"]').click()
    page.wait_for_url("**stage=clean*")
    page.get_by_text("Validates every row").wait_for()
    page.locator('[data-stage="clean@vision"]').press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**stage=augment*")
    page.reload()
    page.get_by_text("Generates more train rows").wait_for()


def test_the_graph_refreshes_only_while_the_run_is_running(visit: Any, serve: Any, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Running")
    with serve(root) as address:
        window = visit()
        page = window.open(address, "run")
        node = page.locator('[data-stage="train@vision"]')
        node.evaluate("(element) => { element.kept = true }")
        with (folder / "journal" / "train@vision.jsonl").open("a") as file:
            event = {"event": "progress", "done": 87, "total": 100, "unit": "steps"}
            file.write(json.dumps({"seq": 99, "at": "2026-11-20T09:31:00.000+00:00", **event}) + "\n")
        node.locator("text", has_text="87%").wait_for()
        assert node.evaluate("(element) => element.kept === true"), "the drawing was made anew"
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, "state": "Cancelled", "ended_at": record["started_at"]}))
        page.get_by_role("button", name="Resume").wait_for()
        window.wait_until_idle()
        frames = page.evaluate("() => performance.getEntriesByType('resource').length")
        time.sleep(3)
        assert page.evaluate("() => performance.getEntriesByType('resource').length") == frames


def test_hostile_text_is_escaped(visit: Any, serve: Any, tmp_path: Path) -> None:
    hostile = '<img src=x onerror="alert(1)"><script>alert(1)</script> [x](javascript:alert(1)) ‮ ' + "y" * 1_000_000
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.finished(root)
    record = json.loads((folder / "run.json").read_text())
    record |= {"error": hostile, "overrides": {"use_cases.vision.fetch.path": hostile}, "asked": {"who": hostile, "how": hostile}}
    record["stages"]["train@vision"] |= {"error": hostile, "state": "Failed", "details": hostile}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "notes.json").write_text(json.dumps({"pinned": True, "note": hostile}))
    recorded_runs.event_log(folder, "train@vision", [{"event": "started"}, {"event": "log", "level": "info", "message": hostile}])
    with serve(root) as address:
        window = visit()
        for page in ("run?stage=train@vision", "history", "data", "compare", "compression?view=bundle"):
            opened = window.open(address, page)
            assert window.problems() == []
            assert not opened.query_selector("img[src='x']")
            assert opened.evaluate("() => [...document.scripts].every((s) => !s.textContent.includes('alert(1)'))")
            window.screenshot(f"hostile-{file_name(page)}")


def test_a_digit_is_drawn_and_both_models_answer(visit: Any, addresses: Any) -> None:
    window = visit()
    page = window.open(addresses["lived_in"], "try_it?uc=vision")
    canvas = page.locator("canvas").first
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    for step in range(1, 15):
        page.mouse.move(box["x"] + 80 + 8 * step, box["y"] + 60 + 10 * step)
    page.mouse.up()
    page.get_by_text("Prediction", exact=True).first.wait_for()
    window.wait_until_idle()
    assert page.get_by_text("Prediction", exact=True).count() == 2
    window.screenshot("try_it-drawn")


def test_a_cell_of_the_confusion_matrix_opens_its_rows(visit: Any, addresses: Any) -> None:
    page = visit().open(addresses["lived_in"], "results?uc=vision&truth=1&answer=2")
    page.get_by_text("Rows of class 1 predicted as 2: ").wait_for()
    assert "truth=1" in page.url


def test_the_language_changes_and_stays_from_page_to_page(visit: Any, addresses: Any) -> None:
    page = visit().open(addresses["lived_in"], "run")
    page.get_by_text("中文", exact=True).click()
    page.wait_for_url("**lang=zh*")
    page.get_by_role("link", name="数据", exact=True).click()
    page.wait_for_url("**/data?**lang=zh*")
    page.get_by_role("heading", name="数据", exact=True).wait_for()
    page.go_back()
    page.get_by_role("heading", name="运行").wait_for()


def test_back_leads_at_once_to_the_page_and_the_view_before(visit: Any, addresses: Any, projects: Any) -> None:
    run = query_of_run(projects["lived_in"], "vision", "Completed")
    window = visit()
    page = window.open(addresses["lived_in"], f"results?{run}&view=mistakes&lang=zh")
    page.get_by_text("置信度高的在前").wait_for()
    length = page.evaluate("() => history.length")
    page.get_by_role("link", name="数据", exact=True).click()
    page.wait_for_url("**/data?**")
    page.get_by_role("heading", name="数据", exact=True).wait_for()
    window.wait_until_idle()
    assert page.evaluate("() => history.length") == length + 1
    page.go_back()
    page.get_by_role("heading", name="评估", exact=True).wait_for()
    window.wait_until_idle()
    assert "view=mistakes" in page.url
    page.get_by_text("置信度高的在前").wait_for()


def test_overrides_are_in_the_url_and_survive_a_reload(visit: Any, addresses: Any) -> None:
    page = visit().open(addresses["empty"], "run")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("tab", name="Training").click()
    epochs = page.get_by_label("Epochs", exact=True)
    epochs.fill("3")
    epochs.press("Enter")
    page.wait_for_url("**training.epochs=3*")
    page.get_by_text("1 changed").wait_for()
    page.reload()
    page.get_by_text("1 changed").wait_for()


def test_editing_a_run_fills_the_form_with_its_overrides(visit: Any, projects: Any, addresses: Any) -> None:
    run_id = next(run.id for run in run_records.latest(projects["lived_in"], "vision", 20) if not run.record.whole)
    page = visit().open(addresses["lived_in"], f"run?uc=vision&run={run_id}")
    page.get_by_role("button", name="Edit and run").click()
    page.get_by_text("1 changed").wait_for()
    page.wait_for_url("**vision.training.epochs=3*")


@pytest.mark.skipif(not AXE, reason="axe-core is not installed: npm pack axe-core, then BONSAI_AXE=package/axe.min.js")
@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
def test_no_page_has_accessibility_violations_of_its_own(windows: Any, projects: Any, addresses: Any, use_case: Any) -> None:
    base, violations = addresses["lived_in"], []
    for width, address in pages_to_check(projects["lived_in"], use_case):
        window = windows(base, width)
        page = window.open(base, address)
        if not page.evaluate("() => 'axe' in window"):
            page.evaluate(Path(AXE).read_text(encoding="utf-8"))
        for scheme in SCHEMES:
            window.set_color_scheme(scheme)
            violations += [
                f"{address} {width} {scheme}: {each}" for each in page.evaluate(FIND_VIOLATIONS, STREAMLIT_EXCEPTIONS)[:9]
            ]
    assert violations == []


def pages_to_check(project: Any, use_case: Any) -> Any:
    """Widths and URLs: the pages of a finished run when wide, and those of another state when narrow."""
    turn = dashboard_scenarios.names().index(use_case)
    ended, other = query_of_run(project, use_case, "Completed"), STATES[1:-1][turn % 3]
    pages = [(1440, f"{page}?{ended}") for page in RUN_PAGES]
    pages += [(1440, page) for page in PROJECT_PAGES if use_case == "vision"]
    if not ALL_LOOKS:
        return [*pages, *((400, f"{page}?{query_of_run(project, use_case, other)}") for page in RUN_PAGES)]
    views = {**VIEWS, "results": RESULTS[use_case]}
    pages += [(1440, f"{page}?{ended}&view={view}") for page, names in views.items() for view in names]
    pages += [(1440, f"{page}?{query_of_run(project, use_case, state)}") for state in STATES[1:-1] for page in RUN_PAGES]
    return [(width, address) for width in (1440, 400) for _, address in pages]
