"""What compression gained and what it cost: the front, the damage by class and row, the clock's figures, the bundle."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.analysis import pareto_front as fronts
from dashboard.charts import compression_charts, theme
from dashboard.readers import run_records, run_status
from dashboard.readers.artifact_models import Flipped, Row, Table, Verdict
from dashboard.readers.artifacts import Artifacts
from dashboard.readers.project_files import Unreadable
from dashboard.readers.run_records import Run
from dashboard.text import formatting
from dashboard.ui import image_grid, locale, pickers, widgets
from dashboard.ui.locale import t
from dashboard.ui.widgets import Colour
from dashboard.views.results import summary
from tasks.core.compression import DENSE, EAGER

STATUS: dict[str, tuple[Colour, str]] = {
    "chosen": ("green", ":material/verified:"),
    "kept": ("green", ":material/check:"),
    "not shown": ("yellow", ":material/help:"),
    "broken": ("red", ":material/close:"),
    "baseline": ("gray", ":material/flag:"),
}
BUNDLE = ("model.onnx", "card.md", "verdict.json", "table.json", "checksums.json")
MOST_FLIPPED = 60
SHOWN = (
    "recipe",
    "status",
    "value",
    "interval",
    "drop",
    "drop_interval",
    "seconds",
    "latency_1",
    "latency_64",
    "over_dense",
    "over_eager",
    "bytes",
    "size_share",
    "parameters",
)
"""Columns of the comparison, in the order they are read."""


def verdict(found: Verdict) -> None:
    """What was released and why, or why nothing was."""
    reason = formatting.sentence(formatting.escape(found.reason.removeprefix("nothing released: "), 1200))
    if found.released:
        st.success(reason, title=t("compression.released", recipe=formatting.escape(found.released)), icon=":material/verified:")
    else:
        st.warning(reason, title=t("compression.refused"), icon=":material/gpp_maybe:")


def front(found: Artifacts, run: Run) -> None:
    """Accuracy against a cost; a point picked shows its figures beside."""
    table = found.table()
    higher = summary.higher_is_better(found.use_case)
    cost = _cost()
    points = fronts.points(table, cost, fronts.spans(found, table, cost))
    try:
        asked = fronts.region(table, found.verdict(), cost, higher=higher)
    except Unreadable:
        asked = None
    names = [row.recipe for row in table.rows]
    default = next((row.recipe for row in table.rows if row.chosen), names[0])
    left, right = st.columns([5, 3], gap="medium")
    with left, st.container(border=True, height="stretch"):
        st.caption(t("compression.front_note"))
        shown = points.assign(status=points["status"].map(_standing))
        colours = {_standing(name): theme.STATUS.get(name, theme.QUIET) for name in (*theme.STATUS, *points["status"])}
        titles = (t(f"compression.axis_{cost}"), summary.axis_of(table.rows[0].metric))
        drawing = compression_charts.front(
            shown, fronts.on_front(points, higher=higher), asked, titles=titles, colours=colours, higher=higher
        )
        event = st.altair_chart(drawing, key="front", on_select="rerun", selection_mode="point", alt=t("compression.front_alt"))
        widgets.numbers(points, key="front_numbers", alt_text=t("compression.front_alt"))
    picked = event.selection.get("point") if event else None
    if picked and (now := str(picked[0].get("recipe"))) != st.session_state.get("point_seen"):
        st.session_state["point_seen"] = now
        st.query_params["recipe"] = now
    with right, st.container(border=True, height="stretch"):
        recipe = pickers.choose_from("recipe", names, t("results.recipe"), default)
        _details(found, table, next(row for row in table.rows if row.recipe == recipe))
    _comparison(found, run, table)


def damage(found: Artifacts, run: Run) -> None:
    """What each class lost, recipe by recipe."""
    split = pickers.choose_from("split", ("test", "validation"), t("results.split"), "test", _split, few=True)
    rows = []
    for recipe in found.recipes():
        if recipe == DENSE:
            continue
        compared = found.metrics(recipe).against_dense.get(split)
        for one in compared.by_class if compared else []:
            rows += [(recipe, one.name, one.rows, one.dense, one.own, one.drop, one.low, one.high)]
    frame = pd.DataFrame(rows, columns=["recipe", "class", "rows", "dense", "own", "drop", "low", "high"])
    if frame.empty:
        st.caption(t("compression.no_classes"))
        return
    with st.container(border=True):
        st.markdown(f"**{t('compression.damage')}**")
        st.caption(t("compression.damage_note"))
        drawing = compression_charts.damage(frame, kind=t("results.class"), scheme=locale.scheme())
        widgets.chart(drawing, frame, key="damage", alt_text=t("compression.damage"))


def flipped(found: Artifacts, run: Run) -> None:
    """The rows that one model gets right and the other does not, side by side."""
    recipes = [name for name in found.recipes() if name != DENSE]
    if not recipes:
        st.caption(t("compression.no_recipes"))
        return
    with st.container(horizontal=True, gap="medium"):
        recipe = pickers.choose_from("recipe", recipes, t("results.recipe"), _released(found) or recipes[0], few=True)
        split = pickers.choose_from("split", ("test", "validation"), t("results.split"), "test", _split, few=True)
    compared = found.metrics(recipe).against_dense.get(split)
    if compared is None:
        raise Unreadable("unreadable.shape", file="metrics.json")
    drop = compared.drop
    widgets.cards(
        {
            t("compression.drop"): (formatting.number(drop.value, 4), formatting.interval(drop.low, drop.high, 4)),
            t("compression.at_most"): (formatting.number(compared.at_most, 4), t("compression.at_most_small")),
            t("compression.lost"): (formatting.number(compared.lost), t("compression.lost_small")),
            t("compression.won"): (formatting.number(compared.won), t("compression.won_small")),
            t("compression.mcnemar"): (formatting.chance(compared.mcnemar_p), t("compression.mcnemar_small", rows=drop.rows)),
        },
        columns=5,
    )
    changed = compared.changed
    if not changed:
        st.caption(t("compression.none_flipped" if compared.lost is not None else "compression.not_counted"))
        return
    _flipped_rows(found, changed[:MOST_FLIPPED])


def timing(found: Artifacts, run: Run) -> None:
    """How the clock was read, and what it said."""
    rows: list[dict[str, Any]] = []
    machine: dict[str, Any] = {}
    threads = rounds = 0
    for recipe in found.recipes():
        latency = found.latency(recipe)
        machine, threads, rounds = latency.machine, latency.threads, latency.rounds
        for name, variant in latency.variants.items():
            if name == recipe or (recipe == DENSE and name == EAGER):
                for batch, figure in variant.batches.items():
                    rows.append(
                        {
                            "recipe": name,
                            "batch": batch,
                            "median": figure.median_ms,
                            "low": figure.low_ms,
                            "high": figure.high_ms,
                            "p95": figure.p95_ms,
                            "calls": figure.runs,
                            "memory": variant.peak_memory_bytes,
                        }
                    )
    if not rows:
        raise Unreadable("unreadable.shape", file="latency.json")
    frame = pd.DataFrame(rows)
    cpu = formatting.escape(machine.get("cpu", formatting.NOTHING), 80)
    st.caption(
        t("compression.protocol", rounds=rounds, threads=threads, cpu=cpu, cores=formatting.escape(machine.get("cores", "")))
    )
    for batch in dict.fromkeys(frame["batch"]):
        with st.container(border=True):
            st.markdown(f"**{t('compression.batch', batch=formatting.escape(batch))}**")
            some = frame[frame["batch"] == batch]
            drawing = compression_charts.latency(some, median=t("compression.median_ms"), p95="p95", scheme=locale.scheme())
            widgets.chart(drawing, some, key=f"latency_{batch}", alt_text=t("compression.batch", batch=batch))


def bundle(found: Artifacts, run: Run) -> None:
    """The release to take away, and its card."""
    released = _released(found)
    present = [name for name in BUNDLE if (found.place / "release" / name).is_file()]
    with st.container(horizontal=True):
        if released:
            st.download_button(
                t("compression.bundle"),
                lambda: _zipped(found, present),
                file_name=f"{found.use_case}-{released}.zip",
                mime="application/zip",
                type="primary",
                icon=":material/download:",
                key="bundle",
                on_click="ignore",
            )
        if "card.md" in present:
            card = found.words("release/card.md")
            st.download_button(
                t("compression.card"), card, file_name="card.md", icon=":material/description:", key="card", on_click="ignore"
            )
    if not released:
        st.caption(t("compression.no_bundle"))
    with st.container(border=True):
        st.markdown(formatting.prose(found.card()))


def _cost() -> fronts.Cost:
    chosen = pickers.choose_from(
        "cost", fronts.COSTS, t("compression.against"), "latency_1", lambda name: t(f"compression.{name}"), few=True
    )
    return next(cost for cost in fronts.COSTS if cost == chosen)


def _details(found: Artifacts, table: Table, row: Row) -> None:
    """One recipe's figures, each with what it is compared with."""
    status = "chosen" if row.chosen else row.status
    colour, icon = STATUS.get(status, ("gray", ":material/circle:"))
    st.badge(_standing(status), color=colour, icon=icon)
    drop = t("compression.drop_of", value=formatting.number(row.drop.value, 4), low_high=_span(row)) if row.drop else ""
    first = summary.figure(row.metric, row.value)
    st.metric(formatting.escape(summary.name_of(row.metric)), first, drop or None, delta_color="off", delta_arrow="off")
    dense, eager = fronts.speedup(row, DENSE), fronts.speedup(row, EAGER)
    told = " · ".join(
        t("compression.times", ratio=f"{speed.ratio:.1f}", low_high=f"{speed.low:.1f}–{speed.high:.1f}", other=other)
        for speed, other in ((dense, DENSE), (eager, EAGER))
        if speed
    )
    st.metric(t("results.latency"), formatting.milliseconds(fronts.of_row(row, "latency_1")), None)
    if told:
        st.caption(told)
    share = t("results.of_dense", share=formatting.percent(row.size_share))
    st.metric(t("results.size"), formatting.size(row.bytes), share, delta_color="off", delta_arrow="off")
    with suppress(Unreadable):  # said above the views
        st.caption(
            formatting.escape(next((each.why for each in found.verdict().candidates if each.recipe == row.recipe), ""), 600)
        )


