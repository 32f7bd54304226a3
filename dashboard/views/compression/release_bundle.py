"""The release as a download, and its model card."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import model_actions
from dashboard.ui.locale import t

BUNDLE_FILES = ("model.onnx", "pixels.onnx", "card.md", "verdict.json", "table.json", "seeds.json", "checksums.json")


def bundle(artifacts: Artifacts, run: Run) -> None:
    """Download buttons for the release and its model card, and the card itself."""
    released = artifacts.released()
    present = [name for name in BUNDLE_FILES if (artifacts.use_case_folder / "release" / name).is_file()]
    with st.container(horizontal=True):
        if released:
            model_actions.download(files(artifacts), f"{artifacts.use_case}-{released}", key="bundle")
        if "card.md" in present:
            card = artifacts.read_text("release/card.md")
            st.download_button(
                t("compression.card"), card, file_name="card.md", icon=":material/description:", key="card", on_click="ignore"
            )
    if not released:
        st.caption(t("compression.no_bundle"))
    with st.container(border=True):
        st.markdown(formatting.safe_markdown(artifacts.card()))


def files(artifacts: Artifacts) -> list[Path]:
    """The files of the release, checked to lie in the project."""
    folder = artifacts.use_case_folder / "release"
    return [artifacts.file(f"release/{name}") for name in BUNDLE_FILES if (folder / name).is_file()]
