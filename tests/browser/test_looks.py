"""The pages about a run in every state, for every use case, wide and narrow, light and dark."""

from typing import Any

import pytest

from tests.browser.urls import RUN_PAGES, STATES, problems_of, query_of_run
from tests.support import dashboard_scenarios

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
def test_pages_about_a_run_show_without_error_overlap_or_sideways_scroll(
    windows: Any, projects: Any, addresses: Any, use_case: Any, state: Any
) -> None:
    where = "empty" if state == "Nothing" else "lived_in"
    about = query_of_run(projects[where], use_case, state)
    pages = [f"{page}?{about}" for page in RUN_PAGES]
    turn = STATES.index(state) + dashboard_scenarios.names().index(use_case)
    assert problems_of(windows, addresses[where], pages, f"{use_case}-{state}", turn) == []
