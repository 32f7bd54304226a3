"""The dashboard, served from a recorded project, and a real browser to look at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.support import dashboard_scenarios, recorded_runs  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_S = 120
"""A busy machine takes its time."""
PICTURES = "BONSAI_PICTURES"
"""Where pictures of all pages are kept; without it only some are made, and go where the tests' other files go."""
HEIGHT = 900
LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
ANSWER_MS = 6_000
"""How long a page may take to begin with what its address asks; then it is loaded anew."""
GO = """(to) => {
    const app = document.querySelector('[data-testid=stApp]');
    window.begun = 0;
    window.watched ??= new MutationObserver(() => { window.begun += app.dataset.testScriptState === 'running'; });
    window.watched.observe(app, { attributeFilter: ['data-test-script-state'] });
    history.pushState({}, '', to);
    dispatchEvent(new PopStateEvent('popstate'));
}"""
"""Goes to an address as the page's own links do, and notices when the server begins with it."""


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The dashboard of the project in `root`, by its address, while the block runs."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    if not (root / ".streamlit").exists():
        shutil.copytree(REPOSITORY / ".streamlit", root / ".streamlit")
    command = [sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "dashboard" / "app.py"), f"--server.port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with (root / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, process_group=0)
        try:
            _until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "the dashboard ended as it began"
            time.sleep(0.3)
    raise AssertionError("the dashboard does not answer")


@pytest.fixture
def serve() -> Callable[[Path], Any]:
    return served


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project in which nothing has run yet, and one in which every use case has run in every way a run can end."""
    place = tmp_path_factory.mktemp("projects")
    found = {name: recorded_runs.project(place / name) for name in ("empty", "lived_in")}
    for root in found.values():
        (root / "tasks").symlink_to(REPOSITORY / "tasks")
    number = 0
    for use_case in reversed(dashboard_scenarios.names()):
        for state in recorded_runs.STATES:
            recorded_runs.run(found["lived_in"], state, number=number, use_case=use_case)
            number += 1
        changed = {f"use_cases.{use_case}.training.epochs": 3}
        recorded_runs.finished(found["lived_in"], number=number, overrides=changed, whole=False, use_case=use_case)
        number += 1
    return found


@pytest.fixture(scope="session")
def addresses(projects: dict[str, Path]) -> Iterator[dict[str, str]]:
    """Where the dashboard of each project answers."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(served(root)) for name, root in projects.items()}


class Window:
    """A page of the dashboard in a browser's window, that remembers what went wrong."""

    def __init__(self, browser: Any, width: int, pictures: Path) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme="light", locale="en-GB")
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.late = pytest.importorskip("playwright.sync_api").TimeoutError
        self.width = width
        self.pictures = pictures
        self.base = ""
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.page.on("request", self._request)

    def _request(self, request: Any) -> None:
        if not request.url.startswith(
            ("http://localhost", "ws://localhost", "http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
        ):
            self.foreign.append(request.url)

    def open(self, base: str, address: str) -> Any:
        """Go to an address and wait until the page stands still; within one dashboard as its own links do, without reloading."""
        if base != self.base or not self._went(f"/{address}"):
            self.page.goto(f"{base}/{address}")
            self.base = base
        self.page.wait_for_selector("h1")
        self.settle()
        return self.page

    def _went(self, address: str) -> bool:
        self.page.evaluate(GO, address)
        try:
            self.page.wait_for_function("() => window.begun > 0", timeout=ANSWER_MS)
        except self.late:
            return False
        return True

    def settle(self) -> None:
        """Wait until nothing runs and nothing is drawn any more."""
        for _ in range(2):
            self.page.wait_for_function(
                """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
                    && !document.querySelector('[data-testid=stSkeleton]') && !document.querySelector('[data-stale=true]')""",
            )
            self.page.wait_for_timeout(100)

    def paint(self, scheme: str) -> None:
        """As it looks by day (`light`) or by night (`dark`)."""
        self.page.emulate_media(color_scheme=scheme)
        if self.base:
            self.page.wait_for_timeout(100)
            self.settle()

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page."""
        height = self.page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        self.page.set_viewport_size({"width": self.width, "height": min(max(height, HEIGHT), 3000)})
        self.page.wait_for_timeout(300)
        self.settle()
        self.page.screenshot(path=self.pictures / f"{name}.png")
        self.page.set_viewport_size({"width": self.width, "height": HEIGHT})

    def trouble(self) -> list[str]:
        """What nobody should see: errors, requests to other hosts, a page wider than its window, things on top of each other."""
        found = [*self.errors, *(f"asks {url}" for url in self.foreign), *self.page.evaluate(LOOK)]
        self.errors, self.foreign = [], []
        return found


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are kept."""
    place = Path(os.environ.get(PICTURES) or tmp_path_factory.getbasetemp() / "pictures")
    place.mkdir(parents=True, exist_ok=True)
    return place


@pytest.fixture(scope="session")
def windows(chromium: Any, pictures: Path) -> Iterator[Callable[[str, int], Window]]:
    """A window per dashboard and width, kept open from test to test: loading the page anew is what costs most."""
    kept: dict[tuple[str, int], Window] = {}

    def window(base: str, width: int) -> Window:
        if (base, width) not in kept:
            kept[base, width] = Window(chromium, width, pictures)
        return kept[base, width]

    yield window
    for each in kept.values():
        each.context.close()


@pytest.fixture
def visit(chromium: Any, pictures: Path) -> Iterator[Callable[..., Window]]:
    """A window of a visitor who was never here before."""
    kept: list[Window] = []

    def window(width: int = 1440) -> Window:
        kept.append(Window(chromium, width, pictures))
        return kept[-1]

    yield window
    for each in kept:
        each.context.close()
