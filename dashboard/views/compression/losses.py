"""What compression cost: the metric class by class, and the rows whose prediction changed."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import compression_charts
from dashboard.readers.artifact_models import Flipped
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.runs.run_records import Run
from dashboard.text import formatting
from dashboard.ui import image_grid, locale, pickers, widgets
from dashboard.ui.locale import t
from dashboard.views.compression import slices
from tasks.core.compression import DENSE

MAX_FLIPPED = 60


def by_class(artifacts: Artifacts, run: Run) -> None:
    """What each class lost, for every recipe, and the slices that lost."""
    _class_changes(artifacts)
    slices.slices(artifacts)


def _class_changes(artifacts: Artifacts) -> None:
    split = pickers.choose_from("split", ("test", "validation"), t("results.split"), "test", _split, as_buttons=True)
    rows = []
    for recipe in artifacts.models():
        if recipe == DENSE:
            continue
        comparison = artifacts.metrics(recipe).against_dense.get(split)
        for change in comparison.by_class if comparison else []:
            rows += [(recipe, change.name, change.rows, change.dense, change.own, change.drop, change.low, change.high)]
    frame = pd.DataFrame(rows, columns=["recipe", "class", "rows", "dense", "own", "drop", "low", "high"])
    if frame.empty:
        st.caption(t("compression.no_classes"))
        return
    with st.container(border=True):
        st.markdown(f"**{t('compression.class_changes')}**")
        st.caption(t("compression.class_changes_note"))
        drawing = compression_charts.class_changes(frame, kind=t("results.class"), scheme=locale.scheme())
        widgets.chart(drawing, frame, key="damage", alt_text=t("compression.class_changes"))


def flipped(artifacts: Artifacts, run: Run) -> None:
    """The rows that only one of the two models predicts correctly, and the paired test of the difference."""
    recipes = [name for name in artifacts.models() if name != DENSE]
    if not recipes:
        st.caption(t("compression.no_recipes"))
        return
    with st.container(horizontal=True, gap="medium"):
        recipe = pickers.choose_from("recipe", recipes, t("results.recipe"), artifacts.released() or recipes[0], as_buttons=True)
        split = pickers.choose_from("split", ("test", "validation"), t("results.split"), "test", _split, as_buttons=True)
    comparison = artifacts.metrics(recipe).against_dense.get(split)
    if comparison is None:
        raise Unreadable("unreadable.shape", file="metrics.json")
    drop = comparison.drop
    widgets.cards(
        {
            t("compression.drop"): (formatting.number(drop.value, 4), formatting.interval(drop.low, drop.high, 4)),
            t("compression.drop_bound"): (formatting.number(comparison.at_most, 4), t("compression.drop_bound_small")),
            t("compression.lost"): (formatting.number(comparison.lost), t("compression.lost_small")),
            t("compression.won"): (formatting.number(comparison.won), t("compression.won_small")),
            t("compression.mcnemar"): (formatting.p_value(comparison.mcnemar_p), t("compression.mcnemar_small", rows=drop.rows)),
        },
        columns=5,
    )
    changed = comparison.changed
    if not changed:
        st.caption(t("compression.none_flipped" if comparison.lost is not None else "compression.not_counted"))
        return
    _flipped_rows(artifacts, changed[:MAX_FLIPPED])


def _flipped_rows(artifacts: Artifacts, rows: list[Flipped]) -> None:
    images = image_grid.images_by_key(artifacts, [str(row.own.get("pixels", "")) for row in rows])
    if not images:
        lines = [
            {
                t("compression.side"): t(f"compression.{row.side}"),
                "file": row.file,
                "row": row.row,
                **{t("compression.own_of", name=locale.word("column", name)): value for name, value in row.own.items()},
                **{
                    t("compression.dense_of", name=locale.word("column", name)): value
                    for name, value in row.dense.items()
                    if name in ("predicted", "confidence")
                },
            }
            for row in rows
        ]
        widgets.table(pd.DataFrame(lines), key="flipped", alt_text=t("compression_view.flipped"))
        return
    with st.grid("auto", min_column_width=150, gap="small"):
        for row in rows:
            own, dense = row.own, row.dense
            with st.container(border=True, gap="xsmall"):
                data = images.get(str(own.get("pixels")))
                png = image_grid.to_png(data) if data else None
                if png:
                    st.image(png, alt=formatting.clean(own.get("label", ""), 60), width=96)
                side = "red" if row.side == "lost" else "green"
                st.markdown(f":gray-badge[{formatting.escape(own.get('label', ''), 20)}] :{side}-badge[{_answer(own)}]")
                st.caption(t("compression.dense_prediction", answer=_answer(dense)))


def _answer(prediction: dict[str, Any]) -> str:
    return f"{formatting.escape(prediction.get('predicted', ''), 20)} · {formatting.percent(prediction.get('confidence'), 0)}"


def _split(name: str) -> str:
    return t(f"results.{name}")
