"""Take the README's pictures of the dashboard: `python -m docs.pictures [PROJECT]`, by default of a recorded project.

Needs chromium and the extra `browser`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from dashboard.readers.runs import run_records
from tests.browser.conftest import ARGUMENTS, CHROMIUM, Window, served
from tests.support import recorded_runs

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 860
PAGES = {"run": "vision", "data": "nlp", "results": "vision", "compression": "finance"}
"""Each page, and the use case that it shows."""


def recorded(folder: Path) -> Path:
    """A project with a recorded run of each use case, made in seconds without any training."""
    root = recorded_runs.project(folder / "project")
    (root / "tasks").symlink_to(ROOT / "tasks")
    for number, use_case in enumerate(sorted(set(PAGES.values()))):
        recorded_runs.finished(root, number=number, use_case=use_case)
    return root


def take(root: Path) -> None:
    """One picture for each page, of the newest completed run of its use case."""
    with served(root) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        window = Window(browser, WIDTH, FOLDER)
        window.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        for page, use_case in PAGES.items():
            run_id = next(run.id for run in run_records.latest(root, use_case, 20) if run.state == "completed")
            window.open(url, f"{page}?uc={use_case}&run={run_id}")
            window.page.wait_for_timeout(1500)
            window.wait_until_idle()
            window.page.screenshot(path=FOLDER / f"{page}.png")
        browser.close()


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        take(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else recorded(Path(scratch)))
