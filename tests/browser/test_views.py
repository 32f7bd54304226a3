"""What a person sees when looking closer: every view of a finished run, the pages about all runs, and Chinese ones."""

import pytest

from tests.browser.urls import ABOUT_A_RUN, ABOUT_ALL, RESULTS, VIEWS, WHOLE, looked_at, of_run
from tests.support import dashboard_scenarios

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("where", ["empty", "lived_in"])
def test_pages_about_everything_show_without_error_overlap_or_sideways_scroll(windows, addresses, where):
    for turn in (0,) if WHOLE else (0, 2):
        assert looked_at(windows, addresses[where], ABOUT_ALL, where, turn) == []


@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
def test_views_show_without_error_overlap_or_sideways_scroll(windows, projects, addresses, use_case):
    about = of_run(projects["lived_in"], use_case, "Completed")
    views = {**VIEWS, "results": RESULTS[use_case]}
    asked = [f"{page}?{about}&view={view}" for page, found in views.items() for view in found]
    assert looked_at(windows, addresses["lived_in"], asked, use_case, dashboard_scenarios.names().index(use_case)) == []


def test_every_page_speaks_chinese_without_error_overlap_or_sideways_scroll(windows, addresses):
    asked = [f"{page}?lang=zh" for page in (*ABOUT_A_RUN, *ABOUT_ALL)]
    assert looked_at(windows, addresses["lived_in"], asked, "zh") == []
