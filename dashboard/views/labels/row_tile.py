"""One row with its label, and the buttons that decide on it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.analysis import column_drift
from dashboard.readers import label_candidates, model_inputs
from dashboard.readers.runs.run_records import Run
from dashboard.readers.runs.sample_run import SAMPLE
from dashboard.text import formatting
from dashboard.ui import image_grid, remark_text
from dashboard.ui.locale import t
from flows import corrections
from tasks.core.errors import UserError

MAX_TEXT = 600
MAX_COLUMNS = 12
"""The most columns of a table's row that are shown."""
NO_CONTENT = {*column_drift.HOUSEKEEPING, *label_candidates.CANDIDATE_COLUMNS, "confidence", "margin", "reason", "fault", "kinds"}
NO_CONTENT |= {"alike", "same", "groups", "doubt", "label_kind", "subset", "truth", "unlabelled", "duplicate_group"}
"""Columns that are no part of what a model sees."""


@dataclass(frozen=True, slots=True)
class Decider:
    """Records the decisions on a run's rows."""

    run: Run
    use_case: str
    why: str

    @property
    def is_able(self) -> bool:
        """Whether the run has the raw rows that decisions refer to."""
        return self.run.id != SAMPLE

    def decide(self, file: str, row: int, action: str, label: str = "") -> None:
        """Record a decision; what it came to is shown on top of the page."""
        wished = [{"file": file, "row": row, "action": action, "label": label}]
        workspace = label_candidates.workspace_of(self.run)
        try:
            (made,) = corrections.record(self.run.root, self.use_case, wished, self.why, workspace=workspace)
        except UserError as error:
            st.session_state["label_message"] = (self.use_case, None, str(error))
        else:
            st.session_state["label_message"] = (self.use_case, made, "")

    def take_label(self, file: str, row: int, key: str) -> None:
        """Record the label that was chosen in the widget with this key."""
        if label := st.session_state.get(key):
            self.decide(file, row, "relabel", str(label))


def width_of(rows: pd.DataFrame) -> int:
    """The least width of a tile in pixels: pictures take less than texts and tables."""
    return 190 if image_grid.image_column(rows.columns) else 300


def show(row: pd.Series, classes: list[str], decider: Decider) -> None:
    """The row, what speaks against its label, and the buttons."""
    file, number = str(row["file"]), int(row["row"])
    key = f"{file}:{number}"
    _content(row, key)
    label, suggested = str(row.get("label", "")), str(row.get("suggested") or "")
    badges = f":gray-badge[{t('labels.label', label=formatting.escape(label, 40) or formatting.NOTHING)}]"
    if suggested:
        sure = f" · {formatting.percent(row['confidence'], 0)}" if "confidence" in row else ""
        badges += f" :orange-badge[{t('labels.suggestion', label=formatting.escape(suggested, 40))}{sure}]"
    st.markdown(badges)
    if reason := str(row.get("reason") or ""):
        st.caption(remark_text.reason_text(reason))
    st.caption(formatting.escape(key, 80) + (f" · {t(f'data.{split}')}" if (split := _split(row)) else ""))
    with st.container(horizontal=True, gap="xsmall"):
        if suggested:
            st.button(
                t("labels.relabel", label=formatting.escape(suggested, 24)),
                key=f"take_{key}",
                type="primary",
                on_click=decider.decide,
                args=(file, number, "relabel", suggested),
                disabled=not decider.is_able,
            )
        st.button(
            t("labels.confirm"),
            key=f"confirm_{key}",
            help=t("labels.confirm_quarantined" if reason else "labels.confirm_help"),
            on_click=decider.decide,
            args=(file, number, "confirm"),
            disabled=not decider.is_able,
        )
        st.button(
            t("labels.exclude"),
            key=f"exclude_{key}",
            help=t("labels.exclude_help"),
            on_click=decider.decide,
            args=(file, number, "exclude"),
            disabled=not decider.is_able,
        )
    st.selectbox(
        t("labels.other", row=formatting.clean(key, 80)),
        [name for name in classes if name not in (label, suggested)],
        index=None,
        placeholder=t("labels.other_label"),
        accept_new_options=True,
        label_visibility="collapsed",
        key=f"other_{key}",
        on_change=decider.take_label,
        args=(file, number, f"other_{key}"),
        disabled=not decider.is_able,
    )


def _split(row: pd.Series) -> str:
    split = str(row.get("split") or "")
    return split if split in ("train", "validation", "test") else ""


def _content(row: pd.Series, key: str) -> None:
    """The row's picture, text, or columns."""
    if name := image_grid.image_column(row.index):
        picture = image_grid.to_png(row[name])
        if picture:
            st.image(picture, alt=formatting.clean(f"{key}: {row.get('label', '')}", 80), width=112)
        else:
            st.caption(f":material/broken_image: {t('data.no_picture')}")
    elif model_inputs.TEXT in row:
        st.markdown(formatting.escape(row[model_inputs.TEXT], MAX_TEXT))
    else:
        names = [name for name in _inputs(row) if name in row and name not in NO_CONTENT][:MAX_COLUMNS]
        st.markdown(" · ".join(f"{formatting.escape(name, 40)} **{_cell(row[name])}**" for name in names))


def _inputs(row: pd.Series) -> list[str]:
    """The columns of a table that a model may see, by the row's own list of their kinds where it has one."""
    try:
        kinds = json.loads(row["kinds"])
    except (KeyError, TypeError, ValueError):
        kinds = None
    return list(kinds) if isinstance(kinds, dict) else [name for name in row.index if not isinstance(row[name], bytes)]


def _cell(value: object) -> str:
    """A value of a table, without the decimals that a float does not need."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return formatting.NOTHING
    return formatting.escape(f"{value:g}" if isinstance(value, float) else value, 60) or formatting.NOTHING