def _comparison(found: Artifacts, run: Run, table: Table) -> None:
    """All recipes in one table."""
    frame = fronts.comparison(table.rows, _seconds(run, found.use_case))
    metric = summary.name_of(table.rows[0].metric)
    ends = [("interval", "low", "high", ".4f"), ("drop_interval", "drop_low", "drop_high", "+.4f")]
    spans = {
        name: [
            f"{low:{form}} … {high:{form}}" if pd.notna(low) else formatting.NOTHING
            for low, high in zip(frame[a], frame[b], strict=True)
        ]
        for name, a, b, form in ends
    }
    shown = frame.assign(status=frame["status"].map(_standing), **spans)[list(SHOWN)]
    number, column = st.column_config.NumberColumn, st.column_config.TextColumn
    columns = {
        "recipe": column(t("results.recipe"), pinned=True),
        "status": column(t("compression.contract")),
        "value": number(metric, format="%.4f"),
        "interval": column("95 %"),
        "drop": number(t("compression.drop"), format="%+.4f"),
        "drop_interval": column("95 %"),
        "latency_1": number(t("compression.short_1"), format="%.3f ms"),
        "latency_64": number(t("compression.short_64"), format="%.2f ms"),
        "over_dense": number(t("compression.over_dense"), format="%.2f×"),
        "over_eager": number(t("compression.over_eager"), format="%.2f×"),
        "bytes": number(t("results.size"), format="bytes"),
        "size_share": number(t("compression.share"), format="percent"),
        "parameters": number(t("compression.parameters"), format="localized"),
        "seconds": number(t("compression.seconds"), format="%.0f s"),
    }
    widgets.table(shown, key="comparison", alt_text=t("compression.table_alt"), columns=columns, csv=frame)
    st.caption(t("compression.table_note", threads=table.threads, cpu=formatting.escape(table.machine.get("cpu", ""), 80)))


