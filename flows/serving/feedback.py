"""`POST /feedback`: right answers to earlier requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from flows.serving.interfaces import Recorder
from flows.serving.requests import Limits, Refused, check_characters, check_count, read_body

REQUEST_ID = re.compile(r"([a-z0-9_]+)-[0-9a-f]{32}")
LABEL_CHARACTERS = 200
ENTRY = {
    "type": "object",
    "required": ["request_id", "label"],
    "properties": {
        "request_id": {"type": "string"},
        "label": {"type": "string"},
        "position": {"type": "integer", "minimum": 1, "default": 1},
        "source": {"type": "string", "default": ""},
    },
}
EXAMPLE = {"request_id": "vision-" + 32 * "0", "label": "7"}


def add_feedback(app: FastAPI, recorder: Recorder, classes: Mapping[str, Sequence[str]], limits: Limits) -> None:
    """The path that takes one entry, or `{"feedback": [...]}` with several; `classes` are those that each model knows."""

    async def feedback(request: Request) -> JSONResponse:
        body = await read_body(request.stream(), request.headers, limits)
        by_use_case: dict[str, list[dict[str, Any]]] = {}
        for use_case, entry in _parse(body, classes, limits):
            by_use_case.setdefault(use_case, []).append(entry)
        for entries in by_use_case.values():
            await asyncio.to_thread(recorder.feedback, entries)
        new = {
            name: sorted({entry["label"] for entry in entries} - set(classes[name]))
            for name, entries in by_use_case.items()
            if classes[name]
        }
        unknown = {name: labels for name, labels in new.items() if labels}
        return JSONResponse({"stored": sum(map(len, by_use_case.values())), "unknown_classes": unknown})

    content = {"application/json": {"schema": ENTRY, "example": EXAMPLE}}
    app.post(
        "/feedback",
        summary="The right answer to an earlier request",
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )(feedback)


def _parse(body: bytes, classes: Mapping[str, Sequence[str]], limits: Limits) -> list[tuple[str, dict[str, Any]]]:
    """The use case of each entry, and the entry. Raises `Refused`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "not_json", f"the body is not JSON ({str(error)[:80]}); send {json.dumps(EXAMPLE)}") from None
    entries = content.get("feedback", [content]) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Refused(422, "no_feedback", f'expected {json.dumps(EXAMPLE)} or {{"feedback": [...]}} with a list of those')
    check_count(len(entries), limits)
    return [_parse_entry(entry, place, classes) for place, entry in enumerate(entries, start=1)]


def _parse_entry(entry: dict[str, Any], place: int, classes: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    match = REQUEST_ID.fullmatch(str(entry.get("request_id", "")))
    if not match or match[1] not in classes:
        sent = str(entry.get("request_id", ""))[:60]
        raise Refused(422, "no_request_id", f"entry {place}: {sent!r} is no request_id of this server; each answer has one")
    label, position = entry.get("label"), entry.get("position", 1)
    if isinstance(label, bool) or not isinstance(label, str | int | float) or not 0 < len(str(label).strip()) <= LABEL_CHARACTERS:
        raise Refused(422, "no_label", f"entry {place}: expected a label, text or a number; got {str(label)[:40]!r}")
    if isinstance(position, bool) or not isinstance(position, int) or not 1 <= position < 2**31:
        raise Refused(422, "no_position", f"entry {place}: position counts the inputs of the request from 1")
    text, source = str(label).strip(), str(entry.get("source", ""))[:LABEL_CHARACTERS]
    check_characters(f"entry {place}", text, source)
    return match[1], {
        "request_id": match[0],
        "position": position,
        "label": text,
        "source": source,
    }
