"""Who may use the dashboard: one own address, a random token in the link and then in a cookie, and no page of another origin."""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_VARIABLE, ADDRESS_VARIABLE = "BONSAI_DASHBOARD_TOKEN", "BONSAI_DASHBOARD_ADDRESS"
TOKEN_PARAMETER = "token"
HEALTH_PATH = "/_stcore/health"
"""Answers without a token: it says nothing but that the server runs."""
HEADERS = {
    "x-frame-options": "SAMEORIGIN",
    "content-security-policy": "frame-ancestors 'self'; object-src 'none'; base-uri 'self'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
REFUSAL = "This dashboard asks for a token: open the link that `bonsai up` printed. 请打开 `bonsai up` 输出的链接。\n"


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets a request reach the application only from the own address, with the token, and from no other origin's page."""

    application: Application
    token: str
    address: str
    """Host and port, such as `127.0.0.1:8501`; `localhost` with the same port is the same machine."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if reason := self._reason_to_refuse(scope, headers):
            await _refuse(scope, receive, send, reason)
            return
        if scope["type"] == "http" and (location := self._location_without_token(scope)):
            await _respond(send, 303, "", {"location": location, "set-cookie": self._cookie()})
            return
        if scope.get("path") != HEALTH_PATH and not self._has_token(headers):
            await _refuse(scope, receive, send, REFUSAL)
            return
        await self.application(scope, receive, _with_headers(send))

    @property
    def cookie_name(self) -> str:
        """Of its own for each port, since browsers send cookies to all ports of a host."""
        return f"bonsai-{self.address.rpartition(':')[2]}"

    def _addresses(self) -> tuple[str, str]:
        return self.address, f"localhost:{self.address.rpartition(':')[2]}"

    def _reason_to_refuse(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Why the request is refused whatever token it has; empty if it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._addresses():
            return f"This dashboard is at http://{self.address}, and at no other name.\n"
        own = origin == f"http://{host}"
        changes = scope["type"] == "websocket" or scope.get("method") not in SAFE_METHODS
        if (origin is not None or changes) and not own:
            return "Pages of other origins cannot use this dashboard.\n"
        return ""

    def _location_without_token(self, scope: Scope) -> str:
        """Where a request with the right token in its address is sent; empty if there is none."""
        pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in pairs if name == TOKEN_PARAMETER]
        if scope.get("method") not in SAFE_METHODS or not any(
            hmac.compare_digest(each.encode(), self.token.encode()) for each in tokens
        ):
            return ""
        query = urlencode([(name, value) for name, value in pairs if name != TOKEN_PARAMETER])
        path = "/" + quote(str(scope.get("path", "/")).lstrip("/"))
        return f"{path}?{query}" if query else path

    def _cookie(self) -> str:
        return f"{self.cookie_name}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def _has_token(self, headers: Mapping[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.token.encode())


def guarded(application: Application) -> Application:
    """The application behind a guard with the token and address of `bonsai up`; as it is where there are none."""
    token, address = os.environ.get(TOKEN_VARIABLE), os.environ.get(ADDRESS_VARIABLE)
    return Guard(application, token, address) if token and address else application


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _added(message.get("headers", ()))}
        await send(message)

    return send_with_headers


def _added(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name.decode("latin-1").lower() not in HEADERS]
    return [*kept, *((name.encode(), value.encode()) for name, value in HEADERS.items())]


async def _refuse(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect; a close before the handshake is answered by 403
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
    else:
        await _respond(send, 403, reason, {})


async def _respond(send: Send, status: int, text: str, headers: Mapping[str, str]) -> None:
    body = text.encode()
    kind = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), "cache-control": "no-store"}
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": _added([(name.encode(), value.encode()) for name, value in {**kind, **headers}.items()])})
    await send({"type": "http.response.body", "body": body})
