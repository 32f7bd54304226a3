"""Every view of a finished run, the pages about the project, and all pages in Chinese."""

from typing import Any

import pytest

from tests.browser.urls import ALL_LOOKS, PROJECT_PAGES, RESULTS, RUN_PAGES, VIEWS, problems_of, query_of_run
from tests.support import dashboard_scenarios

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("where", ["empty", "lived_in"])
def test_pages_about_everything_show_without_error_overlap_or_sideways_scroll(windows: Any, addresses: Any, where: Any) -> None:
    for turn in (0,) if ALL_LOOKS else (0, 2):
        assert problems_of(windows, addresses[where], PROJECT_PAGES, where, turn) == []


@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
def test_views_show_without_error_overlap_or_sideways_scroll(windows: Any, projects: Any, addresses: Any, use_case: Any) -> None:
    about = query_of_run(projects["lived_in"], use_case, "Completed")
    views = {**VIEWS, "results": RESULTS[use_case]}
    pages = [f"{page}?{about}&view={view}" for page, names in views.items() for view in names]
    assert problems_of(windows, addresses["lived_in"], pages, use_case, dashboard_scenarios.names().index(use_case)) == []


def test_every_page_renders_in_chinese_without_error_overlap_or_sideways_scroll(windows: Any, addresses: Any) -> None:
    pages = [f"{page}?lang=zh" for page in (*RUN_PAGES, *PROJECT_PAGES)]
    assert problems_of(windows, addresses["lived_in"], pages, "zh") == []
