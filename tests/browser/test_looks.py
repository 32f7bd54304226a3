"""What a person sees of a run: every page in every state, for every use case, wide and narrow, by day and by night."""

import pytest

from tests.browser.urls import ABOUT_A_RUN, STATES, looked_at, of_run
from tests.support import dashboard_scenarios

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("use_case", dashboard_scenarios.names())
def test_pages_about_a_run_show_without_error_overlap_or_sideways_scroll(windows, projects, addresses, use_case, state):
    where = "empty" if state == "Nothing" else "lived_in"
    about = of_run(projects[where], use_case, state)
    asked = [f"{page}?{about}" for page in ABOUT_A_RUN]
    turn = STATES.index(state) + dashboard_scenarios.names().index(use_case)
    assert looked_at(windows, addresses[where], asked, f"{use_case}-{state}", turn) == []
