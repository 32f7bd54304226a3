"""The reader's language, time zone and colour scheme."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dashboard.text import formatting, translations


def scheme() -> str:
    """The reader's colour scheme: `dark` or `light`."""
    return str(st.context.theme.type or "light")


def language() -> str:
    """The reader's language code; query parameter `lang`."""
    return str(st.query_params.get("lang") or "en")


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
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None
