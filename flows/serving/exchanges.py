"""What surrounds every request: its id, the token that it must carry, its metrics, and the recorder that is told of it."""

from __future__ import annotations

import hmac
import time
import uuid
from collections.abc import Collection

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.serving.interfaces import Exchange, Recorder
from flows.serving.metrics import ServerMetrics
from flows.serving.requests import Refused

OPEN_PATHS = ("/health", "/ready")
"""Paths that need no token."""


class ExchangeMiddleware:
    """Puts an `Exchange` in the state of each request. A plain ASGI application: Starlette's base class costs a third of a
    millisecond for each request."""

    def __init__(
        self, app: ASGIApp, use_cases: Collection[str], metrics: ServerMetrics, token: str, recorder: Recorder | None
    ) -> None:
        """With a token, every request but those of `OPEN_PATHS` must carry it as bearer."""
        self.app, self.use_cases, self.metrics, self.token, self.recorder = app, use_cases, metrics, token, recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, use_case, number = time.perf_counter(), scope["path"].lstrip("/").partition("/")[0], uuid.uuid4().hex
        exchange = Exchange(use_case, f"{use_case}-{number}" if use_case in self.use_cases else number, status=500)
        scope.setdefault("state", {})["exchange"] = exchange

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", exchange.request_id.encode())]
            await send(message)

        app = self.app
        if self.token and scope["path"] not in OPEN_PATHS and not has_token(Headers(scope=scope), self.token):
            refused = Refused(401, "no_token", "send the token of this server as header 'Authorization: Bearer ...'")
            exchange.error = refused.code
            app = JSONResponse(refused.as_json(), refused.status)
        try:
            await app(scope, receive, send_with_id)
        except Exception:
            exchange.error = "failed"
            raise
        finally:
            if use_case in self.use_cases:
                self._count(exchange, time.perf_counter() - began)

    def _count(self, exchange: Exchange, seconds: float) -> None:
        self.metrics.latency.labels(exchange.use_case).observe(seconds)
        self.metrics.requests.labels(exchange.use_case, exchange.status).inc()
        if self.recorder:
            exchange.latency_ms = 1000 * seconds
            self.recorder.record(exchange)


def has_token(headers: Headers, token: str) -> bool:
    """Whether the headers carry the token as bearer."""
    return hmac.compare_digest(headers.get("authorization", "").encode(), f"Bearer {token}".encode())
