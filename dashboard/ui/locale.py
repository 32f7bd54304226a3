"""The reader's language, time zone and colour scheme."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.text import formatting, translations


@dataclass(frozen=True, slots=True)
class Reader:
    """The language and the time zone of a reader."""

    language: str
    zone: tzinfo | None


_READER: ContextVar[Reader | None] = ContextVar("_READER", default=None)
"""Set where text is written outside of the session of a page, such as a file that is made while it is downloaded."""


def reader() -> Reader:
    """The reader of the page, for `written_for`."""
    return Reader(language(), zone())


@contextmanager
def written_for(someone: Reader) -> Iterator[None]:
    """In the block, texts and times are for this reader, whatever session the block runs in."""
    token = _READER.set(someone)
    try:
        yield
    finally:
        _READER.reset(token)


def scheme() -> str:
    """The reader's colour scheme: `dark` or `light`."""
    return str(st.context.theme.type or "light")


def language() -> str:
    """The reader's language code; query parameter `lang`."""
    if fixed := _READER.get():
        return fixed.language
    return str(st.query_params.get("lang") or "en")


def _language_or_english() -> str:
    """The reader's language; English outside of a page."""
    return language() if _READER.get() or get_script_run_ctx(suppress_warning=True) else "en"


formatting.use_language_of(_language_or_english)


def t(key: str, **values: object) -> str:
    """The translation of a key in the reader's language."""
    return translations.text(language(), key, **values)


def word(group: str, name: str) -> str:
    """The translation of a name such as a stage's verb; the name itself where there is none."""
    key = f"{group}.{name}"
    return t(key) if translations.has(key) else formatting.clean(name, 60)


def zone_name() -> str:
    """The name of the time zone in which times are shown: the reader's, or UTC where the browser names none that is known."""
    return str(st.context.timezone) if zone() else "UTC"


def zone() -> tzinfo | None:
    """The reader's time zone."""
    if fixed := _READER.get():
        return fixed.zone
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None
