"""What clients send: JSON bodies within limits, pictures in base64, and structured refusals."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.inference.checked_rows import InputKind

MAX_COLUMNS = 5_000
"""The most values of one record."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 20_000_000
    rows: int = 10_000


class Refused(Exception):
    """A request that is not answered, with its HTTP status, a code for programs and a message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def as_json(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


async def read_body(chunks: AsyncIterator[bytes], headers: Mapping[str, str], limits: Limits) -> bytes:
    """The whole body. Raises `Refused` as soon as it is known to be larger than allowed, before the rest is read."""
    announced = headers.get("content-length", "0")
    body = bytearray()
    too_large = Refused(413, "too_large", f"the body is larger than {limits.body_bytes:,} bytes; send fewer inputs a request")
    if announced.isdigit() and int(announced) > limits.body_bytes:
        raise too_large
    async for chunk in chunks:
        body += chunk
        if len(body) > limits.body_bytes:
            raise too_large
    return bytes(body)


def parse_inputs(body: bytes, kind: InputKind, limits: Limits) -> list[Any]:
    """The inputs of a body `{"inputs": [...]}`: texts, records, or pictures in base64. Raises `Refused`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "not_json", f'the body is not JSON ({str(error)[:80]}); send {{"inputs": [...]}}') from None
    inputs = content.get("inputs") if isinstance(content, dict) else None
    if not isinstance(inputs, list):
        raise Refused(
            422, "no_inputs", f'expected {{"inputs": [...]}} with a list of {_name(kind)}, got {type(content).__name__}'
        )
    check_count(len(inputs), limits)
    return [_parse_input(value, position, kind) for position, value in enumerate(inputs, start=1)]


def check_count(count: int, limits: Limits) -> None:
    """Raise `Refused` for no inputs, or for more than allowed."""
    if not count:
        raise Refused(422, "no_inputs", "the list of inputs is empty; send at least one")
    if count > limits.rows:
        raise Refused(413, "too_many_rows", f"{count:,} inputs, {limits.rows:,} are the most of a request; send several")


def check_characters(place: str, *values: Any) -> None:
    """Raise `Refused` for a text with half a character, which JSON can hold but UTF-8 cannot."""
    for value in values:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Refused(
                    422, "half_character", f"{place} holds half a character, a lone surrogate; send whole ones"
                ) from None


def _parse_input(value: Any, position: int, kind: InputKind) -> Any:
    wrong = Refused(422, "wrong_type", f"input {position} is {type(value).__name__}; expected {_name(kind)}")
    if kind == "table":
        if not isinstance(value, dict) or not value:
            raise wrong
        if any(isinstance(cell, dict | list) for cell in value.values()):
            raise Refused(
                422, "wrong_type", f"input {position} has a value that is itself a list or an object; send plain values"
            )
        if len(value) > MAX_COLUMNS:
            raise Refused(422, "too_many_columns", f"input {position} has {len(value):,} values; the most are {MAX_COLUMNS:,}")
        check_characters(f"input {position}", *value, *value.values())
        return value
    if not isinstance(value, str):
        raise wrong
    if kind == "text":
        check_characters(f"input {position}", value)
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            422, "not_base64", f"input {position} is no base64; encode the bytes of the picture, or upload its file"
        ) from None


def _name(kind: InputKind) -> str:
    return {
        "text": "texts",
        "table": "records, objects from column names to values",
        "picture": "pictures, their bytes in base64",
    }[kind]
