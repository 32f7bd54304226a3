"""The dashboard answers only to its own address and to those who have the token, and says so in its headers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dashboard.access import Guard, guarded

TOKEN, ADDRESS = "a-secret-token", "127.0.0.1:8501"
COOKIE = {"cookie": f"other=1; bonsai-8501={TOKEN}"}
OWN = {"origin": f"http://{ADDRESS}"}


def ask(path: str = "/", *, headers: dict[str, str] | None = None, method: str = "GET", kind: str = "http") -> dict[str, Any]:
    """What the guard answers: `status`, `headers` and whether the application was `reached`."""
    answer: dict[str, Any] = {"status": 0, "headers": {}, "reached": False}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        answer["reached"] = True
        if kind == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"ALLOW")]})
            await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
            answer["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
        if message["type"] == "websocket.close":
            answer["status"] = 403

    target, _, query = path.partition("?")
    every = {"host": ADDRESS, **(headers or {})}
    scope = {
        "type": kind,
        "method": method,
        "path": target,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in every.items()],
    }
    asyncio.run(Guard(application, TOKEN, ADDRESS)(scope, receive, send))
    return answer


def test_the_link_sets_a_cookie_and_takes_the_token_out_of_the_address() -> None:
    answer = ask(f"/results?uc=nlp&token={TOKEN}&run=x")
    assert (answer["status"], answer["reached"]) == (303, False)
    assert answer["headers"]["location"] == "/results?uc=nlp&run=x"
    assert answer["headers"]["set-cookie"] == f"bonsai-8501={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    assert ask("/results?uc=nlp&run=x", headers=COOKIE)["reached"]


def test_a_location_stays_on_this_host() -> None:
    for path in (f"//evil.example/?token={TOKEN}", f"/\\evil.example?token={TOKEN}", f"/a\r\nx: y?token={TOKEN}"):
        location = ask(path)["headers"]["location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert "\n" not in location


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/?token=", {}),
        ("/?token=wrong", {}),
        ("/?token=%C3%A9", {}),
        ("/", {"cookie": "bonsai-8501=wrong"}),
        ("/", {"cookie": f"bonsai-8502={TOKEN}"}),
        ("/", {"cookie": "bonsai-8501"}),
        ("/", {"cookie": 'bonsai-8501="\\'}),
        ("/_stcore/health/../stream", {}),
        ("/_stcore/host-config", {}),
        ("/media/x.csv", {}),
    ],
)
def test_without_the_token_nothing_is_shown(path: str, headers: dict[str, str]) -> None:
    answer = ask(path, headers=headers)
    assert (answer["status"], answer["reached"]) == (403, False)


def test_the_health_of_the_server_needs_no_token_but_its_own_address() -> None:
    assert ask("/_stcore/health")["reached"]
    assert not ask("/_stcore/health", headers={"host": "evil.example:8501"})["reached"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:8502", "127.0.0.1", "localhost", "127.0.0.1:8501.evil.example", ""])
def test_no_other_name_reaches_it(host: str) -> None:
    assert not ask(headers={**COOKIE, "host": host})["reached"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:9999",
        "http://127.0.0.1:9999",
        "https://127.0.0.1:8501",
        "http://127.0.0.1:8501.evil.example",
        "null",
        "",
        "https://x.streamlit.app",
        "http://localhost:8501",  # the same machine, but not the origin of the page at 127.0.0.1
    ],
)
@pytest.mark.parametrize(("kind", "method"), [("websocket", "GET"), ("http", "POST"), ("http", "GET")])
def test_a_page_of_another_origin_cannot_use_it(origin: str, kind: str, method: str) -> None:
    assert not ask("/_stcore/stream", headers={**COOKIE, "origin": origin}, method=method, kind=kind)["reached"]


@pytest.mark.parametrize(("kind", "method"), [("websocket", "GET"), ("http", "POST"), ("http", "DELETE"), ("http", "PUT")])
def test_what_changes_something_needs_the_own_origin_and_the_token(kind: str, method: str) -> None:
    assert ask("/_stcore/stream", headers={**COOKIE, **OWN}, kind=kind, method=method)["reached"]
    assert not ask("/_stcore/stream", headers=COOKIE, kind=kind, method=method)["reached"]
    assert not ask("/_stcore/stream", headers=OWN, kind=kind, method=method)["reached"]
    assert not ask(f"/_stcore/stream?token={TOKEN}", headers=OWN, kind=kind, method=method)["reached"]


def test_every_answer_says_who_may_frame_it() -> None:
    for answer in (ask(headers=COOKIE), ask(), ask(f"/?token={TOKEN}")):
        assert answer["headers"]["x-frame-options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in answer["headers"]["content-security-policy"]
        assert answer["headers"]["x-content-type-options"] == "nosniff"
        assert answer["headers"]["referrer-policy"] == "no-referrer"


def test_without_a_token_in_the_environment_the_app_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None: ...

    monkeypatch.delenv("BONSAI_DASHBOARD_TOKEN", raising=False)
    assert guarded(application) is application
    monkeypatch.setenv("BONSAI_DASHBOARD_TOKEN", TOKEN)
    monkeypatch.setenv("BONSAI_DASHBOARD_ADDRESS", ADDRESS)
    assert isinstance(guarded(application), Guard)
