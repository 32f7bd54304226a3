"""What a person comes to do, with the clicks that it may take."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard.readers.runs import run_records
from dashboard.readers.searches import search_process
from flows import promotion
from flows.recipe_search.trial import TrialResult
from flows.registry import history
from tasks.core.storage.atomic_files import write_json
from tests.browser.conftest import REPOSITORY
from tests.flows.test_promotion import run as released_run
from tests.support import recorded_runs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LOANS = "income,age,label\n" + "".join(f"{20 + each},{30 + each % 9},{'no' if each % 2 else 'yes'}\n" for each in range(60))


class Clicks:
    """Clicks in a window, counted."""

    def __init__(self, window: Any) -> None:
        self.window = window
        self.count = 0

    def __call__(self, locator: Any) -> None:
        locator.click()
        self.count += 1


def test_the_outcome_is_read_without_a_click_and_the_report_is_saved_with_one(visit: Any, addresses: Any, projects: Any) -> None:
    window = visit()
    (newest, *_) = [run for run in run_records.latest(projects["lived_in"], "vision") if run.state == "completed"]
    page = window.open(addresses["lived_in"], f"run?uc=vision&run={newest.id}")
    for text in ("Released: int8", "Best baseline", "Accuracy · int8"):
        page.get_by_text(text).locator("visible=true").first.wait_for()
    clicks = Clicks(window)
    with page.expect_download() as saving:
        clicks(page.get_by_role("button", name="Save report"))
    report = Path(saving.value.path()).read_text(encoding="utf-8")
    assert clicks.count == 1
    assert "<svg" in report
    assert newest.id in report
    assert window.problems() == []


def test_two_runs_are_compared_with_one_click(visit: Any, addresses: Any) -> None:
    window = visit()
    page = window.open(addresses["lived_in"], "run?uc=vision")
    clicks = Clicks(window)
    clicks(page.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Compare"))
    page.get_by_text("Differences only").wait_for()
    window.wait_until_idle()
    assert clicks.count == 1
    assert page.get_by_test_id("stMultiSelect").get_by_text("Completed").count() == 2


def test_a_view_is_shared_by_its_address(visit: Any, addresses: Any, projects: Any) -> None:
    run = next(run for run in run_records.latest(projects["lived_in"], "vision") if run.state == "completed")
    window = visit()
    page = window.open(addresses["lived_in"], f"compression?uc=vision&run={run.id}")
    page.get_by_role("radio", name="Contract terms").or_(page.get_by_role("button", name="Contract terms")).first.click()
    page.wait_for_url("**view=terms*")
    other = visit()
    fresh = other.open(addresses["lived_in"], page.url.partition("/")[2].partition("/")[2].partition("/")[2])
    fresh.get_by_text("Allowed").or_(fresh.get_by_text("Metric drop, at most")).first.wait_for()
    assert run.id in fresh.url


def test_a_file_of_ones_own_becomes_a_use_case_in_six_clicks(visit: Any, serve: Any, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    shutil.copytree(REPOSITORY / "tasks", root / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / "loans.csv"
    table.write_text(LOANS)
    with serve(root, own_code=True) as address:
        window = visit()
        page = window.open(address, "run?uc=vision")
        clicks = Clicks(window)
        clicks(page.get_by_role("button", name="Use your own data"))
        page.locator("input[type=file]").first.set_input_files(table)
        clicks.count += 1  # the button of the upload, which opens the window of the system
        page.get_by_text("The first 60 rows as they are read").wait_for()
        window.wait_until_idle()
        clicks(page.get_by_role("button", name="Create the use case"))
        page.wait_for_url("**uc=loans*")
        page.get_by_role("button", name="Run pipeline", exact=True).wait_for()
        window.wait_until_idle()
        assert window.problems() == []
        window.screenshot("jobs-own-data")
    assert clicks.count + 1 <= 6, "with the click that runs it"
    stanza = yaml.safe_load((root / "params.yaml").read_text())["use_cases"]["loans"]
    assert stanza["fetch"]["path"] == "uploads/loans/loans.csv"
    assert (root / "uploads" / "loans" / "loans.csv").read_text() == LOANS
    assert (root / "tasks" / "use_cases" / "loans" / "use_case.py").is_file()


def test_the_browser_notifies_of_the_end_of_a_run_where_that_is_allowed(visit: Any, serve: Any, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    folder = recorded_runs.run(root, "Running")
    with serve(root) as address:
        window = visit()
        window.context.add_init_script(
            """window.notes = [];
            class Note { constructor(title, more) { window.notes.push([title, more.body]); } }
            Note.permission = 'default';
            Note.requestPermission = async () => { Note.permission = 'granted'; return 'granted'; };
            window.Notification = Note;"""
        )
        page = window.open(address, "run")
        page.get_by_role("button", name="Notify me when it ends").click()
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, "state": "Cancelled", "ended_at": record["started_at"]}))
        page.wait_for_function("() => window.notes.length > 0")
        assert page.evaluate("() => window.notes") == [["Vision: Cancelled", ""]]


def test_a_model_is_promoted_with_two_clicks_and_rolled_back_with_two(visit: Any, serve: Any, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    first, second = released_run(root, 1), released_run(root, 3)
    promotion.promote(root, "vision", first)
    with serve(root) as address:
        window = visit()
        page = window.open(address, "models?uc=vision")
        clicks = Clicks(window)
        clicks(page.get_by_role("button", name="Promote").first)
        clicks(page.get_by_test_id("stPopoverBody").get_by_role("button").first)
        page.get_by_text("vision@2 is the champion").first.wait_for()
        assert clicks.count == 2
        assert history.read(root, "vision").at("champion").facts["run"] == second
        window.wait_until_idle()
        clicks = Clicks(window)
        clicks(page.get_by_role("button", name="Roll back").first)
        clicks(page.get_by_test_id("stPopoverBody").get_by_role("button").first)
        page.get_by_text("vision@1 is the champion").first.wait_for()
        assert clicks.count == 2
        assert window.problems() == []
    assert history.read(root, "vision").at("champion").facts["run"] == first


def test_a_popover_at_the_foot_of_a_page_opens_above_its_button(visit: Any, addresses: Any, projects: Any) -> None:
    run = next(run for run in run_records.latest(projects["lived_in"], "vision") if run.state == "completed")
    window = visit()
    page = window.open(addresses["lived_in"], f"run?uc=vision&run={run.id}")
    page.get_by_role("tab", name="Timeline").click()
    window.wait_until_idle()
    button = page.get_by_role("button", name="Data").last
    button.evaluate("(element) => element.scrollIntoView({ block: 'end' })")
    button.click()
    window.wait_until_idle()
    page.get_by_test_id("stPopoverBody").get_by_test_id("stDataFrame").wait_for()
    box, anchor = page.get_by_test_id("stPopoverBody").bounding_box(), button.bounding_box()
    assert box["height"] > 200
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= anchor["y"] + 1


def test_a_recipe_is_added_with_four_clicks(visit: Any, serve: Any, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    with serve(root) as address:
        window = visit()
        page = window.open(address, "run?uc=vision")
        clicks = Clicks(window)
        clicks(page.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Recipes and tuning"))
        clicks(page.get_by_role("button", name="Add a recipe"))
        clicks(page.get_by_role("button", name="Pruning").locator("visible=true").first)
        page.get_by_text("1. Pruning").wait_for()
        window.wait_until_idle()
        clicks(page.get_by_role("button", name="Save", exact=True))
        page.get_by_text("was added").wait_for()
        window.wait_until_idle()
        assert window.problems() == []
        window.screenshot("jobs-recipe")
        assert clicks.count == 4
        assert yaml.safe_load((root / "params.yaml").read_text())["recipes"]["prune"] == [{"prune": {}}]
        page.get_by_role("button", name="Undo").click()
        window.wait_until_idle()
    assert "prune" not in yaml.safe_load((root / "params.yaml").read_text())["recipes"]


def test_a_search_is_started_with_three_clicks_watched_and_cancelled(visit: Any, serve: Any, tmp_path: Path) -> None:
    root = recorded_runs.project(tmp_path / "p")
    (root / "tasks").symlink_to(REPOSITORY / "tasks")
    with serve(root) as address:
        window = visit()
        page = window.open(address, "run?uc=vision")
        clicks = Clicks(window)
        clicks(page.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Recipes and tuning"))
        clicks(page.get_by_text("Search for recipes", exact=True))
        clicks(page.get_by_role("button", name="Start the search"))
        page.get_by_text("Making the dense model").wait_for()
        assert clicks.count == 3
        search = search_process.read(root, "vision", "compress")
        assert search is not None
        assert search.is_running
        assert search.command == ["compress", "vision", "--budget", "30m"]
        results = root / ".bonsai" / "recipes" / "vision-results-0"
        newest = {"settings": search.facts["settings"], "results": results.name}
        write_json(root / ".bonsai" / "recipes" / "vision-newest.json", newest)
        for number, (size, drop) in enumerate([(5000, 0.01), (9000, 0.002)]):
            found = TrialResult(drop, drop, drop, size, size / 90_000, size / 1e5, 2.0, 2.0, 2.0)
            write_json(results / f"{number}.json", {"recipe": [{"prune": {}}] * number, "effort": 1.0, "result": asdict(found)})
            page.get_by_text(f"{number + 1} recipes tried, {number + 1} of them with all epochs").wait_for()
        window.screenshot("jobs-search")
        page.get_by_role("button", name="Cancel the search").click()
        page.get_by_role("button", name="Start the search").wait_for()
        page.get_by_text("Cancelled").first.wait_for()
        window.wait_until_idle()
        assert window.problems() == []
    ended = search_process.read(root, "vision", "compress")
    assert ended is not None
    assert ended.state == "cancelled"
