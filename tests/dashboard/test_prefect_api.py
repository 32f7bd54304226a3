"""Requests to the Prefect server: retries on timeouts and a busy database, never for requests that are not idempotent."""

import http.server
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dashboard.readers import prefect_api
from dashboard.readers.prefect_api import Deployment, RequestRefused, Server
from dashboard.readers.project_files import Unreadable

RUN = uuid.uuid4()
NIGHTLY = Deployment(str(uuid.uuid4()), "nightly", "", False, {}, ())


class Busy(http.server.BaseHTTPRequestHandler):
    """A server that drops its first requests or answers that its database is busy, and then responds."""

    lost: Counter[str]
    busy: Counter[str]
    requests: Counter[str]
    lost_after_s = 1.5

    def do_GET(self) -> None:
        word = self.path.rpartition("/")[2].partition("?")[0]
        self.requests[word] += 1
        if self.requests[word] <= self.lost[word]:
            time.sleep(self.lost_after_s)
            return
        answer = {"token": "t", "id": str(RUN), "name": "mellow", "state": {"name": "Running"}, "detail": "why"}
        content = json.dumps(answer).encode()
        self.send_response(503 if self.requests[word] <= self.busy[word] else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(prefect_api, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(prefect_api, "BUSY_S", 0.01)
    for name in ("lost", "busy", "requests"):
        monkeypatch.setattr(Busy, name, Counter(), raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Server(f"http://127.0.0.1:{served.server_port}/api")
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("lost_after_s", [1.5, 0.0], ids=["nothing comes", "the connection is closed"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_request_that_times_out_is_retried(busy: Any, monkeypatch: pytest.MonkeyPatch, times: Any, lost_after_s: Any) -> None:
    monkeypatch.setattr(Busy, "lost_after_s", lost_after_s)
    Busy.lost[str(RUN)] = times
    assert busy.flow_run(str(RUN)).state == "Running"
    assert Busy.requests[str(RUN)] == times + 1


def test_retries_end_with_an_error_message(busy: Any) -> None:
    Busy.lost[str(RUN)] = 99
    with pytest.raises(Unreadable, match="timed out"):
        busy.flow_run(str(RUN))
    assert Busy.requests[str(RUN)] == prefect_api.TIMEOUT_TRIES


def test_a_token_request_that_times_out_is_retried(busy: Any) -> None:
    Busy.lost["csrf-token"] = 1
    busy.pause(NIGHTLY, paused=True)
    assert Busy.requests == {"csrf-token": 2, "pause_deployment": 1}


def test_twenty_pages_that_look_at_once_share_one_server_and_one_token(
    busy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", busy.url)
    gate = threading.Barrier(20)

    def pause(_: Any) -> Any:
        gate.wait()
        server = prefect_api.server(tmp_path)
        server.pause(NIGHTLY, paused=True)
        return id(server)

    with ThreadPoolExecutor(20) as pages:
        assert len(set(pages.map(pause, range(20)))) == 1
    assert Busy.requests == {"health": 1, "csrf-token": 1, "pause_deployment": 20}


def test_a_request_that_is_not_idempotent_is_not_retried(busy: Any) -> None:
    Busy.lost["schedules"] = 1
    with pytest.raises(Unreadable, match="timed out"):
        busy.add_schedule(NIGHTLY, cron="0 3 * * *", timezone="UTC")
    assert Busy.requests["schedules"] == 1


def test_a_busy_database_is_retried_a_limited_number_of_times(busy: Any) -> None:
    Busy.busy[str(RUN)] = 3
    assert busy.flow_run(str(RUN)).name == "mellow"
    Busy.busy[str(RUN)] = 99
    with pytest.raises(RequestRefused, match="why"):
        busy.flow_run(str(RUN))
    assert Busy.requests[str(RUN)] == 4 + 1 + prefect_api.BUSY_TRIES
