"""The dashboard of recorded projects, and a real browser that opens it."""

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

from tests.browser import running_project as running_project_module  # noqa: E402
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
TIMEOUT_S = 120
"""Enough for a busy machine."""
SCREENSHOTS_VARIABLE = "BONSAI_PICTURES"
"""Environment variable: the folder for screenshots of all pages. Without it there are fewer, in pytest's temporary folder."""
HEIGHT = 900
CHECK_LAYOUT = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
NAVIGATION_MS = 6_000
"""Time within which a page must react to a new URL; after that the window reloads it."""
NAVIGATE = """(to) => {
    const app = document.querySelector('[data-testid=stApp]');
    window.begun = 0;
    window.watched ??= new MutationObserver(() => { window.begun += app.dataset.testScriptState === 'running'; });
    window.watched.observe(app, { attributeFilter: ['data-test-script-state'] });
    history.pushState({}, '', to);
    dispatchEvent(new PopStateEvent('popstate'));
}"""
"""Navigates as the page's own links do, and counts the runs that the server starts."""


@contextmanager
def served(root: Path, *, own_code: bool = False) -> Iterator[str]:
    """Serve the dashboard of the project in `root` while the block runs; yields its URL.

    With `own_code` the project's own `tasks` are used, as by `bonsai up`, else those of the repository.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    if not (root / ".streamlit").exists():
        shutil.copytree(REPOSITORY / ".streamlit", root / ".streamlit")
    command = [sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "dashboard" / "app.py"), f"--server.port={port}"]
    places = [str(root), str(REPOSITORY)] if own_code else [str(REPOSITORY)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
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
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "the dashboard exited at its start"
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


@pytest.fixture(scope="module")
def running_project(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`bonsai up` in a fresh copy of the project, one per module; yields its folder and the dashboard's URL."""
    with running_project_module.started(tmp_path_factory.mktemp("running") / "project") as running:
        yield running


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project without runs, and one with a run of every use case in every final state."""
    folder = tmp_path_factory.mktemp("projects")
    roots = {name: recorded_runs.project(folder / name) for name in ("empty", "lived_in")}
    for root in roots.values():
        (root / "tasks").symlink_to(REPOSITORY / "tasks")
    number = 0
    for use_case in reversed(dashboard_scenarios.names()):
        for state in recorded_runs.STATES:
            recorded_runs.run(roots["lived_in"], state, number=number, use_case=use_case)
            number += 1
        overrides = {f"use_cases.{use_case}.training.epochs": 3}
        recorded_runs.finished(roots["lived_in"], number=number, overrides=overrides, whole=False, use_case=use_case)
        number += 1
    return roots


@pytest.fixture(scope="session")
def addresses(projects: dict[str, Path]) -> Iterator[dict[str, str]]:
    """The URL of each project's dashboard."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(served(root)) for name, root in projects.items()}


class Window:
    """A browser window with the dashboard; it collects errors."""

    def __init__(self, browser: Any, width: int, screenshots: Path) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme="light", locale="en-GB")
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT_S * 1000)
        self.timeout_error = pytest.importorskip("playwright.sync_api").TimeoutError
        self.width = width
        self.screenshots = screenshots
        self.base = ""
        self.errors: list[str] = []
        self.foreign_requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", self._request)

    def _dismiss(self, dialog: Any) -> None:
        self.errors.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith(
            ("http://localhost", "ws://localhost", "http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
        ):
            self.foreign_requests.append(request.url)

    def open(self, base: str, address: str) -> Any:
        """Open a URL and wait until the page is idle; within one dashboard without a reload, as its own links do.

        `base` is the dashboard's address, with its token if it asks for one.
        """
        if base != self.base or not self._navigate(f"/{address}"):
            origin, _, token = base.partition("/?token=")
            separator = "&" if "?" in address else "?"
            self.page.goto(f"{origin}/{address}{separator}token={token}" if token else f"{origin}/{address}")
            self.base = base
        self.page.wait_for_selector("h1")
        self.wait_until_idle()
        return self.page

    def _navigate(self, address: str) -> bool:
        """Whether the page reacted to the new URL in time."""
        self.page.evaluate(NAVIGATE, address)
        try:
            self.page.wait_for_function("() => window.begun > 0", timeout=NAVIGATION_MS)
        except self.timeout_error:
            return False
        return True

    def wait_until_idle(self) -> None:
        """Wait until no script runs and no element is being drawn."""
        for _ in range(2):
            self.page.wait_for_function(
                """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
                    && !document.querySelector('[data-testid=stSkeleton]') && !document.querySelector('[data-stale=true]')""",
            )
            self.page.wait_for_timeout(100)

    def set_color_scheme(self, scheme: str) -> None:
        """Switch to the `light` or the `dark` color scheme."""
        self.page.emulate_media(color_scheme=scheme)
        if self.base:
            self.page.wait_for_timeout(100)
            self.wait_until_idle()

    def screenshot(self, name: str) -> None:
        """Save a screenshot of the whole page."""
        height = self.page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        self.page.set_viewport_size({"width": self.width, "height": min(max(height, HEIGHT), 3000)})
        self.page.wait_for_timeout(300)
        self.wait_until_idle()
        self.page.screenshot(path=self.screenshots / f"{name}.png")
        self.page.set_viewport_size({"width": self.width, "height": HEIGHT})

    def problems(self) -> list[str]:
        """Errors, requests to other hosts, pages wider than the window, and overlapping elements since the last call."""
        problems = [*self.errors, *(f"requests {url}" for url in self.foreign_requests), *self.page.evaluate(CHECK_LAYOUT)]
        self.errors, self.foreign_requests = [], []
        return problems


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots."""
    folder = Path(os.environ.get(SCREENSHOTS_VARIABLE) or tmp_path_factory.getbasetemp() / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def windows(chromium: Any, screenshots: Path) -> Iterator[Callable[[str, int], Window]]:
    """A window for each dashboard and width. It stays open between tests, since reloading the page takes most of the time."""
    opened: dict[tuple[str, int], Window] = {}

    def window(base: str, width: int) -> Window:
        if (base, width) not in opened:
            opened[base, width] = Window(chromium, width, screenshots)
        return opened[base, width]

    yield window
    for each in opened.values():
        each.context.close()


@pytest.fixture
def visit(chromium: Any, screenshots: Path) -> Iterator[Callable[..., Window]]:
    """Opens a window of a first-time visitor, without cookies or state."""
    opened: list[Window] = []

    def window(width: int = 1440) -> Window:
        opened.append(Window(chromium, width, screenshots))
        return opened[-1]

    yield window
    for each in opened:
        each.context.close()
