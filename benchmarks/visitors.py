"""Visitors of the dashboard without a browser: each holds its page open and renews it as the page's own clock asks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

MOST_BYTES = 100_000_000
PATIENCE_S = 300
"""How long the last of them may wait for its first page."""


@dataclass(slots=True)
class Visitor:
    """One session: what it was shown, and what went wrong."""

    first_paint_s: float = 0.0
    elements: int = 0
    refreshes: int = 0
    exceptions: list[str] = field(default_factory=list)


def stay(address: str, count: int, seconds: float, path: str = "") -> list[Visitor]:
    """`count` visitors who come at once, and all stay until `seconds` after the last of them was served."""
    return asyncio.run(_stay(address, count, seconds, path))


async def _stay(address: str, count: int, seconds: float, path: str) -> list[Visitor]:
    found = [Visitor() for _ in range(count)]
    served = [asyncio.Event() for _ in found]
    stays = [asyncio.create_task(_visit(address, path, *each)) for each in zip(found, served, strict=True)]
    await asyncio.wait_for(asyncio.gather(*(each.wait() for each in served)), PATIENCE_S)
    await asyncio.sleep(seconds)
    for each in stays:
        if each.done():
            each.result()
            raise AssertionError("a session ended by itself")
        each.cancel()
    await asyncio.gather(*stays, return_exceptions=True)
    return found


def _end(clocks: dict[str, asyncio.Task[None]]) -> None:
    for clock in clocks.values():
        clock.cancel()


async def _visit(address: str, path: str, visitor: Visitor, served: asyncio.Event) -> None:
    began = time.monotonic()
    url = address.replace("http://", "ws://") + "/_stcore/stream"
    async with connect(url, subprotocols=["streamlit"], origin=address, max_size=MOST_BYTES) as line:  # type: ignore[list-item, arg-type]
        await _ask(line, path)
        clocks: dict[str, asyncio.Task[None]] = {}
        try:
            async for message in line:
                said = ForwardMsg.FromString(message if isinstance(message, bytes) else message.encode())
                kind = said.WhichOneof("type")
                if kind == "delta" and said.delta.HasField("new_element"):
                    visitor.elements += 1
                    if said.delta.new_element.HasField("exception"):
                        visitor.exceptions.append(said.delta.new_element.exception.message[:300])
                elif kind == "script_finished":
                    if served.is_set():
                        visitor.refreshes += 1
                    else:
                        visitor.first_paint_s = time.monotonic() - began
                        served.set()
                elif kind == "auto_rerun":
                    name = said.auto_rerun.fragment_id
                    if name in clocks:
                        clocks[name].cancel()
                    clocks[name] = asyncio.create_task(_tick(line, path, name, said.auto_rerun.interval))
        finally:
            _end(clocks)


async def _tick(line: ClientConnection, path: str, fragment: str, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        await _ask(line, path, fragment)


async def _ask(line: ClientConnection, path: str, fragment: str = "") -> None:
    message = BackMsg()
    message.rerun_script.query_string = path
    if fragment:
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = True
    await line.send(message.SerializeToString())
