"""The release as a download, and its model card."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import streamlit as st

from dashboard.readers.artifacts import Artifacts
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui.locale import t

BUNDLE_FILES = ("model.onnx", "pixels.onnx", "card.md", "verdict.json", "table.json", "seeds.json", "checksums.json")


def bundle(artifacts: Artifacts, run: Run) -> None:
    """Download buttons for the release and its model card, and the card itself."""
    released = artifacts.released()
    present = [name for name in BUNDLE_FILES if (artifacts.use_case_folder / "release" / name).is_file()]
    with st.container(horizontal=True):
        if released:
            st.download_button(
                t("compression.bundle"),
                lambda: _zip(artifacts, present),
                file_name=f"{artifacts.use_case}-{released}.zip",
                mime="application/zip",
                type="primary",
                icon=":material/download:",
                key="bundle",
                on_click="ignore",
            )
        if "card.md" in present:
            card = artifacts.read_text("release/card.md")
            st.download_button(
                t("compression.card"), card, file_name="card.md", icon=":material/description:", key="card", on_click="ignore"
            )
    if not released:
        st.caption(t("compression.no_bundle"))
    with st.container(border=True):
        st.markdown(formatting.safe_markdown(artifacts.card()))


def _zip(artifacts: Artifacts, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, Path(artifacts.file(f"release/{name}")).read_bytes())
    return buffer.getvalue()
