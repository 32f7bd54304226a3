"""The URLs of the pages, and the looks (width and color scheme) in which tests open them."""

import os
from typing import Any

from dashboard.readers.runs import run_records
from tests.support import recorded_runs

RUN_PAGES = (
    "run",
    "data",
    "labels",
    "results",
    "compression",
    "try_it",
    "compare",
    "recipes",
    "models",
    "monitoring",
    "versions",
)
PROJECT_PAGES = ("history", "own_data", "schedules", "about")
STATES = ("Nothing", *recorded_runs.STATES)
VIEWS = {
    "data": ("columns", "splits", "augmentation", "drift"),
    "compression": ("terms", "damage", "flipped", "timing", "bundle"),
    "recipes": ("search", "tuning"),
    "compare": ("curves", "parameters", "classes"),
    "versions": ("versions",),
}
RESULTS = {
    "vision": ("per_class", "thresholds", "calibration", "mistakes", "standings"),
    "nlp": ("per_class", "thresholds", "calibration", "mistakes", "label_errors", "standings"),
    "finance": ("coverage", "account", "periods", "standings"),
    "credit": ("per_class", "thresholds", "calibration", "separation", "costs", "groups", "mistakes", "standings"),
}
ALL_LOOKS = bool(os.environ.get("BONSAI_WHOLE"))
"""Whether tests open every page in all looks and check its accessibility; otherwise a selection stands for all."""
LOOKS = ((1440, "light"), (400, "dark"), (1440, "dark"), (400, "light"))
"""All looks. A page is opened in two that differ in both parts, and in the other two for the next use case."""
SCREENSHOTS = bool(os.environ.get("BONSAI_PICTURES"))
"""Whether every page is saved as a screenshot; it takes most of the time."""


def query_of_run(project: Any, use_case: Any, state: Any) -> Any:
    """The query string of a run in that state; without `run` where there is none."""
    run_ids = [run.id for run in run_records.latest(project, use_case, 20) if run.state == state.lower() and run.record.whole]
    return f"uc={use_case}" if state == "Nothing" else f"uc={use_case}&run={run_ids[0]}"


def file_name(address: Any) -> Any:
    """The URL as a part of a file name."""
    return "".join(char if char.isalnum() else "-" for char in address).strip("-")


def problems_of(windows: Any, base: Any, addresses: Any, name: Any, turn: Any = 0) -> Any:
    """The problems of these pages in their looks; `turn` is the position of the first page's look."""
    problems = []
    for position, address in enumerate(addresses):
        first = (turn + position) % len(LOOKS)
        for width, scheme in LOOKS if ALL_LOOKS else (LOOKS[first], LOOKS[first ^ 1]):
            window = windows(base, width)
            window.set_color_scheme(scheme)
            window.open(base, address)
            problems += [f"/{address} {width} {scheme}: {each}" for each in window.problems()]
            if SCREENSHOTS:
                window.screenshot(f"{name}-{file_name(address)}-{width}-{scheme}")
    return problems
