"""The button on other pages that leads to the rows of a run whose labels can be corrected."""

from __future__ import annotations

import streamlit as st

from dashboard.readers.artifacts import Artifacts
from dashboard.ui.locale import t
from dashboard.views.run.run_table import open_page


def button(artifacts: Artifacts, source: str) -> None:
    """Opens the page of labels with the rows of this source: `mistakes`, `suspects` or `quarantine`."""
    if st.button(t("labels.open"), icon=":material/label:", type="tertiary", key=f"correct_{source}"):
        run = artifacts.folder.name if artifacts.folder.parent == artifacts.root / "runs" else ""
        open_page("labels", {"uc": artifacts.use_case, "run": run, "source": source})
