"""Buttons that promote a model, roll back, or download a release; each asks once before it changes anything."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import streamlit as st

from dashboard.readers import models
from dashboard.readers.bonsai_commands import CommandError
from dashboard.text import formatting
from dashboard.ui import pickers
from dashboard.ui.locale import t


def promote(root: Path, use_case: str, source: str, *, key: str, primary: bool = False) -> None:
    """Promote a run's release, or a version by its number, to champion: a click, and another that confirms it."""
    with st.popover(
        t("models.promote"), icon=":material/workspace_premium:", key=key, type="primary" if primary else "secondary"
    ):
        st.markdown(t("models.promote_sure", use_case=pickers.title(use_case)))
        if st.button(t("models.promote_yes"), type="primary", key=f"{key}_yes"):
            _act(lambda: models.promote(root, use_case, source), t("models.promoting"))


def roll_back(root: Path, use_case: str) -> None:
    """Make the previous champion the champion again: a click, and another that confirms it."""
    with st.popover(t("models.roll_back"), icon=":material/undo:", key="roll_back"):
        st.markdown(t("models.roll_back_sure", use_case=pickers.title(use_case)))
        if st.button(t("models.roll_back_yes"), type="primary", key="roll_back_yes"):
            _act(lambda: models.roll_back(root, use_case), t("models.rolling_back"))


def show_message() -> None:
    """What the last promotion or rollback came to."""
    if message_of_last := st.session_state.pop("model_message", None):
        done, message = message_of_last
        (st.success if done else st.warning)(formatting.capitalized(formatting.escape(message, 1500)))


def download(files: Iterable[Path], name: str, *, key: str) -> None:
    """Download the files of a release as one zip file."""
    paths = list(files)
    st.download_button(
        t("compression.bundle"),
        lambda: zipped(paths),
        file_name=f"{name}.zip",
        mime="application/zip",
        icon=":material/download:",
        key=key,
        on_click="ignore",
        disabled=not paths,
    )


def zipped(paths: Iterable[Path]) -> bytes:
    """The files in one zip file, without folders."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.writestr(path.name, path.read_bytes())
    return buffer.getvalue()


def _act(command: Callable[[], str], waiting: str) -> None:
    """Run the command, then the page again, which shows what it came to."""
    with st.spinner(waiting):
        try:
            st.session_state["model_message"] = (True, command())
        except CommandError as error:
            st.session_state["model_message"] = (False, str(error))
    st.rerun()
