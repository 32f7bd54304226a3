"""The dashboard as `bonsai up` serves it: the app behind a guard that asks for the token of the link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from dashboard import access


class AccessMiddleware:
    """The guard as Starlette's middleware."""

    def __init__(self, app: access.Application) -> None:
        self.app = access.guarded(app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


app = st.App(Path(__file__).with_name("app.py"), middleware=[Middleware(AccessMiddleware)])
