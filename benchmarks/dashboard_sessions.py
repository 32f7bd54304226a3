"""Dashboard sessions without a browser: each keeps a page open and reruns it at the interval that the page sets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

MAX_MESSAGE_BYTES = 100_000_000
FIRST_PAGE_TIMEOUT_S = 300
"""How long the last session may wait for its first page."""


@dataclass(slots=True)
class Session:
    """What one session received: elements, refreshes and exceptions."""

    first_paint_s: float = 0.0
    elements: int = 0
    refreshes: int = 0
    exceptions: list[str] = field(default_factory=list)


def open_sessions(address: str, count: int, seconds: float, path: str = "") -> list[Session]:
    """Open `count` sessions at once and keep them until `seconds` after the last one has its first page."""
    return asyncio.run(_open_sessions(address, count, seconds, path))


async def _open_sessions(address: str, count: int, seconds: float, path: str) -> list[Session]:
    sessions = [Session() for _ in range(count)]
    first_pages = [asyncio.Event() for _ in sessions]
    tasks = [asyncio.create_task(_hold_session(address, path, *each)) for each in zip(sessions, first_pages, strict=True)]
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in first_pages)), FIRST_PAGE_TIMEOUT_S)
    await asyncio.sleep(seconds)
    for each in tasks:
        if each.done():
            each.result()
            raise AssertionError("a session ended by itself")
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sessions


def _cancel_all(timers: dict[str, asyncio.Task[None]]) -> None:
    for timer in timers.values():
        timer.cancel()


async def _hold_session(address: str, path: str, session: Session, first_page: asyncio.Event) -> None:
    began = time.monotonic()
    url = address.replace("http://", "ws://") + "/_stcore/stream"
    async with connect(url, subprotocols=["streamlit"], origin=address, max_size=MAX_MESSAGE_BYTES) as socket:  # type: ignore[list-item, arg-type]
        await _request_rerun(socket, path)
        timers: dict[str, asyncio.Task[None]] = {}
        try:
            async for data in socket:
                message = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
                kind = message.WhichOneof("type")
                if kind == "delta" and message.delta.HasField("new_element"):
                    session.elements += 1
                    if message.delta.new_element.HasField("exception"):
                        session.exceptions.append(message.delta.new_element.exception.message[:300])
                elif kind == "script_finished":
                    if first_page.is_set():
                        session.refreshes += 1
                    else:
                        session.first_paint_s = time.monotonic() - began
                        first_page.set()
                elif kind == "auto_rerun":
                    name = message.auto_rerun.fragment_id
                    if name in timers:
                        timers[name].cancel()
                    timers[name] = asyncio.create_task(_rerun_periodically(socket, path, name, message.auto_rerun.interval))
        finally:
            _cancel_all(timers)


async def _rerun_periodically(socket: ClientConnection, path: str, fragment: str, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await _request_rerun(socket, path, fragment)


async def _request_rerun(socket: ClientConnection, path: str, fragment: str = "") -> None:
    message = BackMsg()
    message.rerun_script.query_string = path
    if fragment:
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = True
    await socket.send(message.SerializeToString())
