"""What a person sees: every page in every state, for every use case, wide and narrow, by day and by night."""

import os

import pytest
import scenes
from places import ABOUT_A_RUN, ABOUT_ALL, RESULTS, STATES, VIEWS, WHOLE, named, of_run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

LOOKS = ((1440, "light"), (400, "dark"), (1440, "dark"), (400, "light"))
"""The whole of them, of which a page is seen in two that have nothing in common, another two in the next use case."""
KEPT = bool(os.environ.get("BONSAI_PICTURES"))
"""Whether every page is kept as a picture; it takes most of the time."""


def looked_at(windows, base, addresses, name, turn=0):
    """What is wrong with these pages in their looks; `turn` says with which look the first page begins."""
    wrong = []
    for position, address in enumerate(addresses):
        first = (turn + position) % len(LOOKS)
        for width, scheme in LOOKS if WHOLE else (LOOKS[first], LOOKS[first ^ 1]):
            window = windows(base, width)
            window.paint(scheme)
            window.open(base, address)
            wrong += [f"/{address} {width} {scheme}: {each}" for each in window.trouble()]
            if KEPT:
                window.picture(f"{name}-{named(address)}-{width}-{scheme}")
    return wrong


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("use_case", scenes.names())
def test_pages_about_a_run_show_without_error_overlap_or_sideways_scroll(windows, projects, addresses, use_case, state):
    where = "empty" if state == "Nothing" else "lived_in"
    about = of_run(projects[where], use_case, state)
    asked = [f"{page}?{about}" for page in ABOUT_A_RUN]
    turn = STATES.index(state) + scenes.names().index(use_case)
    assert looked_at(windows, addresses[where], asked, f"{use_case}-{state}", turn) == []


@pytest.mark.parametrize("where", ["empty", "lived_in"])
def test_pages_about_everything_show_without_error_overlap_or_sideways_scroll(windows, addresses, where):
    for turn in (0,) if WHOLE else (0, 2):
        assert looked_at(windows, addresses[where], ABOUT_ALL, where, turn) == []


@pytest.mark.parametrize("use_case", scenes.names())
def test_views_show_without_error_overlap_or_sideways_scroll(windows, projects, addresses, use_case):
    about = of_run(projects["lived_in"], use_case, "Completed")
    views = {**VIEWS, "results": RESULTS[use_case]}
    asked = [f"{page}?{about}&view={view}" for page, found in views.items() for view in found]
    assert looked_at(windows, addresses["lived_in"], asked, use_case, scenes.names().index(use_case)) == []


def test_every_page_speaks_chinese_without_error_overlap_or_sideways_scroll(windows, addresses):
    asked = [f"{page}?lang=zh" for page in (*ABOUT_A_RUN, *ABOUT_ALL)]
    assert looked_at(windows, addresses["lived_in"], asked, "zh") == []
