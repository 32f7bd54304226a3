"""Upload files, see them as the pipeline reads them, map columns, and create a use case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.readers import own_data
from dashboard.readers.bonsai_commands import CommandError
from dashboard.readers.own_data import Preview
from dashboard.text import formatting, translations
from dashboard.ui import image_grid, pickers, remark_text, widgets
from dashboard.ui.locale import t
from dashboard.views.run.run_table import open_page
from tasks.core.errors import UserError

MAX_UPLOAD_MB = 500
TYPES = ("csv", "tsv", "jsonl", "parquet", "zip", "gz", "xz", "bz2", "xlsx", "npz", *(name[1:] for name in own_data.PICTURES))
MAX_NAME, MAX_PATH = 40, 1000
MAX_COUNTS = 12
"""The most classes, reasons or repairs that are listed."""


def show(root: Path) -> None:
    """The page: one step after the other, each on the same page."""
    st.caption(t("own_data.note", size=formatting.size(MAX_UPLOAD_MB * 1_000_000)))
    source = _source(root)
    if source is None:
        return
    kind, mapping = _problem(source)
    with st.container(border=True):
        try:
            seen = _preview(kind, source, tuple(mapping.items()), source.stat().st_mtime_ns)
        except UserError as error:
            st.warning(formatting.escape(error, 1000), icon=":material/warning:", title=t("own_data.not_readable"))
            seen = None
        if seen is not None:
            _show(seen)
    _create(root, source, kind, mapping, ready=seen is not None)


def _source(root: Path) -> Path | None:
    """The uploaded files in the project, or a file or folder on this machine; None while there is neither."""
    uploaded = st.file_uploader(
        t("own_data.files"),
        type=list(TYPES),
        accept_multiple_files=True,
        key="own_files",
        max_upload_size=MAX_UPLOAD_MB,
        help=t("own_data.files_help"),
    )
    with st.expander(t("own_data.local"), icon=":material/folder_open:"):
        written = st.text_input(t("own_data.path"), key="own_path", max_chars=MAX_PATH, placeholder="/home/me/photos")
    if uploaded:
        return own_data.keep(root, [(file.name, file.getvalue()) for file in uploaded])
    return own_data.local_path(written.strip()) if written and written.strip() else None


def _problem(source: Path) -> tuple[str, dict[str, str]]:
    """The kind of problem, and the columns that the reader chose by the name of their setting; empty for found ones."""
    names = list(own_data.COLUMNS)
    likely = own_data.likely_use_case(source)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        kind = pickers.choose_from("kind", names, t("own_data.kind"), likely, lambda name: t(f"own_data.{name}"), as_buttons=True)
    columns = own_data.columns_of(source)
    mapping: dict[str, str] = {}
    with right:
        if columns:
            with st.grid(3, min_column_width=150):
                for setting in own_data.COLUMNS[kind]:
                    label = t(f"setting.{setting}") if translations.has(f"setting.{setting}") else setting
                    chosen = st.selectbox(
                        label,
                        ["", *columns],
                        key=f"column_{kind}_{setting}",
                        format_func=lambda name: name or t("own_data.found"),
                    )
                    mapping[setting] = str(chosen or "")
    return kind, mapping


@st.cache_data(max_entries=16, show_spinner=False)
def _preview(kind: str, source: Path, mapping: tuple[tuple[str, str], ...], mtime_ns: int) -> Preview:
    """The preview; `mtime_ns` expires the cache."""
    return own_data.preview(kind, source, dict(mapping))


def _show(seen: Preview) -> None:
    st.markdown(f"**{t('own_data.preview', rows=formatting.number(len(seen.rows)))}**")
    facts = {
        t("own_data.classes"): seen.classes,
        t("own_data.splits"): seen.splits,
        t("data.quarantined"): seen.faults,
        t("data.repaired_rows"): seen.fixes,
    }
    for line in seen.remarks:
        st.caption(remark_text.remark_text(line))
    for name, counts in facts.items():
        if counts:
            listed = [f"{formatting.escape(value, 60)}: {count}" for value, count in list(counts.items())[:MAX_COUNTS]]
            more = len(counts) - len(listed)
            st.markdown(f"{name}: {', '.join(listed)}{' …' if more else ''}")
    if picture := image_grid.image_column(seen.rows.columns):
        label = "label" if "label" in seen.rows else ""
        with st.container(horizontal=True, wrap=True):
            for row in seen.rows.head(MAX_COUNTS).to_dict("records"):
                shown = image_grid.to_png(row[picture])
                if shown:
                    st.image(shown, width=96, caption=formatting.escape(row.get(label, ""), 40))
        return
    types = {str(name): str(kind) for name, kind in seen.rows.dtypes.items()}
    columns: dict[str, Any] = {name: st.column_config.Column(help=kind) for name, kind in types.items()}
    widgets.table(pd.DataFrame(seen.rows), key="own_rows", alt_text=t("own_data.preview", rows=len(seen.rows)), columns=columns)


def _create(root: Path, source: Path, kind: str, mapping: dict[str, str], *, ready: bool) -> None:
    """The name of the use case, and the button that creates it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            t("own_data.name"),
            own_data.suggested_name(source),
            key=f"own_name_{source.name}",
            max_chars=MAX_NAME,
            help=t("own_data.name_help"),
            width=280,
        )
        pressed = st.button(
            t("own_data.create"), type="primary", icon=":material/add:", key="create_use_case", disabled=not (ready and name)
        )
    if not pressed:
        return
    with st.spinner(t("own_data.creating")):
        try:
            created = own_data.create(root, str(name).strip(), kind, source, mapping)
        except CommandError as error:
            st.warning(formatting.capitalized(formatting.escape(error, 800)), icon=":material/warning:")
            return
    open_page("run", {"uc": created, "new": "1"})
