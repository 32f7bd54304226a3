"""The language, the time zone and the colours of whoever looks."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dashboard.text import formatting, translations


def scheme() -> str:
    """`dark` or `light`, as the reader sees the page."""
    return str(st.context.theme.type or "light")


def language() -> str:
    return str(st.query_params.get("lang") or "en")


def t(key: str, **values: object) -> str:
    """A sentence in the reader's language."""
    return translations.text(language(), key, **values)


def word(group: str, name: str) -> str:
    """A name from outside, such as a stage's verb, in the reader's language where the catalogue knows it."""
    key = f"{group}.{name}"
    return t(key) if translations.has(key) else formatting.clean(name, 60)


def zone() -> tzinfo | None:
    """The reader's time zone."""
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None
