"""A notification of the browser when a run has ended, and the button that asks for the permission to show one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_NOTIFICATION = st.components.v2.component(
    "bonsai_notification",
    html="<div><button type='button' hidden></button></div>\n<!-- worded by notification.js -->\n",
    css=(_HERE / "notification.css").read_text(encoding="utf-8"),
    js=(_HERE / "notification.js").read_text(encoding="utf-8"),
)


def notification(run: str, *, working: bool, title: str, body: str, label: str) -> None:
    """Notify with title and body once the run, which was working when the page showed it before, is not any more."""
    data = {"run": run, "working": working, "title": title, "body": body, "label": label}
    _NOTIFICATION(key="notification", data=data, width="content", height="content")