def _seconds(run: Run, use_case: str) -> dict[str, float]:
    """Seconds it took to make each recipe's model: the training and its own compression, where both were timed."""
    took = {name: stage.seconds for name, stage in run_status.stages(run, use_case).items() if stage.seconds is not None}
    earlier = run_status.times(run_records.latest(run.root, use_case, 12))
    train = took.get(f"train@{use_case}", earlier.get(f"train@{use_case}"))
    found = {}
    for recipe in Artifacts(run.root, run.folder, use_case).recipes():
        name = f"compress@{use_case}-{recipe}"
        own = took.get(name, earlier.get(name))
        if own is not None and train is not None:
            found[recipe] = own + train
    return found


def _flipped_rows(found: Artifacts, rows: list[Flipped]) -> None:
    pictures = image_grid.of(found, [str(row.own.get("pixels", "")) for row in rows])
    if not pictures:
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
                data = pictures.get(str(own.get("pixels")))
                shown = image_grid.picture(data) if data else None
                if shown:
                    st.image(shown, alt=formatting.clean(own.get("label", ""), 60), width=96)
                side = "red" if row.side == "lost" else "green"
                st.markdown(f":gray-badge[{formatting.escape(own.get('label', ''), 20)}] :{side}-badge[{_answer(own)}]")
                st.caption(t("compression.dense_said", answer=_answer(dense)))


def _answer(said: dict[str, Any]) -> str:
    return f"{formatting.escape(said.get('predicted', ''), 20)} · {formatting.percent(said.get('confidence'), 0)}"


def _released(found: Artifacts) -> str | None:
    try:
        return found.verdict().released
    except Unreadable:
        return None


def _span(row: Row) -> str:
    return formatting.interval(row.drop.low, row.drop.high, 4) if row.drop else ""


def _standing(status: str) -> str:
    """How a recipe stands to its contract, in the reader's words where the catalogue knows them."""
    return t(f"compression.status_{status.replace(' ', '_')}") if status in STATUS else formatting.clean(status, 40)


def _split(name: str) -> str:
    return t(f"results.{name}")


def _zipped(found: Artifacts, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, Path(found.file(f"release/{name}")).read_bytes())
    return buffer.getvalue()
