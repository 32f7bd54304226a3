"""Where each page is found, by what it is about, and in which looks it is looked at."""

import os

from dashboard.readers import run_records
from tests.support import recorded_runs

ABOUT_A_RUN = ("run", "data", "results", "compression", "try_it", "compare", "versions")
ABOUT_ALL = ("history", "schedules", "about")
STATES = ("Nothing", *recorded_runs.STATES)
VIEWS = {
    "data": ("columns", "splits", "augmentation", "drift"),
    "compression": ("damage", "flipped", "timing", "bundle"),
    "compare": ("curves", "parameters", "classes"),
    "versions": ("versions",),
}
RESULTS = {
    "vision": ("per_class", "thresholds", "calibration", "mistakes", "standings"),
    "nlp": ("per_class", "thresholds", "calibration", "mistakes", "doubts", "standings"),
    "finance": ("coverage", "account", "periods", "standings"),
    "credit": ("per_class", "thresholds", "calibration", "separation", "costs", "groups", "mistakes", "standings"),
}
WHOLE = bool(os.environ.get("BONSAI_WHOLE"))
"""Whether each page is looked at in all looks, and each is held against the rules of accessibility; else some stand for all."""
LOOKS = ((1440, "light"), (400, "dark"), (1440, "dark"), (400, "light"))
"""The whole of them, of which a page is seen in two that have nothing in common, another two in the next use case."""
KEPT = bool(os.environ.get("BONSAI_PICTURES"))
"""Whether every page is kept as a picture; it takes most of the time."""


def of_run(project, use_case, state):
    """The address of a run in that state, "" where nothing has run."""
    found = [run.id for run in run_records.latest(project, use_case, 20) if run.state == state.lower() and run.record.whole]
    return f"uc={use_case}" if state == "Nothing" else f"uc={use_case}&run={found[0]}"


def named(address):
    return "".join(char if char.isalnum() else "-" for char in address).strip("-")


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
