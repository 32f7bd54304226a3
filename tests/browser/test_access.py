"""In a browser: the printed link opens the dashboard, nothing else does, and no other page can frame or drive it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.services.supervisor import Supervisor
from tests.support import recorded_runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """The dashboard as `bonsai up` starts it, in a project without .streamlit/config.toml."""
    root = recorded_runs.project(tmp_path_factory.mktemp("access") / "p")
    recorded_runs.finished(root)
    supervisor = Supervisor(root, 0, 0)
    process = supervisor.launch_dashboard()
    try:
        for _ in range(600):
            if supervisor.dashboard_answers():
                break
            assert process.poll() is None, Path(root / ".prefect" / "dashboard.log").read_text()
            threading.Event().wait(0.2)
        yield supervisor
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_link_opens_the_dashboard_and_the_cookie_keeps_it_open(supervisor: Supervisor, chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    refused = page.goto(supervisor.dashboard_url)
    assert refused.status == 403
    assert "bonsai up" in page.content()
    page.goto(supervisor.dashboard_link)
    page.get_by_test_id("stApp").wait_for(timeout=60_000)
    page.get_by_role("heading").first.wait_for(timeout=60_000)
    assert "token" not in page.url
    page.goto(f"{supervisor.dashboard_url}/results")
    page.get_by_role("heading").first.wait_for(timeout=60_000)
    assert page.get_by_test_id("stException").count() == 0
    context.close()


def test_a_page_of_another_origin_can_neither_frame_nor_drive_it(supervisor: Supervisor, chromium: Any) -> None:
    port = supervisor.dashboard_url.rpartition(":")[2]
    body = f"""<iframe src="{supervisor.dashboard_url}/"></iframe><script>
        window.outcome = "waiting";
        const socket = new WebSocket("ws://127.0.0.1:{port}/_stcore/stream");
        socket.onopen = () => window.outcome = "open";
        socket.onerror = () => window.outcome = "refused";
    </script>"""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(supervisor.dashboard_link)
        page.get_by_test_id("stApp").wait_for(timeout=60_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/")  # the same site, another origin: the cookie is sent
        page.wait_for_function("window.outcome !== 'waiting'")
        assert page.evaluate("window.outcome") == "refused"
        assert page.frames[1].locator("[data-testid=stApp]").count() == 0
    finally:
        server.shutdown()
        server.server_close()
        context.close()


def test_every_file_is_behind_the_token_and_has_the_headers(supervisor: Supervisor) -> None:
    for path in ("/", "/_stcore/host-config", "/static/index.html", "/vendor/x", "/media/x", "/component/x"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(supervisor.dashboard_url + path)
        assert refusal.value.code == 403
        assert refusal.value.headers["x-frame-options"] == "SAMEORIGIN"
        refusal.value.close()
    assert (supervisor.prefect_home / "dashboard-token").stat().st_mode & 0o077 == 0
